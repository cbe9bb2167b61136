"""Prove that skips are right and that builds are reproducible."""

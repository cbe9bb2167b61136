"""Proof that skips are right and that builds can be repeated."""

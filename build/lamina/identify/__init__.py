"""Determine what an image is built from: its context, its fingerprint, and how two fingerprints differ."""

"""Image digests for infrastructure code."""

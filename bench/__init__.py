"""Measure what commands cost in seconds and bytes, compared with other ways to build the same images."""

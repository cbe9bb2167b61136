"""Measure it: what commands cost in seconds and bytes, beside other ways to build the same images."""

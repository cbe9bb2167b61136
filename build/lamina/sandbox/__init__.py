"""A private engine, registry and runtime for machines that have none."""

"""A private engine, registry and Lambda runtime for machines without their own."""

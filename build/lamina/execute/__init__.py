"""Do it: one bake file, one engine, one run."""

"""Carry out a plan: the engine, the bake file, the run, the image stores."""

"""Decide what to do and find what is wrong: pure functions over data that was read before."""

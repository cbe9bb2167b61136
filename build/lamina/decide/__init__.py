"""What to do and what is wrong: pure functions over what was read."""

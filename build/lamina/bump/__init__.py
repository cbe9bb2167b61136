"""Fleet edits: another Python, or another version of a requirement, everywhere at once."""

"""Find and fix what prevents cache hits or keeps functions from running on Lambda."""

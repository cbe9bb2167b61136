"""The content of an image by layer and package: sizes, changes, and what it does not need."""

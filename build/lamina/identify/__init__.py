"""What an image is made of: its context, its fingerprint, and how two of them differ."""

"""What AWS has besides its registry."""

"""The policies of IAM that Lamina's commands need."""

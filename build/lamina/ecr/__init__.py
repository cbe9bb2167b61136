"""Repositories in ECR: set up, and cleaned up."""

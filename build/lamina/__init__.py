"""Lamina builds every AWS Lambda container image of a monorepo, and builds only what changed."""

__version__ = "0.1.0"

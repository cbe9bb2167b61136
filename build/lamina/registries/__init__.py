"""Registries and the engine's image store: manifests, credentials, HTTP."""

"""Keep the Dockerfiles of a uv workspace in step with its members."""

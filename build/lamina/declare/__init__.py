"""Read what the user wrote: configuration, Dockerfiles, the graph between them and the lock file."""

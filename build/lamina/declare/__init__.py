"""What the user wrote: configuration, Dockerfiles, the graph they make, the lock."""

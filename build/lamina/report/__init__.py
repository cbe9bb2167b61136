"""Present results: the terminal, JSON, the manifest, kept runs and the report of one."""

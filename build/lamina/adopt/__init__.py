"""Configure Lamina for an existing repository: propose images, write ignore files, show progress."""

"""What makes a repository of other people work with Lamina: its ignore files, its images, its state."""

"""Which images a change concerns, for tests, jobs, reviewers and comments that depend on it."""

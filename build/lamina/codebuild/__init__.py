"""Builds on AWS CodeBuild: its project, the buildspec, a run that is followed."""

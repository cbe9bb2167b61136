"""Builds on AWS CodeBuild: projects, buildspecs, and builds that are started and followed."""

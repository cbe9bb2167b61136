"""Traces and metrics of commands, for those who watch many projects. Imported only if they are asked for."""

"""The steps that every command is composed of."""

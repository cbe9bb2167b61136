"""The table of commands: one module for each group, by what one is doing."""

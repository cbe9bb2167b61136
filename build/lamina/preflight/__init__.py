"""Find what fails on Lambda before an image is built: commands, installs, sources. Pure rules."""

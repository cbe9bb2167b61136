"""What a change does to images: packages, files, sizes by layer, seconds. Asks no engine."""

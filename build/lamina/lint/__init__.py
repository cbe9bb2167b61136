"""What keeps Dockerfiles from being cached or from running on Lambda, and how to mend it. Pure."""

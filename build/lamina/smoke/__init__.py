"""Run images under AWS's Lambda emulator, once or after every save."""

"""Images run under AWS's Lambda emulator, once or after every save."""

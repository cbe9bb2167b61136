"""Functions updated to pushed digests, checked before and compared after."""

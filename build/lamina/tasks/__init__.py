"""The Invoke tasks: flags in, one call, a report, an exit code."""

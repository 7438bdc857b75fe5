"""One file a command of `platefleet`."""

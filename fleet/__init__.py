"""The front door: settings, the `platefleet` command line, the one-machine launcher, doctor."""

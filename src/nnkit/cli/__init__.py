"""The command line: one file per command: options in, one study, its result printed."""

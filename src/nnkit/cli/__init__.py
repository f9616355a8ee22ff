"""The command line: one file per command, each of which parses options, calls one study and prints its result."""

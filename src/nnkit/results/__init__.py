"""What each command returns, as typed values: the JSON documents of `--json`. Nothing here imports torch."""

"""The folder of a run: its files, its checkpoints, its state. No other package names a file of a run."""

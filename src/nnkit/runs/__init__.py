"""The folder of a run: its files, its checkpoints, its state. Only this package names the files of a run."""

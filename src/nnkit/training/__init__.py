"""The training loop and what stands around it: metrics, checkpoints, the run directory."""

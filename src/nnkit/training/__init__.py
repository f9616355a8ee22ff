"""The training loop, evaluation, metrics, observers and devices."""

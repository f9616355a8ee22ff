"""The built-in metrics, one per file, with the methods of torchmetrics: update, compute, reset."""

"""The built-in losses, one per file: (output, target) to a scalar."""

"""The built-in poolings, one per file: (B, C, H, W) to (B, C), with or without a mask."""

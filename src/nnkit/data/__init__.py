"""Data: images held as tensors, splits, batches, augmentation, pipelines, bucket plans."""

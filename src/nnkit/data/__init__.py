"""The engine of data: images held as tensors, splits, buckets, batches, augmentation, rendered digits."""

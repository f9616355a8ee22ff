"""The built-in augmentations, one per file: each changes a batch of training images at random."""

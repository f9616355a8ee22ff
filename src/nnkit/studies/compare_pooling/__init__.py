"""`nnkit compare-pooling`: the study, its cells and their statistics."""

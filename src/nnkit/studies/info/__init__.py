"""`nnkit info`: the study, and the facts of an image pipeline."""

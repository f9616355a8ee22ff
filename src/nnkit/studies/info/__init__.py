"""`nnkit info`: the study, and what it tells of an image pipeline."""

"""`nnkit train`: the study, and what it alone needs."""

"""`nnkit evaluate`: the study, and what it alone needs."""

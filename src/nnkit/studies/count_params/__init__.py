"""`nnkit count-params`: the study, how parameters and FLOPs are counted, and the search for a match."""

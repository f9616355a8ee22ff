"""`nnkit bench`, `bench compare` and `bench ops`: the studies, their arms, grid, timing and verdicts."""

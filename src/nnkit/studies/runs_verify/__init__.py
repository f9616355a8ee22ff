"""`nnkit runs verify`: a run trained again from its own configuration, and compared to the bit."""

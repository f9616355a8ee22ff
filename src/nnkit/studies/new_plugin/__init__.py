"""`nnkit new-plugin`: the study, and the templates that it fills in."""

"""Networks in place of image pipelines: the pipelines, their analysis, the fits and their fidelity."""

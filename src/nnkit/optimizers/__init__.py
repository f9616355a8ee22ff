"""The built-in optimizers, one per file; others are torch's own, named in pyproject.toml as they are."""

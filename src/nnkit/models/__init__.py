"""The built-in models, one per file, found by name through the entry points in pyproject.toml."""

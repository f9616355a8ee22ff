"""The built-in stopping rules, one per file: each answers after an epoch why to stop, or None."""

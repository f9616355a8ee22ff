"""The built-in stopping rules, one per file: each returns after an epoch the reason to stop, or None."""

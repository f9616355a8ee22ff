"""Text tables and figures of results."""

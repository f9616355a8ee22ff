"""Results made readable: plain values become text tables and figures."""

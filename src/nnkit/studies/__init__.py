"""The questions people ask, one module per command: configuration in, result out, no printing."""

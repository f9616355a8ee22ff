"""One study per command: configuration in, result out, no printing."""

"""`python -m nnkit` is the command `nnkit`."""

from nnkit.cli.main import main

if __name__ == "__main__":
    main()

"""Progress of a benchmark on stderr: the number of rounds or runs done."""

from __future__ import annotations

import time

from nnkit.cli import output

EVERY_S = 10.0


class Rounds:
    """Called with what is done and its number; says so at most every ten seconds, and at the end."""

    def __init__(self, what: str, *, quiet: bool) -> None:
        self._what = what
        self._quiet = quiet
        self._said = time.monotonic()

    def __call__(self, done: int, rounds: int) -> None:
        """Say how far it is."""
        now = time.monotonic()
        if not self._quiet and (now - self._said >= EVERY_S or done == rounds):
            self._said = now
            output.say(f"nnkit: {self._what} {done} of {rounds}")

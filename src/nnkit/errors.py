"""The tree of exceptions. Each error says what, why and what to do, and has an exit code.

NnkitError              1   failed
├── UsageError          2   what the user typed or wrote
│   └── ConfigError     2   several mistakes of specs and files, reported at once
├── DataError           1   a dataset is missing from the data root, or damaged
├── PluginError         1   a component that cannot be loaded; names its distribution
├── CheckpointError     1   a run or checkpoint that cannot be read
├── WriteError          1   a file that cannot be written, as on a full disk; also an OSError
├── DivergedError       1   training met a number that is not finite
├── PartialError        3   some cells or files failed, the rest is done
├── GateError           4   a gate failed: tolerance, parity, regression
└── InterruptedRun      129, 130 or 143, after a checkpoint was saved
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

_LONGEST, _MOST = 80, 12


class NnkitError(Exception):
    """Base of all errors that nnkit raises on purpose.

    `message` says what went wrong and why; `hint` says what to do about it.
    """

    exit_code = 1

    def __init__(self, message: str, *, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message}\n{self.hint}" if self.hint else self.message


class UsageError(NnkitError):
    """Something the user typed or wrote: an unknown name, a bad value, a path given that is not there."""

    exit_code = 2


@dataclass(frozen=True)
class Mistake:
    """One mistake in a spec or file: its place, its description, and a suggestion."""

    path: str
    message: str
    hint: str = ""

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return where + self.message + (f" ({self.hint})" if self.hint else "")


class ConfigError(UsageError):
    """All mistakes of a spec, file or call, found in one pass."""

    def __init__(self, mistakes: Iterable[Mistake], *, hint: str = "") -> None:
        self.mistakes = tuple(mistakes)
        if len(self.mistakes) == 1:
            message = str(self.mistakes[0])
        else:
            lines = "".join(f"\n  {mistake}" for mistake in self.mistakes)
            message = f"{len(self.mistakes)} mistakes:{lines}"
        super().__init__(message, hint=hint)


class DataError(NnkitError):
    """A dataset is missing from the data root, or damaged."""


class PluginError(NnkitError):
    """A component that cannot be loaded. The message names the distribution and the cause."""


class CheckpointError(NnkitError):
    """A run directory or checkpoint that cannot be read."""


class WriteError(NnkitError, OSError):
    """A file cannot be written. What it held before is kept."""

    def __init__(self, message: str, cause: OSError, *, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.errno, self.strerror = cause.errno, cause.strerror

    __str__ = NnkitError.__str__


class DivergedError(NnkitError):
    """Training met a loss, weight or validation metric that is not finite."""

    def __init__(self, message: str, *, epoch: int, step: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.epoch = epoch
        self.step = step


class PartialError(NnkitError):
    """Part of the work failed and the rest is done."""

    exit_code = 3


class GateError(NnkitError):
    """A gate failed: a tolerance was not met, parity was lost, something became slower."""

    exit_code = 4


class InterruptedRun(NnkitError):
    """The run was hung up (129), interrupted (130) or terminated (143), after its checkpoint was saved."""

    def __init__(self, message: str, *, exit_code: int, hint: str = "") -> None:
        super().__init__(message, hint=hint)
        self.exit_code = exit_code


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """'did you mean "x"?' for the nearest known word, else the list of what is known.

    A list that is too long to be read is left out: then the answer is empty.
    """
    import difflib  # here: only a mistake pays for it

    names = sorted(known)
    near = difflib.get_close_matches(word[:_LONGEST], names, n=1, cutoff=0.6)
    if near:
        return f'did you mean "{near[0]}"?'
    if len(names) > _MOST:
        return ""
    return "known: " + ", ".join(names) if names else "nothing is known here"


def hints(*parts: str) -> str:
    """The parts that are not empty, as one hint."""
    return "; ".join(part for part in parts if part)


def quote(text: object, limit: int = 80) -> str:
    """A value as shown in a message: printable, on one line, at most `limit` characters."""
    shown = repr(text)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"

"""Output: the result on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import json
import logging
import shutil
import sys
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nnkit.cli import streams
from nnkit.errors import NnkitError
from nnkit.present.text import printable, say

if TYPE_CHECKING:
    from nnkit.config import Resolved


_undo = contextlib.ExitStack()


def set_up(*, quiet: bool, debug: bool) -> None:
    """Begin a command: stdout is its result's, nnkit's warnings are lines on stderr, others' need --debug."""
    take_down()
    logger = logging.getLogger("nnkit")
    _undo.callback(logger.setLevel, logger.level)
    _undo.callback(setattr, logger, "propagate", logger.propagate)
    _undo.callback(setattr, logger, "handlers", logger.handlers)
    logger.handlers = [_Lines()]
    logger.propagate = False
    logger.setLevel(logging.ERROR if quiet else logging.INFO)
    if not debug:
        _undo.enter_context(warnings.catch_warnings())
        warnings.simplefilter("ignore")
    _undo.callback(streams.release)
    streams.reserve()


def take_down() -> None:
    """End a command: stdout, warnings and the logger as before, for a program that ran it within itself."""
    _undo.close()


class _Lines(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        say(f"nnkit: {record.levelname.lower()}: {record.getMessage()}")


def width() -> int:
    """Columns to print in: the terminal's, 80 where there is none."""
    return shutil.get_terminal_size((80, 24)).columns


def emit(document: Mapping[str, Any], text: str, *, as_json: bool) -> None:
    """Print a result: the strict JSON document, or its text."""
    from nnkit import files

    out = files.dumps(document) if as_json else printable(text)
    stream = streams.result()
    encoding = stream.encoding or "utf-8"
    print(out.encode(encoding, errors="replace").decode(encoding), file=stream, flush=True)


def emit_dry_run(command: str, resolved: Resolved[Any], *, as_json: bool) -> None:
    """Print what a command would do, and where each value comes from."""
    from nnkit.present.dry_run import dry_run_table
    from nnkit.studies.dry_run import describe

    plan = describe(command, resolved)
    emit(plan.document(), dry_run_table(plan, width=width()), as_json=as_json)


def report(error: NnkitError, *, as_json: bool) -> None:
    """Print an error: what, why, and what to do; with --json its last line is a JSON object."""
    text = f"nnkit: error: {error.message}"
    if error.hint:
        text += f"\n  {error.hint}"
    encoding = sys.stderr.encoding or "utf-8"
    print(printable(text).encode(encoding, errors="replace").decode(encoding), file=sys.stderr)
    if as_json:
        body = {"code": error.exit_code, "message": error.message, "hint": error.hint}
        print(json.dumps({"error": body}), file=sys.stderr)
    sys.stderr.flush()

"""What goes to stdout and what to stderr, and what is made of text that a terminal cannot take."""

from __future__ import annotations

import io
import json
import logging
import math
import os
import sys
import warnings
from collections.abc import Iterator

import pytest

from nnkit.cli import output
from nnkit.cli.main import run
from nnkit.errors import GateError, UsageError


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    with warnings.catch_warnings():
        yield
    output.take_down()


def test_a_program_that_ran_a_command_finds_stdout_warnings_and_the_logger_as_before(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    stdout, logger = sys.stdout, logging.getLogger("nnkit")
    before = (logger.handlers, logger.propagate, logger.level, list(warnings.filters))
    for line in (["doctor", "--quiet"], ["list", "models"], ["list", "--no-such-option"]):
        run(line)
        assert sys.stdout is stdout
        assert (logger.handlers, logger.propagate, logger.level, list(warnings.filters)) == before
    logger.warning("heard")
    assert caplog.messages == ["heard"]


@pytest.mark.parametrize(("quiet", "lines"), [(False, 3), (True, 1)])
def test_warnings_of_nnkit_are_lines_on_stderr_and_quiet_leaves_errors(
    quiet: bool, lines: int, capsys: pytest.CaptureFixture[str]
) -> None:
    output.set_up(quiet=quiet, debug=False)
    output.set_up(quiet=quiet, debug=False)  # a second command in one process says nothing twice
    logger = logging.getLogger("nnkit")
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR):
        logger.log(level, "a %s", "word")
    out, err = capsys.readouterr()
    assert out == ""
    wanted = ["nnkit: info: a word", "nnkit: warning: a word", "nnkit: error: a word"]
    assert err.splitlines() == wanted[-lines:]


def test_warnings_of_other_libraries_show_with_debug_alone() -> None:
    for debug in (True, False):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            output.set_up(quiet=False, debug=debug)
            warnings.warn("of another library", stacklevel=1)
        assert len(caught) == debug


def test_json_is_one_strict_line_and_text_is_text(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit({"schema": "nnkit.x/1", "value": math.nan, "é": [math.inf, 1.5]}, "a table", as_json=True)
    assert capsys.readouterr().out == '{"schema": "nnkit.x/1", "value": null, "é": [null, 1.5]}\n'
    output.emit({"schema": "nnkit.x/1"}, "a table\n\tof two lines", as_json=False)
    assert capsys.readouterr().out == "a table\n\tof two lines\n"


def test_escapes_in_names_do_not_reach_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    output.emit({}, "a \x1b[31mred\x07 name", as_json=False)
    output.say("b \x1b[2J")
    output.report(UsageError("c \x1b]0;", hint="d \x9b"), as_json=False)
    out, err = capsys.readouterr()
    assert out == "a \ufffd[31mred\ufffd name\n"
    assert err == "b \ufffd[2J\nnnkit: error: c \ufffd]0;\n  d \ufffd\n"


def test_an_error_is_its_message_and_hint_and_as_json_the_last_line(
    capsys: pytest.CaptureFixture[str],
) -> None:
    output.report(GateError("no match", hint="try another"), as_json=True)
    out, err = capsys.readouterr()
    assert out == ""
    *words, last = err.splitlines()
    assert words == ["nnkit: error: no match", "  try another"]
    assert json.loads(last) == {"error": {"code": 4, "message": "no match", "hint": "try another"}}
    output.report(GateError("no match"), as_json=False)
    assert capsys.readouterr().err == "nnkit: error: no match\n"


def test_letters_that_the_encoding_lacks_are_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream, write in (
        ("stdout", lambda: output.emit({}, "5 × 3 – é", as_json=False)),
        ("stderr", lambda: output.report(UsageError("5 × 3 – é"), as_json=False)),
    ):
        raw = io.BytesIO()
        monkeypatch.setattr(sys, stream, io.TextIOWrapper(raw, encoding="ascii", write_through=True))
        write()
        assert raw.getvalue().decode("ascii").rstrip().endswith("5 ? 3 ? ?")


@pytest.mark.parametrize(("columns", "width"), [("40", 40), ("123", 123), ("", 80)])
def test_the_width_is_the_terminals_else_80(
    columns: str, width: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    monkeypatch.setattr(os, "get_terminal_size", lambda *fd: (_ for _ in ()).throw(OSError))
    assert output.width() == width

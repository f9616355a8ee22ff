"""Write docs/cli.md: the help of every command and subcommand, asked of the commands themselves.

python docs/write_cli.py
"""

from __future__ import annotations

import contextlib
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from nnkit.cli.main import COMMANDS, Entry, run

PAGE = Path(__file__).with_name("cli.md")
WIDTH = 100
HEAD = """# The commands

What `nnkit COMMAND --help` prints, all in one page. `make docs` writes it from the commands themselves.
The JSON that each prints with `--json` is described by a JSON schema in [schemas/](schemas).
"""


def commands(entries: Mapping[str, Entry] = COMMANDS, before: tuple[str, ...] = ()) -> Iterator[list[str]]:
    """The words of every command and subcommand."""
    for name, entry in entries.items():
        yield [*before, name]
        yield from commands(entry.subcommands, (*before, name))


def page() -> str:
    """The page's text."""
    sections = [
        f"## nnkit {' '.join(words)}".rstrip() + f"\n\n```\n{help_of(words)}\n```\n"
        for words in ([], *commands())
    ]
    return "\n".join([HEAD, *sections])


def help_of(words: list[str]) -> str:
    """What a command's --help prints at the page's width."""
    old, shown = os.environ.get("COLUMNS"), io.StringIO()
    os.environ["COLUMNS"] = str(WIDTH)
    try:
        with contextlib.redirect_stdout(shown):
            assert run([*words, "--help"]) == 0
    finally:
        del os.environ["COLUMNS"]
        if old is not None:
            os.environ["COLUMNS"] = old
    return shown.getvalue().rstrip()


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")

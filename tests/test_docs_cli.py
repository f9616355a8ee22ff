"""docs/cli.md is what the commands' own help says. NNKIT_REFRESH_GOLDEN=1 writes it anew."""

import os
from pathlib import Path

import pytest

from nnkit.cli.main import COMMANDS, run

PAGE = Path(__file__).parents[1] / "docs" / "cli.md"
SUBCOMMANDS = {"runs": ("list", "show"), "bench": ("ops",)}
HEAD = """# The commands

What `nnkit COMMAND --help` prints, all in one page. It is written from the commands themselves.
The JSON that each prints with `--json` is described by a JSON schema in [schemas/](schemas).
"""


def help_of(words, capsys):
    assert run([*words, "--help"]) == 0
    return capsys.readouterr().out.rstrip()


@pytest.fixture
def page(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "100")
    words = [[]]
    for command in COMMANDS:
        words.append([command])
        words += [[command, sub] for sub in SUBCOMMANDS.get(command, ())]
    sections = [f"## nnkit {' '.join(w)}".rstrip() + f"\n\n```\n{help_of(w, capsys)}\n```\n" for w in words]
    return "\n".join([HEAD, *sections])


def test_the_page_holds_the_help_of_every_command(page):
    if os.environ.get("NNKIT_REFRESH_GOLDEN"):
        PAGE.write_text(page, encoding="utf-8")
    assert PAGE.read_text(encoding="utf-8") == page


def test_every_command_explains_itself_with_an_example(page):
    for section in page.split("\n## ")[2:]:
        assert "Example" in section, section.splitlines()[0]
        assert (
            "nnkit"
            in section.split("Example")[1].splitlines()[0] + section.split("Example")[1].splitlines()[1]
        )

"""docs/cli.md is what the commands' own help says; `make docs` writes it anew."""

import importlib.util
from pathlib import Path

import pytest
import typer

from nnkit.cli.main import app

FOLDER = Path(__file__).parents[1] / "docs"


@pytest.fixture(scope="module")
def writer():
    spec = importlib.util.spec_from_file_location("write_cli", FOLDER / "write_cli.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def commands_of(group, before=()):
    """Every command and subcommand that Typer knows."""
    context = typer.Context(group)
    for name in group.list_commands(context):
        _, command, _ = group.resolve_command(context, [name])
        yield [*before, name]
        if hasattr(command, "list_commands"):
            yield from commands_of(command, (*before, name))


def test_the_page_holds_the_help_of_every_command(writer):
    assert (FOLDER / "cli.md").read_text(encoding="utf-8") == writer.page(), "run `make docs`"


def test_the_page_has_a_section_for_each_command_that_the_app_has(writer):
    found = list(commands_of(typer.main.get_command(app)))
    assert found == list(writer.commands())
    assert ["bench", "compare"] in found
    sections = [line[3:] for line in writer.page().splitlines() if line.startswith("## ")]
    assert sections == ["nnkit", *("nnkit " + " ".join(words) for words in found)]


def test_every_command_explains_itself_with_an_example(writer):
    for section in writer.page().split("\n## ")[2:]:
        lines = section.partition("Example")[2].splitlines()
        assert any("nnkit" in line for line in lines[:2]), section.splitlines()[0]

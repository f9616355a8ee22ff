from __future__ import annotations

import re

import pytest

from nnkit import errors
from nnkit.errors import (
    ConfigError,
    DivergedError,
    InterruptedRun,
    Mistake,
    NnkitError,
    UsageError,
    did_you_mean,
    hints,
    quote,
)


def drawn() -> dict[str, tuple[str, list[int]]]:
    """Parent and exit codes of each error in the tree of the docstring."""
    tree: dict[str, tuple[str, list[int]]] = {}
    above: list[str] = []
    for line in errors.__doc__.splitlines():
        if match := re.match(r"^([│├└─ ]*)([A-Z]\w+) (.*)$", line):
            depth = len(match[1]) // 4
            codes = re.match(r" *\d+(?:, \d+)*(?: or \d+)?", match[3])
            if codes is None:
                continue
            above[depth:] = [match[2]]
            parent = above[depth - 1] if depth else "Exception"
            tree[match[2]] = (parent, [int(code) for code in re.findall(r"\d+", codes[0])])
    return tree


def test_the_tree_of_the_docstring_is_that_of_the_classes_with_their_exit_codes() -> None:
    classes = {name: cls for name, cls in vars(errors).items() if isinstance(cls, type)}
    found = {name: cls for name, cls in classes.items() if issubclass(cls, NnkitError)}
    tree = drawn()
    assert tree.keys() == found.keys()
    for name, cls in found.items():
        parent, codes = tree[name]
        assert cls.__bases__[0].__name__ == parent, name
        if name == "InterruptedRun":
            assert (
                [InterruptedRun("x", exit_code=code).exit_code for code in codes] == codes == [129, 130, 143]
            )
        else:
            assert [cls.exit_code] == codes, name


def test_an_error_shows_its_hint_below_its_message() -> None:
    assert str(UsageError("what", hint="do this")) == "what\ndo this"
    assert str(UsageError("what")) == "what"
    diverged = DivergedError("nan", epoch=2, step=7, hint="lower it")
    assert (diverged.epoch, diverged.step, diverged.message, diverged.hint) == (2, 7, "nan", "lower it")
    assert ConfigError([Mistake("a", "b")], hint="list").hint == "list"


def test_one_mistake_is_one_line_and_several_are_a_list() -> None:
    one = ConfigError([Mistake("model.width", "unknown", "known: w")])
    assert one.message == "model.width: unknown (known: w)"
    assert ConfigError([Mistake("a", "x"), Mistake("", "y")]).message == "2 mistakes:\n  a: x\n  y"
    assert one.exit_code == 2


@pytest.mark.parametrize(
    ("known", "answer"),
    [
        (["width", "depth"], 'did you mean "width"?'),
        (["alpha", "beta"], "known: alpha, beta"),
        ([f"k{n}" for n in range(20)], ""),
        ([], "nothing is known here"),
    ],
)
def test_a_suggestion_is_the_nearest_or_a_list_that_can_be_read(known: list[str], answer: str) -> None:
    assert did_you_mean("widht", known) == answer


def test_a_list_of_twelve_can_be_read_and_stands_in_order() -> None:
    twelve = [f"k{n:02}" for n in range(12)]
    assert did_you_mean("zzz", reversed(twelve)) == "known: " + ", ".join(twelve)
    assert did_you_mean("zzz", [*twelve, "more"]) == ""


def test_quoted_values_are_short_and_on_one_line() -> None:
    assert quote("a" * 78) == f"'{'a' * 78}'"
    assert quote("a" * 79) == f"'{'a' * 78}…"
    assert quote("abc", limit=4) == "'ab…"
    assert quote(5) == "5"
    assert len(quote("x\n" * 5000)) == 80
    assert "\n" not in quote("a\nb")
    assert hints("a", "", "b") == "a; b"

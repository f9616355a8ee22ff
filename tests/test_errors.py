import pytest

from nnkit import errors
from nnkit.errors import ConfigError, Mistake, NnkitError, did_you_mean, hints, quote


def test_every_error_stands_in_the_tree_of_the_docstring_with_its_code():
    lines = {line.split()[1]: line for line in errors.__doc__.splitlines() if line[:1] in "├│└" and line}
    for name, cls in vars(errors).items():
        if isinstance(cls, type) and issubclass(cls, NnkitError) and cls is not NnkitError:
            line = next(line for key, line in lines.items() if name in line)
            assert name == "InterruptedRun" or str(cls.exit_code) in line


def test_one_mistake_is_one_line_and_several_are_a_list():
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
def test_a_suggestion_is_the_nearest_or_a_list_that_can_be_read(known, answer):
    assert did_you_mean("widht", known) == answer


def test_quoted_values_are_short_and_on_one_line():
    assert len(quote("x\n" * 5000)) == 80
    assert "\n" not in quote("a\nb")
    assert hints("a", "", "b") == "a; b"

from __future__ import annotations

import enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import pytest
from torch import nn

from nnkit.errors import PluginError
from nnkit.schema import check, convert, settings_of
from nnkit.spec import Spec, Text
from nnkit.types import Pooling, nested

if TYPE_CHECKING:
    from nowhere import Unknown


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Many:
    def __init__(
        self,
        width: int,
        *args: int,
        rate: float = 0.5,
        untyped=True,
        name: str = "x",
        hidden: Unknown = None,
        module: nn.Module | None = None,
        bare=None,
        pooling: Pooling | None = nested("max"),
        limited: Annotated[int, "documented"] = 3,
        colour: Colour = Colour.RED,
        **kwargs: int,
    ) -> None: ...


def test_settings_are_the_typed_keyword_parameters():
    found = settings_of(Many)
    assert list(found) == ["width", "rate", "untyped", "pooling", "limited", "colour"]
    assert found["untyped"].type is bool
    assert found["pooling"].group == "poolings"
    assert found["width"].required
    assert found["colour"].type_name == "one of red, blue"
    assert found["limited"].type_name == "int"


def test_a_torch_class_is_a_component_as_it_stands():
    assert set(settings_of(nn.CrossEntropyLoss)) == {"ignore_index", "reduction", "label_smoothing"}


class NeedsModule:
    def __init__(self, inner: nn.Module) -> None: ...


class NeedsUnknown:
    def __init__(self, thing: Unknown) -> None: ...


class NeedsName:
    def __init__(self, name: str) -> None: ...


class NeedsPosition:
    def __init__(self, first: int, /) -> None: ...


class NeedsUntyped:
    def __init__(self, anything) -> None: ...


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (NeedsModule, '"inner" has the type Module'),
        (NeedsUnknown, '"thing" has the type Unknown'),
        (NeedsName, '"name" is reserved'),
        (NeedsPosition, '"first" can be given by position only'),
        (NeedsUntyped, '"anything" has no type'),
    ],
)
def test_a_required_parameter_that_no_spec_can_hold_makes_an_error_that_names_it(cls, words):
    with pytest.raises(PluginError, match=words):
        settings_of(cls)


@pytest.mark.parametrize(
    ("annotation", "text", "value"),
    [
        (int, "81", 81),
        (float, "1", 1.0),
        (float, "1e-4", 1e-4),
        (bool, "true", True),
        (str, "5", "5"),
        (str, "true", "true"),
        (Path, "/tmp/x", Path("/tmp/x")),
        (Path | None, "none", None),
        (int | None, "none", None),
        (int | None, "3", 3),
        (str | None, "none", None),
        (int | str, "5", 5),
        (int | str, "five", "five"),
        (Literal["torch", "unfold"], "unfold", "unfold"),
        (Literal[3, 5], "5", 5),
        (Literal["none", "clamp"], "none", "none"),
        (Colour, "blue", Colour.BLUE),
        (list[int], "[1,2]", [1, 2]),
        (tuple[int, ...], "[1,2]", (1, 2)),
        (tuple[int, str], '[1,"a"]', (1, "a")),
        (dict[str, float], "{a=1}", {"a": 1.0}),
        (list[list[int]], "[[1],[2,3]]", [[1], [2, 3]]),
        (Annotated[int | None, "doc"], "none", None),
    ],
)
def test_a_typed_value_is_read_as_its_type_says(annotation, text, value):
    read = convert(annotation, Text(text))
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (int, "5"),
        (int, True),
        (int, 1.0),
        (float, True),
        (float, "1"),
        (bool, 1),
        (str, 5),
        (Path, 5),
        (int, Text("true")),
        (int, Text("1.0")),
        (int, Text("")),
        (int, Text("9" * 5000)),
        (bool, Text("yes")),
        (float, float("nan")),
        (float | None, Text("nan")),
        (list[float], [1.0, float("nan")]),
        (list[int], Text("1,2")),
        (Literal["a"], Text("b")),
        (Colour, "green"),
        (tuple[int, int], [1, 2, 3]),
        (dict[str, int], {"a": "1"}),
        (int, Text("2020-01-01")),
        (int, object()),
    ],
)
def test_scalars_are_strict(annotation, value):
    with pytest.raises(ValueError, match=r"."):
        convert(annotation, value)


def test_a_quoted_value_is_text():
    quoted = Text("none")
    quoted.quoted = True
    assert convert(str | None, quoted) == "none"


def test_every_mistake_is_reported_with_its_path_and_what_was_meant():
    values, mistakes = check(
        settings_of(Many), {"widht": 3, "rate": "x", "colour": "red", "pooling": 5, "k" * 9999: 1}, "model"
    )
    assert values == {"colour": Colour.RED}
    assert [mistake.path[:14] for mistake in mistakes] == [
        "model.widht", "model.rate", "model.pooling", "model.kkkkkkkk",
    ]  # fmt: skip
    assert mistakes[0].hint == 'did you mean "width"?'
    assert mistakes[1].hint == "expected float"
    assert all(len(str(mistake)) < 400 for mistake in mistakes)


def test_a_nested_component_can_be_left_out_where_its_type_allows_none():
    assert check(settings_of(Many), {"pooling": Text("none")}, "m")[0] == {"pooling": None}
    assert check(settings_of(Many), {"pooling": {"name": "gem", "p": 3}}, "m")[0] == {
        "pooling": Spec("gem", {"p": 3})
    }

from __future__ import annotations

import enum
import functools
import math
import sys
import types
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional, Union, get_args, get_origin

import pytest
from pydantic import Field
from torch import Tensor, nn

from nnkit.errors import Mistake, PluginError
from nnkit.schema import check, convert, plain_value, settings_of
from nnkit.spec import Spec, Text
from nnkit.types import Nested, Pooling, nested

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


class Wide:
    def __init__(
        self,
        rate: float | Tensor = 0.5,
        rates: tuple[float | Tensor, float] = (0.5, 0.25),
        steps: Iterable[int] = (),
        most: list[float] | Tensor | None = None,
        step: Callable[[], int] | None = None,
        weight: Tensor | None = None,
    ) -> None: ...


def test_of_a_union_the_types_that_a_spec_can_hold_count() -> None:
    found = settings_of(Wide)
    assert {name: setting.type_name for name, setting in found.items()} == {
        "rate": "float",
        "rates": "tuple[float, float]",
        "steps": "list[int]",
        "most": "list[float] or none",
    }
    values, mistakes = check(found, {"rate": 1, "rates": [1, 2], "steps": Text("[3, 4]"), "most": None}, "")
    assert values == {"rate": 1.0, "rates": (1.0, 2.0), "steps": [3, 4], "most": None}
    assert mistakes == []


class Made:
    def __init__(self, params: object, lr: float = 0.5) -> None: ...


def test_what_a_component_is_made_with_is_no_setting() -> None:
    assert list(settings_of(Made, "optimizers")) == ["lr"]
    with pytest.raises(PluginError, match='its parameter "params" has the type object'):
        settings_of(Made, "models")


def test_settings_are_the_typed_keyword_parameters():
    found = settings_of(Many)
    assert list(found) == ["width", "rate", "untyped", "pooling", "limited", "colour"]
    assert found["untyped"].type is bool
    assert found["pooling"].group == "poolings"
    assert found["width"].required
    assert found["colour"].type_name == "one of red, blue"
    assert found["limited"].type_name == "int"


def test_a_setting_has_its_parameters_default_and_is_required_without_one() -> None:
    found = settings_of(Many)
    defaults = {name: setting.default for name, setting in found.items() if not setting.required}
    assert defaults == {
        "rate": 0.5, "untyped": True, "pooling": Nested("max"), "limited": 3, "colour": Colour.RED
    }  # fmt: skip
    assert {name: setting.group for name, setting in found.items() if setting.group} == {
        "pooling": "poolings"
    }
    assert all(setting.group == "" for name, setting in found.items() if name != "pooling")


class Inner(enum.Enum):
    A = "a"
    B = 2


class Types:
    """One parameter of each type that can be a setting, and of types that cannot."""

    class Local(enum.Enum):
        ONE = 1

    def __init__(
        self,
        a: bool = True, b: int = 1, c: float = 1.0, d: str = "x", e: Path = Path("x"),
        g: Literal["torch", 3] = 3, h: Inner = Inner.A, i: list | None = None, j: tuple = (),
        k: dict | None = None, l: list[int] | None = None, m: tuple[int, ...] = (),  # noqa: E741  # a name
        n: tuple[int, str] = (1, "x"), o: dict[str, float] | None = None, p: int | None = None,
        q: Optional[Path] = None, r: Union[int, str] = 1, s: list[Literal["x"]] | None = None,  # noqa: UP007, UP045  # as others write
        t: list[list[int | None]] | None = None, u: Local = Local.ONE, v: Annotated[int | None, "doc"] = 1,
        w: int | Pooling | None = None, x: dict[str, list[Inner]] | None = None,
        hidden_module: nn.Module = None, hidden_list: list[nn.Module] = (),
        hidden_dict: dict[str, object] | None = None, hidden_set: set[int] | None = None,
        hidden_any: Any = None, hidden_call: Callable[[], int] | None = None, hidden_bytes: bytes = b"",
        hidden_note: Annotated[int, []] = 1, hidden_none=None,
    ) -> None: ...  # fmt: skip


TYPE_NAMES = {
    "a": "bool", "b": "int", "c": "float", "d": "str", "e": "Path", "g": "one of torch, 3",
    "h": "one of a, 2", "i": "list or none", "j": "tuple", "k": "dict or none", "l": "list[int] or none",
    "m": "tuple[int, ...]", "n": "tuple[int, str]", "o": "dict[str, float] or none", "p": "int or none",
    "q": "Path or none", "r": "int or str", "s": "list[one of x] or none",
    "t": "list[list[int or none]] or none", "u": "one of 1", "v": "int or none", "w": "spec of poolings",
    "x": "dict[str, list[one of a, 2]] or none",
}  # fmt: skip


def test_each_type_of_setting_is_known_and_has_a_name_for_people_and_no_other_type_is() -> None:
    assert {name: setting.type_name for name, setting in settings_of(Types).items()} == TYPE_NAMES


def module_of(name: str, source: str, monkeypatch: pytest.MonkeyPatch) -> types.ModuleType:
    module = types.ModuleType(name)
    exec("from __future__ import annotations\n" + source, vars(module))
    monkeypatch.setitem(sys.modules, name, module)
    return module


def test_annotations_are_read_where_they_were_written(monkeypatch: pytest.MonkeyPatch) -> None:
    base = module_of(
        "base_of_a_plugin",
        "from pathlib import Path as Place\nclass Base:\n    def __init__(self, at: Place = Place()): ...",
        monkeypatch,
    )

    class Inherits(base.Base):  # type: ignore[misc,name-defined]
        pass

    assert settings_of(Inherits)["at"].type is Path

    def decorated(method: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(method)
        def wrapper(*args: Any, **kwargs: Any) -> None: ...

        return wrapper

    module = module_of(
        "decorated_plugin",
        "from pathlib import Path as Place\n"
        "def make(decorated):\n"
        "    class Net:\n"
        "        @decorated\n"
        "        def __init__(self, at: Place, steps: int = 3): ...\n"
        "    return Net",
        monkeypatch,
    )
    found = settings_of(module.make(decorated))
    assert [(setting.name, setting.type, setting.required) for setting in found.values()] == [
        ("at", Path, True), ("steps", int, False),
    ]  # fmt: skip


def test_a_class_whose_module_is_gone_still_shows_its_plain_types(monkeypatch: pytest.MonkeyPatch) -> None:
    module = module_of("gone", "class Net:\n    def __init__(self, steps: int = 3): ...", monkeypatch)
    monkeypatch.delitem(sys.modules, "gone")
    assert settings_of(module.Net)["steps"].type is int


def test_a_class_that_shows_no_signature_takes_no_settings() -> None:
    class Opaque(nn.Module):
        __signature__ = "none"

    assert settings_of(Opaque) == {}
    assert settings_of(object) == {}


def test_a_torch_class_is_a_component_as_it_stands():
    assert set(settings_of(nn.CrossEntropyLoss)) == {"ignore_index", "reduction", "label_smoothing"}


class NeedsPooling:
    def __init__(self, pooling: Pooling) -> None: ...


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


class NeedsList:
    def __init__(self, inner: list[nn.Module]) -> None: ...


class NeedsNote:
    def __init__(self, inner: Annotated[int, []]) -> None: ...


@pytest.mark.parametrize(
    ("cls", "words"),
    [
        (NeedsModule, '"inner" has the type Module'),
        (NeedsUnknown, '"thing" has the type Unknown'),
        (NeedsName, '"name" is reserved'),
        (NeedsPosition, '"first" can be given by position only'),
        (NeedsUntyped, '"anything" has no type'),
        (NeedsList, r'"inner" has the type list\[Module\]'),
        (NeedsNote, '"inner" has the type Annotated'),
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


UNIVERSE: list[Any] = [
    None, True, False, 0, 1, -1, 3, 5, 10**15, 0.0, 1.0, 2.5, -0.5, math.inf, "5", "true", "none", "a",
    "torch", "red", "/tmp/x", [], [1], [1, 2], ["a"], [1, "a"], [1.5], [True], [None], [[1], [2]], {},
    {"a": 1}, {"a": "b"}, {"a": [1]}, {"a": None},
]  # fmt: skip
ACCEPTS: dict[Any, Callable[[Any], bool]] = {
    bool: lambda value: isinstance(value, bool),
    int: lambda value: isinstance(value, int) and not isinstance(value, bool),
    float: lambda value: isinstance(value, (int, float)) and not isinstance(value, bool),
    str: lambda value: isinstance(value, str),
    Path: lambda value: isinstance(value, str),
    type(None): lambda value: value is None,
    Literal["torch", "a"]: lambda value: value in ("torch", "a"),
    Literal[3, 5]: lambda value: value in (3, 5),
    Colour: lambda value: value in ("red", "blue"),
    list: lambda value: isinstance(value, list),
    tuple: lambda value: isinstance(value, list),
    dict: lambda value: isinstance(value, dict),
}
ANNOTATIONS: list[Any] = [
    *ACCEPTS, int | None, bool | None, float | None, str | None, Path | None, Colour | None, int | str,
    float | Literal["a"], int | list[int], Annotated[int, "doc"], list[int], list[float], list[str],
    list[int | None], list[list[int]], list[Path], tuple[int, ...], tuple[int, int], tuple[int, str],
    tuple[float, ...], dict[str, int], dict[str, str], dict[str, float | None], dict[str, list[int]],
    dict[str, Path] | None, list[Colour],
]  # fmt: skip


def accepts(annotation: Any, value: Any) -> bool:
    """Whether a value of TOML or JSON fits a type, by the contract: scalars are strict, 1 is a float."""
    if annotation in ACCEPTS:
        return ACCEPTS[annotation](value)
    origin, args = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return accepts(args[0], value)
    if origin is Literal:
        return value in args
    if origin is list:
        return isinstance(value, list) and all(accepts(args[0], item) for item in value)
    if origin is dict:
        return isinstance(value, dict) and all(accepts(args[1], item) for item in value.values())
    if origin is tuple:
        wanted = args[:1] * len(value) if args[1:] == (...,) and isinstance(value, list) else args
        return isinstance(value, list) and len(wanted) == len(value) and all(map(accepts, wanted, value))
    return any(accepts(member, value) for member in args)


def read_back(value: Any) -> Any:
    """What came of a value, as TOML and JSON have it."""
    if isinstance(value, tuple):
        return [read_back(item) for item in value]
    if isinstance(value, (list, dict)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        made = {key: read_back(item) for key, item in items}
        return made if isinstance(value, dict) else list(made.values())
    return value.value if isinstance(value, enum.Enum) else str(value) if isinstance(value, Path) else value


@pytest.mark.parametrize("annotation", ANNOTATIONS, ids=str)
def test_every_type_takes_its_own_values_and_no_other(annotation: Any) -> None:
    seen = set()
    for value in UNIVERSE:
        fits = accepts(annotation, value)
        seen.add(fits)
        if not fits:
            with pytest.raises(ValueError, match=r"does not fit"):
                convert(annotation, value)
            continue
        read = convert(annotation, value)
        assert read_back(read) == value
        assert isinstance(read_back(read), type(value)) or isinstance(read, float)
    assert seen == {True, False}, "the values must show both"


@pytest.mark.parametrize(
    ("annotation", "value", "read"),
    [
        (float, 1, 1.0),
        (list[float], [1, 2], [1.0, 2.0]),
        (Path, "x", Path("x")),
        (Path, Path("x"), Path("x")),
        (tuple[int, ...], (1, 2), (1, 2)),
        (tuple, [1, "a"], (1, "a")),
        (list, (1, 2), [1, 2]),
        (Colour, Colour.BLUE, Colour.BLUE),
        (list[Colour], ["red"], [Colour.RED]),
        (dict[str, Path], {"a": "x"}, {"a": Path("x")}),
        (bool | str, True, True),
    ],
)
def test_a_value_becomes_what_the_class_wants(annotation: Any, value: Any, read: Any) -> None:
    found = convert(annotation, value)
    assert found == read
    assert type(found) is type(read)
    if isinstance(read, (list, tuple)):
        assert [type(item) for item in found] == [type(item) for item in read]


@pytest.mark.parametrize(
    "value",
    [math.nan, [math.nan], (1.0, math.nan), {"a": math.nan}, [[math.nan]], {"a": [1.0, {"b": math.nan}]}],
)
def test_not_a_number_is_no_value_however_deep(value: Any) -> None:
    for annotation in (float, float | None, list, dict, tuple, list[float], dict[str, float]):
        with pytest.raises(ValueError, match=r"NaN|fit"):
            convert(annotation, value)
    with pytest.raises(ValueError, match="NaN"):
        convert(type(value), value)


def test_bounds_beside_a_type_hold() -> None:
    size = Annotated[int, Field(ge=1, le=8)]
    assert [convert(size, Text("1")), convert(size, 8)] == [1, 8]
    for wrong in (0, 9, Text("9"), 1.0, True):
        with pytest.raises(ValueError, match="does not fit"):
            convert(size, wrong)


def quoted(text: str) -> Text:
    value = Text(text)
    value.quoted = True
    return value


@pytest.mark.parametrize(
    ("annotation", "text", "read"),
    [
        (str | None, quoted("none"), "none"),
        (str, quoted("5"), "5"),
        (int | str, quoted("5"), "5"),
        (int | str, quoted("five"), "five"),
        (int | str, Text('"5"'), "5"),
        (int | str, Text("5"), 5),
        (str | Path, Text("5"), "5"),
        (Path | None, Text("5"), Path("5")),
        (str | None, Text("NONE"), None),
        (int | None, Text("None"), None),
        (bool | str, Text("true"), True),
        (bool | str, Text("True"), "True"),
        (int | Literal["all"], Text("all"), "all"),
        (int | Literal["3"], Text("3"), 3),
        (Literal["3"], Text("3"), "3"),
        (Literal["none"] | None, Text("none"), None),
        (Inner, Text("2"), Inner.B),
        (Inner, Text("a"), Inner.A),
        (list[str], Text('["a", "b"]'), ["a", "b"]),
        (list[int] | str, Text("[1"), "[1"),
        (Annotated[str, "doc"], Text("5"), "5"),
    ],
)
def test_text_is_taken_as_written_where_the_type_is_text_and_read_as_toml_elsewhere(
    annotation: Any, text: Text, read: Any
) -> None:
    found = convert(annotation, text)
    assert found == read
    assert type(found) is type(read)


@pytest.mark.parametrize(
    ("annotation", "text"),
    [
        (int, quoted("5")),
        (int | None, quoted("none")),
        (bool, quoted("true")),
        (int, Text("none")),
        (Literal["a"], Text("none")),
        (int | Literal["all"], Text("some")),
        (int, Text("five")),
        (list[int], Text("[1")),
        (int, Text("[" * 5000)),
        (int, Text("1\nx = 2")),
        (float, Text("nan")),
        (int | str, Text("nan\n")),
    ][:-1],
)
def test_text_that_does_not_fit_is_refused(annotation: Any, text: Text) -> None:
    with pytest.raises(ValueError, match=r"fit|NaN"):
        convert(annotation, text)


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (Nested("max"), "max"),
        (Spec("gem", {"p": 3}), "gem:p=3"),
        (Colour.RED, "red"),
        (Path("a/b"), "a/b"),
        ((1, Path("x"), (Colour.BLUE,)), [1, "x", ["blue"]]),
        ([Spec("max")], ["max"]),
        ({3: Path("x"), "a": [Colour.RED]}, {"3": "x", "a": ["red"]}),
        (None, None),
        (True, True),
        (1.5, 1.5),
        ("x", "x"),
    ],
    ids=str,
)
def test_a_value_is_written_plainly(value: Any, plain: Any) -> None:
    assert plain_value(value) == plain
    assert type(plain_value(value)) is type(plain)


def test_every_mistake_is_reported_with_its_path_and_what_was_meant():
    values, mistakes = check(
        settings_of(Many), {"widht": 3, "rate": "x", "colour": "red", "pooling": 5, "k" * 9999: 1}, "model"
    )
    assert values == {"colour": Colour.RED}
    assert [mistake.path[:14] for mistake in mistakes] == [
        "model.widht", "model.rate", "model.pooling", "model.kkkkkkkk",
    ]  # fmt: skip
    assert mistakes[0].hint == 'did you mean "width"?'
    assert mistakes[0].message == "unknown setting"
    assert mistakes[1].hint == "expected float"
    assert mistakes[1].message.startswith("'x' does not fit")
    assert mistakes[2].hint == "expected spec of poolings"
    assert "model.pooling" in mistakes[2].message
    assert len(mistakes[3].path) == len("model.") + 80
    assert all(len(str(mistake)) < 400 for mistake in mistakes)


def test_paths_of_mistakes_start_at_the_top_without_one() -> None:
    _, mistakes = check(settings_of(Many), {"rate": "x", "k" * 99: 1}, "")
    assert [mistake.path for mistake in mistakes] == ["rate", "k" * 80]
    assert check({}, {"rate": 1}, "m") == ({}, [Mistake("m.rate", "unknown setting", "it takes none")])


def test_a_nested_component_can_be_left_out_where_its_type_allows_none():
    assert check(settings_of(Many), {"pooling": Text("none")}, "m")[0] == {"pooling": None}
    assert check(settings_of(Many), {"pooling": {"name": "gem", "p": 3}}, "m")[0] == {
        "pooling": Spec("gem", {"p": 3})
    }
    for text in ("gem:p=3", Text("gem:p=3")):
        assert check(settings_of(Many), {"pooling": text}, "m")[0] == {"pooling": Spec("gem", {"p": "3"})}
    given = Spec("gem", {"p": 3})
    assert check(settings_of(Many), {"pooling": given}, "m")[0]["pooling"] is given
    required = settings_of(NeedsPooling)
    assert check(required, {"pooling": "none"}, "m")[0] == {"pooling": Spec("none")}
    assert check(required, {"pooling": "NONE"}, "m")[0] == {"pooling": Spec("NONE")}

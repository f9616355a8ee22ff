from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnkit.errors import UsageError
from nnkit.schema import convert
from nnkit.spec import Spec, Text, from_toml, parse, to_toml

texts = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=12)
scalars = st.one_of(
    st.booleans(), st.integers(-(10**12), 10**12), st.floats(allow_nan=False, allow_infinity=False), texts
)
TYPES = {bool: bool, int: int, float: float, str: str, list: list[int], dict: dict[str, str]}
values = scalars | st.lists(st.integers(), max_size=3) | st.dictionaries(texts, texts, max_size=3)


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(st.sampled_from(["a", "b", "width"]), values, max_size=3))
def test_what_str_writes_parse_and_the_types_read_back(given_settings):
    read = parse(str(Spec("net", given_settings)))
    typed = {key: convert(TYPES[type(given_settings[key])], text) for key, text in read.settings.items()}
    assert (read.name, typed) == ("net", given_settings)


@settings(max_examples=100, deadline=None)
@given(texts, texts)
def test_nested_specs_survive_two_levels_of_quoting(inner, outer):
    spec = Spec("net", {"pooling": Spec("gem", {"label": inner, "inner": Spec("deep", {"x": outer})})})
    gem = parse(parse(str(spec)).settings["pooling"])
    assert convert(str, gem.settings["label"]) == inner
    assert convert(str, parse(gem.settings["inner"]).settings["x"]) == outer


@pytest.mark.parametrize(
    ("text", "settings_read"),
    [
        ("net", {}),
        ("net:width=81,pooling=avg", {"width": "81", "pooling": "avg"}),
        ('net:pooling="gem:p=3,eps=1"', {"pooling": "gem:p=3,eps=1"}),
        ("net:pooling='gem:p=3,eps=1'", {"pooling": "gem:p=3,eps=1"}),
        ("net:layers=[1,2],scale={a=1,b=2}", {"layers": "[1,2]", "scale": "{a=1,b=2}"}),
        ("net: width = 81 , depth = 2", {"width": "81", "depth": "2"}),
        ("folder:path=/data/it's here", {"path": "/data/it's here"}),
        ("folder:path=a=b:c", {"path": "a=b:c"}),
        ('folder:path="C:\\data"', {"path": "C:\\data"}),
        ("torch/net:x=1", {"x": "1"}),
    ],
)
def test_quotes_and_brackets_hold_commas(text, settings_read):
    assert parse(text).settings == settings_read


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("", "needs a name"),
        (" :a=1", "needs a name"),
        ("net:", "nothing follows"),
        ("net:a", "key=value"),
        ("net:a=1,a=2", "twice"),
        ("net:a=[1", "open bracket"),
        ('net:a="x', "open"),
        ("net:,", "key=value"),
        ("net:a b=1", "key=value"),
    ],
)
def test_a_malformed_spec_says_what_and_what_to_do(text, part):
    with pytest.raises(UsageError, match=part) as caught:
        parse(text)
    assert caught.value.hint
    assert len(caught.value.message) < 300


def test_a_table_is_the_same_as_the_text():
    assert from_toml({"name": "net", "width": 81}, "model") == Spec("net", {"width": 81})
    assert from_toml(to_toml(Spec("net", {"width": 81})), "model") == Spec("net", {"width": 81})
    assert to_toml(Spec("net")) == "net"


@pytest.mark.parametrize("value", [5, None, {}, {"name": ""}, {"width": 3}, []])
def test_what_is_no_spec_is_refused_with_its_path(value):
    with pytest.raises(UsageError, match="model"):
        from_toml(value, "model")


def test_an_unquoted_typed_value_with_commas_is_written_in_quotes():
    assert str(Spec("net", {"path": Text("a,b")})) == 'net:path="a,b"'
    assert str(Spec("net", {"width": None})) == "net:width=none"


@pytest.mark.parametrize(
    ("text", "value", "is_quoted"),
    [
        ("net:a=5", "5", False),
        ("net:a='5'", "5", True),
        ('net:a="5"', "5", True),
        ('net:a="a\\"b"', 'a"b', True),
        ('net:a="a\\\\b"', "a\\b", True),
        ('net:a="a\\nb"', "a\\nb", True),
        ("net:a='a\\\\b'", "a\\\\b", True),
        ('net:a="it\'s"', "it's", True),
        ("net:a='say \"x\"'", 'say "x"', True),
        ('net:a="x" y', '"x" y', False),
        ("net:a=", "", False),
        ('net:a=""', "", True),
        ("net:a=(1,2)", "(1,2)", False),
        ("net:a= b c ", "b c", False),
    ],
)
def test_a_value_is_as_typed_without_its_quotes_which_are_remembered(
    text: str, value: str, is_quoted: bool
) -> None:
    (read,) = parse(text).settings.values()
    assert (read, read.quoted) == (value, is_quoted)


@pytest.mark.parametrize(
    "text", ["net", "net:a=5,b=x", 'net:a="gem:p=3"', "net:a=[1,2]", 'net:a=" x "', 'net:a="5"']
)
def test_what_is_parsed_is_written_as_it_was(text: str) -> None:
    assert str(parse(text)) == text
    assert parse(str(parse(text))) == parse(text)


def test_a_table_and_its_name_may_both_have_settings() -> None:
    assert from_toml({"name": "net:a=1,b=2", "b": 3}, "model") == Spec("net", {"a": "1", "b": 3})
    given_spec = Spec("net", {"a": 1})
    assert from_toml(given_spec, "model") is given_spec
    assert to_toml(given_spec) == {"name": "net", "a": 1}

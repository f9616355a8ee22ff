import pytest

from fake_plugins import write_plugin
from nnkit import registry
from nnkit.errors import PluginError, UsageError

RULE = """
class Rule:
    def update(self, epoch): return None
    def state_dict(self): return {}
    def load_state_dict(self, state): pass
"""
POINTS = "[nnkit.stopping_rules]\n{name} = {module}:{attr}\n"


@pytest.fixture
def plugins(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delenv("NNKIT_PLUGINS", raising=False)
    registry.refresh()
    yield tmp_path
    registry.refresh()


def plugin(folder, name, entry, *, attr="Rule", module=RULE, **more):
    points = POINTS.format(name=entry, module=name.replace("-", "_"), attr=attr)
    write_plugin(folder, name, points, module=module, **more)
    registry.refresh()


def entries_of(provider):
    return [entry for entry in registry.entries() if entry.provider == provider]


def test_a_plugin_comes_in_by_its_entry_point(plugins):
    plugin(plugins, "rules-a", "never")
    entry = registry.find("stopping_rules", "never")
    assert (entry.provider, entry.version, entry.error) == ("rules-a", "1.0", "")
    assert registry.load(entry).cls.__name__ == "Rule"
    assert registry.find("stopping_rules", "Rules_A/never") is entry


def test_two_providers_of_one_name_are_both_listed_and_the_bare_name_says_how_to_choose(plugins):
    plugin(plugins, "rules-b", "both")
    plugin(plugins, "rules-c", "both")
    assert [entry.error != "" for entry in registry.entries() if entry.name == "both"] == [True, True]
    with pytest.raises(UsageError, match="2 distributions") as caught:
        registry.find("stopping_rules", "both")
    assert caught.value.hint == 'write "rules-b/both" or "rules-c/both"'
    assert registry.find("stopping_rules", "rules-c/both").provider == "rules-c"


def test_one_distribution_found_twice_counts_once(plugins, monkeypatch):
    plugin(plugins, "rules-d", "once")
    second = plugins / "second"
    monkeypatch.syspath_prepend(second)
    plugin(second, "rules-d", "once", version="2.0")
    assert [(entry.version, entry.error) for entry in entries_of("rules-d")] == [("2.0", "")]


@pytest.mark.parametrize(
    ("value", "found"), [(None, {"a", "b"}), ("", set()), ("pick-a", {"a"}), (" Pick_A ,pick.b", {"a", "b"})]
)
def test_nnkit_plugins_chooses_the_third_parties(plugins, monkeypatch, value, found):
    plugin(plugins, "pick-a", "a")
    plugin(plugins, "pick-b", "b")
    if value is not None:
        monkeypatch.setenv("NNKIT_PLUGINS", value)
    registry.refresh()
    names = {entry.name for entry in registry.entries() if entry.provider.startswith("pick-")}
    assert names == found
    assert registry.find("models", "varres-net").provider == "nnkit"


def test_metadata_that_is_gone_or_no_text_hides_nothing_else(plugins):
    plugin(plugins, "stale", "old", metadata=False, version="3.1")
    write_plugin(plugins, "binary", "")
    (plugins / "binary-1.0.dist-info" / "entry_points.txt").write_bytes(b"nnkit.\xff\xfe")
    registry.refresh()
    assert [(entry.provider, entry.version) for entry in entries_of("stale")] == [("stale", "3.1")]
    assert entries_of("nnkit")


def test_a_malformed_line_is_told_and_hides_no_other(plugins):
    write_plugin(
        plugins, "messy", "[nnkit.losses]\nbad name = a:B\nnovalue\nfine = messy:Loss\n[DEFAULT]\nz = y\n"
    )
    write_plugin(plugins, "worse", "no section\n[nnkit.losses]\nx = y:Z\n")
    registry.refresh()
    told = {entry.name: entry.error for entry in entries_of("messy")}
    assert set(told) == {"bad name", "novalue", "fine"}
    assert "malformed" in told["bad name"]
    assert "malformed" in told["novalue"]
    assert not told["fine"]
    assert "malformed" in entries_of("worse")[0].error


@pytest.mark.parametrize(
    ("name", "module", "attr", "cause"),
    [
        ("no-module", "", "Rule", "ModuleNotFoundError"),
        ("no-attr", "x = 1", "Rule", "AttributeError"),
        ("a-function", "def Rule(): pass", "Rule", "is a function, not a class"),
        ("no-method", "class Rule:\n    def update(self, epoch): pass", "Rule", "has no state_dict"),
        ("exits", "raise SystemExit(3)", "Rule", "SystemExit"),
    ],
)
def test_what_cannot_be_loaded_is_blamed_on_its_distribution(plugins, name, module, attr, cause):
    plugin(plugins, name, "broken", attr=attr, module=module)
    with pytest.raises(PluginError, match=cause) as caught:
        registry.load(registry.find("stopping_rules", "broken"))
    assert f"of {name} 1.0" in caught.value.message


def test_what_a_plugin_prints_at_import_stays_off_stdout(plugins, capsys):
    plugin(plugins, "chatty", "chat", module=f"print('hello'){RULE}")
    registry.load(registry.find("stopping_rules", "chat"))
    assert capsys.readouterr() == ("", "hello\n")


def test_an_unknown_name_gets_a_suggestion():
    with pytest.raises(UsageError) as caught:
        registry.find("models", "varesnet")
    assert 'did you mean "varres-net"?' in caught.value.hint
    assert registry.group_title("losses") == "loss"
    assert registry.find_group("stopping-rules") == "stopping_rules"

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from fake_plugins import write_plugin
from nnkit import registry
from nnkit.errors import PluginError, UsageError
from nnkit.registry import Entry
from nnkit.types import GROUPS

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


def test_built_ins_come_first_then_providers_and_names_by_group(plugins: Path) -> None:
    points = "[nnkit.models]\nzebra = m:A\nant = m:B\n[nnkit.datasets]\nbee = m:C\n"
    for name in ("zz-rules", "aa-rules"):
        write_plugin(plugins, name, points.replace("ant", f"ant-{name}"))
    registry.refresh()
    found = [(entry.group, entry.provider, entry.name) for entry in registry.entries()]
    mine = [entry for entry in found if entry[1] in ("zz-rules", "aa-rules")]
    assert mine == [
        ("datasets", "aa-rules", "bee"),
        ("datasets", "zz-rules", "bee"),
        ("models", "aa-rules", "ant-aa-rules"),
        ("models", "aa-rules", "zebra"),
        ("models", "zz-rules", "ant-zz-rules"),
        ("models", "zz-rules", "zebra"),
    ]
    assert [group for group in GROUPS if any(entry[0] == group for entry in found)] == list(
        dict.fromkeys(entry[0] for entry in found)
    )
    for group in GROUPS:
        owners = [entry[1] == "nnkit" for entry in found if entry[0] == group]
        assert owners == sorted(owners, reverse=True)


def test_what_was_found_is_kept_until_it_is_refreshed(plugins: Path) -> None:
    before = registry.entries()
    write_plugin(plugins, "late", POINTS.format(name="late", module="late", attr="Rule"))
    assert registry.entries() is before
    registry.refresh()
    assert [entry.name for entry in entries_of("late")] == ["late"]


def test_two_providers_of_one_name_are_both_listed_and_the_bare_name_says_how_to_choose(plugins):
    plugin(plugins, "rules-b", "both")
    plugin(plugins, "rules-c", "both")
    assert [entry.error != "" for entry in registry.entries() if entry.name == "both"] == [True, True]
    with pytest.raises(UsageError, match="2 distributions") as caught:
        registry.find("stopping_rules", "both")
    assert caught.value.hint == 'write "rules-b/both" or "rules-c/both"'
    assert registry.find("stopping_rules", "rules-c/both").provider == "rules-c"
    plugin(plugins, "rules-a", "both")
    told = {entry.provider: entry.error for entry in registry.entries() if entry.name == "both"}
    assert told["rules-b"] == 'also provided by rules-a, rules-c: write "rules-b/both"'
    assert registry.find("stopping_rules", "rules-b/both").error == told["rules-b"]


def test_a_name_is_its_groups_own_and_a_line_given_twice_counts_once(plugins: Path) -> None:
    losses = "[nnkit.losses]\nsame = m:B\nsame = m:C\n[nnkit.losses]\nmore = m:D\n"
    write_plugin(plugins, "twice", f"[nnkit.models]\nsame = m:A\n{losses}")
    registry.refresh()
    assert entries_of("twice") == [
        Entry("models", "same", "twice", "1.0", "m:A"),
        Entry("losses", "more", "twice", "1.0", "m:D"),
        Entry("losses", "same", "twice", "1.0", "m:C"),
    ]


def test_a_plugin_cannot_take_a_built_in_name_in_silence(plugins: Path) -> None:
    write_plugin(plugins, "greedy", "[nnkit.models]\nlinear = m:A\nlinear-2 = m:B\n")
    registry.refresh()
    with pytest.raises(UsageError) as caught:
        registry.find("models", "linear")
    assert caught.value.hint == 'write "nnkit/linear" or "greedy/linear"'
    assert registry.find("models", "nnkit/linear").provider == "nnkit"
    assert not registry.find("models", "linear-2").error


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
    (binary,) = entries_of("binary")
    assert (binary.name, binary.error) == ("(unreadable)", "entry_points.txt is not UTF-8")
    assert entries_of("nnkit")


def test_name_and_version_are_the_metadatas_or_else_the_folders(plugins: Path) -> None:
    def write(folder: str, metadata: str | None) -> None:
        (plugins / folder).mkdir()
        (plugins / folder / "entry_points.txt").write_text("[nnkit.losses]\nx = m:A\n")
        if metadata is not None:
            # an .egg-info folder keeps its metadata under another name
            name = "PKG-INFO" if folder.endswith(".egg-info") else "METADATA"
            (plugins / folder / name).write_text(metadata)

    write("folder_a-2.0.dist-info", "Metadata-Version: 2.1\nName: Real_Name.A\nVersion: 1.5\n")
    write("folder_b-2.0.dist-info", None)
    write("folder_c.egg-info", "Metadata-Version: 2.1\nName: Real-C\nVersion: 3\n")
    write("folder_d.egg-info", None)
    write("folder_e-1.0-py3.11.egg-info", None)
    write("folder_f-7.dist-info", "Metadata-Version: 2.1\nSummary: no name\n")
    registry.refresh()
    mine = [(e.provider, e.version) for e in registry.entries() if e.name == "x" and e.target == "m:A"]
    assert mine == [
        ("folder-b", "2.0"),
        ("folder-d", "unknown"),
        ("folder-e", "1.0-py3.11"),
        ("folder-f", "7"),
        ("real-c", "3"),
        ("real-name-a", "1.5"),
    ]


def test_a_distribution_that_is_no_folder_and_has_no_metadata_is_nobodys(
    plugins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Bare(importlib.metadata.Distribution):
        def read_text(self, filename: str) -> str | None:
            return "[nnkit.losses]\nx = m:A\n" if filename == "entry_points.txt" else None

        def locate_file(self, path: object) -> Path:
            return Path(str(path))

    installed = importlib.metadata.distributions
    monkeypatch.setattr(importlib.metadata, "distributions", lambda: [Bare(), *installed()])
    registry.refresh()
    assert not [entry for entry in registry.entries() if entry.target == "m:A"]
    assert entries_of("nnkit")


def test_where_nothing_is_installed_an_unknown_name_says_so(
    plugins: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.metadata, "distributions", list)
    registry.refresh()
    with pytest.raises(UsageError) as caught:
        registry.find("models", "linear")
    assert "pip install -e ." in caught.value.hint


def test_a_malformed_line_is_told_and_hides_no_other(plugins: Path) -> None:
    good = ["fine = messy:Loss", "Case = a_1.b:C.D", "9.x_y-z = a:B"]
    bad = [
        "bad name = a:B", "novalue", "empty =", "slash/ed = a:B", "no-class = a.b", "two = a:B:C",
        "extra = a:B [x]", "percent = a.b_%(c)s:D", "colon:name = a:B", f"{'n' * 100}! = a:B",
        f"long = {'t' * 100}",
    ]  # fmt: skip
    others = "\n[DEFAULT]\nz = y\n[other]\nq = r:S\n"
    write_plugin(plugins, "messy", "\n".join(["[nnkit.losses]", *bad, *good]) + others)
    write_plugin(plugins, "worse", "no section\n[nnkit.losses]\nx = y:Z\n")
    registry.refresh()
    told = {entry.name: entry for entry in entries_of("messy")}
    assert set(told) == {line.split(" =")[0] for line in [*good, *bad]}
    errors = {name: entry.error for name, entry in told.items() if entry.error}
    assert set(errors) == {line.split(" =")[0] for line in bad}
    assert all(error.startswith("malformed ") and len(error) < 160 for error in errors.values())
    assert errors["novalue"] == errors["empty"] == 'malformed entry point "": expected module:Class'
    assert f'"{"n" * 80}":' in errors["n" * 100 + "!"]
    assert f'"{"t" * 80}":' in errors["long"]
    targets = {name: told[name].target for name in ("Case", "novalue", "no-class")}
    assert targets == {"Case": "a_1.b:C.D", "novalue": "", "no-class": "a.b"}
    (worse,) = entries_of("worse")
    assert (worse.group, worse.name, worse.version, worse.target) == ("datasets", "(unreadable)", "1.0", "")
    assert "no section headers" in worse.error


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


NO_METHODS = "class Rule: pass"
ONE_IS_A_NUMBER = """
class Rule:
    state_dict = 3
    def update(self, epoch): pass
    def load_state_dict(self, state): pass
"""


@pytest.mark.parametrize(
    ("name", "module", "cause"),
    [
        ("sick-a", "raise RuntimeError('one\\ntwo')", "RuntimeError: one\ntwo"),
        ("sick-b", "raise RuntimeError", "RuntimeError"),
        ("sick-c", "raise SystemExit(3)", "SystemExit: 3"),
        ("sick-d", "Rule = 3", "sick_d:Rule is a int, not a class"),
        ("sick-e", NO_METHODS, "sick_e:Rule has no update() and no state_dict() and no load_state_dict()"),
        ("sick-f", ONE_IS_A_NUMBER, "sick_f:Rule has no state_dict()"),
    ],
)
def test_the_blame_names_component_distribution_and_cause(
    plugins: Path, name: str, module: str, cause: str
) -> None:
    plugin(plugins, name, "broken", module=module)
    with pytest.raises(PluginError) as caught:
        registry.load(registry.find("stopping_rules", "broken"))
    assert caught.value.message == f'the stopping rule "broken" of {name} 1.0 cannot be loaded: {cause}'
    if module.startswith("raise"):
        assert "NNKIT_PLUGINS" in caught.value.hint
        assert type(caught.value.__cause__).__name__ in cause


def test_a_target_that_names_no_class_is_not_imported(plugins: Path) -> None:
    with pytest.raises(PluginError, match="not of the form module:Class"):
        registry.load(Entry("losses", "x", "other", "1.0", "os"))


def test_a_class_inside_a_class_can_be_a_component(plugins: Path) -> None:
    plugin(plugins, "inner", "deep", attr="Outer.Rule", module="class Outer:" + RULE.replace("\n", "\n    "))
    entry = registry.find("stopping_rules", "deep")
    component = registry.load(entry)
    assert component.cls.__qualname__ == "Outer.Rule"
    assert component.entry is entry


def test_ctrl_c_at_import_is_no_fault_of_the_plugin(plugins: Path) -> None:
    plugin(plugins, "slow", "slow", module="raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        registry.load(registry.find("stopping_rules", "slow"))


def test_what_a_plugin_prints_at_import_stays_off_stdout(plugins, capsys):
    plugin(plugins, "chatty", "chat", module=f"print('hello'){RULE}")
    registry.load(registry.find("stopping_rules", "chat"))
    assert capsys.readouterr() == ("", "hello\n")


def test_an_unknown_name_gets_a_suggestion() -> None:
    with pytest.raises(UsageError) as caught:
        registry.find("models", "varesnet")
    assert caught.value.message == 'no model is named "varesnet"'
    assert caught.value.hint == 'did you mean "varres-net"?; `nnkit list models` shows all'
    with pytest.raises(UsageError) as caught:
        registry.find("stopping_rules", "x" * 500)
    assert caught.value.message == f'no stopping rule is named "{"x" * 80}"'
    assert caught.value.hint.endswith("`nnkit list stopping_rules` shows all")
    for name in ("torch/varres-net", "nnkit/none", "/varres-net", "nnkit/", "nnkit/x/varres-net", ""):
        with pytest.raises(UsageError, match="no model is named"):
            registry.find("models", name)


def test_a_group_has_several_spellings_and_a_title() -> None:
    titles = {
        "datasets": "dataset", "models": "model", "poolings": "pooling", "losses": "loss",
        "stopping_rules": "stopping rule", "optimizers": "optimizer", "schedules": "schedule",
        "augmentations": "augmentation", "metrics": "metric", "trackers": "tracker",
    }  # fmt: skip
    assert {group: registry.group_title(group) for group in GROUPS} == titles
    for name in ("stopping-rules", "stopping_rules", "nnkit.stopping_rules", "nnkit.stopping-rules"):
        assert registry.find_group(name) == "stopping_rules"
    with pytest.raises(UsageError) as caught:
        registry.find_group("model")
    assert caught.value.hint == 'did you mean "models"?'


def test_a_group_without_components_is_a_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry, "entries", lambda: (registry.Entry("models", "a", "nnkit", "1", "a:A"),))
    with pytest.raises(UsageError, match='no tracker is named "x"') as caught:
        registry.find("trackers", "x")
    assert caught.value.hint == "none is installed: a plugin brings trackers"
    monkeypatch.setattr(registry, "entries", tuple)
    with pytest.raises(UsageError) as caught:
        registry.find("models", "x")
    assert "nnkit itself is not installed here" in caught.value.hint

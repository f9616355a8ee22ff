from __future__ import annotations

import pytest

from nnkit import registry
from nnkit.build import ValidatedSpec, components, describe_mistakes, fit_settings, plan
from nnkit.build import build as build_components
from nnkit.errors import ConfigError, DataError, NnkitError, PluginError, UsageError
from nnkit.registry import Component, Entry
from nnkit.spec import Spec, parse
from nnkit.types import GROUPS, Pooling, nested

KNOWN = {"in_channels": 1, "num_classes": 10, "image_size": (28, 28)}


def test_nested_components_are_built_first_and_passed_in():
    net = build_components("models", 'varres-net:width=8,pooling="avg"', known=KNOWN)
    assert type(net.pooling).__name__ == "Avg"


def test_what_the_dataset_knows_is_filled_in_and_stands_in_the_resolved_spec():
    settings = plan("models", "mnist-convnet", known=KNOWN).spec.settings
    assert settings["in_channels"] == 1
    assert settings["num_classes"] == 10


def test_a_mismatch_names_what_both_say():
    with pytest.raises(ConfigError, match="3 given, but the dataset has 1"):
        plan("models", "mnist-convnet:in_channels=3", known=KNOWN)
    with pytest.raises(ConfigError, match="32×32 given, but the dataset has 28×28"):
        plan("models", "mnist-convnet:image_size=[32,32]", known=KNOWN)


def test_images_of_several_sizes_are_no_input_for_a_net_of_one_size():
    with pytest.raises(ConfigError, match="one image size"):
        plan("models", "mnist-convnet", known={**KNOWN, "image_size": None})


def test_all_mistakes_of_a_spec_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        plan("models", 'varres-net:widht=1,width=x,pooling="max:p=1"', known=KNOWN, path="model")
    assert {mistake.path for mistake in caught.value.mistakes} == {
        "model.widht", "model.width", "model.pooling.p",
    }  # fmt: skip


def test_a_resolved_spec_builds_the_same_again():
    spec = plan("models", "varres-net:width=81,pooling=avg", known=KNOWN).spec
    assert plan("models", parse(str(spec)), known=KNOWN).spec == spec


def test_component_names_need_no_import():
    assert "varres-net" in components("models")
    assert components("stopping-rules") == components("stopping_rules")
    assert all(components(group) for group in GROUPS if group != "trackers")
    with pytest.raises(UsageError, match="no group"):
        components("model")


class Refuses:
    def __init__(self, size: int = 1) -> None:
        raise ValueError("size must be even")


class Breaks:
    def __init__(self) -> None:
        raise SystemExit(0)


def test_a_value_error_is_the_users_and_anything_else_the_distributions():
    entry = Entry("losses", "odd", "other", "1.0", "m:C")
    with pytest.raises(UsageError, match="size must be even"):
        ValidatedSpec(Component(entry, Refuses), {}).make()
    with pytest.raises(PluginError, match=r"of other 1\.0 broke"):
        ValidatedSpec(Component(entry, Breaks), {}).make()


def test_what_a_component_refuses_itself_is_not_reworded() -> None:
    def missing(**settings: object) -> None:
        raise DataError("no data here", hint="download it")

    entry = Entry("losses", "odd", "other", "1.0", "m:C")
    with pytest.raises(DataError) as caught:
        ValidatedSpec(Component(entry, missing), {}).make()  # type: ignore[arg-type]
    assert (caught.value.message, caught.value.hint) == ("no data here", "download it")


class Parts:
    """A component with a required setting, nested ones, and what a dataset knows."""

    def __init__(
        self,
        steps: int,
        in_channels: int = 7,
        image_size: tuple[int, int] = (1, 1),
        pooling: Pooling = nested("max"),
        other: Pooling | None = None,
    ) -> None: ...


def fitted(text: str, **known: object) -> dict[str, object]:
    return fit_settings(Parts, parse(text), known=known)


def test_settings_are_checked_completed_and_nested_ones_planned() -> None:
    values = fitted("parts:steps=3")
    assert {key: value for key, value in values.items() if key != "pooling"} == {"steps": 3}
    assert values["pooling"].component.entry.name == "max"  # type: ignore[attr-defined]
    values = fitted("parts:steps=3,pooling=avg,other=amax,image_size=[2,3]", in_channels=5, image_size=(2, 3))
    names = {
        key: value.component.entry.name for key, value in values.items() if isinstance(value, ValidatedSpec)
    }
    assert names == {"pooling": "avg", "other": "amax"}
    assert (values["in_channels"], values["image_size"]) == (5, (2, 3))
    assert fitted("parts:steps=3,other=none,in_channels=2", unknown=1)["in_channels"] == 2
    assert fitted("parts:steps=3,image_size=[2,3]", image_size=None)["image_size"] == (2, 3)


@pytest.mark.parametrize(
    ("text", "known", "path", "said", "hint"),
    [
        ("parts", {}, "steps", "required", "write parts:steps=... (int)"),
        ("parts:steps=x", {}, "steps", "'x' does not fit", "expected int"),
        (
            "parts:steps=3,in_channels=2",
            {"in_channels": 5},
            "in_channels",
            "2 given, but the dataset has 5",
            "leave",
        ),
        ("parts:steps=3", {"image_size": None}, "image_size", "needs one image size", "global pooling"),
        ("parts:steps=3", {"in_channels": None}, "in_channels", "needs in_channels, and this dataset", ""),
        ("parts:steps=3,pooling=mx", {}, "pooling", 'no pooling is named "mx"', 'did you mean "max"?'),
        ('parts:steps=3,other="max:p=1"', {}, "other.p", "unknown setting", "it takes none"),
    ],
)
def test_each_mistake_says_where_what_and_what_to_do(
    text: str, known: dict[str, object], path: str, said: str, hint: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        fit_settings(Parts, parse(text), known=known, path="model")
    (mistake,) = caught.value.mistakes
    assert mistake.path == f"model.{path}"
    assert said in mistake.message
    assert hint in mistake.hint
    with pytest.raises(ConfigError) as caught:
        fit_settings(Parts, parse(text), known=known)
    assert caught.value.mistakes[0].path == f"parts.{path}"
    assert "nnkit info parts" in caught.value.hint


def test_mistakes_of_several_specs_are_gathered_in_order() -> None:
    plans = [
        ("model", "models", parse("varres-net:widht=3,width=x")),
        ("loss", "losses", Spec("mse")),
        ("stop[0]", "stopping_rules", parse("pateince")),
    ]
    found = describe_mistakes(plans)
    assert [mistake.path for mistake in found] == ["model.widht", "model.width", "stop[0]"]
    assert found[2].message == 'no stopping rule is named "pateince"'
    assert 'did you mean "patience"?' in found[2].hint


def test_the_path_of_a_plan_is_its_group_unless_it_is_given() -> None:
    for path, start in (("", "stopping_rule.metrc"), ("stop[1]", "stop[1].metrc")):
        with pytest.raises(ConfigError) as caught:
            plan("stopping_rules", "patience:metrc=1,patience=3", path=path)
        assert start in [mistake.path for mistake in caught.value.mistakes]


def test_a_resolved_spec_keeps_the_full_name_where_the_bare_one_means_two() -> None:
    twice = Entry("losses", "odd", "other", "1.0", "m:C", error="also provided by x")
    assert ValidatedSpec(Component(twice, Refuses), {"size": 3}).spec == Spec("other/odd", {"size": 3})
    assert plan("models", "nnkit/varres-net", known=KNOWN).spec.name == "varres-net"


def test_names_of_components_are_sorted_and_stand_once() -> None:
    for group in GROUPS:
        names = components(group)
        assert names == sorted(set(names))
        assert set(names) == {entry.name for entry in registry.entries() if entry.group == group}


def test_what_breaks_names_the_spec_and_the_distribution() -> None:
    entry = Entry("stopping_rules", "odd", "other", "1.0", "m:C")
    with pytest.raises(PluginError) as broke:
        ValidatedSpec(Component(entry, Breaks), {}).make()
    assert broke.value.message == 'the stopping rule "odd" of other 1.0 broke when it was made: SystemExit: 0'
    with pytest.raises(UsageError) as refused:
        ValidatedSpec(Component(entry, Refuses), {"size": 3}).make()
    assert refused.value.message == 'the stopping rule "odd:size=3" cannot be made: size must be even'
    assert isinstance(refused.value.__cause__, ValueError)
    assert isinstance(broke.value, NnkitError)

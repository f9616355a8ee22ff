import pytest

from nnkit.build import Blueprint, components, plan
from nnkit.build import build as build_components
from nnkit.errors import ConfigError, PluginError, UsageError
from nnkit.registry import Component, Entry
from nnkit.spec import parse
from nnkit.types import GROUPS

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
        Blueprint(Component(entry, Refuses), {}).make()
    with pytest.raises(PluginError, match=r"of other 1\.0 broke"):
        Blueprint(Component(entry, Breaks), {}).make()

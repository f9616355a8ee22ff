"""What count-params counts, for every built-in model and for models that plugins may bring."""

from __future__ import annotations

import sys
from types import ModuleType

import pytest
import torch
import torchinfo
from torch import Tensor, nn

from golden_files import check_golden
from nnkit import registry
from nnkit.build import build
from nnkit.errors import GateError, UsageError
from nnkit.present.count_params import count_params_text, num_bytes
from nnkit.registry import Entry
from nnkit.spec import parse
from nnkit.studies.count_params.study import (
    ROOT,
    ModelCount,
    check_tolerance,
    count_model,
    count_params,
    read_input,
)
from nnkit.studies.percent import read_share

BUILT_IN = [e.name for e in registry.entries() if e.group == "models" and e.provider == registry.BUILT_IN]


class Tied(nn.Module):
    """One weight in two layers, a frozen layer, buffers, and a layer that is called twice."""

    def __init__(self, *, in_channels: int = 2) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4, bias=False)
        self.second.weight = self.first.weight
        self.frozen = nn.Linear(4, 3).requires_grad_(False)
        self.norm = nn.BatchNorm1d(3)
        self.same = nn.Identity()

    def forward(self, inputs: Tensor) -> Tensor:
        features = inputs.flatten(2).mean(1)[:, :4]
        return self.norm(self.frozen(self.same(self.second(self.first(self.first(features))))))


class Picky(nn.Module):
    """Looks at its values, so it cannot run on meta; three channels, which no setting says."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1)

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.conv(inputs)
        return outputs if outputs.sum().item() > 0 else -outputs


@pytest.fixture
def _plugin(monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("count_models")
    found = list(registry.entries())
    for cls in (Tied, Picky):
        setattr(module, cls.__name__, cls)
        found.append(Entry("models", cls.__name__.lower(), "demo", "1.0", f"count_models:{cls.__name__}"))
    monkeypatch.setitem(sys.modules, "count_models", module)
    monkeypatch.setattr(registry, "entries", lambda: tuple(found))


def count(spec: str) -> ModelCount:
    return count_model(parse(spec))


@pytest.mark.parametrize("name", BUILT_IN)
def test_the_table_of_a_built_in_model_is_pinned(name: str) -> None:
    check_golden(f"count_params/{name}.txt", count_params_text(count_params([name]), width=80))


@pytest.mark.parametrize("spec", [*BUILT_IN, "mnist-convnet:conv=unfold", "conv-shrink:kernel=5"])
def test_totals_agree_with_torchinfo(spec: str) -> None:
    ours = count(spec)
    theirs = torchinfo.summary(build("models", spec), input_size=(1, *ours.input), verbose=0, device="cpu")
    assert (ours.total, ours.trainable) == (theirs.total_params, theirs.trainable_params)


@pytest.mark.parametrize("name", BUILT_IN)
def test_layers_add_up_to_the_model(name: str) -> None:
    model = count(name)
    for key in ("trainable", "frozen", "buffers", "flops", "activation_bytes"):
        assert sum(getattr(layer, key) for layer in model.layers) == getattr(model, key)
    assert sum(layer.parameters for layer in model.layers) == model.total


def test_operations_and_outputs_of_mnist_convnet_are_what_its_shapes_say() -> None:
    model = count("mnist-convnet")
    by_hand = {
        "conv1": (2 * 9 * 16 * 28 * 28, 16 * 28 * 28),
        "conv2": (2 * 9 * 16 * 32 * 14 * 14, 32 * 14 * 14),
        "conv3": (2 * 9 * 32 * 64 * 7 * 7, 64 * 7 * 7),
        "linear": (2 * 576 * 10, 10),
    }
    assert {layer.name: (layer.flops, layer.activation_bytes // 4) for layer in model.layers} == by_hand


def test_nnkits_own_convolution_costs_what_torchs_does() -> None:
    ours, torchs = count("mnist-convnet:conv=unfold"), count("mnist-convnet")
    assert (ours.total, ours.flops, ours.activation_bytes) == (
        torchs.total,
        torchs.flops,
        torchs.activation_bytes,
    )


def test_parameters_of_the_model_itself_are_a_layer() -> None:
    (layer,) = count("separable").layers
    assert (layer.name, layer.parameters) == (ROOT, 1_795)


@pytest.mark.usefixtures("_plugin")
def test_tied_frozen_and_buffers_are_counted_once_each() -> None:
    model = count("tied")
    rows = {layer.name: (layer.parameters, layer.frozen, layer.buffers) for layer in model.layers}
    assert rows["first"] == (20, 0, 0)
    assert rows["second"] == (0, 0, 0)
    assert rows["frozen"] == (15, 15, 0)
    assert rows["norm"] == (6, 0, 7)
    assert (model.total, model.trainable, model.frozen, model.buffers) == (41, 26, 15, 7)


@pytest.mark.usefixtures("_plugin")
def test_a_layer_called_twice_costs_twice_and_one_that_copies_nothing_takes_no_memory() -> None:
    layers = {layer.name: layer for layer in count("tied").layers}
    assert (layers["first"].flops, layers["first"].activation_bytes) == (2 * 2 * 16, 2 * 4 * 4)
    assert layers["same"].activation_bytes == 0


@pytest.mark.usefixtures("_plugin")
def test_a_model_that_cannot_run_on_meta_is_counted_on_the_cpu() -> None:
    model = count("picky")
    assert (model.input, model.total, model.flops) == ((3, 32, 32), 8, 2 * 6 * 32 * 32)


@pytest.mark.usefixtures("_plugin")
def test_an_image_that_a_model_cannot_take_is_an_error_with_its_size() -> None:
    with pytest.raises(UsageError, match="cannot take an image of 1x28x28"):
        count_params(["picky"], input="1x28x28")


def test_no_weights_are_made_and_no_generator_moves(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = []
    plain = nn.Linear.__init__

    def watch(self: nn.Linear, *args: object, **kwargs: object) -> None:
        plain(self, *args, **kwargs)  # type: ignore[arg-type]
        devices.append(self.weight.device.type)

    monkeypatch.setattr(nn.Linear, "__init__", watch)
    before = torch.random.get_rng_state()
    count("mnist-convnet:conv=unfold")
    assert set(devices) == {"meta"}
    assert torch.equal(before, torch.random.get_rng_state())


def test_input_gives_channels_and_size() -> None:
    (model,) = count_params(["mnist-convnet"], input="3x32x40").models
    assert model.input == (3, 32, 40)
    assert model.total == 16 * 28 + 23_136 + 10 * (64 * 4 * 5 + 1)


def test_a_spec_that_contradicts_the_input_is_an_error_that_names_both() -> None:
    with pytest.raises(UsageError, match="in_channels=3, but --input 1x28x28 says 1"):
        count_params(["varres-net:in_channels=3"], input="1x28x28")
    with pytest.raises(UsageError, match="image_size=16x16, but --input 1x28x28 says 28x28"):
        count_params(["mnist-convnet:image_size=[16,16]"], input="1x28x28")


@pytest.mark.parametrize("text", ["28x28", "1x28", "0x28x28", "1x28x28x1", "1x-2x3", "axbxc", ""])
def test_an_input_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="CxHxW"):
        read_input(text)


@pytest.mark.parametrize(("text", "share"), [("1%", 0.01), ("0.5 %", 0.005), ("0.02", 0.02), ("0", 0.0)])
def test_a_tolerance_is_a_percentage_or_a_share(text: str, share: float) -> None:
    assert read_share(text, "--tolerance") == pytest.approx(share)


@pytest.mark.parametrize("text", ["1", "5", "-1%", "nan", "inf", "%", ""])
def test_a_tolerance_that_is_no_share_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="tolerance"):
        read_share(text, "--tolerance")


def test_a_match_names_target_value_and_difference() -> None:
    document = count_params(["varres-net"], match="mnist-convnet", vary="width").document()
    assert document["match"] == {
        "target": "mnist-convnet",
        "target_total": 29_066,
        "parameter": "width",
        "value": 81,
        "total": 29_029,
        "difference": -37,
        "tolerance": 0.01,
        "within_tolerance": True,
    }
    assert [model["spec"] for model in document["models"]] == ["varres-net:width=81", "mnist-convnet"]
    assert count_params(["varres-net"], match="29,066", vary="width").match is not None


def test_a_match_outside_the_tolerance_fails_its_gate() -> None:
    result = count_params(["varres-net"], match="29066", vary="width", tolerance="0.1%")
    with pytest.raises(GateError, match=r"closest, 81, has 29,029, which is off by 0\.1273 %"):
        check_tolerance(result)
    check_tolerance(count_params(["varres-net"], match="29066", vary="width", tolerance="0.2%"))


@pytest.mark.parametrize(
    ("specs", "options"),
    [
        (["varres-net"], {"vary": "width"}),
        (["varres-net"], {"tolerance": "1%"}),
        (["varres-net"], {"match": "100"}),
        (["varres-net", "conv4"], {"match": "100", "vary": "width"}),
        (["varres-net"], {"match": "0", "vary": "width"}),
        (["varres-net"], {"match": "100", "vary": "in_channels", "input": "1x28x28"}),
    ],
)
def test_options_that_do_not_go_together_are_refused(specs: list[str], options: dict[str, str]) -> None:
    with pytest.raises(UsageError):
        count_params(specs, **options)


def test_several_models_stand_side_by_side() -> None:
    result = count_params(["varres-net", "varres-net:width=81", "mnist-convnet"])
    check_golden("count_params/comparison.txt", count_params_text(result, width=80))


@pytest.mark.parametrize(
    ("amount", "text"),
    [(0, "0 B"), (999, "999 B"), (1_000, "1 kB"), (999_600, "1 MB"), (2 * 10**15, "2,000 TB")],
)
def test_memory_is_written_as_people_say_it(amount: int, text: str) -> None:
    assert num_bytes(amount) == text


def test_a_match_that_is_far_off_says_so_without_an_exponent() -> None:
    with pytest.raises(GateError, match=r"which is off by 46,\d\d\d %"):
        check_tolerance(count_params(["mlp-bottleneck"], match="10", vary="hidden"))

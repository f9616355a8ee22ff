"""Parameter counts as tables: each layer's or model's own, and what a match found, in its units."""

from __future__ import annotations

from typing import Any

import pytest

from nnkit.present.count_params import count_params_text
from nnkit.results.count_params import CountResult
from nnkit.studies.count_params.study import count_params
from present.reading import MISSING, has_table, read_pairs, read_table, shows, squeezed

WIDTHS = [40, 80, 120]
LAYERS = ("layer", "type", "output", "parameters", "FLOPs", "activations")


@pytest.fixture(scope="module")
def shared() -> CountResult:
    return count_params(["shared-net:in_channels=2"], input="2x5x6")


@pytest.mark.parametrize("width", WIDTHS)
def test_each_layer_has_its_type_output_parameters_flops_and_memory(shared: CountResult, width: int) -> None:
    rows = read_table(count_params_text(shared, width=width), *LAYERS)
    for row, layer in zip(rows, shared.models[0].layers, strict=True):
        assert squeezed(row["layer"]) == squeezed(layer.name)
        assert squeezed(row["type"]) == layer.type
        shape = MISSING if layer.output_shape is None else "x".join(map(str, layer.output_shape))
        assert row["output"] == shape
        assert shows(row["parameters"], layer.parameters)
        assert shows(row["FLOPs"], layer.flops)
        assert shows(row["activations"], layer.activation_bytes, "B")
    assert "conv" in {row["layer"] for row in rows}


@pytest.mark.parametrize("width", WIDTHS)
def test_the_sums_say_trainable_frozen_and_buffers(shared: CountResult, width: int) -> None:
    pairs = dict(read_pairs(count_params_text(shared, width=width))[-1])
    model = shared.models[0]
    assert (model.trainable, model.frozen, model.buffers) == (4 * 19, 6, 9)
    assert pairs["model"] == "shared-net:in_channels=2"
    assert pairs["input"] == "2x5x6"
    for key in ("total", "trainable", "frozen", "buffers"):
        assert pairs[key] == str(getattr(model, key)), key
    assert shows(pairs["FLOPs per image"], model.flops)
    memory, _, rest = pairs["activations per image"].partition(" at ")
    assert shows(memory, model.activation_bytes, "B")
    assert rest == "float32"


@pytest.mark.parametrize("width", WIDTHS)
def test_models_stand_side_by_side_with_all_sums_where_any_is_frozen(width: int) -> None:
    result = count_params(["shared-net", "mnist-convnet"], input="1x28x28")
    heads = ("model", "input", "total", "trainable", "frozen", "buffers", "FLOPs", "activations")
    rows = read_table(count_params_text(result, width=width), *heads)
    for row, model in zip(rows, result.models, strict=True):
        assert (squeezed(row["model"]), row["input"]) == (model.spec, "1x28x28")
        for key in ("total", "trainable", "frozen", "buffers"):
            assert shows(row[key], getattr(model, key))
        assert shows(row["FLOPs"], model.flops)
        assert shows(row["activations"], model.activation_bytes, "B")


@pytest.mark.parametrize("width", WIDTHS)
def test_models_that_are_all_trainable_have_one_column_of_parameters(width: int) -> None:
    result = count_params(["varres-net", "varres-net:width=81"])
    rows = read_table(
        count_params_text(result, width=width),
        "model",
        "input",
        "parameters",
        "FLOPs",
        "activations",
    )
    assert [row["parameters"] for row in rows] == ["23,946", "29,029"]


def matched(**options: Any) -> tuple[dict[str, str], str]:
    result = count_params(["mlp-bottleneck"], vary="hidden", **options)
    text = count_params_text(result, width=80)
    return dict(read_pairs(text)[0]), text


def test_a_match_says_its_target_the_closest_value_and_the_difference_in_percent() -> None:
    # 3,857 parameters for each hidden unit, and 784: 7 units have 27,783, 29,066 being mnist-convnet's.
    pairs, text = matched(match="mnist-convnet", tolerance="5%")
    assert pairs["target"] == "mnist-convnet: 29,066 parameters"
    assert pairs["closest"] == "hidden=7: 27,783 parameters"
    assert pairs["difference"] == "-1,283 (-4.41 %)"
    assert pairs["tolerance"] == "5 %: within"
    rows = read_table(text, "model", "input", "parameters", "FLOPs", "activations")
    assert [row["model"] for row in rows] == ["mlp-bottleneck:hidden=7", "mnist-convnet"]
    assert not has_table(text, *LAYERS)


def test_a_match_with_a_number_and_outside_the_tolerance_says_so() -> None:
    pairs, _ = matched(match="8_490", tolerance="0.05%")
    assert pairs["target"] == "8,490 parameters"
    assert pairs["difference"] == "+8 (+0.09 %)"
    assert pairs["tolerance"] == "0.05 %: outside"


def test_memory_is_in_powers_of_ten_with_three_digits() -> None:
    text = count_params_text(count_params(["conv-linear"], input="3x32x32"), width=120)
    memory = {row["layer"]: row["activations"] for row in read_table(text, *LAYERS)}
    assert {name: shown for name, shown in memory.items() if name in ("conv", "linear")} == {
        "conv": "4.1 kB", "linear": "3.14 kB"
    }  # fmt: skip

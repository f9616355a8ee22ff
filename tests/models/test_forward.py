"""What each built-in model computes, written out with torch.nn.functional on the model's own parameters.

Outputs and gradients agree in float64: a layer that is left out, added, misplaced or given another setting
shows.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor, nn

from nnkit.build import build
from padding import padded

Answer = Callable[..., Tensor]
TRANSFORM = {"in_channels": 2, "image_size": (13, 18), "target_channels": 3, "target_size": (9, 14)}


def conv_linear(x: Tensor, w: list[Tensor], size: tuple[int, int]) -> Tensor:
    mixed = torch.einsum("oc,bchw->bohw", w[0][:, :, 0, 0], x) + w[1][:, None, None]
    return (mixed.flatten(2) @ w[2].T + w[3]).unflatten(2, size)


def linear(x: Tensor, w: list[Tensor], size: tuple[int, int]) -> Tensor:
    return F.linear(x.flatten(1), *w).reshape(len(x), -1, *size)


def conv_shrink(x: Tensor, w: list[Tensor], size: tuple[int, int]) -> Tensor:
    for weight, bias in zip(w[::2], w[1::2], strict=True):
        x = F.conv2d(x, weight, bias)
    return x.flip(3).flip(2)


def transform_net(x: Tensor, w: list[Tensor], size: tuple[int, int]) -> Tensor:
    x = F.interpolate(x, size, mode="bilinear", align_corners=False, antialias=False)
    return torch.einsum("oc,bchw->bohw", w[0][:, :, 0, 0], x).flip(3).flip(2)


def mlp_bottleneck(x: Tensor, w: list[Tensor], size: tuple[int, int]) -> Tensor:
    return F.linear(F.linear(x.flatten(1), w[0], w[1]), w[2], w[3]).reshape(len(x), -1, *size)


def conv4(x: Tensor, w: list[Tensor], size: tuple[int, int], dropout: float = 0.0) -> Tensor:
    inner = (size[0] + 4, size[1] + 4)
    if x.shape[2:] != inner:
        x = F.interpolate(x, inner, mode="bilinear", align_corners=False)
    x = F.conv2d(x, w[0], w[1], padding=1).relu()
    x = F.dropout(F.conv2d(x, w[2], w[3], padding=1).relu(), dropout)
    x = F.dropout(F.conv2d(x, w[4], w[5], padding=1).relu(), dropout)
    return F.conv2d(x, w[6], w[7], padding=1)


def separable(x: Tensor, w: list[Tensor], size: tuple[int, int]) -> Tensor:
    return torch.einsum("oc,ph,qw,bchw->bopq", *w, x)


def three_convolutions(x: Tensor, w: list[Tensor]) -> Tensor:
    for weight, bias in zip(w[0:6:2], w[1:6:2], strict=True):
        x = F.max_pool2d(F.conv2d(x, weight, bias, padding=1).relu(), 2)
    return x


def mnist_convnet(x: Tensor, w: list[Tensor]) -> Tensor:
    return F.linear(three_convolutions(x, w).flatten(1), w[6], w[7])


POOLED: dict[str, Callable[[Tensor], Tensor]] = {
    "max": lambda x: x.flatten(2).max(2).values,
    "amax": lambda x: x.flatten(2).amax(2),
    "avg": lambda x: x.flatten(2).mean(2),
}


def varres_net(x: Tensor, w: list[Tensor], pooling: str = "max") -> Tensor:
    return F.linear(POOLED[pooling](three_convolutions(x, w)), w[6], w[7])


def check(model: nn.Module, answer: Answer, *inputs: Tensor, seed: int = 0, **settings: Any) -> None:
    """Outputs and the gradients of every parameter and of the images are those of the answer."""
    own = list(model.parameters())
    copies = [parameter.detach().clone().requires_grad_() for parameter in own]
    x, *mask = inputs
    given, copied = x.clone().requires_grad_(), x.clone().requires_grad_()
    torch.manual_seed(seed)
    found = model(given, *mask)
    torch.manual_seed(seed)
    expected = answer(copied, copies, **settings)
    torch.testing.assert_close(found, expected, rtol=1e-11, atol=1e-11)
    towards = torch.randn(expected.shape, dtype=expected.dtype)
    found.backward(towards)
    expected.backward(towards)
    for parameter, copy in zip([given, *own], [copied, *copies], strict=True):
        torch.testing.assert_close(parameter.grad, copy.grad, rtol=1e-11, atol=1e-11)


def drawn(*shape: int) -> Tensor:
    """Images whose values leave [0, 1] on both sides, so that outputs do, too."""
    torch.manual_seed(1)
    return torch.randn(shape, dtype=torch.float64) * 30


def limited(answer: Answer, output: str) -> Answer:
    """The answer with its values brought into [0, 1] as `output` says."""

    def last(*given: Any, **settings: Any) -> Tensor:
        images = answer(*given, **settings)
        if output == "sigmoid":
            return 1 / (1 + torch.exp(-images))
        return torch.where(images < 0, 0, torch.where(images > 1, 1, images)) if output == "clamp" else images

    return last


TRANSFORMS = [
    ("conv-linear", conv_linear, "none"),
    ("linear", linear, "none"),
    ("conv-shrink", conv_shrink, "none"),
    ("conv-shrink:kernel=3", conv_shrink, "none"),
    ("conv-shrink:kernel=5", conv_shrink, "none"),
    ("transform-net", transform_net, "clamp"),
    ("mlp-bottleneck:hidden=7", mlp_bottleneck, "sigmoid"),
    ("conv4:width=5,dropout=0", conv4, "none"),
    ("separable", separable, "none"),
]


@pytest.mark.parametrize("output", [None, "none", "clamp", "sigmoid"])
@pytest.mark.parametrize(("spec", "answer", "default"), TRANSFORMS, ids=[spec for spec, *_ in TRANSFORMS])
def test_a_transform_model_computes_what_the_contract_says(
    spec: str, answer: Answer, default: str, output: str | None
) -> None:
    if output is not None:
        spec = spec + ("," if ":" in spec else ":") + f"output={output}"
    torch.manual_seed(0)
    model = build("models", spec, known=TRANSFORM).double()
    images = drawn(2, 2, 13, 18)
    plain = answer(images, list(model.parameters()), size=(9, 14))
    assert plain.min() < 0, "no value is below the range"
    assert plain.max() > 1, "no value is above the range"
    check(model, limited(answer, output or default), images, size=(9, 14))
    assert torch.equal(model.eval()(images), model.train()(images))


@pytest.mark.parametrize(("spec", "answer", "default"), TRANSFORMS, ids=[spec for spec, *_ in TRANSFORMS])
def test_left_alone_it_maps_32_by_32_colour_images_to_28_by_28_grey_ones(
    spec: str, answer: Answer, default: str
) -> None:
    torch.manual_seed(0)
    model = build("models", spec).double()
    images = drawn(1, 3, 32, 32)
    with torch.no_grad():
        expected = limited(answer, default)(images, list(model.parameters()), size=(28, 28))
        torch.testing.assert_close(model(images), expected, rtol=1e-11, atol=1e-11)
    assert expected.shape == (1, 1, 28, 28)


@pytest.mark.parametrize("size", [(13, 18), (12, 18), (13, 17), (9, 14), (5, 40)])
@pytest.mark.parametrize(
    ("spec", "answer"), [("conv4:width=3,dropout=0", conv4), ("transform-net", transform_net)]
)
def test_images_of_any_other_size_are_resized_first(spec: str, answer: Answer, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    known = {name: TRANSFORM[name] for name in ("in_channels", "target_channels", "target_size")}
    model = build("models", spec, known=known).double()
    kept = "clamp" if answer is transform_net else "none"
    check(model, limited(answer, kept), drawn(2, 2, *size), size=known["target_size"])


@pytest.mark.parametrize(("spec", "dropout"), [("conv4:width=4", 0.2), ("conv4:width=4,dropout=0.6", 0.6)])
def test_conv4_drops_after_its_second_and_third_relu_in_training_and_nowhere_in_evaluation(
    spec: str, dropout: float
) -> None:
    model = build("models", spec, known=TRANSFORM).double()
    images = drawn(3, 2, 13, 18)
    assert model.training
    for seed in (0, 1):
        check(model, conv4, images, seed=seed, size=(9, 14), dropout=dropout)
        model.zero_grad()
    check(model.eval(), conv4, images, size=(9, 14), dropout=0.0)


def test_a_separable_map_takes_8_bit_values_for_their_255th() -> None:
    model = build("models", "separable", known=TRANSFORM).double()
    assert model.takes_levels
    values = torch.randint(0, 256, (2, 2, 13, 18), dtype=torch.uint8)
    expected = separable(values.double() / 255, list(model.parameters()), size=(9, 14))
    torch.testing.assert_close(model(values), expected, rtol=1e-11, atol=1e-11)
    torch.testing.assert_close(model.float()(values).double(), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("band", [1, 3, 13])
def test_a_band_holds_neighbouring_entries_of_the_matrices_and_the_others_are_0(band: int) -> None:
    model = build("models", f"separable:band={band}", known=TRANSFORM).double()
    places = dict(model.named_buffers())

    def dense(values: Tensor, places: list[list[int]], num_columns: int) -> Tensor:
        rows = []
        for own, at in zip(values, places, strict=True):
            assert at == list(range(at[0], at[0] + band))
            assert 0 <= at[0] <= num_columns - band
            rows.append(torch.cat([own.new_zeros(at[0]), own, own.new_zeros(num_columns - at[0] - band)]))
        return torch.stack(rows)

    def answer(x: Tensor, w: list[Tensor]) -> Tensor:
        rows = dense(w[1], places["row_columns"].tolist(), 13)
        cols = dense(w[2], places["col_columns"].tolist(), 18)
        return separable(x, [w[0], rows, cols], (9, 14))

    assert [tuple(p.shape) for p in model.parameters()] == [(3, 2), (9, band), (14, band)]
    check(model, answer, drawn(2, 2, 13, 18))


@pytest.mark.parametrize("conv", [None, "torch", "unfold"])
@pytest.mark.parametrize("size", [(28, 28), (8, 8), (17, 26)])
def test_mnist_convnet_is_three_convolutions_with_relu_and_pool_and_a_linear_layer(
    conv: str | None, size: tuple[int, int]
) -> None:
    torch.manual_seed(0)
    spec = "mnist-convnet" + (f":conv={conv}" if conv else "")
    model = build("models", spec, known={"in_channels": 2, "image_size": size, "num_classes": 7}).double()
    check(model, mnist_convnet, drawn(3, 2, *size))
    assert model(drawn(3, 2, *size)).shape == (3, 7)


@pytest.mark.parametrize("pooling", [None, "max", "amax", "avg"])
def test_varres_net_pools_each_channel_of_its_third_convolution(pooling: str | None) -> None:
    torch.manual_seed(0)
    spec = "varres-net:width=9" + (f",pooling={pooling}" if pooling else "")
    model = build("models", spec, known={"in_channels": 2, "num_classes": 5}).double()
    for size in ((8, 8), (27, 18)):
        model.zero_grad()
        check(model, varres_net, drawn(3, 2, *size), pooling=pooling or "max")


SIZES = ((8, 8), (23, 10), (16, 25), (9, 31))


def different_sizes() -> list[Tensor]:
    """Images of several sizes; float32, so that a padded batch holds their values exactly."""
    torch.manual_seed(2)
    return [torch.randn(2, *size) for size in SIZES]


@pytest.mark.parametrize("pooling", POOLED)
def test_a_padded_batch_gives_what_the_written_out_network_gives_each_image_alone(pooling: str) -> None:
    torch.manual_seed(0)
    known = {"in_channels": 2, "num_classes": 5}
    model = build("models", f"varres-net:width=6,pooling={pooling}", known=known).double()
    images = different_sizes()
    batch, mask = padded(images, fill=7.0)

    def one_by_one(x: Tensor, w: list[Tensor]) -> Tensor:
        return torch.cat(
            [varres_net(x[n : n + 1, :, :h, :wide], w, pooling) for n, (h, wide) in enumerate(SIZES)]
        )

    check(model, one_by_one, batch.double(), mask)


class VarresPlusAnswer:
    """varres-plus, written out: convolution, pool where one is due, batch norm, ReLU; then pool and layer."""

    def __init__(
        self,
        model: nn.Module,
        *,
        pools: int = 3,
        pool_every: int = 1,
        pooling: str = "max",
        side: int | None = None,
    ) -> None:
        self.training = model.training
        self.pools, self.pool_every, self.pooling, self.side = pools, pool_every, pooling, side
        self.statistics = [
            buffer.clone() for name, buffer in model.named_buffers() if name.endswith(("mean", "var"))
        ]

    def __call__(self, x: Tensor, w: list[Tensor]) -> Tensor:
        if self.side is not None:
            x = window_about_the_centre_of_mass(x, self.side)
        num_layers = (len(w) - 2) // 3
        for n in range(num_layers):
            x = F.conv2d(x, w[n], padding=1)
            if (n + 1) % self.pool_every == 0 and (n + 1) // self.pool_every <= self.pools:
                x = F.max_pool2d(x, 2)
            scale, shift = w[num_layers + 2 * n], w[num_layers + 2 * n + 1]
            mean, variance = self.statistics[2 * n], self.statistics[2 * n + 1]
            x = F.batch_norm(x, mean, variance, scale, shift, self.training, momentum=0.1, eps=1e-5).relu()
        return F.linear(POOLED[self.pooling](x), w[-2], w[-1])


def window_about_the_centre_of_mass(images: Tensor, side: int) -> Tensor:
    """The side × side pixels about each image's centre of mass over its darkest value; edges repeat."""
    seen = []
    for image in images:
        light = (image - image.amin((1, 2), keepdim=True)).detach().numpy().sum(0)
        rows, columns = (
            np.floor(centre - (side - 1) / 2 + 0.5).astype(int) + np.arange(side)
            for centre in ndimage.center_of_mass(light)
        )
        height, width = light.shape
        seen.append(image[:, rows.clip(0, height - 1)][:, :, columns.clip(0, width - 1)])
    return torch.stack(seen)


def varres_plus(spec: str) -> nn.Module:
    """The model in float64, its batch norms as if it had been trained."""
    torch.manual_seed(0)
    model: nn.Module = build("models", spec, known={"in_channels": 2, "num_classes": 5}).double()
    for name, tensor in [*model.named_buffers(), *model.named_parameters()]:
        with torch.no_grad():
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2)
            elif name.startswith("norms") and name.endswith("weight"):
                tensor.uniform_(-2, 2)  # below 0, a pool before the norm is no pool after it
            elif name.endswith("running_mean") or (name.startswith("norms") and name.endswith("bias")):
                tensor.normal_()
    return model


PLUS: list[tuple[str, dict[str, Any]]] = [
    ("varres-plus", {}),
    ("varres-plus:widths=[3,4],pools=0", {"pools": 0}),
    ("varres-plus:widths=[3,4,5],pools=1,pooling=avg", {"pools": 1, "pooling": "avg"}),
    ("varres-plus:widths=[3,4,5,3],pools=2,pool_every=2", {"pools": 2, "pool_every": 2}),
    ("varres-plus:widths=[3,4,5,3],pools=1,pool_every=2,pooling=amax",
     {"pools": 1, "pool_every": 2, "pooling": "amax"}),
    ("varres-plus:widths=[3,4],pools=2,crop=8", {"pools": 2, "side": 8}),
    ("varres-plus:widths=[3,4],pools=2,crop=13", {"pools": 2, "side": 13}),
]  # fmt: skip


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize(("spec", "settings"), PLUS, ids=[spec for spec, _ in PLUS])
def test_varres_plus_is_convolutions_pools_norms_and_relus_in_that_order(
    spec: str, settings: dict[str, Any], training: bool
) -> None:
    model = varres_plus(spec).train(training)
    answer = VarresPlusAnswer(model, **settings)
    check(model, answer, drawn(3, 2, 19, 26))
    after = [buffer for name, buffer in model.named_buffers() if name.endswith(("mean", "var"))]
    for own, expected in zip(after, answer.statistics, strict=True):
        torch.testing.assert_close(own, expected, rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize(("spec", "settings"), PLUS, ids=[spec for spec, _ in PLUS])
def test_a_padded_batch_gives_what_varres_plus_written_out_gives_each_image_alone(
    spec: str, settings: dict[str, Any]
) -> None:
    model = varres_plus(spec).eval()
    answer = VarresPlusAnswer(model, **settings)
    batch, mask = padded(different_sizes(), fill=7.0)

    def one_by_one(x: Tensor, w: list[Tensor]) -> Tensor:
        return torch.cat([answer(x[n : n + 1, :, :h, :wide], w) for n, (h, wide) in enumerate(SIZES)])

    check(model, one_by_one, batch.double(), mask)

"""What `analyse` finds against a dense operator, built by torchvision from one basis image at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor, nn
from torchvision.transforms import v2

from nnkit.errors import UsageError
from nnkit.surrogates.pipelines import STEPS, Pipeline, StepKind, analysis, parse_pipeline, per_axis
from nnkit.surrogates.pipelines.analysis import Factors, LinearAnalysis, analyse, factorise, operator_matrix
from nnkit.surrogates.pipelines.steps import Step

Shape = tuple[int, int, int]
RESIZE, GREY = v2.Resize((5, 4), antialias=True), v2.Grayscale()
HFLIP, VFLIP = v2.RandomHorizontalFlip(1), v2.RandomVerticalFlip(1)
TURN = v2.RandomRotation((90, 90), expand=True)
# Not the class GaussianBlur, which draws its sigma in float32.
BLUR = v2.Lambda(lambda x: F.gaussian_blur(x, [3, 3], [0.9, 0.9]))

CASES: list[tuple[str, v2.Transform, Shape]] = [
    ("resize(5,4),grayscale,hflip,vflip", v2.Compose([RESIZE, GREY, HFLIP, VFLIP]), (3, 7, 6)),
    ("resize_shortest(4),grayscale,hflip", v2.Compose([v2.Resize(4), GREY, HFLIP]), (3, 6, 9)),
    ("resize_shortest(4)", v2.Resize(4), (1, 9, 6)),
    ("hflip", HFLIP, (2, 3, 4)),
    ("rotate90,resize(5,4)", v2.Compose([TURN, RESIZE]), (3, 6, 4)),
    ("grayscale,pad(2)", v2.Compose([GREY, v2.Pad(2)]), (3, 3, 4)),
    ("crop(3,2)", v2.CenterCrop((3, 2)), (3, 5, 7)),
    ("blur(3,0.9),resize(5,4)", v2.Compose([BLUR, RESIZE]), (1, 6, 9)),
    ("brightness(0.5)", v2.ColorJitter(brightness=(0.5, 0.5)), (3, 3, 3)),
    ("normalize([0.1,0.2,0.3],[0.5,1,2])", v2.Normalize([0.1, 0.2, 0.3], [0.5, 1, 2]), (3, 4, 3)),
    ("normalize(0.5,2),pad(1)", v2.Compose([v2.Normalize([0.5], [2]), v2.Pad(1)]), (1, 3, 3)),
]
IDS = [text for text, _, _ in CASES]


def dense(transform: v2.Transform, shape: Shape) -> tuple[np.ndarray, np.ndarray]:
    """The operator as a matrix and the offset, one basis image at a time, in float64."""
    offset = transform(torch.zeros(shape, dtype=torch.float64))
    columns = []
    for place in range(int(np.prod(shape))):
        image = torch.zeros(shape, dtype=torch.float64)
        image.view(-1)[place] = 1
        columns.append((transform(image) - offset).flatten().numpy())
    return np.stack(columns, axis=1), offset.numpy()


def product(found: LinearAnalysis) -> np.ndarray:
    """The factors multiplied out to a matrix, by a Kronecker product; a transposed one acts on xᵀ."""
    assert found.channels is not None
    assert found.rows is not None
    assert found.cols is not None
    matrix = np.kron(np.kron(found.channels.numpy(), found.rows.numpy()), found.cols.numpy())
    if found.transposed:
        channels, height, width = found.input_shape
        places = np.arange(channels * height * width).reshape(found.input_shape).transpose(0, 2, 1).ravel()
        straight = np.empty_like(matrix)
        straight[:, places] = matrix
        return straight
    return matrix


@pytest.mark.parametrize(("text", "transform", "shape"), CASES, ids=IDS)
def test_the_matrix_and_the_offset_are_those_of_one_pixel_images(
    text: str, transform: v2.Transform, shape: Shape
) -> None:
    expected, expected_offset = dense(transform, shape)
    matrix, offset = operator_matrix(parse_pipeline(text), shape)
    assert matrix.dtype == offset.dtype == torch.float64
    np.testing.assert_allclose(matrix, expected, rtol=0, atol=1e-12)
    np.testing.assert_allclose(offset, expected_offset, rtol=0, atol=1e-12)


@pytest.mark.parametrize(("text", "transform", "shape"), CASES, ids=IDS)
def test_what_is_found_is_true_of_the_dense_operator(
    text: str, transform: v2.Transform, shape: Shape
) -> None:
    matrix, offset = dense(transform, shape)
    found = analyse(parse_pipeline(text), shape)
    assert (found.input_shape, found.output_shape) == (shape, offset.shape)
    assert found.affine is True
    assert found.separable is True
    assert found.linear is not offset.any()
    assert found.rank == np.linalg.matrix_rank(matrix)
    np.testing.assert_allclose(found.offset, offset, rtol=0, atol=1e-12)
    # Factors are of the float64 or the float32 weights, which differ by up to 1e-6.
    np.testing.assert_allclose(product(found), matrix, rtol=0, atol=2e-6)
    assert found.matrix is None
    images = torch.randint(0, 256, (6, *shape), dtype=torch.uint8)
    x = images.numpy().reshape(6, -1) / 255
    expected = x @ matrix.T + offset.ravel()
    result = found.operator()(images / 255)
    assert result.dtype == torch.float32
    assert result.shape == (6, *offset.shape)
    np.testing.assert_allclose(result.reshape(6, -1), expected, rtol=0, atol=1e-5)
    assert found.max_error < 1e-5


@pytest.mark.parametrize(("text", "transform", "shape"), CASES, ids=IDS)
def test_rows_and_columns_are_scaled_to_sums_of_one(text: str, transform: v2.Transform, shape: Shape) -> None:
    found = analyse(parse_pipeline(text), shape)
    for weights in (found.rows, found.cols):
        assert weights is not None
        assert weights.dtype == torch.float64
        assert float(weights.abs().sum(1).max()) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("channels", [1, 3])
def test_the_operator_takes_8_bit_images_as_they_are(channels: int) -> None:
    found = analyse(parse_pipeline("resize(5),rotate90,pad(1)"), (channels, 7, 8))
    images = torch.randint(0, 256, (3, channels, 7, 8), dtype=torch.uint8)
    operator = found.operator()
    assert operator.takes_levels
    torch.testing.assert_close(operator(images), operator(images / 255), rtol=0, atol=1e-6)


def test_an_operator_adds_its_offset_and_holds_none_where_it_is_zero() -> None:
    plain = analyse(parse_pipeline("hflip"), (1, 3, 3)).operator()
    shifted = analyse(parse_pipeline("normalize(0.5,1)"), (1, 3, 3)).operator()
    assert plain.offset is None
    assert shifted.offset is not None
    torch.testing.assert_close(shifted.offset, torch.full((1, 3, 3), -0.5))
    assert isinstance(plain, nn.Module)
    assert not list(plain.parameters())


# Steps that nnkit does not have: what an examination must find out about them.


def of(run: Any, *, dtype: Any = "float") -> Pipeline:
    """A pipeline of one step that keeps the shape of an image (..., C, H, W)."""
    hflip = STEPS["hflip"]
    kind = StepKind("custom", (0,), hflip.read, lambda image, values, antialias: run(image), hflip.transform)

    class Custom(Step):
        @property
        def kind(self) -> StepKind:
            return kind

    return Pipeline((Custom("custom"),), dtype=dtype)


def test_an_affine_map_that_is_not_separable_is_kept_as_its_matrix() -> None:
    shape = (2, 4, 4)
    found = analyse(of(lambda x: x + 0.5 * x.transpose(-1, -2) + 0.25), shape)
    assert (found.affine, found.linear, found.separable, found.transposed) == (True, False, False, False)
    assert (found.factors, found.rows, found.cols, found.channels) == (None, None, None, None)
    swap = np.arange(32).reshape(shape).transpose(0, 2, 1).ravel()
    expected = np.eye(32) + 0.5 * np.eye(32)[swap]
    assert found.matrix is not None
    np.testing.assert_allclose(found.matrix, expected, rtol=0, atol=1e-12)
    assert found.rank == np.linalg.matrix_rank(expected) == 32
    assert found.max_error < 1e-6
    np.testing.assert_allclose(found.offset, np.full(shape, 0.25))
    images = torch.rand(5, *shape)
    torch.testing.assert_close(found.operator()(images), images + 0.5 * images.transpose(-1, -2) + 0.25)


def test_the_rank_of_a_map_that_is_not_separable_is_its_matrix_s() -> None:
    found = analyse(of(lambda x: x + x.transpose(-1, -2)), (1, 4, 4))
    assert found.separable is False
    assert found.rank == 10  # the symmetric 4 × 4 matrices


@pytest.mark.parametrize(
    "bend",
    [
        pytest.param(lambda x: (x.sum(-3, keepdim=True) - 2.9).clamp(min=0), id="white"),
        pytest.param(lambda x: (x.mean((-3, -2, -1), True) - 0.99).clamp(min=0), id="all white"),
        pytest.param(lambda x: (x[..., :1] + x[..., 1:2] - x[..., 2:3] - 1.99).clamp(min=0), id="edges"),
        pytest.param(lambda x: (0.35 - x.mean((-3, -2, -1), True)).clamp(min=0) * x * (1 - x), id="dark"),
        pytest.param(lambda x: (x[..., :1, :, :] - x[..., 1:2, :, :] - 0.9).clamp(min=0), id="one channel"),
        pytest.param(lambda x: 1e-4 * x * (1 - x), id="between black and white"),
        pytest.param(lambda x: x[..., :1] * (1 - x[..., 1:2]), id="pairs of pixels"),
        pytest.param(lambda x: 1e-6 * x**2, id="small"),
    ],
)
def test_a_map_that_bends_anywhere_is_not_affine(bend: Any) -> None:
    shape = (3, 4, 5)
    bent = of(lambda x: x + bend(x))
    found = analyse(bent, shape)
    assert (found.affine, found.linear, found.separable, found.rank) == (False, False, False, None)
    assert (found.input_shape, found.output_shape) == (shape, shape)
    assert found.matrix is None
    assert found.factors is None
    # How far it is from affine: the largest error over images at least, of those that were tried.
    matrix, offset = operator_matrix(bent, shape)
    np.testing.assert_allclose(found.offset, offset)
    white = torch.ones(1, *shape, dtype=torch.float64)
    corner = (bent.run(white)[0] - (matrix @ white.flatten() + offset.flatten()).view(shape)).abs().max()
    assert found.max_error >= float(corner)
    assert found.max_error > 1e-7


def test_the_error_of_a_map_that_is_not_affine_is_how_far_it_bends() -> None:
    # A corner image has x = 0 or 1, where x² is x; a random one has x near a half.
    found = analyse(of(lambda x: x**2), (1, 16, 16))
    assert found.max_error == pytest.approx(0.25, abs=1e-4)
    # One pixel alone is clamped to 1, so what is predicted is x: most is missing where 1.5 x reaches 1.
    clamped = analyse(parse_pipeline("brightness(1.5)"), (3, 6, 6))
    assert clamped.max_error == pytest.approx(1 / 3, abs=5e-3)
    # 255 becomes 127, so 254 is predicted to become 126.5; it becomes 127.
    halved = analyse(of(lambda x: x // 2, dtype="uint8"), (1, 16, 16))
    assert halved.affine is False
    assert halved.max_error == pytest.approx(0.5 / 255, rel=0.01)


def test_rounding_of_float64_is_no_bend() -> None:
    assert analyse(of(lambda x: (x + 1e3) - 1e3), (1, 4, 4)).affine


def test_an_examination_leaves_torchs_generator_alone() -> None:
    before = torch.get_rng_state()
    for text in ("grayscale,resize(5)", "brightness(1.5)"):
        analyse(parse_pipeline(text), (3, 4, 4))
    assert torch.equal(torch.get_rng_state(), before)


def test_a_map_of_8_bit_values_is_examined_on_exact_values() -> None:
    shape = (1, 3, 4)
    pipeline = parse_pipeline("hflip,pad(1)", dtype="uint8")
    expected, _ = dense(v2.Compose([HFLIP, v2.Pad(1)]), shape)
    matrix, offset = operator_matrix(pipeline, shape)
    assert np.array_equal(matrix, expected)
    assert not offset.any()
    found = analyse(pipeline, shape)
    assert np.array_equal(product(found), expected)
    assert found.max_error == 0


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("sign", [1, -1])
def test_factors_of_a_random_product_multiply_to_it(transposed: bool, sign: int) -> None:
    rng = np.random.default_rng(5)
    height, width = (4, 3) if transposed else (3, 4)
    parts = [rng.standard_normal(size) for size in ((2, 3), (5, height), (6, width))]
    array = sign * np.einsum("oc,ph,qw->opqchw", *parts)
    input_shape = (3, height, width)
    if transposed:
        array, input_shape = array.swapaxes(-1, -2), (3, width, height)
    matrix = torch.from_numpy(np.ascontiguousarray(array)).reshape(2 * 5 * 6, -1)
    found = factorise(matrix, input_shape, (2, 5, 6))
    assert found is not None
    assert found.transposed is transposed
    assert [tuple(part.shape) for part in (found.channels, found.rows, found.cols)] == [
        part.shape for part in parts
    ]
    again = torch.einsum("oc,ph,qw->opqchw", found.channels, found.rows, found.cols).numpy()
    np.testing.assert_allclose(again.swapaxes(-1, -2) if transposed else again, array, rtol=0, atol=1e-12)


@pytest.mark.parametrize("relative", [1e-10, 1e-7])
def test_a_product_is_one_within_a_billionth(relative: float) -> None:
    rng = np.random.default_rng(6)
    array = np.einsum("oc,ph,qw->opqchw", *(rng.standard_normal((3, 3)) for _ in range(3)))
    array[0, 1, 2, 0, 1, 2] += relative * np.abs(array).max()
    found = factorise(torch.from_numpy(array).reshape(27, 27), (3, 3, 3), (3, 3, 3))
    assert (found is not None) is (relative < 1e-9)


def test_an_operator_of_zeros_has_factors_of_zeros() -> None:
    found = factorise(torch.zeros(4, 9, dtype=torch.float64), (1, 3, 3), (1, 2, 2))
    assert isinstance(found, Factors)
    for part in (found.channels, found.rows, found.cols):
        assert torch.isfinite(part).all()
    black = analyse(parse_pipeline("brightness(0)"), (3, 4, 4))
    assert (black.linear, black.separable, black.rank, black.max_error) == (True, True, 0, 0)
    assert not black.operator()(torch.rand(2, 3, 4, 4)).any()


@pytest.mark.parametrize("how", ["float32", "float64"])
def test_the_weights_that_come_nearer_to_the_pipeline_are_kept(how: str) -> None:
    dtype = getattr(torch, how)

    def mixed(x: Tensor) -> Tensor:
        # The weight of a float32 image is that of float32 arithmetic, or of float64, 1e-3 apart.
        weight = 0.501 if x.dtype == torch.float32 and dtype == torch.float32 else 0.5
        return x * weight

    found = analyse(of(mixed), (1, 3, 3))
    expected = 0.501 if how == "float32" else 0.5
    np.testing.assert_allclose(product(found), expected * np.eye(9), rtol=0, atol=1e-6)
    assert found.max_error < 1e-6


def test_the_operator_has_at_most_as_many_entries_as_are_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    entries = (3 * 4 * 5) * (1 * 6 * 7)
    pipeline = parse_pipeline("grayscale,resize(6,7)")
    monkeypatch.setattr(analysis, "MAX_ENTRIES", entries)
    assert operator_matrix(pipeline, (3, 4, 5))[0].shape == (42, 60)
    monkeypatch.setattr(analysis, "MAX_ENTRIES", entries - 1)
    with pytest.raises(UsageError, match="3×4×5 images has 42×60 entries") as caught:
        operator_matrix(pipeline, (3, 4, 5))
    assert str(entries - 1) in caught.value.hint


@pytest.mark.parametrize(("text", "transform", "shape"), CASES, ids=IDS)
def test_without_the_matrix_the_same_is_found_as_with_it(
    text: str, transform: v2.Transform, shape: Shape, monkeypatch: pytest.MonkeyPatch
) -> None:
    dense_found = analyse(parse_pipeline(text), shape)
    monkeypatch.setattr(analysis, "MAX_ENTRIES", 0)
    monkeypatch.setattr(per_axis, "CHUNK_VALUES", 100)
    found = analyse(parse_pipeline(text), shape)
    for name in ("affine", "linear", "separable", "transposed", "rank", "output_shape"):
        assert getattr(found, name) == getattr(dense_found, name)
    np.testing.assert_allclose(product(found), product(dense_found), rtol=0, atol=1e-12)
    np.testing.assert_allclose(found.offset, dense_found.offset, rtol=0, atol=1e-12)
    assert found.max_error == pytest.approx(dense_found.max_error, abs=3e-7)


def test_without_the_matrix_what_is_not_affine_is_told_from_what_is_too_large(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(analysis, "MAX_ENTRIES", 0)
    assert analyse(parse_pipeline("brightness(0)"), (3, 4, 4)).rank == 0
    for bent in (parse_pipeline("brightness(1.5)"), of(lambda x: x**2), of(lambda x: x * x.roll(1, -1))):
        found = analyse(bent, (1, 16, 16))
        assert (found.affine, found.separable, found.factors) == (False, False, None)
        assert found.max_error > 0.05
    with pytest.raises(UsageError, match="1×4×4 images is not separable, and has 16×16 entries"):
        analyse(of(lambda x: x + 0.5 * x.transpose(-1, -2)), (1, 4, 4))


@pytest.mark.parametrize("chunk", [1, 7, 60, 100])
def test_basis_images_in_chunks_give_the_same_operator(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline = parse_pipeline("normalize(0.2,0.5),resize(6,7)")
    expected = operator_matrix(pipeline, (3, 4, 5))
    monkeypatch.setattr(analysis, "BASIS_CHUNK", chunk)
    found = operator_matrix(pipeline, (3, 4, 5))
    for part, other in zip(found, expected, strict=True):
        torch.testing.assert_close(part, other, rtol=0, atol=1e-12)

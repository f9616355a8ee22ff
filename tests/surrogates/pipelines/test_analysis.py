from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from nnkit.errors import UsageError
from nnkit.surrogates.pipelines import analysis, parse_pipeline
from nnkit.surrogates.pipelines.analysis import (
    MatrixOperator,
    analyse,
    factorise,
    operator_matrix,
    operator_rank,
)

CIFAR = (3, 32, 32)


def random_images(*shape: int, seed: int = 1) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def worst_error(text: str, shape: tuple[int, int, int], num_images: int = 8) -> float:
    pipeline = parse_pipeline(text)
    images = random_images(num_images, *shape)
    return float((analyse(pipeline, shape).operator()(images / 255) - pipeline.apply(images)).abs().max())


# Sizes stay such that every list of steps can run and its operator is small: sides from 5 to 14.
SIDES = st.integers(5, 8)
MEANS, STDS = st.floats(0, 1), st.floats(0.25, 2)
LINEAR_STEPS = st.one_of(
    st.sampled_from(["grayscale", "hflip", "vflip", "rotate90", "rotate90(2)", "rotate90(3)", "crop(5)"]),
    st.tuples(SIDES, SIDES).map(lambda sides: f"resize({sides[0]},{sides[1]})"),
    SIDES.map(lambda side: f"resize_shortest({side})"),
    st.sampled_from(["pad(1)", "pad(2)", "blur(3)", "blur(5,0.8)"]),
)
LINEAR_TEXTS = st.lists(LINEAR_STEPS, min_size=1, max_size=3).map(",".join)
AFFINE_ENDS = st.one_of(
    st.just(""), st.tuples(MEANS, STDS).map(lambda values: f",normalize({values[0]},{values[1]}),pad(1)")
)


@pytest.fixture(scope="module")
def default() -> analysis.LinearAnalysis:
    return analyse(parse_pipeline("reference"), CIFAR)


def test_the_default_pipeline_is_linear_and_separable_of_full_rank(default):
    assert (default.linear, default.affine, default.separable, default.transposed) == (
        True,
        True,
        True,
        False,
    )
    assert default.rank == 784
    assert default.output_shape == (1, 28, 28)
    assert default.max_error < 1e-6
    assert not default.offset.any()


def test_the_default_factors_are_grey_weights_and_flipped_resize_matrices(default):
    assert (default.channels.shape, default.rows.shape, default.cols.shape) == ((1, 3), (28, 32), (28, 32))
    torch.testing.assert_close(
        default.channels, torch.tensor([[0.2989, 0.587, 0.114]]).double(), rtol=1e-6, atol=0
    )
    torch.testing.assert_close(default.rows, default.cols, rtol=0, atol=1e-6)
    assert set((default.rows != 0).sum(1).tolist()) == {2, 3}
    bright_rows = torch.eye(32)[:, None, :, None].expand(32, 1, 32, 32)
    resized = torch.nn.functional.interpolate(bright_rows, (28, 28), mode="bilinear", antialias=True)
    torch.testing.assert_close(default.rows.float(), resized[:, 0, :, 0].T.flip(0), rtol=0, atol=1e-6)


def test_the_fused_default_operator_is_torchvision_within_1e_6_on_unseen_images(default):
    images = random_images(256, *CIFAR)
    expected = parse_pipeline("reference").apply(images)
    assert (default.operator()(images / 255) - expected).abs().max() < 1e-6


def test_the_rank_from_the_factors_is_the_rank_of_the_whole_operator():
    pipeline = parse_pipeline("reference")
    matrix, _ = operator_matrix(pipeline, (3, 20, 20))
    assert matrix.shape == (784, 1200)
    assert operator_rank(matrix) == analyse(pipeline, (3, 20, 20)).rank == 400


@settings(max_examples=150, deadline=None)
@given(LINEAR_TEXTS, AFFINE_ENDS, st.sampled_from([1, 3]), st.integers(5, 8), st.integers(5, 8))
def test_any_linear_steps_are_found_affine_and_reproduced(
    text: str, end: str, channels: int, height: int, width: int
):
    pipeline = parse_pipeline(text + end)
    assert parse_pipeline(str(pipeline)) == pipeline
    found = analyse(pipeline, (channels, height, width))
    assert found.affine
    assert found.separable
    assert found.linear or end
    images = random_images(5, channels, height, width)
    torch.testing.assert_close(found.operator()(images / 255), pipeline.apply(images), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("text", "linear", "affine"),
    [
        ("brightness(0.5)", True, True),
        ("brightness(1)", True, True),
        ("brightness(1.001)", False, False),
        ("resize(8),brightness(1.5)", False, False),
        ("grayscale,brightness(1.0001)", True, True),  # the luma weights sum to 0.9999
        ("normalize(0,0.5)", True, True),
        ("normalize(0.5,0.5)", False, True),
        ("normalize(0.5,0.5),brightness(0.9)", False, False),
        ("normalize(0.2,1000),brightness(0.9)", False, False),
        ("normalize(0.1,1),normalize(-0.1,1)", True, True),
    ],
)
def test_clamping_is_found_where_it_acts(text: str, linear: bool, affine: bool):
    found = analyse(parse_pipeline(text), (3, 10, 10))
    assert (found.linear, found.affine) == (linear, affine)


@pytest.mark.parametrize("how", [{"dtype": "uint8"}, {"backend": "pil"}])
@pytest.mark.parametrize(("text", "affine"), [("hflip,rotate90,pad(1)", True), ("resize(7)", False)])
def test_rounding_to_levels_is_not_affine_and_moving_pixels_is(text: str, affine: bool, how: dict[str, str]):
    found = analyse(parse_pipeline(text, **how), (3, 10, 10))
    assert found.affine is found.linear is found.separable is affine
    assert (found.rank is None) is not affine
    assert found.max_error == 0 if affine else found.max_error > 1 / 512


@pytest.mark.parametrize(
    ("text", "transposed"), [("rotate90", True), ("rotate90(2)", False), ("rotate90(3),hflip", True)]
)
def test_quarter_turns_are_separable_on_the_transposed_image(text: str, transposed: bool):
    found = analyse(parse_pipeline(text + ",resize(5,6)"), (1, 7, 9))
    assert found.separable
    assert found.transposed is transposed
    assert found.rows.shape == ((5, 9) if transposed else (5, 7))
    assert found.cols.shape == ((6, 7) if transposed else (6, 9))
    assert worst_error(text + ",resize(5,6)", (1, 7, 9)) < 1e-6


@pytest.mark.parametrize(
    ("text", "rank"),
    [("hflip", 300), ("crop(4)", 48), ("grayscale", 100), ("resize(4),resize(20)", 48), ("brightness(0)", 0)],
)
def test_the_rank_counts_what_survives(text: str, rank: int):
    assert analyse(parse_pipeline(text), (3, 10, 10)).rank == rank


def test_the_offset_is_what_becomes_of_a_black_image():
    found = analyse(parse_pipeline("normalize([0.1,0.2,0.3],0.5),pad(1)"), (3, 4, 4))
    assert found.offset.shape == (3, 6, 6)
    torch.testing.assert_close(found.offset[:, 2, 2], torch.tensor([-0.2, -0.4, -0.6]).double())
    assert not found.offset[:, 0].any()


def test_a_map_that_is_no_product_over_its_axes_has_no_factors_and_runs_as_a_matrix():
    shape = (1, 4, 4)
    matrix = torch.randn(16, 16, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert factorise(matrix, shape, shape) is None
    assert operator_rank(matrix) == 16
    images = torch.rand(3, *shape)
    expected = torch.einsum("oi,bi->bo", matrix.float(), images.flatten(1)).view(3, *shape) + 1
    torch.testing.assert_close(MatrixOperator(matrix, torch.ones(shape).double())(images), expected)


def test_a_pipeline_that_is_not_affine_has_no_operator():
    found = analyse(parse_pipeline("brightness(2)"), (1, 4, 4))
    assert (found.rows, found.cols, found.channels, found.rank) == (None, None, None, None)
    assert found.max_error > 0.4
    with pytest.raises(UsageError, match="not affine"):
        found.operator()


@pytest.mark.parametrize(
    ("text", "shape", "rank"),
    [
        ("hflip", (3, 48, 64), 9216),
        ("resize(32),grayscale", (3, 224, 224), 1024),
        ("normalize(0.5,2),rotate90", (3, 60, 70), 12600),
    ],
)
def test_a_separable_operator_of_any_size_is_examined_per_axis(text, shape, rank):
    pipeline = parse_pipeline(text)
    found = analyse(pipeline, shape)
    assert (found.affine, found.separable, found.rank) == (True, True, rank)
    assert found.matrix is None
    images = torch.randint(0, 256, (2, *shape), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
    difference = found.operator()(images / 255) - pipeline.apply(images)
    assert float(difference.abs().max()) <= max(2 * found.max_error, 1e-6)


def test_images_that_a_step_cannot_take_are_refused():
    with pytest.raises(UsageError, match="step 1 of 1"):
        analyse(parse_pipeline("crop(9)"), (3, 8, 8))

"""Each step against torchvision's classes, PIL, SciPy or plain indexing: floats, 8-bit values, PIL images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageEnhance
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torchvision.transforms import v2

from nnkit.errors import UsageError
from nnkit.surrogates.pipelines import EXECUTIONS, STEPS, StepKind, execute, parse_pipeline
from nnkit.surrogates.pipelines import pipeline as pipeline_module
from nnkit.surrogates.pipelines.steps import Step, split

SHAPE = (3, 13, 18)
IMAGES = torch.randint(0, 256, (4, *SHAPE), dtype=torch.uint8, generator=torch.Generator().manual_seed(3))
LUMA = torch.tensor([0.2989, 0.587, 0.114], dtype=torch.float64)


def gaussian(images: Tensor, kernel: int, sigma: float) -> Tensor:
    """Blurred by a normalised Gaussian window, mirrored at the border without its own pixels."""
    place = np.arange(kernel) - kernel // 2
    window = np.exp(-(place**2) / (2 * sigma**2))
    window /= window.sum()
    blurred = images.numpy()
    for axis in (-1, -2):
        blurred = scipy.ndimage.correlate1d(blurred, window, axis=axis, mode="mirror")
    return torch.from_numpy(blurred)


def padded(images: Tensor, width: int) -> Tensor:
    canvas = torch.zeros(*images.shape[:2], images.shape[2] + 2 * width, images.shape[3] + 2 * width).double()
    canvas[:, :, width : width + images.shape[2], width : width + images.shape[3]] = images
    return canvas


def per_channel(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).view(-1, 1, 1)


FORMULAS: list[tuple[str, Callable[[Tensor], Tensor]]] = [
    ("grayscale", lambda x: torch.einsum("c,bchw->bhw", LUMA, x)[:, None]),
    ("hflip", lambda x: x.flip(3)),
    ("vflip", lambda x: x.flip(2)),
    ("crop(6)", lambda x: x[:, :, 4:10, 6:12]),
    ("crop(4,9)", lambda x: x[:, :, 4:8, 4:13]),
    ("crop(13,18)", lambda x: x),
    ("crop(1)", lambda x: x[:, :, 6:7, 8:9]),
    ("pad(2)", lambda x: padded(x, 2)),
    ("pad(0)", lambda x: x),
    ("rotate90", lambda x: torch.rot90(x, 1, (2, 3))),
    ("rotate90(2)", lambda x: torch.rot90(x, 2, (2, 3))),
    ("rotate90(3)", lambda x: torch.rot90(x, 3, (2, 3))),
    ("normalize(0.3,0.7)", lambda x: (x - 0.3) / 0.7),
    ("normalize([0.1,0.2,0.3],0.5)", lambda x: (x - per_channel(0.1, 0.2, 0.3)) / 0.5),
    ("normalize(0.5,[0.2,0.3,0.4])", lambda x: (x - 0.5) / per_channel(0.2, 0.3, 0.4)),
    (
        "normalize([0.1,0.2,0.3],[0.2,0.3,0.4])",
        lambda x: (x - per_channel(0.1, 0.2, 0.3)) / per_channel(0.2, 0.3, 0.4),
    ),
    ("blur(3)", lambda x: gaussian(x, 3, 0.15 * 3 + 0.35)),
    ("blur(7)", lambda x: gaussian(x, 7, 0.15 * 7 + 0.35)),
    ("blur(5,0.6)", lambda x: gaussian(x, 5, 0.6)),
    ("brightness(0.4)", lambda x: x * 0.4),
    ("brightness(1.7)", lambda x: (x * 1.7).clamp(0, 1)),
    ("brightness(0)", torch.zeros_like),
]


@pytest.mark.parametrize(("text", "formula"), FORMULAS, ids=[text for text, _ in FORMULAS])
def test_a_step_on_floats_is_its_formula(text: str, formula: Callable[[Tensor], Tensor]) -> None:
    pipeline = parse_pipeline(text)
    expected = formula(IMAGES.double() / 255)
    result = pipeline.apply(IMAGES)
    assert result.dtype == torch.float32
    torch.testing.assert_close(result.double(), expected, rtol=0, atol=2e-6)
    assert tuple(expected.shape[1:]) == pipeline.output_shape(SHAPE)


@pytest.mark.parametrize("antialias", [True, False])
@pytest.mark.parametrize(
    ("text", "size"), [("resize(7)", (7, 7)), ("resize(30,5)", (30, 5)), ("resize(13,18)", (13, 18))]
)
@pytest.mark.parametrize("dtype", ["float", "uint8"])
def test_resize_is_torchvisions_to_the_size_named(
    text: str, size: tuple[int, int], antialias: bool, dtype: Any
) -> None:
    pipeline = parse_pipeline(text, dtype=dtype, antialias=antialias)
    resize = v2.Resize(size, interpolation=v2.InterpolationMode.BILINEAR, antialias=antialias)
    expected = resize(IMAGES) / 255 if dtype == "uint8" else resize(IMAGES / 255)
    torch.testing.assert_close(pipeline.apply(IMAGES), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(pipeline.transforms()(IMAGES), resize(IMAGES), rtol=0, atol=0)
    assert pipeline.output_size(SHAPE[1:]) == size


@settings(max_examples=60, deadline=None)
@given(
    st.tuples(st.integers(2, 70), st.integers(2, 70)),
    st.integers(2, 40),
    st.sampled_from(["float", "uint8"]),
    st.booleans(),
)
def test_resize_shortest_is_torchvisions_resize_of_one_number_for_any_size_of_images(
    size: tuple[int, int], side: int, dtype: Any, antialias: bool
) -> None:
    images = torch.randint(
        0, 256, (2, 3, *size), dtype=torch.uint8, generator=torch.Generator().manual_seed(side)
    )
    pipeline = parse_pipeline(f"resize_shortest({side})", dtype=dtype, antialias=antialias)
    resize = v2.Resize(side, antialias=antialias)
    expected = resize(images) / 255 if dtype == "uint8" else resize(images / 255)
    torch.testing.assert_close(pipeline.apply(images), expected, rtol=0, atol=1e-6)
    torch.testing.assert_close(pipeline.apply_one(images[0]), expected[0], rtol=0, atol=1e-6)
    assert torch.equal(pipeline.transforms()(images), resize(images))
    assert pipeline.output_size(size) == tuple(expected.shape[2:])
    if antialias:
        found = parse_pipeline(f"resize_shortest({side})", backend="pil").apply(images)
        assert found.shape == expected.shape
        on_pil = v2.Compose([v2.ToPILImage(), resize, v2.PILToTensor()])
        assert torch.equal(found, torch.stack([on_pil(image) for image in images]) / 255)


def test_resize_shortest_keeps_the_proportions_where_resize_does_not() -> None:
    assert parse_pipeline("resize_shortest(32)").sizes((48, 64)) == [(32, 42)]
    assert parse_pipeline("resize_shortest(32)").sizes((64, 48)) == [(42, 32)]
    assert parse_pipeline("resize(32)").sizes((48, 64)) == [(32, 32)]
    assert parse_pipeline("resize_shortest(20)").sizes((7, 7)) == [(20, 20)]
    assert parse_pipeline("resize_shortest(2)").sizes((2, 8192)) == [(2, 8192)]
    for size, longer in (((3, 8193), 27310), ((900, 2), 4500 * 2)):
        with pytest.raises(UsageError, match=f"makes a side of {longer} pixels of {size[0]}×{size[1]}"):
            parse_pipeline("resize_shortest(10),hflip" if size[0] == 3 else "resize_shortest(20)").sizes(size)
    for text in ("resize_shortest(1)", "resize_shortest", "resize_shortest(8,9)", "resize_shortest(8193)"):
        with pytest.raises(UsageError, match="resize_shortest"):
            parse_pipeline(text)


def test_whoever_writes_resize_wrongly_is_told_of_both() -> None:
    with pytest.raises(UsageError) as caught:
        parse_pipeline("resize(1,2,3)")
    assert "resize(N) or resize(H,W), whatever the proportions" in caught.value.hint
    assert "resize_shortest(N), which keeps them" in caught.value.hint


CLASSES: list[tuple[str, v2.Transform]] = [
    ("grayscale", v2.Grayscale()),
    ("hflip", v2.RandomHorizontalFlip(1)),
    ("vflip", v2.RandomVerticalFlip(1)),
    ("crop(4,9)", v2.CenterCrop((4, 9))),
    ("pad(3)", v2.Pad(3)),
    ("rotate90", v2.RandomRotation((90, 90), expand=True)),
    ("rotate90(2)", v2.RandomRotation((180, 180), expand=True)),
    ("rotate90(3)", v2.RandomRotation((270, 270), expand=True)),
    ("blur(3)", v2.GaussianBlur(3, (0.8, 0.8))),
    ("blur(5,2)", v2.GaussianBlur(5, (2.0, 2.0))),
    ("brightness(1.7)", v2.ColorJitter(brightness=(1.7, 1.7))),
]


@pytest.mark.parametrize(("text", "expected"), CLASSES, ids=[text for text, _ in CLASSES])
def test_a_step_on_8_bit_values_is_torchvisions_class(text: str, expected: v2.Transform) -> None:
    pipeline = parse_pipeline(text, dtype="uint8")
    assert torch.equal(pipeline.apply(IMAGES), expected(IMAGES) / 255)
    assert torch.equal(pipeline.transforms()(IMAGES), expected(IMAGES))
    assert [type(step) for step in pipeline.transforms().transforms] == [type(expected)]


def test_normalize_as_a_class_has_the_values_named() -> None:
    (transform,) = parse_pipeline("normalize([0.1,0.2,0.3],0.5)").transforms().transforms
    assert isinstance(transform, v2.Normalize)
    assert (transform.mean, transform.std) == ([0.1, 0.2, 0.3], [0.5])


ON_PIL: list[tuple[str, Callable[[Image.Image], Image.Image]]] = [
    ("resize(7)", lambda image: image.resize((7, 7), Image.Resampling.BILINEAR)),
    ("resize(30,5)", lambda image: image.resize((5, 30), Image.Resampling.BILINEAR)),
    ("grayscale", lambda image: image.convert("L")),
    ("hflip", lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)),
    ("vflip", lambda image: image.transpose(Image.Transpose.FLIP_TOP_BOTTOM)),
    ("rotate90", lambda image: image.transpose(Image.Transpose.ROTATE_90)),
    ("rotate90(3)", lambda image: image.transpose(Image.Transpose.ROTATE_270)),
    ("crop(4,9)", lambda image: image.crop((4, 4, 13, 8))),
    ("brightness(1.7)", lambda image: ImageEnhance.Brightness(image).enhance(1.7)),
]


@pytest.mark.parametrize(("text", "formula"), ON_PIL, ids=[text for text, _ in ON_PIL])
def test_a_step_on_pil_images_is_pils(text: str, formula: Callable[[Image.Image], Image.Image]) -> None:
    arrays = [np.asarray(formula(Image.fromarray(image))) for image in IMAGES.permute(0, 2, 3, 1).numpy()]
    expected = torch.from_numpy(np.stack([array.reshape(*array.shape[:2], -1) for array in arrays]))
    result = parse_pipeline(text, backend="pil").apply(IMAGES)
    assert torch.equal(result, expected.permute(0, 3, 1, 2) / 255)


@pytest.mark.parametrize("channels", [1, 3])
def test_steps_run_in_the_order_written(channels: int) -> None:
    images = IMAGES[:, :channels]
    x = images.double() / 255
    there = parse_pipeline("pad(2),brightness(1.5),rotate90,crop(10,8)").apply(images)
    expected = torch.rot90((padded(x, 2) * 1.5).clamp(0, 1), 1, (2, 3))[:, :, 6:16, 4:12]
    torch.testing.assert_close(there.double(), expected[:, :, :10, :8], rtol=0, atol=1e-6)
    steps = parse_pipeline("pad(2),brightness(1.5),rotate90,crop(10,8)").transforms().transforms
    assert [type(step) for step in steps] == [v2.Pad, v2.ColorJitter, v2.RandomRotation, v2.CenterCrop]


def test_sizes_and_channels_are_those_after_each_step() -> None:
    pipeline = parse_pipeline("pad(2),rotate90,resize(9,4),rotate90(2),crop(3),grayscale,blur(3)")
    assert pipeline.sizes((13, 18)) == [(17, 22), (22, 17), (9, 4), (9, 4), (3, 3), (3, 3), (3, 3)]
    assert pipeline.channels(3) == [3, 3, 3, 3, 3, 1, 1]
    assert pipeline.output_shape(SHAPE) == (1, 3, 3)


@pytest.mark.parametrize(
    ("text", "step"),
    [
        ("resize(28,28)", Step("resize", (28,))),
        ("resize(8,9)", Step("resize", (8, 9))),
        ("rotate90(1)", Step("rotate90", ())),
        ("rotate90(2)", Step("rotate90", (2,))),
        ("crop(1)", Step("crop", (1,))),
        ("resize(8192)", Step("resize", (8192,))),
        ("resize_shortest(2)", Step("resize_shortest", (2,))),
        ("pad(8192)", Step("pad", (8192,))),
        ("pad(0)", Step("pad", (0,))),
        ("blur(1,0.001)", Step("blur", (1, 0.001))),
        ("blur(3,1000)", Step("blur", (3, 1000.0))),
        ("brightness(1000000)", Step("brightness", (1e6,))),
        ("normalize(-1000000,0.000001)", Step("normalize", ((-1e6,), (1e-6,)))),
        ("normalize([1,2,3],[1000000])", Step("normalize", ((1.0, 2.0, 3.0), (1e6,)))),
    ],
)
def test_arguments_are_read_up_to_their_limits(text: str, step: Step) -> None:
    assert parse_pipeline(text).steps == (step,)


@pytest.mark.parametrize(
    "text",
    [
        "resize(1)",
        "resize(8193)",
        "crop(0)",
        "crop(8193)",
        "pad(8193)",
        "rotate90(0)",
        "blur(3,0.0009)",
        "blur(3,1000.1)",
        "brightness(1000001)",
        "brightness(inf)",
        "normalize(-1000001,1)",
        "normalize(0,0.0000009)",
        "normalize(0,1000001)",
        "normalize(1000001,1)",
    ],
)
def test_arguments_beyond_their_limits_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="is not between"):
        parse_pipeline(text)


def test_a_crop_takes_the_whole_image_and_a_blur_all_that_mirrors_in_it() -> None:
    assert parse_pipeline("crop(5,6),blur(9)").output_size((5, 6)) == (5, 6)
    for text, size in [
        ("crop(5,6)", (4, 6)),
        ("crop(5,6)", (5, 5)),
        ("blur(9)", (4, 9)),
        ("blur(9)", (9, 4)),
    ]:
        with pytest.raises(UsageError, match="step 1 of 1"):
            parse_pipeline(text).output_size(size)


def test_a_padded_side_reaches_8192_pixels() -> None:
    assert parse_pipeline("pad(2)").output_size((8188, 1)) == (8192, 5)
    for size in [(8189, 1), (1, 8189)]:
        with pytest.raises(UsageError, match="the limit is 8192"):
            parse_pipeline("pad(2)").output_size(size)


def test_values_per_channel_fit_the_channels_there_are() -> None:
    assert parse_pipeline("normalize([1,2],3)").output_channels(2) == 2
    assert parse_pipeline("normalize(1,[2,3])").output_channels(2) == 2
    assert parse_pipeline("normalize(1,2)").output_channels(5) == 5
    for text in ("normalize([1,2],3)", "normalize(1,[2,3])"):
        for channels in (1, 3):
            with pytest.raises(UsageError, match=f"values for 2 channels, the image has {channels}"):
                parse_pipeline(text).output_channels(channels)


def test_grayscale_leaves_one_channel_of_a_grey_image() -> None:
    grey = IMAGES[:, :1]
    assert parse_pipeline("grayscale").output_channels(1) == 1
    torch.testing.assert_close(parse_pipeline("grayscale").apply(grey), grey / 255, rtol=0, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a", ["a"]),
        (" a , b ", ["a", "b"]),
        ("a(1,2),[3,4],b", ["a(1,2)", "[3,4]", "b"]),
        ("a([1,2],3)", ["a([1,2],3)"]),
        (",", ["", ""]),
        ("", [""]),
    ],
)
def test_commas_outside_all_brackets_part_a_text(text: str, parts: list[str]) -> None:
    assert split(text) == parts


# Ways to run


def test_floats_are_the_ones_nearest_to_the_8_bit_value_over_255() -> None:
    values = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    nearest = torch.from_numpy((np.arange(256) / 255).astype(np.float32)).view(1, 1, 16, 16)
    pipeline = parse_pipeline("hflip,hflip")
    assert torch.equal(pipeline.apply(values), nearest)
    assert torch.equal(pipeline.apply_one(values[0]), nearest[0])
    for how in EXECUTIONS:
        assert torch.equal(execute(pipeline.execution(how), values), nearest)
    assert torch.equal(parse_pipeline("hflip,hflip", dtype="uint8").apply(values), nearest)


@pytest.mark.parametrize("dtype", ["float", "uint8"])
def test_each_way_prepares_what_it_runs_on(dtype: Any) -> None:
    pipeline = parse_pipeline("hflip", dtype=dtype)
    expected = IMAGES if dtype == "uint8" else IMAGES / 255
    batched, loop, pil = (pipeline.execution(how).prepare(IMAGES) for how in ("batched", "loop", "pil"))
    assert batched.dtype == expected.dtype
    assert torch.equal(batched, expected)
    assert [image.shape for image in loop] == [SHAPE] * 4
    assert torch.equal(torch.stack(loop), expected)
    assert [(image.mode, image.size) for image in pil] == [("RGB", (18, 13))] * 4
    assert np.array_equal(np.stack(list(map(np.asarray, pil))), IMAGES.permute(0, 2, 3, 1).numpy())
    assert [image.mode for image in pipeline.execution("pil").prepare(IMAGES[:, :1])] == ["L"] * 4


def test_the_pil_way_of_a_float_pipeline_gives_what_pil_gives() -> None:
    text = "resize(7),grayscale"
    expected = parse_pipeline(text, backend="pil").apply(IMAGES)
    assert torch.equal(execute(parse_pipeline(text).execution("pil"), IMAGES), expected)
    assert torch.equal(parse_pipeline(text, backend="pil").apply_one(IMAGES[1]), expected[1])
    levels = parse_pipeline(text, dtype="uint8").apply(IMAGES)
    assert torch.equal(execute(parse_pipeline(text, backend="pil").execution("batched"), IMAGES), levels)


def seen_by_steps(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, ...]]:
    """Shapes of what "hflip" is run on from now on."""
    shapes: list[tuple[int, ...]] = []
    hflip = STEPS["hflip"]

    def run(image: Any, *rest: Any) -> Any:
        shapes.append(tuple(image.shape))
        return hflip.run(image, *rest)

    kind = StepKind("hflip", (0,), hflip.read, run, hflip.transform)
    monkeypatch.setitem(STEPS, "hflip", kind)  # type: ignore[call-overload]
    return shapes


def test_batched_runs_all_images_at_once_and_the_loop_one_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    shapes = seen_by_steps(monkeypatch)
    pipeline = parse_pipeline("hflip")
    execute(pipeline.execution("batched"), IMAGES)
    assert shapes == [(4, *SHAPE)]
    shapes.clear()
    execute(pipeline.execution("loop"), IMAGES)
    assert shapes == [SHAPE] * 4
    shapes.clear()
    pipeline.apply_one(IMAGES[0])
    assert shapes == [SHAPE]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("hflip", 3 * 13 * 18),
        ("grayscale,hflip", 3 * 13 * 18),
        ("grayscale,resize(40),hflip", 40 * 40),
        ("hflip,pad(4)", 3 * 21 * 26),
        ("resize(5),hflip", 3 * 13 * 18),
    ],
)
def test_a_chunk_is_as_many_images_as_fit_at_their_largest(
    text: str, values: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    shapes = seen_by_steps(monkeypatch)
    images = IMAGES[torch.arange(11) % 4]
    for chunk_bytes, chunks in [
        (4 * 4 * values, [4, 4, 3]),
        (4 * 4 * values - 1, [3, 3, 3, 2]),
        (1, [1] * 11),
        (10**9, [11]),
    ]:
        shapes.clear()
        monkeypatch.setattr(pipeline_module, "CHUNK_BYTES", chunk_bytes)
        assert len(parse_pipeline(text).apply(images)) == 11
        assert [shape[0] for shape in shapes] == chunks


class Largest(TorchDispatchMode):
    """Notes the size of the largest tensor that an operation makes, in bytes."""

    num_bytes = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.num_bytes = max(self.num_bytes, result.numel() * result.element_size())
        return result


def test_what_is_held_at_once_is_near_the_cache_and_not_the_size_of_the_batch() -> None:
    images = torch.zeros(400, 3, 64, 64, dtype=torch.uint8)
    with Largest() as largest:
        parse_pipeline("resize(64),grayscale,resize(4)").apply(images)
    assert 1 << 20 <= largest.num_bytes <= 8 << 20


@pytest.mark.parametrize(
    "images",
    [
        torch.zeros(2, 3, 8, 8),
        torch.zeros(2, 3, 8, 8, dtype=torch.int64),
        torch.zeros(3, 8, 8, dtype=torch.uint8),
        torch.zeros(2, 0, 8, 8, dtype=torch.uint8),
        torch.zeros(2, 3, 0, 8, dtype=torch.uint8),
        torch.zeros(2, 3, 8, 0, dtype=torch.uint8),
    ],
)
def test_only_8_bit_images_with_pixels_are_taken(images: Tensor) -> None:
    with pytest.raises(UsageError, match=r"takes uint8 images \(B, C, H, W\), not"):
        parse_pipeline("hflip").apply(images)
    with pytest.raises(UsageError, match=r"takes uint8 images \(C, H, W\), not"):
        parse_pipeline("hflip").apply_one(images[0])

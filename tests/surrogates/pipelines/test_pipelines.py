from __future__ import annotations

import pickle
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms import v2

from nnkit.errors import ConfigError, UsageError
from nnkit.surrogates.pipelines import EXECUTIONS, STEPS, Pipeline, execute, parse_pipeline
from nnkit.surrogates.pipelines import pipeline as pipeline_module

REFERENCE = "resize(28),grayscale,hflip,vflip"


def random_images(*shape: int, seed: int = 0) -> Tensor:
    return torch.randint(0, 256, shape, dtype=torch.uint8, generator=torch.Generator().manual_seed(seed))


def torchvision_reference(images: Tensor) -> Tensor:
    transform = v2.Compose(
        [
            v2.Resize((28, 28), antialias=True),
            v2.Grayscale(),
            v2.RandomHorizontalFlip(p=1),
            v2.RandomVerticalFlip(p=1),
        ]
    )
    return torch.stack([transform(image) for image in images.float() / 255])


# A length bound keeps the sizes sane: each pad adds at most 6 pixels, each resize ends at most at 24.
SIDES = st.integers(8, 24)
FACTORS = st.floats(0, 1)
MEANS, STDS = st.floats(0, 1), st.floats(0.1, 2)
STEP_TEXTS = st.one_of(
    st.sampled_from(["grayscale", "hflip", "vflip", "rotate90", "rotate90(2)", "rotate90( 3 )", "crop(8)"]),
    SIDES.map(lambda side: f"resize({side})"),
    st.tuples(SIDES, SIDES).map(lambda sides: f"resize({sides[0]},{sides[1]})"),
    SIDES.map(lambda side: f"resize_shortest({side})"),
    st.integers(0, 3).map(lambda width: f"pad({width})"),
    st.sampled_from(["blur(3)", "blur(5)", "blur(3,0.7)", "blur(7, 2.5)"]),
    st.tuples(MEANS, STDS).map(lambda values: f"normalize({values[0]},{values[1]})"),
)
PIPELINE_TEXTS = st.lists(STEP_TEXTS, min_size=1, max_size=6).map(", ".join)


def test_the_default_pipeline_is_torchvision_image_by_image():
    images = random_images(200, 3, 32, 32)
    expected = torchvision_reference(images)
    pipeline = parse_pipeline("reference")
    assert torch.equal(torch.stack([pipeline.apply_one(image) for image in images]), expected)
    assert torch.equal(execute(pipeline.execution("loop"), images), expected)
    torch.testing.assert_close(pipeline.apply(images), expected, rtol=0, atol=1e-6)


def test_a_named_pipeline_is_its_steps():
    assert parse_pipeline("reference") == parse_pipeline(REFERENCE)
    assert str(parse_pipeline(" reference ")) == REFERENCE


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("resize( 28 , 28 ) , hflip", "resize(28),hflip"),
        ("resize(20,\n 28)", "resize(20,28)"),
        ("rotate90(1)", "rotate90"),
        ("normalize([0.5,0.5,0.5],[0.2, 0.2, 0.2])", "normalize([0.5,0.5,0.5],[0.2,0.2,0.2])"),
        ("normalize([0.50],1.0)", "normalize(0.5,1)"),
        ("blur(5, 1.5),brightness(1)", "blur(5,1.5),brightness(1)"),
        ("hflip()", "hflip"),
    ],
)
def test_text_is_canonical(text: str, canonical: str):
    assert str(parse_pipeline(text)) == canonical


@settings(deadline=None)
@given(PIPELINE_TEXTS)
def test_any_pipeline_parses_back_from_its_text(text: str):
    pipeline = parse_pipeline(text)
    again = parse_pipeline(str(pipeline))
    assert again == pipeline
    assert hash(again) == hash(pipeline)
    assert str(again) == str(pipeline)
    assert pickle.loads(pickle.dumps(pipeline)) == pipeline


@settings(max_examples=40, deadline=None)
@given(PIPELINE_TEXTS, st.sampled_from([1, 3]), SIDES, SIDES)
def test_the_result_has_the_size_foretold_and_does_not_depend_on_the_batch(
    text: str, channels: int, height: int, width: int
):
    pipeline = parse_pipeline(text)
    images = random_images(3, channels, height, width)
    batched = pipeline.apply(images)
    assert batched.dtype == torch.float32
    assert tuple(batched.shape) == (3, *pipeline.output_shape((channels, height, width)))
    one_by_one = torch.stack([pipeline.apply_one(image) for image in images])
    torch.testing.assert_close(batched, one_by_one, rtol=1e-6, atol=1e-5)


@settings(max_examples=150, deadline=None)
@given(
    st.lists(STEP_TEXTS.filter(lambda text: "normalize" not in text), min_size=1, max_size=4).map(",".join),
    st.sampled_from([{}, {"dtype": "uint8"}, {"backend": "pil"}, {"antialias": False}]),
    st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)),
)
def test_images_of_any_size_are_transformed_or_a_usage_error(
    text: str, how: dict[str, str], shape: tuple[int, int, int]
):
    pipeline = parse_pipeline(text, **how)
    try:
        result = pipeline.apply(random_images(2, *shape))
    except UsageError:
        return
    assert tuple(result.shape) == (2, *pipeline.output_shape(shape))
    assert ((result >= 0) & (result <= 1.00001)).all()


def test_chunks_change_nothing(monkeypatch: pytest.MonkeyPatch):
    images = random_images(23, 3, 32, 32)
    pipeline = parse_pipeline("reference")
    whole = pipeline.apply(images)
    monkeypatch.setattr(pipeline_module, "CHUNK_BYTES", 5 * 4 * 3 * 32 * 32)
    torch.testing.assert_close(pipeline.apply(images), whole, rtol=0, atol=1e-6)


@pytest.mark.parametrize("how", EXECUTIONS)
def test_every_execution_gives_the_same_images_within_two_levels(how: str):
    images = random_images(6, 3, 32, 32)
    pipeline = parse_pipeline("reference")
    result = execute(pipeline.execution(how), images)
    torch.testing.assert_close(result, pipeline.apply(images), rtol=0, atol=2 / 255)


@pytest.mark.parametrize(
    "text", ["hflip", "crop(20,10),pad(3)", "rotate90", "rotate90(2),vflip", "rotate90(3)"]
)
@pytest.mark.parametrize("channels", [1, 3])
def test_steps_that_only_move_pixels_agree_on_floats_levels_and_pil(text: str, channels: int):
    images = random_images(4, channels, 24, 20)
    expected = parse_pipeline(text).apply(images)
    assert torch.equal(parse_pipeline(text, dtype="uint8").apply(images), expected)
    assert torch.equal(parse_pipeline(text, backend="pil").apply(images), expected)


@pytest.mark.parametrize("how", [{"dtype": "uint8"}, {"backend": "pil"}])
def test_levels_come_out_as_level_over_255(how: dict[str, str]):
    pipeline = parse_pipeline("reference", **how)
    result = pipeline.apply(random_images(5, 3, 32, 32)) * 255
    assert torch.equal(result, result.round())


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("rotate90", [[2, 4], [1, 3]]),
        ("rotate90(3)", [[3, 1], [4, 2]]),
        ("pad(1),crop(2)", [[1, 2], [3, 4]]),
        ("hflip,vflip", [[4, 3], [2, 1]]),
        ("brightness(100)", [[100, 200], [255, 255]]),
    ],
)
def test_steps_do_what_their_name_says(text: str, expected: list[list[int]]):
    image = torch.tensor([[[1, 2], [3, 4]]], dtype=torch.uint8)
    result = parse_pipeline(text).apply_one(image) * 255
    torch.testing.assert_close(result, torch.tensor([expected], dtype=torch.float32))


def test_normalize_takes_one_value_or_one_per_channel():
    images = random_images(2, 3, 4, 4)
    expected = (images / 255 - torch.tensor([0.1, 0.2, 0.3]).view(3, 1, 1)) / 0.5
    result = parse_pipeline("normalize([0.1,0.2,0.3],0.5)").apply(images)
    torch.testing.assert_close(result, expected)


def test_antialias_can_be_switched_off():
    images = random_images(4, 3, 32, 32)
    jagged = parse_pipeline("resize(12)", antialias=False).apply(images)
    expected = torch.nn.functional.interpolate(images / 255, (12, 12), mode="bilinear")
    torch.testing.assert_close(jagged, expected)
    assert not torch.allclose(jagged, parse_pipeline("resize(12)").apply(images), atol=1e-2)


@pytest.mark.parametrize("how", [{}, {"dtype": "uint8"}, {"backend": "pil"}])
def test_no_images_give_no_results_of_the_right_shape(how: dict[str, str]):
    assert parse_pipeline("reference", **how).apply(random_images(0, 3, 32, 32)).shape == (0, 1, 28, 28)


def test_the_images_given_stay_as_they_are():
    images = random_images(2, 3, 28, 28)
    before = images.clone()
    for text in ("resize(28)", "pad(0),brightness(0.5)", "resize(28),normalize(0.5,0.5)"):
        parse_pipeline(text).apply(images).zero_()
    assert torch.equal(images, before)


@pytest.mark.parametrize(
    "step",
    [
        "random-hflip",
        "random_crop(20)",
        "RandomHorizontalFlip",
        "randaugment",
        "color-jitter(0.2)",
        "ColorJitter",
        "auto_augment",
        "elastic-transform",
        "gaussian-noise",
        "hflip(p=0.5)",
    ],
)
def test_a_step_with_chance_in_it_is_refused(step: str):
    with pytest.raises(UsageError, match="no function of its input") as caught:
        parse_pipeline(f"resize(28),{step},vflip")
    assert f"step 2 of 3, '{step}'" in caught.value.message
    assert caught.value.hint


@pytest.mark.parametrize(
    ("text", "message", "hint"),
    [
        ("", "empty", "reference"),
        ("hflip,,vflip", "step 2 of 3, '': is empty", "known"),
        ("hflip,rezise(28)", "step 2 of 2, 'rezise(28)': is unknown", 'did you mean "resize"'),
        ("referense", "step 1 of 1, 'referense': is unknown", 'did you mean "reference"'),
        ("resize(28", "brackets", "needs its"),
        ("resize)28(", "brackets", "needs its"),
        ("resize", "has 0 arguments", "resize(N) or resize(H,W)"),
        ("resize(1,2,3)", "has 3 arguments", "resize(N) or resize(H,W)"),
        ("hflip(1)", "has 1 argument", "write hflip"),
        ("resize(28.0)", "'28.0' is no whole number", "resize(N)"),
        ("resize(0)", "0 is not between 2 and 8192", "resize(N)"),
        ("resize(size=28)", "'size=28' is no whole number", "resize(N)"),
        ("resize(99999999999999999999)", "is not between", "resize(N)"),
        ("pad(-1)", "-1 is not between 0", "pad(N)"),
        ("rotate90(4)", "4 is not between 1 and 3", "rotate90(TURNS)"),
        ("blur(4)", "4 is even", "blur(5)"),
        ("blur(3,0)", "0.0 is not between", "SIGMA"),
        ("brightness(-1)", "-1.0 is not between", "FACTOR"),
        ("brightness(nan)", "nan is not between", "FACTOR"),
        ("normalize(0.5)", "has 1 argument", "MEAN,STD"),
        ("normalize(0.5,0)", "0.0 is not between", "MEAN,STD"),
        ("normalize([0.5,x],1)", "'x' is no number", "MEAN,STD"),
        ("normalize([1,2],[1,2,3])", "2 means and 3 standard deviations", "each channel"),
        ("hflip vflip", "step 1 of 1, 'hflip vflip': is no step", "known"),
    ],
)
def test_a_wrong_step_is_named_with_its_position_and_what_to_write(text: str, message: str, hint: str):
    with pytest.raises(UsageError) as caught:
        parse_pipeline(text)
    assert message in caught.value.message
    assert hint in caught.value.hint


def test_all_wrong_steps_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        parse_pipeline("resise(28),grayscale,blur(2)")
    assert [mistake.path for mistake in caught.value.mistakes] == [
        "step 1 of 3, 'resise(28)'",
        "step 3 of 3, 'blur(2)'",
    ]


@settings(deadline=None)
@given(st.text(alphabet="resizhflpcopadblunm0123456789.,()[]=-_ \n", max_size=40))
def test_any_text_is_a_pipeline_or_a_usage_error(text: str):
    try:
        pipeline = parse_pipeline(text)
    except UsageError:
        return
    assert parse_pipeline(str(pipeline)) == pipeline


@pytest.mark.parametrize(
    ("text", "shape", "message", "hint"),
    [
        (
            "resize(28),crop(30)",
            (3, 32, 32),
            "step 2 of 2, 'crop(30)': the crop is larger than the image, 28×28",
            "pad(N) before it",
        ),
        (
            "crop(8,9),blur(17)",
            (3, 32, 32),
            "step 2 of 2, 'blur(17)': the kernel is too large for 8×9 pixels",
            "the largest here is blur(15)",
        ),
        (
            "hflip,grayscale",
            (4, 8, 8),
            "step 2 of 2, 'grayscale': takes images of 1 or 3 channels, not 4",
            "",
        ),
        ("brightness(1)", (2, 8, 8), "'brightness(1)': takes images of 1 or 3 channels, not 2", ""),
        (
            "grayscale,normalize([1,2,3],1)",
            (3, 8, 8),
            "has values for 3 channels, the image has 1 here",
            "one value for all",
        ),
        ("pad(8192)", (3, 8, 9), "step 1 of 1, 'pad(8192)': makes 16392×16393 pixels", ""),
    ],
)
def test_images_that_a_step_cannot_take_are_refused_with_its_position(
    text: str, shape: tuple[int, int, int], message: str, hint: str
):
    pipeline = parse_pipeline(text)
    for run in (pipeline.apply, lambda images: pipeline.apply_one(images[0])):
        with pytest.raises(UsageError) as caught:
            run(random_images(1, *shape))
        assert message in caught.value.message
        assert hint in caught.value.hint


@pytest.mark.parametrize(
    ("text", "how", "message"),
    [
        ("hflip,normalize(0.5,0.5)", {"dtype": "uint8"}, "step 2 of 2, 'normalize(0.5,0.5)': needs floats"),
        ("hflip,normalize(0.5,0.5)", {"backend": "pil"}, "step 2 of 2, 'normalize(0.5,0.5)': needs floats"),
        ("hflip", {"backend": "pil", "dtype": "float"}, "PIL computes on 8-bit values"),
        ("hflip", {"backend": "pil", "antialias": False}, "PIL always antialiases"),
        ("hflip", {"backend": "tensors"}, "'tensors' is no backend"),
        ("hflip", {"dtype": "int8"}, "'int8' is no dtype"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(text: str, how: dict[str, object], message: str):
    with pytest.raises(UsageError) as caught:
        parse_pipeline(text, **how)  # type: ignore[arg-type]
    assert message in caught.value.message
    assert caught.value.hint


def test_a_pipeline_of_floats_is_refused_as_pil_execution():
    with pytest.raises(UsageError, match="needs floats"):
        parse_pipeline("normalize(0.5,0.5)").execution("pil")


@pytest.mark.parametrize("images", [torch.rand(2, 3, 8, 8), torch.zeros(3, 8, 8, dtype=torch.uint8)])
def test_what_is_no_batch_of_levels_is_refused(images: Tensor):
    with pytest.raises(UsageError, match="takes uint8 images"):
        parse_pipeline("hflip").apply(images)


def test_pil_takes_grey_and_colour_images_only():
    with pytest.raises(UsageError, match="1 or 3 channels"):
        parse_pipeline("hflip", backend="pil").apply(random_images(1, 2, 8, 8))


def test_a_pipeline_is_a_value():
    pipeline = parse_pipeline("reference")
    assert isinstance(pipeline, Pipeline)
    assert {pipeline: 1}[parse_pipeline(REFERENCE)] == 1
    assert replace(pipeline, antialias=False) != pipeline
    assert all(pickle.loads(pickle.dumps(pipeline.execution(how))) for how in EXECUTIONS)


def test_every_kind_of_step_names_itself_in_its_usage():
    assert all(kind.usage.startswith(name) for name, kind in STEPS.items())


@pytest.mark.parametrize(
    "text",
    [
        "reference",
        "crop(20),pad(3)",
        "rotate90",
        "rotate90(2)",
        "normalize(0.5,[0.2,0.3,0.4])",
        "blur(5)",
        "blur(3,0.7)",
        "brightness(1.3)",
        "brightness(0.5)",
        "resize(20,30)",
        "rotate90,resize_shortest(20)",
    ],
)
def test_torchvisions_classes_do_what_the_steps_do(text: str):
    images = random_images(4, 3, 32, 32).float() / 255
    pipeline = parse_pipeline(text)
    torch.testing.assert_close(pipeline.transforms()(images), pipeline.run(images), rtol=0, atol=1e-6)
    torch.testing.assert_close(pipeline.transforms()(images[0]), pipeline.run(images)[0], rtol=0, atol=1e-6)


def test_a_named_pipeline_among_steps_is_refused_with_its_steps():
    with pytest.raises(UsageError, match="cannot be combined") as caught:
        parse_pipeline("reference,blur(5)")
    assert REFERENCE in caught.value.hint

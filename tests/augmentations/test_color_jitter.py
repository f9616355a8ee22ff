"""color-jitter: factors and a turn of the hue, recovered from what became of the pixels."""

from __future__ import annotations

import colorsys

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from augmentations.augmented import augmented, copies, random_images
from nnkit.build import build
from nnkit.errors import UsageError

LUMA = np.array([0.299, 0.587, 0.114])
DRAWS = 1500


def only(**settings: float) -> str:
    given = dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0.0) | settings
    return "color-jitter:" + ",".join(f"{name}={value}" for name, value in given.items())


def changed(spec: str, image: torch.Tensor) -> NDArray[np.float64]:
    return augmented(spec, copies(image, DRAWS)).numpy().astype(np.float64)


def soft_image(channels: int = 3) -> torch.Tensor:
    """Far enough from 0 and 1 that nothing is cut off."""
    return 0.35 + 0.3 * random_images(1, channels, 6, 5)[0]


def factors(results: NDArray[np.float64], image: torch.Tensor, origin: NDArray[np.float64]) -> NDArray:  # type: ignore[type-arg]
    """By how much each result is farther from `origin` than the image; the same for all its pixels."""
    distances = image.numpy().astype(np.float64) - origin
    far = np.abs(distances) > 0.02
    found: NDArray[np.float64] = ((results - origin) / np.where(far, distances, 1))[:, far]
    np.testing.assert_allclose(found, np.broadcast_to(found[:, :1], found.shape), atol=1e-3)
    return found.mean(axis=1)


def assert_uniform(values: NDArray[np.float64], low: float, high: float) -> None:
    assert low - 1e-3 <= values.min() <= low + 0.02 * (high - low)
    assert high + 1e-3 >= values.max() >= high - 0.02 * (high - low)
    assert stats.kstest(values, "uniform", (low, high - low)).pvalue > 0.001


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_brightness_multiplies_the_pixels(channels: int) -> None:
    image = soft_image(channels)
    found = factors(changed(only(brightness=0.3), image), image, np.zeros((1, 1, 1)))
    assert_uniform(found, 0.7, 1.3)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_contrast_multiplies_the_distance_from_the_mean_luma(channels: int) -> None:
    image = soft_image(channels)
    pixels = image.numpy().astype(np.float64)
    weights = LUMA if channels == 3 else np.full(channels, 1 / channels)
    mean = np.tensordot(weights, pixels, 1).mean()
    found = factors(changed(only(contrast=0.5), image), image, np.full((1, 1, 1), mean))
    assert_uniform(found, 0.5, 1.5)


def test_saturation_multiplies_the_distance_from_the_pixels_luma() -> None:
    image = soft_image()
    luma = np.tensordot(LUMA, image.numpy().astype(np.float64), 1)[None]
    assert_uniform(factors(changed(only(saturation=0.4), image), image, luma), 0.6, 1.4)


def test_hue_turns_the_circle_and_leaves_saturation_and_value() -> None:
    image = random_images(1, 3, 6, 5)[0]
    results = changed(only(hue=0.25), image)[:200]
    before = np.array([colorsys.rgb_to_hsv(*pixel) for pixel in image.flatten(1).T.tolist()])
    turns = []
    for result in results:
        after = np.array([colorsys.rgb_to_hsv(*pixel) for pixel in result.reshape(3, -1).T])
        np.testing.assert_allclose(after[:, 1:], before[:, 1:], atol=1e-4)
        turned = (after[:, 0] - before[:, 0] + 0.5) % 1 - 0.5
        np.testing.assert_allclose(turned, turned[0], atol=1e-3)
        turns.append(turned.mean())
    assert_uniform(np.array(turns), -0.25, 0.25)


def test_all_four_are_applied_in_turn_and_drawn_apart() -> None:
    image = soft_image()
    together = augmented("color-jitter:brightness=0.2,contrast=0.2,saturation=0.2,hue=0.1", copies(image, 8))
    one_by_one = copies(image, 8)
    for setting, value in (("brightness", 0.2), ("contrast", 0.2), ("saturation", 0.2), ("hue", 0.1)):
        one_by_one = augmented(only(**{setting: value}), one_by_one)
    torch.testing.assert_close(together, one_by_one)
    draws = [
        factors(changed(only(brightness=0.3), image), image, np.zeros((1, 1, 1))),
        factors(
            changed(only(saturation=0.3), image),
            image,
            np.tensordot(LUMA, image.numpy().astype(np.float64), 1)[None],
        ),
    ]
    assert abs(np.corrcoef(draws)[0, 1]) < 0.1


def test_values_are_cut_off_at_0_and_1_and_grey_images_keep_their_hue() -> None:
    images = random_images(40, 3, 5, 5)
    result = augmented("color-jitter:brightness=1,contrast=1,saturation=1,hue=0.5", images)
    assert (float(result.min()), float(result.max())) == (0.0, 1.0)
    grey = random_images(8, 1, 5, 5)
    assert torch.equal(augmented(only(saturation=1, hue=0.5), grey), grey)
    torch.testing.assert_close(
        augmented(only(saturation=1, hue=0.5), grey.expand(-1, 3, -1, -1)), grey.expand(-1, 3, -1, -1)
    )


@pytest.mark.parametrize("setting", ["brightness=1.1", "contrast=-0.1", "saturation=2", "hue=0.6"])
def test_settings_out_of_range_are_refused(setting: str) -> None:
    with pytest.raises(UsageError, match=f"expected {setting.partition('=')[0]} to be from 0 to"):
        build("augmentations", f"color-jitter:{setting}")

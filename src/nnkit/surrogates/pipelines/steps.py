"""The steps of a pipeline: how each is written, what it does, and what comes out of it."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torchvision.transforms.v2.functional as F
from torchvision.transforms import v2

from nnkit.errors import quote
from nnkit.types import Size

MAX_SIDE = 8192

Values = tuple[Any, ...]
"""A step's arguments in canonical form: whole numbers, floats, and tuples of floats (one per channel)."""


class WrongStep(Exception):
    """What is wrong with one step, before its position is known."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def _whole(text: str, low: int, high: int = MAX_SIDE) -> int:
    try:
        value = int(text)
    except ValueError:
        raise WrongStep(f"{quote(text)} is no whole number") from None
    if not low <= value <= high:
        raise WrongStep(f"{quote(value)} is not between {low} and {high}")
    return value


def _number(text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise WrongStep(f"{quote(text)} is no number") from None
    if not (math.isfinite(value) and low <= value <= high):
        raise WrongStep(f"{quote(value)} is not between {low:g} and {high:g}")
    return value


def _per_channel(text: str, low: float, high: float) -> tuple[float, ...]:
    inside = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    return tuple(_number(part, low, high) for part in split(inside))


def _read_nothing(arguments: Sequence[str]) -> Values:
    return ()


def _read_crop(arguments: Sequence[str]) -> Values:
    return _read_sides(arguments, 1)


def _read_resize(arguments: Sequence[str]) -> Values:
    # On CPUs torch 2.15 resizes wrongly to one column with antialiasing, and crashes on one uint8 pixel.
    return _read_sides(arguments, 2)


def _read_sides(arguments: Sequence[str], low: int) -> Values:
    sides = tuple(_whole(argument, low) for argument in arguments)
    return sides[:1] if len(set(sides)) == 1 else sides


def _read_padding(arguments: Sequence[str]) -> Values:
    return (_whole(arguments[0], 0),)


def _read_turns(arguments: Sequence[str]) -> Values:
    turns = tuple(_whole(argument, 1, 3) for argument in arguments)
    return () if turns == (1,) else turns


def _read_normalize(arguments: Sequence[str]) -> Values:
    mean, std = _per_channel(arguments[0], -1e6, 1e6), _per_channel(arguments[1], 1e-6, 1e6)
    if 1 < len(mean) != len(std) > 1:
        raise WrongStep(
            f"has {len(mean)} means and {len(std)} standard deviations", "give one for each channel"
        )
    return (mean, std)


def _read_blur(arguments: Sequence[str]) -> Values:
    kernel = _whole(arguments[0], 1)
    if kernel % 2 == 0:
        raise WrongStep(f"the kernel must be odd, {kernel} is even", f"write blur({kernel + 1})")
    return (kernel, *(_number(sigma, 1e-3, 1e3) for sigma in arguments[1:]))


def _read_factor(arguments: Sequence[str]) -> Values:
    return (_number(arguments[0], 0, 1e6),)


def _sides(values: Values) -> list[int]:
    return list(values) if len(values) == 2 else [values[0], values[0]]


def _resize(image: Any, values: Values, antialias: bool) -> Any:
    return F.resize(image, _sides(values), antialias=antialias)


def _resize_shortest(image: Any, values: Values, antialias: bool) -> Any:
    return F.resize(image, [values[0]], antialias=antialias)


def _grayscale(image: Any, values: Values, antialias: bool) -> Any:
    return F.rgb_to_grayscale(image, num_output_channels=1)


def _hflip(image: Any, values: Values, antialias: bool) -> Any:
    return F.horizontal_flip(image)


def _vflip(image: Any, values: Values, antialias: bool) -> Any:
    return F.vertical_flip(image)


def _crop(image: Any, values: Values, antialias: bool) -> Any:
    return F.center_crop(image, _sides(values))


def _pad(image: Any, values: Values, antialias: bool) -> Any:
    return F.pad(image, [values[0]])


def _turns(values: Values) -> int:
    return int(values[0]) if values else 1


def _rotate90(image: Any, values: Values, antialias: bool) -> Any:
    return F.rotate(image, 90 * _turns(values), expand=True)


def _normalize(image: Any, values: Values, antialias: bool) -> Any:
    return F.normalize(image, list(values[0]), list(values[1]))


def _blur(image: Any, values: Values, antialias: bool) -> Any:
    return F.gaussian_blur(image, values[0], values[1] if len(values) == 2 else None)


def _brightness(image: Any, values: Values, antialias: bool) -> Any:
    return F.adjust_brightness(image, values[0])


def _resize_class(values: Values, antialias: bool) -> v2.Transform:
    return v2.Resize(_sides(values), antialias=antialias)


def _resize_shortest_class(values: Values, antialias: bool) -> v2.Transform:
    return v2.Resize(values[0], antialias=antialias)


def _grayscale_class(values: Values, antialias: bool) -> v2.Transform:
    return v2.Grayscale()


def _hflip_class(values: Values, antialias: bool) -> v2.Transform:
    return v2.RandomHorizontalFlip(p=1)


def _vflip_class(values: Values, antialias: bool) -> v2.Transform:
    return v2.RandomVerticalFlip(p=1)


def _crop_class(values: Values, antialias: bool) -> v2.Transform:
    return v2.CenterCrop(_sides(values))


def _pad_class(values: Values, antialias: bool) -> v2.Transform:
    return v2.Pad(values[0])


def _rotate90_class(values: Values, antialias: bool) -> v2.Transform:
    degrees = 90 * _turns(values)
    return v2.RandomRotation((degrees, degrees), expand=True)


def _normalize_class(values: Values, antialias: bool) -> v2.Transform:
    return v2.Normalize(list(values[0]), list(values[1]))


def _blur_class(values: Values, antialias: bool) -> v2.Transform:
    kernel = values[0]
    return v2.GaussianBlur(kernel, values[1] if len(values) == 2 else 0.15 * kernel + 0.35)


def _brightness_class(values: Values, antialias: bool) -> v2.Transform:
    return v2.ColorJitter(brightness=(values[0], values[0]))


def _same_size(values: Values, size: Size) -> Size:
    return size


def _size_as_given(values: Values, size: Size) -> Size:
    height, width = _sides(values)
    return height, width


def _shortest_as_given(values: Values, size: Size) -> Size:
    """The shorter side as given, the longer one in proportion and rounded down, as torchvision has it."""
    side, longer = values[0], int(values[0] * max(size) / min(size))
    if longer > MAX_SIDE:
        raise WrongStep(f"makes a side of {longer} pixels of {size[0]}×{size[1]}, the limit is {MAX_SIDE}")
    return (side, longer) if size[0] <= size[1] else (longer, side)


def _cropped_size(values: Values, size: Size) -> Size:
    height, width = _sides(values)
    if height > size[0] or width > size[1]:
        raise WrongStep(
            f"the crop is larger than the image, {size[0]}×{size[1]} here", "crop less, or pad(N) before it"
        )
    return height, width


def _padded_size(values: Values, size: Size) -> Size:
    height, width = (side + 2 * values[0] for side in size)
    if max(height, width) > MAX_SIDE:
        raise WrongStep(f"makes {height}×{width} pixels, the limit is {MAX_SIDE} a side")
    return height, width


def _turned_size(values: Values, size: Size) -> Size:
    return (size[1], size[0]) if _turns(values) % 2 else size


def _blurred_size(values: Values, size: Size) -> Size:
    # torchvision mirrors the image at its border, which needs more pixels than it mirrors.
    if values[0] // 2 >= min(size):
        raise WrongStep(
            f"the kernel is too large for {size[0]}×{size[1]} pixels",
            f"the largest here is blur({2 * min(size) - 1})",
        )
    return size


def _same_channels(values: Values, channels: int) -> int:
    return channels


def _grey_channels(values: Values, channels: int) -> int:
    _one_or_three(values, channels)
    return 1


def _one_or_three(values: Values, channels: int) -> int:
    if channels not in (1, 3):
        raise WrongStep(f"takes images of 1 or 3 channels, not {channels}")
    return channels


def _normalized_channels(values: Values, channels: int) -> int:
    given = max(len(values[0]), len(values[1]))
    if given not in (1, channels):
        # torchvision would broadcast one channel to several without a word.
        raise WrongStep(
            f"has values for {given} channels, the image has {channels} here", "give one value for all"
        )
    return channels


@dataclass(frozen=True)
class StepKind:
    """One kind of step: how it is written, how many arguments it takes, what it does, what comes out.

    `transform` makes torchvision's own class for the step, which `run` calls the function of.
    """

    usage: str
    arity: tuple[int, ...]
    read: Callable[[Sequence[str]], Values]
    run: Callable[[Any, Values, bool], Any]
    transform: Callable[[Values, bool], v2.Transform]
    size: Callable[[Values, Size], Size] = _same_size
    channels: Callable[[Values, int], int] = _same_channels
    needs_float: bool = False


STEPS: Mapping[str, StepKind] = {
    "resize": StepKind(
        "resize(N) or resize(H,W), whatever the proportions, or resize_shortest(N), which keeps them",
        (1, 2),
        _read_resize,
        _resize,
        _resize_class,
        size=_size_as_given,
    ),
    "resize_shortest": StepKind(
        "resize_shortest(N)",
        (1,),
        _read_resize,
        _resize_shortest,
        _resize_shortest_class,
        size=_shortest_as_given,
    ),
    "grayscale": StepKind(
        "grayscale", (0,), _read_nothing, _grayscale, _grayscale_class, channels=_grey_channels
    ),
    "hflip": StepKind("hflip", (0,), _read_nothing, _hflip, _hflip_class),
    "vflip": StepKind("vflip", (0,), _read_nothing, _vflip, _vflip_class),
    "crop": StepKind("crop(N) or crop(H,W)", (1, 2), _read_crop, _crop, _crop_class, size=_cropped_size),
    "pad": StepKind("pad(N)", (1,), _read_padding, _pad, _pad_class, size=_padded_size),
    "rotate90": StepKind(
        "rotate90 or rotate90(TURNS)", (0, 1), _read_turns, _rotate90, _rotate90_class, size=_turned_size
    ),
    "normalize": StepKind(
        "normalize(MEAN,STD), each a number or a list such as [0.5,0.5,0.5]",
        (2,),
        _read_normalize,
        _normalize,
        _normalize_class,
        channels=_normalized_channels,
        needs_float=True,
    ),
    "blur": StepKind(
        "blur(KERNEL) or blur(KERNEL,SIGMA)", (1, 2), _read_blur, _blur, _blur_class, size=_blurred_size
    ),
    "brightness": StepKind(
        "brightness(FACTOR)", (1,), _read_factor, _brightness, _brightness_class, channels=_one_or_three
    ),
}
"""Every step. `resize` is bilinear, to exactly the size named; `resize_shortest` brings the shorter side to N
and keeps the proportions, as torchvision's `Resize(N)` does; `crop` takes the middle; `pad` adds zeros on all
sides; `rotate90` turns against the clock; `blur` is Gaussian (without SIGMA: 0.15 × KERNEL + 0.35);
`brightness` multiplies and then clamps to [0, 1]."""


@dataclass(frozen=True)
class Step:
    """One step of a pipeline, as `parse_pipeline` reads it: a name of `STEPS` and canonical arguments."""

    name: str
    values: Values = ()

    def __str__(self) -> str:
        return self.name + (f"({','.join(map(_text, self.values))})" if self.values else "")

    @property
    def kind(self) -> StepKind:
        """What this step is, from the table."""
        return STEPS[self.name]


def _text(value: float | tuple[float, ...]) -> str:
    if isinstance(value, tuple):
        return _text(value[0]) if len(value) == 1 else f"[{','.join(map(_text, value))}]"
    return repr(value).removesuffix(".0")


def split(text: str) -> list[str]:
    """The parts of `text` between the commas outside all brackets."""
    parts, depth, start = [], 0, 0
    for index, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        if depth < 0:
            break
        if character == "," and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    if depth != 0:
        raise WrongStep("its brackets do not match", "each ( and [ needs its ) and ]")
    return [*parts, text[start:].strip()]

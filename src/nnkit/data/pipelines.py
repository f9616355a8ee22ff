"""Pipelines of image transforms: read from text, run by torchvision.

A pipeline makes the targets of a transform task, so each of its steps always does the same to an image: a
step with chance in it is refused. The text is a named pipeline (`reference`) or steps between commas:
`resize(28),grayscale,hflip,vflip`. `STEPS` lists the steps.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, Protocol, get_args

import torch
import torchvision.transforms.v2.functional as F
from torch import Tensor

from nnkit.errors import ConfigError, Mistake, UsageError, did_you_mean, quote
from nnkit.types import Size

Shape = tuple[int, int, int]
"""Channels, height, width."""
DType = Literal["float", "uint8"]
Backend = Literal["tensor", "pil"]
How = Literal["batched", "loop", "pil"]

PIPELINES: Mapping[str, str] = {"reference": "resize(28),grayscale,hflip,vflip"}

MAX_SIDE = 8192
CHUNK_BYTES = 4 << 20  # of the largest intermediate: near the cache, twice as fast on a CPU as 64 MiB

Values = tuple[Any, ...]
"""A step's arguments in canonical form: whole numbers, floats, and tuples of floats (one per channel)."""


class _Wrong(Exception):
    """What is wrong with one step, before its position is known."""

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


def _whole(text: str, low: int, high: int = MAX_SIDE) -> int:
    try:
        value = int(text)
    except ValueError:
        raise _Wrong(f"{quote(text)} is no whole number") from None
    if not low <= value <= high:
        raise _Wrong(f"{quote(value)} is not between {low} and {high}")
    return value


def _number(text: str, low: float, high: float) -> float:
    try:
        value = float(text)
    except ValueError:
        raise _Wrong(f"{quote(text)} is no number") from None
    if not (math.isfinite(value) and low <= value <= high):
        raise _Wrong(f"{quote(value)} is not between {low:g} and {high:g}")
    return value


def _per_channel(text: str, low: float, high: float) -> tuple[float, ...]:
    inside = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    return tuple(_number(part, low, high) for part in _split(inside))


def _read_nothing(arguments: Sequence[str]) -> Values:
    return ()


def _read_crop(arguments: Sequence[str]) -> Values:
    return _read_sides(arguments, 1)


def _read_resize(arguments: Sequence[str]) -> Values:
    # On CPUs torch 2.15 resizes wrongly to one column with antialiasing, and crashes on one pixel of levels.
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
        raise _Wrong(f"has {len(mean)} means and {len(std)} standard deviations", "give one for each channel")
    return (mean, std)


def _read_blur(arguments: Sequence[str]) -> Values:
    kernel = _whole(arguments[0], 1)
    if kernel % 2 == 0:
        raise _Wrong(f"the kernel must be odd, {kernel} is even", f"write blur({kernel + 1})")
    return (kernel, *(_number(sigma, 1e-3, 1e3) for sigma in arguments[1:]))


def _read_factor(arguments: Sequence[str]) -> Values:
    return (_number(arguments[0], 0, 1e6),)


def _sides(values: Values) -> list[int]:
    return list(values) if len(values) == 2 else [values[0], values[0]]


def _resize(image: Any, values: Values, antialias: bool) -> Any:
    return F.resize(image, _sides(values), antialias=antialias)


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


def _same_size(values: Values, size: Size) -> Size:
    return size


def _size_as_given(values: Values, size: Size) -> Size:
    height, width = _sides(values)
    return height, width


def _cropped_size(values: Values, size: Size) -> Size:
    height, width = _sides(values)
    if height > size[0] or width > size[1]:
        raise _Wrong(
            f"the crop is larger than the image, {size[0]}×{size[1]} here", "crop less, or pad(N) before it"
        )
    return height, width


def _padded_size(values: Values, size: Size) -> Size:
    height, width = (side + 2 * values[0] for side in size)
    if max(height, width) > MAX_SIDE:
        raise _Wrong(f"makes {height}×{width} pixels, the limit is {MAX_SIDE} a side")
    return height, width


def _turned_size(values: Values, size: Size) -> Size:
    return (size[1], size[0]) if _turns(values) % 2 else size


def _blurred_size(values: Values, size: Size) -> Size:
    # torchvision mirrors the image at its border, which needs more pixels than it mirrors.
    if values[0] // 2 >= min(size):
        raise _Wrong(
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
        raise _Wrong(f"takes images of 1 or 3 channels, not {channels}")
    return channels


def _normalized_channels(values: Values, channels: int) -> int:
    given = max(len(values[0]), len(values[1]))
    if given not in (1, channels):
        # torchvision would broadcast one channel to several without a word.
        raise _Wrong(
            f"has values for {given} channels, the image has {channels} here", "give one value for all"
        )
    return channels


@dataclass(frozen=True)
class StepKind:
    """One kind of step: how it is written, how many arguments it takes, what it does, what comes out."""

    usage: str
    arity: tuple[int, ...]
    read: Callable[[Sequence[str]], Values]
    run: Callable[[Any, Values, bool], Any]
    size: Callable[[Values, Size], Size] = _same_size
    channels: Callable[[Values, int], int] = _same_channels
    needs_float: bool = False


STEPS: Mapping[str, StepKind] = {
    "resize": StepKind("resize(N) or resize(H,W)", (1, 2), _read_resize, _resize, size=_size_as_given),
    "grayscale": StepKind("grayscale", (0,), _read_nothing, _grayscale, channels=_grey_channels),
    "hflip": StepKind("hflip", (0,), _read_nothing, _hflip),
    "vflip": StepKind("vflip", (0,), _read_nothing, _vflip),
    "crop": StepKind("crop(N) or crop(H,W)", (1, 2), _read_crop, _crop, size=_cropped_size),
    "pad": StepKind("pad(N)", (1,), _read_padding, _pad, size=_padded_size),
    "rotate90": StepKind("rotate90 or rotate90(TURNS)", (0, 1), _read_turns, _rotate90, size=_turned_size),
    "normalize": StepKind(
        "normalize(MEAN,STD), each a number or a list such as [0.5,0.5,0.5]",
        (2,),
        _read_normalize,
        _normalize,
        channels=_normalized_channels,
        needs_float=True,
    ),
    "blur": StepKind("blur(KERNEL) or blur(KERNEL,SIGMA)", (1, 2), _read_blur, _blur, size=_blurred_size),
    "brightness": StepKind("brightness(FACTOR)", (1,), _read_factor, _brightness, channels=_one_or_three),
}
"""Every step. `resize` is bilinear, to exactly the size named; `crop` takes the middle; `pad` adds zeros on
all sides; `rotate90` turns against the clock; `blur` is Gaussian (without SIGMA: 0.15 × KERNEL + 0.35);
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


@dataclass(frozen=True)
class Pipeline:
    """Steps, and how they are computed; `str()` gives the steps as text that `parse_pipeline` reads back.

    `dtype`: "float" computes on float32 images, level / 255; "uint8" on 8-bit levels, with torchvision's
    rounding after each step. `backend`: "tensor", or "pil" for PIL images one by one, which are always 8-bit
    and always antialiased. `antialias` is for `resize` on tensors. Results are float32 whatever the dtype;
    levels come out as level / 255. Raises `UsageError` where these do not go together.
    """

    steps: tuple[Step, ...]
    dtype: DType = "float"
    antialias: bool = True
    backend: Backend = "tensor"

    def __post_init__(self) -> None:
        _check_choice("dtype", self.dtype, get_args(DType))
        _check_choice("backend", self.backend, get_args(Backend))
        if self.backend == "pil" and self.dtype != "uint8":
            raise UsageError(
                "PIL computes on 8-bit levels, not floats", hint="set dtype=uint8 or backend=tensor"
            )
        if self.backend == "pil" and not self.antialias:
            raise UsageError("PIL always antialiases", hint="set antialias=true or backend=tensor")
        if self.dtype == "uint8":
            for position, step in enumerate(self.steps):
                if step.kind.needs_float:
                    raise UsageError(
                        f"{self._place(position)}: needs floats, this pipeline computes on 8-bit levels",
                        hint=f"set dtype=float and backend=tensor, or leave {step.name} out",
                    )

    def __str__(self) -> str:
        return ",".join(map(str, self.steps))

    def _place(self, position: int) -> str:
        return _place(position, len(self.steps), str(self.steps[position]))

    def sizes(self, size: Size) -> list[Size]:
        """Height × width after each step, from an image of `size`; `UsageError` where a step cannot run."""
        sizes = []
        for position, step in enumerate(self.steps):
            try:
                size = step.kind.size(step.values, size)
            except _Wrong as wrong:
                raise UsageError(f"{self._place(position)}: {wrong.message}", hint=wrong.hint) from None
            sizes.append(size)
        return sizes

    def channels(self, num_channels: int) -> list[int]:
        """Channels after each step; `UsageError` names a step that cannot take them."""
        channels = []
        for position, step in enumerate(self.steps):
            try:
                num_channels = step.kind.channels(step.values, num_channels)
            except _Wrong as wrong:
                raise UsageError(f"{self._place(position)}: {wrong.message}", hint=wrong.hint) from None
            channels.append(num_channels)
        return channels

    def output_size(self, size: Size) -> Size:
        """Height × width of the result for an image of `size`."""
        return self.sizes(size)[-1]

    def output_channels(self, num_channels: int) -> int:
        """Channels of the result for an image of `num_channels`."""
        return self.channels(num_channels)[-1]

    def output_shape(self, shape: Shape) -> Shape:
        """(C', H', W') of the result for an image (C, H, W); `UsageError` where a step cannot run."""
        return (self.output_channels(shape[0]), *self.output_size(shape[1:]))

    def run(self, image: Any) -> Any:
        """The steps alone, on what they compute on: a tensor (..., C, H, W) of any dtype, or a PIL image.

        Nothing is checked or converted, and the result may share the input's memory where no step changes it.
        """
        for step in self.steps:
            image = step.kind.run(image, step.values, self.antialias)
        return image

    def execution(self, how: How) -> Execution:
        """A way to run these steps: "batched" or "loop" on tensors of this dtype, "pil" on 8-bit PIL images.

        Raises `UsageError` where the steps cannot run that way.
        """
        if how == "pil":
            return PilLoop(replace(self, backend="pil", dtype="uint8"))
        return EXECUTIONS[how](replace(self, backend="tensor"))

    def apply(self, images: Tensor) -> Tensor:
        """What the pipeline makes of uint8 images (B, C, H, W): float32 (B, C', H', W').

        Batched, in chunks that bound the memory. On floats a result may depend on the batch by float32
        rounding (measured on a CPU: not at all). Raises `UsageError` for other tensors and for images that a
        step cannot take.
        """
        _check_images(images, 4)
        shape = (images.shape[1], images.shape[2], images.shape[3])
        output_shape = self.output_shape(shape)
        if len(images) == 0:
            return torch.zeros(0, *output_shape, device=images.device)
        execution = self.execution("pil" if self.backend == "pil" else "batched")
        return torch.cat(
            [execute(execution, chunk) for chunk in torch.split(images, self._chunk_length(shape))]
        )

    def apply_one(self, image: Tensor) -> Tensor:
        """What the pipeline makes of one uint8 image (C, H, W), without a batch: float32 (C', H', W')."""
        _check_images(image, 3)
        self.output_shape((image.shape[0], image.shape[1], image.shape[2]))
        return execute(self.execution("pil" if self.backend == "pil" else "loop"), image[None])[0]

    def _chunk_length(self, shape: Shape) -> int:
        sizes, channels = [shape[1:], *self.sizes(shape[1:])], [shape[0], *self.channels(shape[0])]
        largest = max(c * h * w for c, (h, w) in zip(channels, sizes, strict=True))
        return max(1, CHUNK_BYTES // (4 * largest))


class Execution(Protocol):
    """One way to run a pipeline, in three parts so that the middle one can be timed alone."""

    def prepare(self, images: Tensor) -> Any:
        """From uint8 images (B, C, H, W) to what this way runs on."""
        ...

    def run(self, inputs: Any) -> Any:
        """The steps alone."""
        ...

    def collect(self, outputs: Any) -> Tensor:
        """From what `run` gave to float32 (B, C', H', W')."""
        ...


@dataclass(frozen=True)
class Batched:
    """The steps on a whole batch: a tensor (B, C, H, W) in, one out."""

    pipeline: Pipeline

    def prepare(self, images: Tensor) -> Tensor:
        """The batch in the pipeline's dtype: float32 in [0, 1], or uint8."""
        return _to_input(images, self.pipeline.dtype)

    def run(self, inputs: Tensor) -> Tensor:
        """The steps on the batch."""
        result: Tensor = self.pipeline.run(inputs)
        return result

    def collect(self, outputs: Tensor) -> Tensor:
        """The result as float32."""
        return _to_float(outputs)


@dataclass(frozen=True)
class Loop:
    """The steps image by image: a list of tensors (C, H, W) in, one out."""

    pipeline: Pipeline

    def prepare(self, images: Tensor) -> list[Tensor]:
        """The images in the pipeline's dtype: float32 in [0, 1], or uint8."""
        return list(_to_input(images, self.pipeline.dtype))

    def run(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        """The steps on each image."""
        return [self.pipeline.run(image) for image in inputs]

    def collect(self, outputs: Sequence[Tensor]) -> Tensor:
        """The results stacked, as float32."""
        return _to_float(torch.stack(list(outputs)))


@dataclass(frozen=True)
class PilLoop:
    """The steps image by image on PIL images: a list of them in, one out."""

    pipeline: Pipeline

    def prepare(self, images: Tensor) -> list[Any]:
        """The images as PIL images, grey or RGB."""
        if images.shape[1] not in (1, 3):
            raise UsageError(
                f"PIL takes images of 1 or 3 channels here, not {images.shape[1]}", hint="set backend=tensor"
            )
        return [F.to_pil_image(image) for image in images.cpu()]

    def run(self, inputs: Sequence[Any]) -> list[Any]:
        """The steps on each image."""
        return [self.pipeline.run(image) for image in inputs]

    def collect(self, outputs: Sequence[Any]) -> Tensor:
        """The results stacked, as level / 255."""
        return _to_float(torch.stack([F.pil_to_tensor(image) for image in outputs]))


EXECUTIONS: Mapping[str, Callable[[Pipeline], Execution]] = {"batched": Batched, "loop": Loop, "pil": PilLoop}


def execute(execution: Execution, images: Tensor) -> Tensor:
    """All three parts of an execution: uint8 (B, C, H, W) with B ≥ 1 to float32 (B, C', H', W')."""
    return execution.collect(execution.run(execution.prepare(images)))


def _to_input(images: Tensor, dtype: DType) -> Tensor:
    if dtype == "uint8":
        return images
    return _to_float(images)


def _to_float(images: Tensor) -> Tensor:
    # Divided, for the float nearest to level / 255; a product with 1 / 255 is off by one rounding.
    return images.float().div_(255) if images.dtype == torch.uint8 else images


def _check_images(images: Tensor, ndim: int) -> None:
    if images.dtype != torch.uint8 or images.ndim != ndim or 0 in images.shape[-3:]:
        wanted = "(B, C, H, W)" if ndim == 4 else "(C, H, W)"
        raise UsageError(
            f"a pipeline takes uint8 images {wanted}, not {images.dtype} of shape {tuple(images.shape)}",
            hint="floats in [0, 1] become levels by (images * 255).round().to(torch.uint8)",
        )


def _check_choice(name: str, value: object, known: Sequence[str]) -> None:
    if value not in known:
        raise UsageError(f"{quote(value)} is no {name}", hint=did_you_mean(str(value), known))


def parse_pipeline(
    text: str, *, dtype: DType | None = None, antialias: bool = True, backend: Backend = "tensor"
) -> Pipeline:
    """Read a pipeline: a name of `PIPELINES`, or steps between commas.

    `dtype` None is what the backend computes in: float for tensors, uint8 for PIL. Raises `UsageError` that
    names each wrong step and its position; several mistakes are reported at once.
    """
    steps: list[Step] = []
    mistakes: list[Mistake] = []
    pieces = _pieces(PIPELINES.get(text.strip(), text))
    for position, piece in enumerate(pieces):
        try:
            steps.append(_read_step(piece, alone=len(pieces) == 1))
        except _Wrong as wrong:
            mistakes.append(Mistake(_place(position, len(pieces), piece), wrong.message, wrong.hint))
    if len(mistakes) == 1:
        raise UsageError(f"{mistakes[0].path}: {mistakes[0].message}", hint=mistakes[0].hint)
    if mistakes:
        raise ConfigError(mistakes)
    default: DType = "uint8" if backend == "pil" else "float"
    return Pipeline(tuple(steps), dtype=dtype or default, antialias=antialias, backend=backend)


def _pieces(text: str) -> list[str]:
    if not text.strip():
        raise UsageError(
            "the pipeline is empty", hint=f"write reference, or steps such as {PIPELINES['reference']}"
        )
    try:
        return _split(text)
    except _Wrong as wrong:
        raise UsageError(f"pipeline {quote(text)}: {wrong.message}", hint=wrong.hint) from None


def _split(text: str) -> list[str]:
    """The parts of `text` between the commas that stand outside all brackets."""
    parts, depth, start = [], 0, 0
    for index, character in enumerate(text):
        depth += (character in "([") - (character in ")]")
        if depth < 0:
            break
        if character == "," and depth == 0:
            parts.append(text[start:index].strip())
            start = index + 1
    if depth != 0:
        raise _Wrong("its brackets do not match", "each ( and [ needs its ) and ]")
    return [*parts, text[start:].strip()]


def _place(position: int, num_steps: int, text: str) -> str:
    return f"step {position + 1} of {num_steps}, {quote(text)}"


def _read_step(text: str, *, alone: bool) -> Step:
    match = re.fullmatch(r"([^()\[\]\s]+)\s*(?:\((.*)\))?", text, re.DOTALL)
    if match is None:
        raise _Wrong("is no step" if text else "is empty", "known: " + ", ".join(STEPS))
    name, inside = match[1], (match[2] or "").strip()
    _refuse_chance(name, inside)
    if name not in STEPS:
        raise _Wrong("is unknown", did_you_mean(name, [*STEPS, *(PIPELINES if alone else ())]))
    kind = STEPS[name]
    arguments = _split(inside) if inside else []
    if len(arguments) not in kind.arity:
        plural = "" if len(arguments) == 1 else "s"
        raise _Wrong(f"has {len(arguments)} argument{plural}", f"write {kind.usage}")
    try:
        return Step(name, kind.read(arguments))
    except _Wrong as wrong:
        raise _Wrong(wrong.message, wrong.hint or f"write {kind.usage}") from None


_CHANCE = re.compile(
    r"rand.*|.*jitter|(auto|trivial)augment.*|augmix|mixup|cutmix|elastic.*|.*noise|.*dropout|erasing"
)


def _refuse_chance(name: str, inside: str) -> None:
    if _CHANCE.fullmatch(re.sub(r"[-_]", "", name).lower()):
        raise _Wrong(
            "is random, so its target is no function of its input",
            "every step of a pipeline always does the same: " + ", ".join(STEPS),
        )
    if re.match(r"p\s*=", inside):
        raise _Wrong(
            "is applied by chance, so its target is no function of its input",
            f"a step is always applied: write {name} without p",
        )

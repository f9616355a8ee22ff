"""What every room may name: batches, splits, results of training, and the component protocols.

Shapes: B images in a batch, N in a split, C channels, H × W pixels (rows × columns), F features, K classes.
Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from nnkit.errors import UsageError, quote

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

    from nnkit.data.images import Images

Task = Literal["classification", "transform"]
Size = tuple[int, int]
"""Height × width in pixels."""

SPLITS = ("train", "val", "test")

Leftovers = Literal["keep", "drop", "merge"]
PadTo = Literal["bucket", "batch"]
Fit = Literal["pad", "resize"]


@dataclass(frozen=True)
class Batch:
    """What one step of training or evaluation sees.

    `inputs` is float (B, C, H, W), normalised as the model wants it. `targets` is int64 (B,) class indices or
    float (B, C, H, W) images in [0, 1]. `indices` is int64 (B,), positions in the split. `mask` is bool
    (B, 1, H, W), true where a padded batch holds image, at the top left; None where every pixel does. Outside
    it the inputs are 0, also after normalisation. `own_size` is the height and width that all its images had
    before they were resized or padded; None where that differs.
    """

    inputs: Tensor
    targets: Tensor
    indices: np.ndarray
    mask: Tensor | None = None
    own_size: Size | None = None


@dataclass(frozen=True)
class Split:
    """Some of the images of a source: `indices` (N,) picks rows of `images` and of `targets`.

    `targets` is int64 (M,) or float (M, C, H, W) for the M images of the source. Splits of one source share
    its memory.
    """

    images: Images
    targets: Tensor
    indices: np.ndarray

    def __len__(self) -> int:
        return len(self.indices)

    @property
    def sizes(self) -> np.ndarray:
        """Height and width of each image of the split, int64 (N, 2)."""
        sizes: np.ndarray = self.images.sizes[self.indices]
        return sizes

    @property
    def own_sizes(self) -> np.ndarray:
        """Height and width of each image before it was resized or padded, int64 (N, 2)."""
        sizes: np.ndarray = self.images.own_sizes[self.indices]
        return sizes

    def sample(self, num_images: int) -> Split:
        """At most `num_images` of the split, evenly spaced: a folder's first images are all of one class."""
        step = max(1.0, len(self) / num_images)
        places = [int(place * step) for place in range(min(num_images, len(self)))]
        return Split(self.images, self.targets, self.indices[places])


@dataclass(frozen=True)
class Bucketing:
    """How images of several sizes share batches in training; each size by itself unless told otherwise.

    With a `tolerance`, sizes share a bucket whose sides exceed no member's by more than that share (0.1: ten
    per cent). `max_buckets` makes at most so many, chosen so that little is padded. `max_pixels` bounds the
    pixels of a batch, padding included, beside the batch size. `leftovers`, the images that fill no batch
    of their bucket, are kept as short batches ("keep"), left out of the epoch ("drop") or put with the next
    larger bucket ("merge"). `pad_to`: a batch has its bucket's shape ("bucket") or the smallest that holds
    its own images ("batch"), for which images of near sizes are put together. `fit`: an image is brought to
    its bucket's shape with zeros and a mask ("pad") or resized, by antialiased bilinear ("resize"), which
    goes with neither leftovers=merge nor pad_to=batch.

    `UsageError` for values out of range, or that do not go together.
    """

    tolerance: float = 0.0
    max_buckets: int | None = None
    max_pixels: int | None = None
    leftovers: Leftovers = "keep"
    pad_to: PadTo = "bucket"
    fit: Fit = "pad"

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < float("inf"):
            raise UsageError(f"tolerance={quote(self.tolerance)}: expected a number from 0 on, such as 0.1")
        for name, value in (("max_buckets", self.max_buckets), ("max_pixels", self.max_pixels)):
            if value is not None and value < 1:
                raise UsageError(f"{name}={quote(value)}: expected a whole number from 1 on")
        if self.fit == "resize":
            self._check_resize()

    def _check_resize(self) -> None:
        if self.leftovers == "merge" or self.pad_to == "batch":
            setting = "leftovers=merge" if self.leftovers == "merge" else "pad_to=batch"
            raise UsageError(
                f"fit=resize brings each image to its own bucket's shape once: {setting} asks for another",
                hint=f"leave out {setting}, or fit=resize",
            )
        if not self.shares_buckets:
            raise UsageError(
                "fit=resize has nothing to do where each size is a bucket by itself",
                hint="give a tolerance or max_buckets, or leave out fit=resize",
            )

    @property
    def shares_buckets(self) -> bool:
        """Whether images of different sizes may be put into one bucket."""
        return self.tolerance > 0 or self.max_buckets is not None


EXACT_SIZES = Bucketing()


@dataclass(frozen=True)
class Data:
    """A loaded dataset: its splits and what a component may want to know of it.

    `image_size` is None where sizes differ within a split. `mean` and `std` are per channel, of inputs in
    [0, 1]; the model is fed (input - mean) / std. For a transform task they stay 0 and 1. `bucketing` says
    how images of several sizes share the batches of training.
    """

    task: Task
    splits: Mapping[str, Split]
    in_channels: int
    image_size: Size | None
    class_names: tuple[str, ...] = ()
    target_channels: int | None = None
    target_size: Size | None = None
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    notes: tuple[str, ...] = ()
    bucketing: Bucketing = EXACT_SIZES

    def known_settings(self) -> dict[str, Any]:
        """The settings that this dataset fills in for models, losses and stopping rules."""
        known: dict[str, Any] = {"in_channels": self.in_channels, "image_size": self.image_size}
        if self.task == "classification":
            known["num_classes"] = len(self.class_names)
        else:
            known |= {"target_channels": self.target_channels, "target_size": self.target_size}
        return known


@dataclass(frozen=True)
class DataPlace:
    """Where a dataset may look and write: the data root (read only), the cache, and whether to download."""

    root: Path
    cache: Path
    download: bool = False


@dataclass(frozen=True)
class StepResult:
    """One optimizer step. `loss`, per image, is a scalar tensor on its device: reading it synchronises.

    `learning_rate` is the one that the step used; the schedule has moved on since.
    """

    epoch: int
    step: int
    loss: Tensor
    num_images: int
    learning_rate: float


@dataclass(frozen=True)
class EpochResult:
    """One epoch, counted from 1. Not-a-number in `metrics` means that the value could not be computed.

    `metrics` holds `train_loss`, `val_loss` and the task's metrics as `train_*` and `val_*`; `by_resolution`
    maps "32x32" (the images' own height × width) to the validation metrics of those images; `validation`
    holds all validation metrics as `nnkit evaluate` names them. `images_per_s` counts training images over
    `train_s`; `data_wait_s` is the part of it spent waiting for batches. `learning_rate` is the last step's.
    """

    epoch: int
    step: int
    metrics: Mapping[str, float]
    learning_rate: float = 0.0
    by_resolution: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    validation: Mapping[str, Any] = field(default_factory=dict)
    train_s: float = 0.0
    data_wait_s: float = 0.0
    seconds: float = 0.0
    images_per_s: float = 0.0


# The component protocols. Each entry-point group has one; a plain class that fits is a component.


@runtime_checkable
class Dataset(Protocol):
    """Group `nnkit.datasets`: says its task and usual model, and loads its splits."""

    task: Task
    default_model: str

    def load(self, place: DataPlace) -> Data:
        """Read or make the data; `DataError` where it is missing or damaged."""
        ...


@runtime_checkable
class Model(Protocol):
    """Group `nnkit.models`: an `nn.Module`, (B, C, H, W) to (B, K) logits or to (B, C, H, W) images."""

    def forward(self, inputs: Tensor) -> Tensor:
        """Map a batch of inputs to a batch of outputs."""
        ...


@runtime_checkable
class ClosedFormModel(Model, Protocol):
    """What a model may have beside `forward`: a fit without gradients, for `nnkit train --solver als`.

    `closed_form_images` is how many training images the fit asks for; it may get fewer.
    """

    closed_form_images: int

    def fit_closed_form(self, inputs: Tensor, targets: Tensor) -> Mapping[str, Any]:
        """Set the weights to those of the least squared error over float images (N, C, H, W) on the CPU.

        What it returns, as JSON values, stands in the run's summary beside `solver_s`; `notes`, a list of
        sentences, are also logged. `UsageError` where its settings leave it no closed form.
        """
        ...


@runtime_checkable
class PreparedModel(Model, Protocol):
    """What a model may have beside `forward`: a look at training images before gradients change anything.

    It chooses what gradients cannot, such as which entries of a matrix it keeps.
    """

    def prepare_for_training(self, inputs: Tensor, targets: Tensor) -> Mapping[str, Any]:
        """Choose by training images, float (N, C, H, W) on the CPU; returns what `fit_closed_form` does."""
        ...


@runtime_checkable
class Pooling(Protocol):
    """Group `nnkit.poolings`: an `nn.Module`, (B, C, H, W) to (B, F).

    F is C unless the class has `num_features(num_channels)`. A pooling that takes a second argument `mask`,
    bool (B, 1, H, W), leaves out the pixels where it is false.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Pool each channel over all its pixels."""
        ...


@runtime_checkable
class Loss(Protocol):
    """Group `nnkit.losses`: an `nn.Module`, (output, target) to a scalar.

    A loss whose `reduction` attribute is "sum" is a sum over the batch: nnkit divides it by the number of
    images in its records. Any other is taken as the mean over the batch.
    """

    def forward(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of a batch."""
        ...


@runtime_checkable
class StoppingRule(Protocol):
    """Group `nnkit.stopping_rules`: answers after each epoch why to stop, or None. Never raises.

    A rule with an attribute `metric` looks at that one: a name that no epoch will have is refused before the
    run starts.
    """

    def update(self, epoch: EpochResult) -> str | None:
        """The reason to stop after this epoch, or None to go on."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What the rule remembers between epochs, as JSON values."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a remembered state."""
        ...


GROUPS = ("datasets", "models", "poolings", "losses", "stopping_rules")
PROTOCOLS: Mapping[type, str] = {
    Dataset: "datasets",
    Model: "models",
    Pooling: "poolings",
    Loss: "losses",
    StoppingRule: "stopping_rules",
}
"""A parameter annotated with one of these types is a nested component of that group."""


@dataclass(frozen=True)
class Nested:
    """The default of a parameter that is a component: the spec that nnkit builds and passes in."""

    spec: str


def nested(spec: str) -> Any:
    """Default of a nested component: `def __init__(self, pooling: Pooling = nested("max"))`.

    Whoever builds by name (the commands, `nnkit.build`) gets the built component; whoever calls the class
    directly passes an object.
    """
    return Nested(spec)


_LOWER_IS_BETTER = ("loss", "mse", "mae_sum", "max_abs_error", "seconds", "train_s", "data_wait_s")


def lower_is_better(metric: str) -> bool:
    """Whether less of a metric is better: losses, errors and times; accuracies and PSNR are not."""
    return metric.removeprefix("train_").removeprefix("val_").startswith(_LOWER_IS_BETTER)


def resolution_name(height: int, width: int) -> str:
    """ "32x48": height × width, as records and tables name a resolution."""
    return f"{height}x{width}"

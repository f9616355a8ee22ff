"""Shared types: batches, splits, results of training, and the component protocols.

Shapes: B images in a batch, N in a split, C channels, H × W pixels (rows × columns), F features, K classes.
Importing this module imports no torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Protocol, runtime_checkable

from nnkit.errors import UsageError, quote

if TYPE_CHECKING:
    import numpy as np
    import torch
    from torch import Tensor


Task = Literal["classification", "transform"]
Size = tuple[int, int]
"""Height × width in pixels."""

SizeRange = tuple[Size, Size]
"""Images of several sizes: the smallest and the largest of these, by area."""
SizeRanges = tuple[SizeRange, ...]

SPLITS = ("train", "val", "test")

Leftovers = Literal["keep", "drop", "merge"]
PadTo = Literal["bucket", "batch"]
ResizePolicy = Literal["keep", "resize", "letterbox", "pad"]

MIN_SIDE, MAX_SIDE = 2, 8192
"""Sides that images may be brought to, in pixels; torch resizes wrongly to a single column."""


@dataclass(frozen=True)
class Batch:
    """One batch of training or evaluation.

    `inputs` is float (B, C, H, W), normalised for the model. `targets` is int64 (B,) class indices or
    float (B, C, H, W) images in [0, 1]. `indices` is int64 (B,), positions in the split. `mask` is bool
    (B, 1, H, W), true where a batch padded at the bottom and right holds image; None where every pixel does.
    Outside it the inputs are 0, also after normalisation. `original_size` is the height and width that all
    its images had before they were resized or padded; None where that differs. `resolution` names the
    original size or the range of them that metrics are reported by ("32x32", "32x32 to 64x48"): in evaluation
    a batch has one.
    """

    inputs: Tensor
    targets: Tensor
    indices: np.ndarray
    mask: Tensor | None = None
    original_size: Size | None = None
    resolution: str | None = None


Padded = tuple["Tensor", "Tensor | None"]
"""A batch of pixels, uint8 (B, C, H, W), and its mask, bool (B, 1, H, W), or None: image everywhere."""


class ImageStore(Protocol):
    """N uint8 images of C channels, in one or several sizes: in memory or in files.

    `sizes` and `original_sizes`, int64 (N, 2), are heights × widths in pixels: now, and before they were
    resized or padded. `image_size` is the one size of all images, None where there are several. Batches are
    on `device`. `in_memory`: the pixels are held; else each batch is read from files when it is asked for.
    """

    in_memory: bool
    channels: int
    sizes: np.ndarray
    original_sizes: np.ndarray

    @property
    def image_size(self) -> Size | None:
        """The one size of all images; None where there are several."""
        ...

    @property
    def device(self) -> torch.device:
        """Where the batches are."""
        ...

    def __len__(self) -> int: ...

    def image(self, index: int) -> Tensor:
        """One image, uint8 (C, H, W)."""
        ...

    def fetch(self, indices: np.ndarray, shape: Size | None = None) -> Padded:
        """The images at `indices`, int64 (B,), as one batch, and its mask.

        Images smaller than `shape`, height × width (default: the largest height and width among them), are
        padded with zeros at the bottom and right. `ValueError` where an image is larger than `shape`.
        """
        ...

    def batches(self, requests: Iterable[tuple[np.ndarray, Size | None]]) -> Iterator[Padded]:
        """What `fetch` gives for each pair of indices and shape, in turn, each made when it is wanted."""
        ...

    def to(self, device: torch.device | str) -> ImageStore:
        """The same images, whose batches are on another device."""
        ...

    def resized(self, shapes: np.ndarray) -> ImageStore:
        """The same images in the same order, image i resized to `shapes[i]`, (N, 2)."""
        ...

    def on_canvas(self, size: Size) -> ImageStore:
        """The same images in the same order, each in the middle of a black canvas of one size."""
        ...

    def remembered(self, name: str, indices: np.ndarray, count: Callable[[], Tensor]) -> Tensor:
        """What `count` gives for the images at `indices`, kept between runs where it means reading files."""
        ...


@dataclass(frozen=True)
class Split:
    """Some of the images of a source: `indices` (N,) picks rows of `images` and of `targets`.

    `targets` is int64 (M,) or float (M, C, H, W) for the M images of the source. Splits of one source share
    its memory.
    """

    images: ImageStore
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
    def original_sizes(self) -> np.ndarray:
        """Height and width of each image before it was resized or padded, int64 (N, 2)."""
        sizes: np.ndarray = self.images.original_sizes[self.indices]
        return sizes

    @property
    def own_sizes(self) -> np.ndarray:
        """Deprecated name of `original_sizes`, kept for one more release."""
        return self.original_sizes

    def sample(self, num_images: int) -> Split:
        """At most `num_images` of the split, evenly spaced: a folder's first images are all of one class."""
        step = max(1.0, len(self) / num_images)
        places = [int(place * step) for place in range(min(num_images, len(self)))]
        return Split(self.images, self.targets, self.indices[places])


@dataclass(frozen=True)
class Bucketing:
    """How images of several sizes are resized or padded in training, and how they share batches.

    `resize_policy`: images keep their sizes ("keep"), and those that share a batch are padded with zeros, at
    the bottom and right, and masked; or all are resized, by antialiased bilinear, whatever their proportions
    ("resize"), or as large as fits with their proportions kept, centred on a black canvas ("letterbox"); or
    they are centred on a black canvas as they are ("pad"). The last three bring all to one `size`, height ×
    width (default: the median side of the training images; for "pad" their largest height and width), but
    "resize" with `tolerance` or `max_buckets` brings each image to the shape of its bucket.

    With a `tolerance`, sizes share a bucket whose sides exceed no member's by more than that share (0.1: ten
    per cent). `max_buckets` makes at most so many, chosen so that little is padded. `max_pixels` bounds the
    pixels of a batch, padding included, beside the batch size. `leftovers`: the incomplete batch of a bucket
    is kept ("keep"), dropped for this epoch ("drop"), or its images are put with the next larger bucket
    ("merge"). `pad_to`: a batch has its bucket's shape ("bucket") or the smallest that holds its own images
    ("batch"), for which images of near sizes are put together.

    `UsageError` for values out of range, or that do not go together.
    """

    resize_policy: ResizePolicy = "keep"
    size: Size | None = None
    tolerance: float = 0.0
    max_buckets: int | None = None
    max_pixels: int | None = None
    leftovers: Leftovers = "keep"
    pad_to: PadTo = "bucket"

    def __post_init__(self) -> None:
        if not 0 <= self.tolerance < float("inf"):
            raise UsageError(f"tolerance={quote(self.tolerance)}: expected a number from 0 on, such as 0.1")
        for name, value in (("max_buckets", self.max_buckets), ("max_pixels", self.max_pixels)):
            if value is not None and value < 1:
                raise UsageError(f"{name}={quote(value)}: expected a whole number from 1 on")
        if self.size is not None:
            self._check_size(*self.size)
        if self.resize_policy != "keep":
            self._check_policy()

    def _check_size(self, height: int, width: int) -> None:
        if self.resize_policy == "keep":
            raise UsageError(
                f"size={height}x{width}: resize_policy=keep leaves each image its original size",
                hint="leave size out, or set resize_policy=resize, letterbox or pad",
            )
        if not all(MIN_SIDE <= side <= MAX_SIDE for side in (height, width)):
            raise UsageError(
                f"size={height}x{width}: expected height and width from {MIN_SIDE} to {MAX_SIDE} pixels",
                hint="write size=28x28",
            )

    def _check_policy(self) -> None:
        policy = f"resize_policy={self.resize_policy}"
        if self.resize_policy == "resize" and self.shares_buckets and self.size is not None:
            raise UsageError(
                f"{policy} with tolerance or max_buckets brings each image to its bucket's shape: "
                "no size is left to set",
                hint="leave out size; or tolerance and max_buckets",
            )
        if self.resize_policy in ("letterbox", "pad") and self.shares_buckets:
            name = "tolerance" if self.tolerance else "max_buckets"
            raise UsageError(
                f"{policy} brings all images to one size: no bucket is left to set {name} for",
                hint=f"leave out {name}, or set resize_policy=keep",
            )
        if self.leftovers == "merge" or self.pad_to == "batch":
            setting = "leftovers=merge" if self.leftovers == "merge" else "pad_to=batch"
            raise UsageError(
                f"{policy} brings each image to one shape once: {setting} asks for another",
                hint=f"leave out {setting}, or set resize_policy=keep",
            )

    @property
    def shares_buckets(self) -> bool:
        """Whether images of different sizes may be put into one bucket."""
        return self.tolerance > 0 or self.max_buckets is not None

    @property
    def makes_one_size(self) -> bool:
        """Whether all images are brought to one size."""
        return self.resize_policy != "keep" and not self.shares_buckets


EXACT_SIZES = Bucketing()


@dataclass(frozen=True)
class Data:
    """A loaded dataset: its splits and the settings that it fills in for components.

    `image_size` is None where sizes differ within a split. `mean` and `std` are per channel, of inputs in
    [0, 1]; the model is fed (input - mean) / std. For a transform task they stay 0 and 1. `measured`: mean
    and std are those of the training pixels, and are computed again where the images are resized or padded.
    `resolutions`, which a dataset leaves out, are the ranges of original sizes that metrics are reported by;
    None: those of these images.
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
    measured: bool = False
    resolutions: SizeRanges | None = None

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
    """The folders of a dataset: the data root (read only), the cache, and whether to download."""

    root: Path
    cache: Path
    download: bool = False


@dataclass(frozen=True)
class StepResult:
    """One optimizer step. `loss`, per image, is a scalar tensor on its device: reading it synchronises.

    `learning_rate` is the one that the step used.
    """

    epoch: int
    step: int
    loss: Tensor
    num_images: int
    learning_rate: float


@dataclass(frozen=True)
class EpochResult:
    """One epoch, counted from 1. NaN in `metrics` means that the value could not be computed.

    `metrics` holds `train_loss`, `val_loss` and the task's metrics as `train_*` and `val_*`; `by_resolution`
    maps "32x32" (original height × width), or a range of many such sizes, "32x32 to 64x48", to the validation
    metrics of those images; `validation` holds all validation metrics as `nnkit evaluate` names them.
    `images_per_s` counts training images over `train_s`; `data_wait_s` is the part of it spent waiting for
    batches. `learning_rate` is the last step's. `higher_is_better` says it of metrics that are components.
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
    higher_is_better: Mapping[str, bool] = field(default_factory=dict)

    def lower_is_better(self, metric: str) -> bool:
        """Whether less of one of its metrics is better: as the component says, else as the name does."""
        if metric in self.higher_is_better:
            return not self.higher_is_better[metric]
        return lower_is_better(metric)


# The component protocols. Each entry-point group has one; a plain class that fits is a component.


@runtime_checkable
class Dataset(Protocol):
    """Group `nnkit.datasets`: declares its task and default model, and loads its splits."""

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
class LeastSquaresModel(Model, Protocol):
    """Optional methods of a model: a fit without gradients, for `--solver least-squares`.

    `least_squares_images` is the number of training images that the fit needs; it may get fewer.
    """

    least_squares_images: int

    def fit_least_squares(self, inputs: Tensor, targets: Tensor) -> Mapping[str, Any]:
        """Set the weights to those of the least squared error over float images (N, C, H, W) on the CPU.

        The returned mapping of JSON values is written to the run's summary beside `solver_s`; its `notes`, a
        list of sentences, are also logged. `UsageError` where the settings do not allow a fit.
        """
        ...


@runtime_checkable
class PreparedModel(Model, Protocol):
    """Optional method of a model: preparation with training images, before the first gradient step.

    It sets what gradients cannot, such as which entries of a matrix are kept.
    """

    def prepare_for_training(self, inputs: Tensor, targets: Tensor) -> Mapping[str, Any]:
        """Prepare with float images (N, C, H, W) on the CPU; returns as `fit_least_squares` does."""
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
    """Group `nnkit.stopping_rules`: returns after each epoch the reason to stop, or None. Never raises.

    A rule may declare its metric in an attribute `metric`: a name that no epoch has is then refused before
    the run starts.
    """

    def update(self, epoch: EpochResult) -> str | None:
        """The reason to stop after this epoch, or None to continue."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """The state of the rule between epochs, as JSON values."""
        ...

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a saved state."""
        ...


@runtime_checkable
class Optimizer(Protocol):
    """Group `nnkit.optimizers`: a `torch.optim.Optimizer`, made as `cls(params, **settings)`.

    `params` is the list of the trainable parameters. An optimizer whose `step` requires a `closure`, as
    L-BFGS's does, is given one that computes the loss and the gradients anew.
    """

    def step(self) -> Any:
        """Move the parameters along their gradients."""
        ...

    def zero_grad(self) -> None:
        """Forget the gradients."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What it remembers, of tensors and plain values."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a saved state."""
        ...


@runtime_checkable
class Schedule(Protocol):
    """Group `nnkit.schedules`: a torch `LRScheduler`, made as `cls(optimizer, **settings)`.

    It is stepped once after each optimizer step, so that all that it counts are steps. One whose `step` needs
    a metric, as torch's `ReduceLROnPlateau`, is refused.
    """

    def step(self) -> None:
        """Set the learning rates of the optimizer."""
        ...

    def state_dict(self) -> dict[str, Any]:
        """What it remembers, of tensors and plain values."""
        ...

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore a saved state."""
        ...


@dataclass(frozen=True)
class TrackedRun:
    """What a tracker learns of its run at the start: its folder, its configuration, and where it begins.

    `config` is what config.toml holds. `step` counts the steps that were done before, in a run that is
    resumed; else it is 0.
    """

    folder: Path
    config: Mapping[str, Any]
    step: int = 0


@dataclass(frozen=True)
class TrackedEvent:
    """What a tracker records: the values of a step or an epoch, or a picture of the finished run.

    `step` counts optimizer steps, `epoch` from 1. A step has `loss`, per image, and `learning_rate`; an epoch
    the metrics as metrics.jsonl has them, `images_per_s` and `epoch_s`. Values may be NaN. `figure` is the
    PNG file of a picture, in the run's folder.
    """

    kind: Literal["step", "epoch", "figure"]
    step: int
    epoch: int
    values: Mapping[str, float] = field(default_factory=dict)
    figure: Path | None = None


@dataclass(frozen=True)
class TrackedResult:
    """How a run ended; `summary` is what summary.json holds, None for a run that is not finished."""

    state: Literal["finished", "interrupted", "failed"]
    summary: Mapping[str, Any] | None = None


@runtime_checkable
class Tracker(Protocol):
    """Group `nnkit.trackers`: mirrors what a run records to another place. The run's folder stays the record.

    `start` is called once, before the first step, and `finish` once, however the run ends. A tracker that
    raises in any of them is left out from then on, with one warning: the run goes on as without it.
    """

    def start(self, run: TrackedRun) -> None:
        """Begin: open a connection or a file."""
        ...

    def log(self, event: TrackedEvent) -> None:
        """Record an event. The steps of an epoch come when it ends, in order, before the epoch itself."""
        ...

    def finish(self, result: TrackedResult) -> None:
        """End: close what `start` opened."""
        ...


@runtime_checkable
class Augmentation(Protocol):
    """Group `nnkit.augmentations`: changes whole batches of training images, each image by itself.

    Random numbers come from torch's default generator. An `nn.Module` whose `forward` takes images alone,
    (B, C, H, W) to (B, C, H, W), as kornia's do, is one too: it is called on the images of each size apart.
    """

    def __call__(self, images: Tensor, mask: Tensor | None, sizes: Tensor) -> tuple[Tensor, Tensor | None]:
        """Change float images (B, C, H, W) in [0, 1]; shape and type stay, all values are finite.

        `mask`, bool (B, 1, H, W), is true where a padded batch holds image, and None where every pixel does.
        Outside it the images are 0, and what is written there is lost. `sizes`, int64 (B, 2), are height and
        width of each image, which is at the top left. The mask is returned as it was.
        """
        ...


@runtime_checkable
class Metric(Protocol):
    """Group `nnkit.metrics`: adds up batches of a split, and computes a value over all of them.

    These are the methods of torchmetrics: each of its classes is a metric as it stands. A class attribute
    `higher_is_better = False` says that less is better; without one, more is.
    """

    def update(self, preds: Tensor, target: Tensor) -> None:
        """Add a batch: float logits (B, K) and int64 classes (B,), or float images (B, C, H, W) both."""
        ...

    def compute(self) -> Any:
        """The value over all batches since the last reset: a number, a tensor of one, or a dict of these."""
        ...

    def reset(self) -> None:
        """Forget all batches."""
        ...


GROUPS = (
    "datasets",
    "models",
    "poolings",
    "losses",
    "stopping_rules",
    "optimizers",
    "schedules",
    "augmentations",
    "metrics",
    "trackers",
)
PROTOCOLS: Mapping[type, str] = {
    Dataset: "datasets",
    Model: "models",
    Pooling: "poolings",
    Loss: "losses",
    StoppingRule: "stopping_rules",
    Optimizer: "optimizers",
    Schedule: "schedules",
    Tracker: "trackers",
    Augmentation: "augmentations",
    Metric: "metrics",
}
"""A parameter annotated with one of these types is a nested component of that group."""

MADE_WITH: Mapping[str, str] = {"optimizers": "params", "schedules": "optimizer"}
"""Group to the object with which nnkit makes a component: its first parameter, which is no setting."""


@dataclass(frozen=True)
class Nested:
    """The default of a parameter that is a component: the spec that nnkit builds and passes in."""

    spec: str


def nested(spec: str) -> Any:
    """Default of a nested component: `def __init__(self, pooling: Pooling = nested("max"))`.

    Building by name (the commands, `nnkit.build`) builds the component and passes it in; a direct call of the
    class passes an object.
    """
    return Nested(spec)


_LOWER_IS_BETTER = ("loss", "mse", "mae_sum", "max_abs_error", "seconds", "train_s", "data_wait_s")


def lower_is_better(metric: str) -> bool:
    """Whether less of a metric is better: losses, errors and times; accuracies and PSNR are not."""
    split, _, rest = metric.partition("_")
    # "train_s" is a time, not the metric "s" of the training split: the whole name counts first.
    return metric.startswith(_LOWER_IS_BETTER) or (
        split in ("train", "val") and rest.startswith(_LOWER_IS_BETTER)
    )


def resolution_name(height: int, width: int) -> str:
    """ "32x48": height × width, as records and tables name a resolution."""
    return f"{height}x{width}"


def resolution_order(name: str) -> tuple[int, int, str]:
    """Sorts names of resolutions, "32x48" or "32x48 to 64x64", by area and height; other names come first."""
    height, _, width = name.partition(" ")[0].partition("x")
    if not (height.isdecimal() and width.isdecimal()):
        return 0, 0, name
    return int(height) * int(width), int(height), name

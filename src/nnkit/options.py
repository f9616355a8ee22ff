"""Options of the commands: help, defaults and flags of the fields of a configuration model.

A command has one model. From its fields follow the command line's options and their help, the keys of TOML
files, the keywords of the Python function and docs/cli.md. Nothing here, and no model, imports torch.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, ClassVar, Literal, get_args, get_origin

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf
from pydantic.fields import FieldInfo

from nnkit.errors import Mistake
from nnkit.schema import bounds
from nnkit.spec import Spec
from nnkit.types import Bucketing

SpecField = InstanceOf[Spec]
BucketingField = InstanceOf[Bucketing]
MAX_SEEDS = 1000
LAST = ("seed", "device", "threads", "data_root", "download", "runs_dir")
"""The options that most commands share, in the order in which help shows them after a command's own."""


@dataclass(frozen=True)
class Option:
    """What a field is for, and how the command line shows it.

    `help` is a sentence without its full stop, in which `{choices}` stands for the values of a Literal.
    `default` is said of a field whose value is chosen later; others show the value that they have. `flags`
    are names other than the field's; `sets` is what a flag without a value sets. `takes` says what values are
    like where the type does not. An `argument` is positional; a field that is not `shown` has no option.
    """

    help: str
    metavar: str = ""
    default: str = ""
    flags: tuple[str, ...] = ()
    sets: bool = True
    takes: str = ""
    argument: bool = False
    shown: bool = True


def option_of(info: FieldInfo) -> Option:
    """What a field says of itself."""
    return next((part for part in reversed(info.metadata) if isinstance(part, Option)), Option(""))


def flag(name: str) -> str:
    """The option of a field's name: "--batch-size"."""
    return "--" + name.replace("_", "-")


class CommandConfig(BaseModel):
    """What every command's configuration shares: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    component_groups: ClassVar[Mapping[str, str]] = {}
    """Field name to entry-point group, for fields that hold specs."""
    settings_of_components: ClassVar[Mapping[str, tuple[str, str]]] = {}
    """Field name to (field of a component, its setting), for options that are written into a spec."""
    takes_objects: ClassVar[tuple[str, ...]] = ()
    """Fields that hold specs for which Python may pass an object, or what makes one."""
    alternatives: ClassVar[Mapping[str, str]] = {}
    """Field name to the field that takes its place where it is given: one layer gives only one of the two."""

    def mistakes(self) -> list[Mistake]:
        """What is wrong with the values together, or with their places, as far as no torch is needed."""
        return []

    @classmethod
    def fields(cls) -> Mapping[str, FieldInfo]:
        """The fields by name in the order of the help: the command's own, then those that most share."""
        names = sorted(cls.model_fields, key=lambda name: LAST.index(name) if name in LAST else -1)
        return {name: cls.model_fields[name] for name in names}


def members(annotation: Any) -> tuple[Any, ...]:
    """The types of a union without None and without what `Annotated` adds; else the one type."""
    if get_origin(annotation) is Annotated:
        return members(get_args(annotation)[0])
    args = get_args(annotation)
    if args and NoneType in args:
        return tuple(part for arg in args if arg is not NoneType for part in members(arg))
    return (annotation,)


def choices(info: FieldInfo) -> tuple[str, ...]:
    """The values that a field with a Literal can have."""
    (kind,) = members(info.annotation)
    kind = members(get_args(kind)[0])[0] if get_origin(kind) is tuple else kind
    return tuple(map(str, get_args(kind))) if get_origin(kind) is Literal else ()


def is_list(info: FieldInfo) -> bool:
    """Whether a field takes several values as one text, such as "16,32"."""
    return any(isinstance(part, BeforeValidator) for part in info.metadata)


def is_repeatable(info: FieldInfo) -> bool:
    """Whether a field takes several values, each by an option of its own."""
    return get_origin(members(info.annotation)[0]) is tuple and not is_list(info)


def is_spec(annotation: Any) -> bool:
    """Whether values are specs of components."""
    (kind,) = members(annotation)
    return kind is Spec or (get_origin(kind) is tuple and is_spec(get_args(kind)[0]))


def join(words: tuple[str, ...]) -> str:
    """ "a, b or c"."""
    return " or ".join(filter(None, (", ".join(words[:-1]), words[-1])))


def takes(info: FieldInfo) -> str:
    """What a field's values are like, in words: "a whole number from 1 to 1024"."""
    if words := option_of(info).takes:
        return words
    if is_repeatable(info) or is_list(info):
        (kind,) = members(info.annotation)
        inner = get_args(kind)[0]
        several = f"{_takes(inner, _metadata(inner))}; several are written between commas"
        return several if is_list(info) else _takes(inner, _metadata(inner))
    return _takes(info.annotation, [*info.metadata, *_metadata(info.annotation)])


def _metadata(annotation: Any) -> list[Any]:
    """What `Annotated` adds to a type, or to the members of a union."""
    found: list[Any] = []
    if get_origin(annotation) is Annotated:
        inner, *more = get_args(annotation)
        for part in more:
            found += part.metadata if isinstance(part, FieldInfo) else [part]
        return found + _metadata(inner)
    for arg in get_args(annotation):
        if get_origin(arg) is Annotated:
            found += _metadata(arg)
    return found


_KINDS = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    Path: "a path: not empty, and without NUL",
    str: "a text",
}


def _takes(annotation: Any, metadata: list[Any]) -> str:
    words = next((part.takes for part in metadata if isinstance(part, Option) and part.takes), "")
    if words:
        return words
    (kind,) = members(annotation)
    if get_origin(kind) is Literal:
        return join(tuple(map(str, get_args(kind))))
    if kind is Spec:
        return "a component: name or name:key=value"
    if kind is Bucketing:
        return "settings, such as max_buckets=32,pad_to=batch"
    return _KINDS.get(kind, str(kind)) + bounds(metadata)


def read_seeds(value: object) -> object:
    """Seeds from "0-4", "0,1,5", "3" or 3; anything else is left for the type to judge."""
    if isinstance(value, int) and not isinstance(value, bool):
        return (value,)
    if not isinstance(value, str):
        return tuple(value) if isinstance(value, list) else value
    seeds: list[int] = []
    for part in value.strip("[] ").split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.strip().isdecimal()):
            raise ValueError("no seeds")
        low, high = int(first), int(last) if dash else int(first)
        if high < low or high - low >= MAX_SEEDS:
            raise ValueError("no range of seeds")
        seeds += range(low, high + 1)
    return tuple(seeds)


def seed_mistakes(seeds: Sequence[int]) -> list[Mistake]:
    """A mistake where a seed stands among the seeds twice."""
    if len(set(seeds)) == len(seeds):
        return []
    return [Mistake("seeds", "a seed is given twice", "name each once")]


OWN_METRICS = (
    "loss", "accuracy", "macro_f1", "accuracy_by_resolution", "loss_by_resolution", "images_by_resolution",
    "mse", "mae_sum", "max_abs_error", "psnr", "cosine_accuracy", "levels", "fidelity", "components",
    "record",
)  # fmt: skip
"""What results hold whatever metrics are named: no other metric may have such a key."""

MEASURED_ANYWAY = frozenset(
    name for metric in ("accuracy", "mse", "mae-sum", "psnr") for name in (metric, f"nnkit/{metric}")
)
"""Metrics of nnkit that results hold anyway: they may be named, and add nothing."""


def metric_mistakes(specs: Sequence[Spec]) -> list[Mistake]:
    """Metrics whose key another one has, or that would hide what results hold anyway."""
    found = []
    for at, spec in enumerate(specs):
        same = next((each for each in specs[:at] if each.key == spec.key), None)
        if same is not None:
            why = f'two metrics are named "{spec.key}": {same} and {spec}'
            found.append(Mistake(f"metric[{at}]", why, "leave one of them out"))
        elif spec.name not in MEASURED_ANYWAY and _is_taken(spec.key):
            why = f'a metric cannot be named "{spec.key}": results have other values under such names'
            found.append(Mistake(f"metric[{at}]", why, "leave it out, or give it another name"))
    return found


def _is_taken(key: str) -> bool:
    return key in OWN_METRICS or key.startswith(("train_", "val_"))


def read_list(value: object) -> object:
    """Values from "16,32", "cpu,cuda" or "true,false", or one value; their type is judged later."""
    if isinstance(value, str):
        return tuple(_read_item(part.strip()) for part in value.strip("[] ").split(","))
    return tuple(value) if isinstance(value, list) else value if isinstance(value, tuple) else (value,)


def _read_item(text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else text


# Types and options that several commands share, so that each has one name, one help text and one meaning.

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, lt=1)]
Count = Annotated[int, Field(ge=1, le=2**31)]
SeedNumber = Annotated[int, Field(ge=0, lt=2**63)]
Jobs = Annotated[int, Field(ge=1, le=1024)]
DeviceName = Annotated[
    str,
    Field(pattern=r"^(auto|cpu|cuda(:\d{1,3})?|mps)$"),
    Option("", takes="auto, cpu, cuda, cuda:1 or mps"),
]
ITEMS = Field(min_length=1, max_length=64)

Seed = Annotated[SeedNumber, Option("Seed of all random numbers")]
Device = Annotated[
    DeviceName, Option("auto, cpu, cuda, cuda:1 or mps", "NAME", takes="auto, cpu, cuda, cuda:1 or mps")
]
Threads = Annotated[Annotated[int, Field(ge=1, le=1024)] | None, Option("CPU threads of torch")]
DataRoot = Annotated[
    Path | None, Option("Where datasets are (else NNKIT_DATA, else the platform's cache folder)")
]
Download = Annotated[bool, Option("Fetch the dataset if it is missing", flags=("--download",))]
RunsDir = Annotated[Path | None, Option("Where runs are kept (else NNKIT_RUNS, else ./runs)")]
Limit = Annotated[Count | None, Option("Maximum number of images of each split")]
SharedBatches = Annotated[
    BucketingField,
    Option(
        "How sizes share batches, such as max_buckets=32,pad_to=batch or resize_policy=resize,size=28x28",
        "SPEC",
        default="one bucket per size",
    ),
]
_SEED_NUMBERS = Annotated[tuple[SeedNumber, ...], Field(min_length=1, max_length=MAX_SEEDS)]
_SEEDS_TAKEN = f'of the form "0-4", "0,1,5" or "3", with at most {MAX_SEEDS} seeds below 2**63'
Seeds = Annotated[
    _SEED_NUMBERS, BeforeValidator(read_seeds), Option("Seeds, such as 0-4, 0,1,5 or 3", takes=_SEEDS_TAKEN)
]
SeedsIfAny = Annotated[
    _SEED_NUMBERS | None,
    BeforeValidator(read_seeds),
    Option("Train once per seed, such as 0-4 or 0,1,5; gives mean and interval", takes=_SEEDS_TAKEN),
]


Metrics = Annotated[tuple[SpecField, ...], Option("Further metric, such as ssim or top-k:k=3; repeatable")]


class DataConfig(CommandConfig):
    """Where a command finds its datasets."""

    data_root: DataRoot = None
    download: Download = False


class FolderConfig(DataConfig):
    """Where a command reads and writes, and with how many CPU threads."""

    runs_dir: RunsDir = None
    threads: Threads = None


class PlaceConfig(FolderConfig):
    """Where a command reads and writes, and on what it runs."""

    device: Device = "auto"

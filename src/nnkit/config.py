"""Configurations: one frozen model per command, put together from layers that say where each value is from.

An option beats `--set`, which beats the environment, which beats a later file, which beats an earlier one,
which beats the default. A layer that names a component starts its settings afresh; `--set model.width=81`
changes one setting of whatever component was named below it.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, ClassVar, Generic, Literal, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, InstanceOf

from nnkit.bucketing import make_bucketing, read_settings, settings_of
from nnkit.errors import ConfigError, Mistake, UsageError, did_you_mean, hints, quote
from nnkit.schema import convert, plain_value
from nnkit.spec import Spec, Text, from_toml, read_toml_value, to_toml, typed
from nnkit.types import EXACT_SIZES, Bucketing

SpecField = InstanceOf[Spec]
BucketingField = InstanceOf[Bucketing]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=2**31)]


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
            raise ValueError('write seeds as "0-4", "0,1,5" or "3"')
        low, high = int(first), int(last) if dash else int(first)
        if high < low or high - low >= MAX_SEEDS:
            raise ValueError(f"{part.strip()} is no range of 1 to {MAX_SEEDS} seeds")
        seeds += range(low, high + 1)
    return tuple(seeds)


def read_list(value: object) -> object:
    """Values from "16,32", "cpu,cuda" or "true,false", or one value; their type is judged later."""
    if isinstance(value, str):
        return tuple(_read_item(part.strip()) for part in value.strip("[] ").split(","))
    return tuple(value) if isinstance(value, list) else value if isinstance(value, tuple) else (value,)


def _read_item(text: str) -> object:
    if text in ("true", "false"):
        return text == "true"
    return int(text) if text.isdecimal() else text


MAX_SEEDS = 1000
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Seeds = Annotated[tuple[Seed, ...], BeforeValidator(read_seeds), Field(min_length=1, max_length=MAX_SEEDS)]


DeviceName = Annotated[
    str, Field(pattern=r"^(auto|cpu|cuda(:\d+)?|mps)$", description="auto, cpu, cuda, cuda:1 or mps")
]
ITEMS = Field(min_length=1, max_length=64)


BUCKETING = "bucketing"
"""The one field whose settings stand in a table of their own and belong to no component."""


class CommandConfig(BaseModel):
    """What every command's configuration shares: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)
    component_groups: ClassVar[Mapping[str, str]] = {}
    """Field name to entry-point group, for fields that hold specs."""


class FolderConfig(CommandConfig):
    """Where a command reads and writes, and with how many CPU threads."""

    data_root: Path | None = None
    runs_dir: Path | None = None
    download: bool = False
    threads: Annotated[int, Field(ge=1, le=1024)] | None = None


class PlaceConfig(FolderConfig):
    """Where a command reads and writes, and on what it runs."""

    device: DeviceName = "auto"


class TrainConfig(PlaceConfig):
    """Everything that `nnkit train` can be told."""

    component_groups: ClassVar[Mapping[str, str]] = {
        "dataset": "datasets",
        "model": "models",
        "loss": "losses",
        "stop": "stopping_rules",
    }

    dataset: SpecField = Spec("digits")
    model: SpecField | None = None
    loss: SpecField | None = None
    stop: tuple[SpecField, ...] = ()
    optimizer: SpecField = Spec("adam")
    lr: Positive | None = None
    schedule: Literal["none", "cosine", "one-cycle"] = "none"
    batch_size: Count = 64
    epochs: Count = 10
    augment: Literal["none", "affine", "rotate", "report"] = "none"
    bucketing: BucketingField = EXACT_SIZES
    precision: Literal["fp32", "bf16"] = "fp32"
    compile: bool = False
    monitor: str | None = None
    order: Literal["interleaved", "by-resolution"] = "interleaved"
    solver: Literal["gradient", "als"] = "gradient"
    clip: Positive | None = None
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    limit: Count | None = None
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    test: bool = True
    out: Path | None = None


class ComparePoolingConfig(PlaceConfig):
    """Everything that `nnkit compare-pooling` can be told."""

    component_groups: ClassVar[Mapping[str, str]] = {
        "dataset": "datasets",
        "model": "models",
        "pooling": "poolings",
    }

    dataset: SpecField = Spec("digits-varres")
    model: SpecField = Spec("varres-net")
    pooling: tuple[SpecField, ...] = (Spec("max"), Spec("avg"))
    vary: str = "width"
    budget: Count = 29_066
    seeds: Seeds = (0, 1, 2, 3, 4)
    epochs: Count = 5
    lr: Positive | None = None
    batch_size: Count = 64
    bucketing: BucketingField = EXACT_SIZES
    precision: Literal["fp32", "bf16"] = "fp32"
    limit: Count | None = None
    jobs: Annotated[int, Field(ge=1, le=1024)] = 1
    out: Path | None = None


class EvaluateConfig(PlaceConfig):
    """Everything that `nnkit evaluate` can be told."""

    component_groups: ClassVar[Mapping[str, str]] = {"dataset": "datasets"}

    run: Path = Path()
    split: Literal["train", "val", "test"] = "test"
    dataset: SpecField | None = None
    batch_size: Count = 256
    limit: Count | None = None


class BenchConfig(FolderConfig):
    """Everything that `nnkit bench` can be told. A tuple is one axis of the grid."""

    component_groups: ClassVar[Mapping[str, str]] = {"dataset": "datasets"}

    dataset: SpecField = Spec("cifar-transform", {"source": "synthetic"})
    model: tuple[str, ...] = ()
    batch_size: Annotated[tuple[Count, ...], BeforeValidator(read_list), ITEMS] = (256,)
    device: Annotated[tuple[DeviceName, ...], BeforeValidator(read_list), ITEMS] = ("cpu",)
    num_workers: Annotated[
        tuple[Annotated[int, Field(ge=0, le=1024)], ...], BeforeValidator(read_list), ITEMS
    ] = (0,)
    shuffle: Annotated[tuple[bool, ...], BeforeValidator(read_list), ITEMS] = (False,)
    drop_last: Annotated[tuple[bool, ...], BeforeValidator(read_list), ITEMS] = (False,)
    pin_memory: Annotated[tuple[bool, ...], BeforeValidator(read_list), ITEMS] = (False,)
    loader: Literal["memory", "dataloader"] = "memory"
    input: Annotated[tuple[Literal["float", "uint8"], ...], BeforeValidator(read_list), ITEMS] = ("float",)
    compile: bool = False
    repeats: Annotated[int, Field(ge=3, le=100_000)] = 10
    min_effect: Annotated[float, Field(ge=0, lt=1)] = 0.02
    preset: Literal["report-grid", "report-30", "report-sweep"] | None = None
    limit: Count | None = None
    seed: Seed = 0
    out: Path | None = None


C = TypeVar("C", bound=CommandConfig)


@dataclass(frozen=True)
class Resolved(Generic[C]):
    """A configuration with the origin of each value that is not a default, by dotted path."""

    config: C
    origins: Mapping[str, str]


@dataclass
class _Layers:
    """Values as they pile up, lowest layer first, with their origins and all mistakes so far."""

    model: type[CommandConfig]
    values: dict[str, Any] = field(default_factory=dict)
    origins: dict[str, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)

    def put(self, key: str, value: object, origin: str) -> None:
        """Set a field; for a spec, the settings of lower layers go with the name that they belonged to."""
        known = self.model.model_fields
        if key not in known:
            near = did_you_mean(key, known) or "--dry-run shows every key"
            self.mistakes.append(Mistake(key[:80], "unknown key", f"{near}; from {origin}"))
            return
        try:
            self.values[key] = self._read(key, value)
        except UsageError as error:
            self.mistakes.append(Mistake(key, error.message, hints(error.hint, f"from {origin}")))
            return
        except ValueError as error:
            wanted, shown = known[key].description, str(error).splitlines()[0]
            message = f"{quote(str(value))} is not {wanted}" if wanted else shown
            self.mistakes.append(Mistake(key, message, f"from {origin}"))
            return
        for path in [p for p in self.origins if p == key or p.startswith(f"{key}.")]:
            del self.origins[path]
        self.origins[key] = origin

    def put_setting(self, key: str, setting: str, value: object, origin: str) -> None:
        """Change one setting of the component in a spec field, or of bucketing."""
        if key == BUCKETING and key in self.model.model_fields:
            self.values[key] = {**self.values.get(key, {}), setting: value}
            self.origins[f"{key}.{setting}"] = origin
            return
        if key not in self.model.component_groups and key != "optimizer":
            hint = "only a component has settings: " + ", ".join(sorted(self.model.component_groups))
            self.mistakes.append(Mistake(f"{key}.{setting}"[:80], "no such key", f"{hint}; from {origin}"))
            return
        spec = self.values.get(key, self.model.model_fields[key].default)
        if not isinstance(spec, Spec):
            self.mistakes.append(
                Mistake(
                    f"{key}.{setting}"[:80],
                    f"no {key} is named whose setting this could be",
                    f"name it too: --set {key}=NAME, or --{key}; from {origin}",
                )
            )
            return
        name = str(value) if setting == "name" else spec.name
        settings = {} if setting == "name" else {**spec.settings, setting: value}
        self.values[key] = Spec(name, settings)
        self.origins[f"{key}.{setting}"] = origin

    def names_component(self, key: str) -> bool:
        """Whether the layers so far, or the default, name the component of a spec field."""
        known = self.model.model_fields
        held = self.values.get(key, known[key].default if key in known else None)
        return isinstance(held, Spec) or (key == BUCKETING and key in known)

    def _read(self, key: str, value: object) -> Any:
        info = self.model.model_fields[key]
        if key == BUCKETING:
            return {} if value is None else read_settings(value)
        if value is None:
            return info.default
        if _holds_specs(self.model, key):
            if isinstance(value, Text) and value.startswith("["):
                value = read_toml_value(value)
            items = value if isinstance(value, (list, tuple)) else [value]
            return tuple(from_toml(item, key) for item in items)
        if key in self.model.component_groups or key == "optimizer":
            return from_toml(value, key)
        annotation = Annotated[info.annotation, *info.metadata] if info.metadata else info.annotation
        if isinstance(value, Text) and any(isinstance(part, BeforeValidator) for part in info.metadata):
            value = str(value)  # a field that reads text in its own way
        return convert(annotation, value)


def _holds_specs(model: type[CommandConfig], key: str) -> bool:
    """Whether a field holds several specs, as `stop` does."""
    return key in model.component_groups and isinstance(model.model_fields[key].default, tuple)


def resolve(
    model: type[C],
    options: Mapping[str, Any],
    *,
    files: Sequence[Path] = (),
    sets: Sequence[str] = (),
) -> Resolved[C]:
    """Put the layers together; every mistake of all of them is reported at once, as one `ConfigError`.

    `options` holds what was given as an option or argument, without the names that were left out.
    """
    layers = _Layers(model)
    for path in files:
        _put_file(layers, path)
    for key, variable in (("data_root", "NNKIT_DATA"), ("runs_dir", "NNKIT_RUNS")):
        if key in model.model_fields and (value := os.environ.get(variable)):
            layers.put(key, value, f"environment {variable}")
    dotted = _put_sets(layers, sets)
    for key, value in options.items():
        layers.put(key, value, f"option --{key.replace('_', '-')}")
    for key, setting, value in dotted:
        if f"option --{key.replace('_', '-')}" != layers.origins.get(key) or not _has(layers, key, setting):
            layers.put_setting(key, setting, value, "--set")
    if BUCKETING in layers.values:
        try:
            layers.values[BUCKETING] = make_bucketing(layers.values[BUCKETING])
        except ConfigError as error:
            layers.mistakes += error.mistakes
    if layers.mistakes:
        raise ConfigError(layers.mistakes)
    return Resolved(model.model_validate(layers.values), dict(layers.origins))


def _has(layers: _Layers, key: str, setting: str) -> bool:
    held = layers.values.get(key)
    return setting in (held.settings if isinstance(held, Spec) else held if isinstance(held, dict) else ())


def _put_file(layers: _Layers, path: Path) -> None:
    origin = f"file {path}"
    for key, value in read_toml(path).items():
        if isinstance(value, dict) and "name" not in value and layers.names_component(key):
            for setting, item in value.items():  # of what an earlier file or the default names
                layers.put_setting(key, setting, item, origin)
        else:
            layers.put(key, value, origin)


def _put_sets(layers: _Layers, sets: Sequence[str]) -> list[tuple[str, str, Text]]:
    """Put `a=value` now; return the dotted ones, which wait until an option has named its component."""
    dotted = []
    for text in sets:
        key, equals, value = text.partition("=")
        key = key.strip().replace("-", "_")
        if not equals or not key:
            layers.mistakes.append(Mistake("--set", f"{quote(text)} is not of the form a.b=value"))
        elif "." in key:
            head, _, setting = key.partition(".")
            dotted.append((head, setting, typed(value.strip())))
        else:
            layers.put(key, typed(value.strip()), "--set")
    return dotted


def read_toml(path: Path) -> dict[str, Any]:
    """A TOML file as a dict; what is wrong with it is a `UsageError` that names the file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UsageError(
            f"no configuration file at {path}", hint="check the path given to --config"
        ) from None
    except OSError as error:
        raise UsageError(
            f"{quote(str(path))} cannot be read: {error.strerror}", hint="give --config a TOML file"
        ) from None
    except (ValueError, RecursionError) as error:  # TOML and Unicode errors are ValueErrors
        raise UsageError(f"{path} cannot be read as TOML: {error}", hint="mend the file") from None


def dump(config: CommandConfig, *, leave_out: Sequence[str] = ()) -> dict[str, Any]:
    """The configuration as TOML and JSON hold it: specs as text or tables, nothing that is None."""
    result: dict[str, Any] = {}
    for key in type(config).model_fields:
        value = getattr(config, key)
        if value is None or key in leave_out:
            continue
        if isinstance(value, Bucketing):
            if settings := settings_of(value):
                result[key] = settings
        elif isinstance(value, Spec):
            result[key] = _plain_spec(value)
        elif _holds_specs(type(config), key):
            result[key] = [_plain_spec(item) for item in value]
        else:
            result[key] = plain_value(value)
    return result


def _plain_spec(spec: Spec) -> Any:
    if any(value is None or isinstance(value, Text) for value in spec.settings.values()):
        return str(spec)  # TOML has no null, and a value as typed keeps its meaning in a spec's text alone
    settings = {key: plain_value(value) for key, value in spec.settings.items()}
    return to_toml(Spec(spec.name, settings))


def dumps(config: CommandConfig, *, leave_out: Sequence[str] = ()) -> str:
    """The configuration as a TOML file that `--config` reads back."""
    import tomli_w

    return tomli_w.dumps(dump(config, leave_out=leave_out))

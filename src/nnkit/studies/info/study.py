"""`nnkit info`: what a component is: provider, place, settings, docstring, and a dataset's facts."""

from __future__ import annotations

import inspect
import logging
import re
from collections import Counter
from typing import Any

import torch

from nnkit import files, registry, schema
from nnkit.bucketing import make_bucketing, merged, old_spelling, read_settings
from nnkit.build import plan
from nnkit.data.loaders import TrainLoader
from nnkit.data.resize_policy import default_model, with_policy
from nnkit.data.splits import class_counts, classes_without_images
from nnkit.errors import ConfigError, NnkitError, UsageError
from nnkit.options import DataConfig
from nnkit.results.info import (
    BucketInfo,
    DatasetFacts,
    ForecastInfo,
    InfoResult,
    MissingFacts,
    SettingInfo,
)
from nnkit.spec import Spec, parse
from nnkit.studies.info.config import group_of
from nnkit.studies.info.pipeline_facts import pipeline_facts
from nnkit.studies.paths import data_place
from nnkit.types import EXACT_SIZES, Bucketing, Data, Dataset, resolution_name

logger = logging.getLogger("nnkit")


def info(
    text: str,
    *,
    group: str | None = None,
    batch_size: int = 64,
    bucketing: object = None,
    config: DataConfig | None = None,
) -> InfoResult:
    """What there is to say of a spec, such as "varres-net" or "mnist-varres:seed=1".

    `batch_size`, from 1 on, and `bucketing` (text, table or `Bucketing`) are what a dataset of several sizes
    has its batches forecast for.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}, it must be at least 1")
    spec = parse(text)
    group = group_of(spec, group)
    shared = EXACT_SIZES if bucketing is None else make_bucketing(read_settings(bucketing))
    if group == "datasets":
        old = old_spelling(spec)
        if mistakes := old.mistakes(spec.name):
            raise ConfigError(mistakes)
        if old.warning:
            logger.warning("%s", old.warning)
        spec, shared = old.spec, merged(old.modes, shared)
    component = registry.load(registry.find(group, spec.name))
    entry, cls = component.entry, component.cls
    settings = schema.settings_of(cls, group)
    schema_mistakes = schema.check(settings, spec.settings, spec.name)[1]
    if schema_mistakes:
        plan(group, spec)  # raises them all, with their hint
    docstring = inspect.cleandoc(cls.__doc__ or "")
    file, line = _place(cls)
    return InfoResult(
        group=group,
        name=entry.name,
        provider=entry.provider,
        version=entry.version,
        target=entry.target,
        file=file,
        line=line,
        docstring=docstring,
        settings=tuple(_describe(setting, docstring) for setting in settings.values()),
        facts=_facts(spec, batch_size, shared, config or DataConfig()) if group == "datasets" else None,
    )


def _place(cls: type[Any]) -> tuple[str | None, int | None]:
    try:
        return inspect.getsourcefile(cls), inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):
        return None, None


def _describe(setting: schema.Setting, docstring: str) -> SettingInfo:
    return SettingInfo(
        name=setting.name,
        type=setting.type_name,
        required=setting.required,
        default=None if setting.required else files.strict(schema.plain_value(setting.default)),
        help=help_of(setting.name, docstring),
    )


def help_of(name: str, docstring: str) -> str:
    """What a docstring says of a setting: its first sentence with the name in backticks, or empty."""
    sentences = re.split(r"(?<=[.!?])\s+", re.sub(r"\s+", " ", docstring))
    mention = re.compile(rf"`{re.escape(name)}\b[^`]*`")
    return next((sentence for sentence in sentences if mention.search(sentence)), "")


def _facts(
    spec: Spec, batch_size: int, bucketing: Bucketing, config: DataConfig
) -> DatasetFacts | MissingFacts:
    """What the loaded data is; where it cannot be loaded, why. `UsageError` for a setting's wrong value."""
    dataset: Dataset | None = None
    try:
        dataset = plan("datasets", spec).make()
        data = dataset.load(data_place(config))
    except NnkitError as error:
        if dataset is None and spec.settings and isinstance(error, UsageError):
            raise  # what was typed is wrong, not what is on the disk
        pipeline = pipeline_facts(dataset, None)
        return MissingFacts(error=error.message, hint=error.hint, pipeline=pipeline)
    except Exception as error:  # a third party's dataset may raise anything
        cause = f"{type(error).__name__}: {error}"
        return MissingFacts(error=cause, hint="`nnkit doctor` says what is installed", pipeline=None)
    data, bucketing = with_policy(data, bucketing)
    return DatasetFacts(
        task=data.task,
        default_model=default_model(dataset.default_model, bucketing),
        classes=data.class_names,
        in_channels=data.in_channels,
        image_size=data.image_size,
        target_channels=data.target_channels,
        target_size=data.target_size,
        splits={name: len(split) for name, split in data.splits.items()},
        sizes=_sizes(data, bucketing),
        class_counts=class_counts(data),
        forecast=_forecast(data, batch_size, bucketing) if _has_buckets(data, bucketing) else None,
        pipeline=pipeline_facts(dataset, data),
        notes=tuple(note for note in (*data.notes, classes_without_images(data)) if note),
    )


def _sizes(data: Data, bucketing: Bucketing) -> dict[str, dict[str, int]]:
    """How many images of each size each split has, largest counts first; of those in buckets, their own."""
    counts = {}
    for name, split in data.splits.items():
        sizes = split.original_sizes if _has_buckets(data, bucketing) else split.sizes
        seen = Counter(resolution_name(int(h), int(w)) for h, w in sizes)
        counts[name] = dict(seen.most_common())
    return counts


def _has_buckets(data: Data, bucketing: Bucketing) -> bool:
    return not bucketing.makes_one_size and (data.image_size is None or bucketing != EXACT_SIZES)


def _forecast(data: Data, batch_size: int, bucketing: Bucketing) -> ForecastInfo:
    """What an epoch of training will cost: the first epoch's plan, counted."""
    batches = TrainLoader(
        data,
        data.splits["train"],
        batch_size=batch_size,
        device=torch.device("cpu"),
        bucketing=bucketing,
    )
    found = batches.forecast
    return ForecastInfo(
        batch_size=batch_size,
        num_buckets=len(found.buckets),
        **{**vars(found), "buckets": tuple(BucketInfo(**vars(bucket)) for bucket in found.buckets)},
    )

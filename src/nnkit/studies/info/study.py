"""`nnkit info`: what a component is: provider, place, settings, docstring, and a dataset's facts."""

from __future__ import annotations

import inspect
import re
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from nnkit import registry, schema
from nnkit.build import plan
from nnkit.data.batches import Batches
from nnkit.errors import NnkitError, UsageError, did_you_mean, hints
from nnkit.options import DataConfig
from nnkit.spec import Spec, parse
from nnkit.studies.info.pipeline_facts import pipeline_facts
from nnkit.studies.paths import data_place
from nnkit.types import EXACT_SIZES, Data, Dataset, resolution_name


def info(
    text: str, *, group: str | None = None, batch_size: int = 64, config: DataConfig | None = None
) -> dict[str, Any]:
    """The document of `nnkit info --json` for a spec, such as "varres-net" or "mnist-varres:mode=pad".

    `batch_size`, from 1 on, is what a dataset of several sizes has its batches forecast for.
    """
    if batch_size < 1:
        raise UsageError(f"batch_size is {batch_size}, it must be at least 1")
    spec = parse(text)
    group = _group_of(spec, group)
    component = registry.load(registry.find(group, spec.name))
    entry, cls = component.entry, component.cls
    settings = schema.settings_of(cls)
    schema_mistakes = schema.check(settings, spec.settings, spec.name)[1]
    if schema_mistakes:
        plan(group, spec)  # raises them all, with their hint
    document: dict[str, Any] = {
        "schema": "nnkit.info/1",
        "group": group,
        "name": entry.name,
        "provider": entry.provider,
        "version": entry.version,
        "target": entry.target,
        **_place(cls),
        "docstring": inspect.cleandoc(cls.__doc__ or ""),
        "settings": [
            _describe(setting, inspect.cleandoc(cls.__doc__ or "")) for setting in settings.values()
        ],
    }
    if group == "datasets":
        document["facts"] = _facts(spec, batch_size, config or DataConfig())
    return document


def _group_of(spec: Spec, group: str | None) -> str:
    if group is not None:
        return registry.find_group(group)
    bare = spec.name.rpartition("/")[2]
    groups = list(dict.fromkeys(entry.group for entry in registry.entries() if entry.name == bare))
    if len(groups) > 1:
        raise UsageError(f'{" and ".join(groups)} both have a "{bare}"', hint="choose one with --group")
    if not groups:
        hint = did_you_mean(bare, {entry.name for entry in registry.entries()})
        raise UsageError(f'no component is named "{bare[:80]}"', hint=hints(hint, "`nnkit list` shows all"))
    return groups[0]


def _place(cls: type[Any]) -> dict[str, Any]:
    try:
        return {"file": inspect.getsourcefile(cls), "line": inspect.getsourcelines(cls)[1]}
    except (OSError, TypeError):
        return {"file": None, "line": None}


def _describe(setting: schema.Setting, docstring: str) -> dict[str, Any]:
    default = None if setting.required else schema.plain_value(setting.default)
    return {
        "name": setting.name,
        "type": setting.type_name,
        "required": setting.required,
        "default": default,
        "help": help_of(setting.name, docstring),
    }


def help_of(name: str, docstring: str) -> str:
    """What a docstring says of a setting: its first sentence with the name in backticks, or empty."""
    sentences = re.split(r"(?<=[.!?])\s+", re.sub(r"\s+", " ", docstring))
    mention = re.compile(rf"`{re.escape(name)}\b[^`]*`")
    return next((sentence for sentence in sentences if mention.search(sentence)), "")


def _facts(spec: Spec, batch_size: int, config: DataConfig) -> dict[str, Any]:
    """What the loaded data is; where it cannot be loaded, why. `UsageError` for a setting's wrong value."""
    dataset: Dataset | None = None
    try:
        dataset = plan("datasets", spec).make()
        data = dataset.load(data_place(config))
    except NnkitError as error:
        if dataset is None and spec.settings and isinstance(error, UsageError):
            raise  # what was typed is wrong, not what is on the disk
        return {"error": error.message, "hint": error.hint, "pipeline": pipeline_facts(dataset, None)}
    except Exception as error:  # a third party's dataset may raise anything
        return {"error": f"{type(error).__name__}: {error}", "hint": "`nnkit doctor` says what is installed"}
    return {
        "task": data.task,
        "default_model": dataset.default_model,
        "classes": list(data.class_names),
        "in_channels": data.in_channels,
        "image_size": data.image_size,
        "target_channels": data.target_channels,
        "target_size": data.target_size,
        "splits": {name: len(split) for name, split in data.splits.items()},
        "sizes": _sizes(data),
        "forecast": _forecast(data, batch_size) if _has_buckets(data) else None,
        "pipeline": pipeline_facts(dataset, data),
        "notes": list(data.notes),
    }


def _sizes(data: Data) -> dict[str, dict[str, int]]:
    """How many images of each size each split has, largest counts first; of those in buckets, their own."""
    counts = {}
    for name, split in data.splits.items():
        sizes = split.own_sizes if _has_buckets(data) else split.sizes
        seen = Counter(resolution_name(int(h), int(w)) for h, w in sizes)
        counts[name] = dict(seen.most_common())
    return counts


def _has_buckets(data: Data) -> bool:
    return data.image_size is None or data.bucketing != EXACT_SIZES


def _forecast(data: Data, batch_size: int) -> dict[str, Any]:
    """What an epoch of training will cost: the first epoch's plan, counted."""
    batches = Batches(data, data.splits["train"], batch_size=batch_size, device=torch.device("cpu"))
    forecast = asdict(batches.plan(epoch=1, shuffle=True).forecast)
    return {"batch_size": batch_size, "num_buckets": len(forecast["buckets"]), **forecast}


def source_line(document: dict[str, Any]) -> str:
    """ "path:line" of the class, or empty."""
    return f"{Path(document['file'])}:{document['line']}" if document["file"] else ""

"""A component's page, as `nnkit info` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnkit.present.pipeline import pipeline_pairs
from nnkit.present.tables import key_values, settings_table, table

MOST_SIZES = 12
COUNTS = ("num_images", "num_batches")


def info_text(document: Mapping[str, Any], *, width: int = 80) -> str:
    """Who provides the component, what its docstring says, its settings, and a dataset's facts."""
    provider = f"{document['provider']} {document['version']}"
    place = f"{document['file']}:{document['line']}" if document["file"] else document["target"]
    head = key_values(
        [("name", document["name"]), ("group", document["group"]), ("provider", provider), ("source", place)],
        width=width,
    )
    parts = [head, document["docstring"], _settings(document, width)]
    if "facts" in document:
        parts.append(_facts(document["facts"], width))
    return "\n\n".join(part for part in parts if part)


def _settings(document: Mapping[str, Any], width: int) -> str:
    rows = [
        {**setting, "default": "required" if setting["required"] else _show(setting["default"])}
        for setting in document["settings"]
    ]
    return settings_table(rows, width=width) if rows else "No settings."


def _show(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return "[" + ", ".join(_show(item) for item in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _facts(facts: Mapping[str, Any], width: int) -> str:
    pipeline = pipeline_pairs(facts["pipeline"]) if facts.get("pipeline") else []
    if "error" in facts:
        why = f"Its facts are not known here: {facts['error']}\n{facts['hint']}"
        return f"{why}\n\n{key_values(pipeline, width=width)}" if pipeline else why
    shape = [f"{facts['in_channels']} channel(s)", _size(facts["image_size"])]
    pairs: list[tuple[str, object]] = [
        ("task", facts["task"]),
        ("usual model", facts["default_model"]),
        ("images", ", ".join(shape)),
    ]
    if facts["classes"]:
        pairs.append(("classes", f"{len(facts['classes'])}: " + ", ".join(facts["classes"][:20])))
    if facts["target_size"]:
        pairs.append(("targets", f"{facts['target_channels']} channel(s), {_size(facts['target_size'])}"))
    pairs += pipeline
    pairs += [("note", note) for note in facts["notes"]]
    parts = [key_values(pairs, width=width), _sizes(facts, width)]
    if facts.get("forecast"):
        parts.append(_forecast(facts["forecast"], width))
    return "\n\n".join(parts)


def _forecast(forecast: Mapping[str, Any], width: int) -> str:
    """What an epoch of training costs: its sums, then a row per bucket, the largest ones first."""
    sums: list[tuple[str, object]] = [
        ("buckets", f"{forecast['num_buckets']:,}"),
        ("batches", f"{forecast['num_batches']:,} of up to {forecast['batch_size']} images"),
        ("fill", f"{forecast['fill']:.1%} of the batches' places"),
        ("padded pixels", f"{forecast['padded_share']:.1%} ({forecast['padded_pixels']:,})"),
        ("dropped images", f"{forecast['num_dropped']:,} per epoch"),
    ]
    if forecast["num_merged"]:
        sums.append(("merged images", f"{forecast['num_merged']:,} in a larger bucket than their own"))
    largest = sorted(forecast["buckets"], key=lambda bucket: -bucket["num_images"])[:MOST_SIZES]
    rows = [
        [f"{b['height']}x{b['width']}", b["num_images"], b["num_batches"], f"{b['fill']:.0%}"]
        for b in largest
    ]
    if (hidden := forecast["num_buckets"] - len(rows)) > 0:
        rest = [sum(b[key] for b in forecast["buckets"]) - sum(b[key] for b in largest) for key in COUNTS]
        rows.append([f"{hidden} more buckets", *rest, ""])
    head = "Forecast of an epoch of training\n" + key_values(sums, width=width)
    return head + "\n\n" + table(rows, ["bucket", "images", "batches", "fill"], width=width)


def _sizes(facts: Mapping[str, Any], width: int) -> str:
    """The histogram of sizes: a row per size, a column per split."""
    splits = list(facts["splits"])
    names = list(dict.fromkeys(size for split in splits for size in facts["sizes"][split]))
    rows = [[size, *(facts["sizes"][split].get(size, 0) for split in splits)] for size in names[:MOST_SIZES]]
    if len(names) > MOST_SIZES:
        hidden = names[MOST_SIZES:]
        rest = [sum(facts["sizes"][split].get(size, 0) for size in hidden) for split in splits]
        rows.append([f"{len(hidden)} more sizes", *rest])
    if len(names) > 1:
        rows.append(["all", *(facts["splits"][split] for split in splits)])
    return table(rows, ["size", *splits], width=width)


def _size(size: Any) -> str:
    return "several sizes" if size is None else f"{size[0]}×{size[1]} px"

"""A component's page, as `nnkit info` prints it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pydantic import JsonValue

from nnkit.present.layout import WIDTH, joined, key_values, table
from nnkit.present.pipeline import pipeline_pairs
from nnkit.present.text import counted, shorten
from nnkit.results.info import DatasetFacts, ForecastInfo, InfoResult, MissingFacts, SettingInfo, Size

MOST_SIZES, MOST_CLASSES = 12, 20


def info_text(result: InfoResult, *, width: int = WIDTH) -> str:
    """Who provides the component, what its docstring says, its settings, and a dataset's facts."""
    provider = f"{result.provider} {result.version}"
    place = f"{result.file}:{result.line}" if result.file else result.target
    head = key_values(
        [("name", result.name), ("group", result.group), ("provider", provider), ("source", place)],
        width=width,
    )
    parts = [head, result.docstring, _settings(result.settings, width)]
    if result.facts:
        parts.append(_facts(result.facts, width))
    return joined(*parts)


def _settings(settings: Sequence[SettingInfo], width: int) -> str:
    """Each setting's name, type and default, and what the docstring says of it where it does of any."""
    rows = [[row.name, row.type, "required" if row.required else _show(row.default)] for row in settings]
    if not rows:
        return "No settings."
    heads, align = ["setting", "type", "default"], "nll"
    if any(row.help for row in settings):
        rows = [[*cells, row.help] for cells, row in zip(rows, settings, strict=True)]
        heads, align = [*heads, "meaning"], align + "l"
    return table(rows, heads, align=align, width=width)


def _show(value: JsonValue) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return "[" + ", ".join(_show(item) for item in value) + "]"
    return str(value).lower() if isinstance(value, bool) else str(value)


def _facts(facts: DatasetFacts | MissingFacts, width: int) -> str:
    pipeline = pipeline_pairs(facts.pipeline) if facts.pipeline else []
    if isinstance(facts, MissingFacts):
        why = f"Its facts are not known here: {facts.error}\n{facts.hint}"
        return f"{why}\n\n{key_values(pipeline, width=width)}" if pipeline else why
    shape = [counted(facts.in_channels, "channel"), _size(facts.image_size)]
    pairs: list[tuple[str, object]] = [
        ("task", facts.task),
        ("default model", facts.default_model),
        ("images", ", ".join(shape)),
    ]
    if facts.classes:
        pairs.append(("classes", f"{len(facts.classes)}: " + ", ".join(facts.classes[:MOST_CLASSES])))
    if facts.target_size:
        pairs.append(
            ("targets", f"{counted(facts.target_channels or 0, 'channel')}, {_size(facts.target_size)}")
        )
    pairs += pipeline
    pairs += [("note", note) for note in facts.notes]
    parts = [key_values(pairs, width=width), _classes(facts, width), _sizes(facts, width)]
    if facts.forecast:
        parts.append(_forecast(facts.forecast, width))
    return joined(*parts)


def _forecast(forecast: ForecastInfo, width: int) -> str:
    """What an epoch of training costs: its sums, then a row per bucket, the largest ones first."""
    sums: list[tuple[str, object]] = [
        ("buckets", f"{forecast.num_buckets:,}"),
        ("batches", f"{forecast.num_batches:,} of up to {forecast.batch_size} images"),
        ("fill", f"{forecast.fill:.1%} of the batch slots"),
        ("padded pixels", f"{forecast.padded_share:.1%} ({forecast.padded_pixels:,})"),
        ("dropped images", f"{forecast.num_dropped:,} per epoch"),
    ]
    if forecast.num_merged:
        sums.append(("merged images", f"{forecast.num_merged:,} in a larger bucket than their own"))
    largest = sorted(forecast.buckets, key=lambda bucket: -bucket.num_images)[:MOST_SIZES]
    rows = [[f"{b.height}x{b.width}", b.num_images, b.num_batches, f"{b.fill:.0%}"] for b in largest]
    if (hidden := forecast.num_buckets - len(rows)) > 0:
        images = sum(b.num_images for b in forecast.buckets) - sum(b.num_images for b in largest)
        batches = sum(b.num_batches for b in forecast.buckets) - sum(b.num_batches for b in largest)
        rows.append([f"{hidden} more buckets", images, batches, ""])
    head = "Forecast of an epoch of training\n" + key_values(sums, width=width)
    return head + "\n\n" + table(rows, ["bucket", "images", "batches", "fill"], width=width)


def _sizes(facts: DatasetFacts, width: int) -> str:
    """The histogram of sizes: a row per size, a column per split."""
    return _histogram("size", "sizes", facts.sizes, facts.splits, MOST_SIZES, width)


def _classes(facts: DatasetFacts, width: int) -> str:
    """How many images each class has: a row per class, a column per split."""
    if not facts.class_counts:
        return ""
    return _histogram("class", "classes", facts.class_counts, facts.splits, MOST_CLASSES, width)


def _histogram(
    head: str,
    plural: str,
    counts: Mapping[str, Mapping[str, int]],
    splits: Mapping[str, int],
    most: int,
    width: int,
) -> str:
    """A row for each of the first `most` names with its images by split, the sums of the rest, and of all."""
    names = list(dict.fromkeys(name for split in splits for name in counts[split]))
    rows = [[shorten(name, 30), *(counts[split].get(name, 0) for split in splits)] for name in names[:most]]
    if len(names) > most:
        hidden = names[most:]
        rest = [sum(counts[split].get(name, 0) for name in hidden) for split in splits]
        rows.append([f"{len(hidden)} more {plural}", *rest])
    if len(names) > 1:
        rows.append(["all", *splits.values()])
    return table(rows, [head, *splits], width=width)


def _size(size: Size | None) -> str:
    return "several sizes" if size is None else f"{size[0]}×{size[1]} px"

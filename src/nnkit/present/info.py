"""A component's page, as `nnkit info` prints it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nnkit.present.tables import key_values, settings_table, table

MOST_SIZES = 12


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
    if "error" in facts:
        return f"Its facts are not known here: {facts['error']}\n{facts['hint']}"
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
    pairs += [("note", note) for note in facts["notes"]]
    return key_values(pairs, width=width) + "\n\n" + _sizes(facts, width)


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

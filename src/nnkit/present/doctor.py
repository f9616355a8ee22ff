"""The doctor's findings, as `nnkit doctor` prints them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

from nnkit.present.tables import key_values


def doctor_text(document: Mapping[str, Any], *, width: int = 80) -> str:
    """Versions, devices, folders, datasets, plugins, and the problems last."""
    environment, devices = document["environment"], document["devices"]
    versions = ", ".join(f"{name} {version}" for name, version in environment["versions"].items() if version)
    pairs = [
        ("python", environment["python"]),
        ("versions", versions),
        ("machine", f"{environment['cpu']}, {devices['cores']} cores, {devices['threads']} threads"),
        ("devices", ", ".join(["cpu", *devices["cuda"]]) + f" (auto means {devices['auto']})"),
    ]
    pairs += [(name.replace("_", " "), _folder(folder)) for name, folder in document["folders"].items()]
    there = [name for name, present in document["datasets"].items() if present]
    pairs.append(("datasets there", ", ".join(there) or "none of those that are files; digits needs none"))
    owners = Counter(component["provider"] for component in document["components"])
    pairs.append(
        ("components", ", ".join(f"{count} of {owner}" for owner, count in owners.items()) or "none")
    )
    text = key_values(pairs, width=width)
    problems = document["problems"]
    if not problems:
        return f"{text}\n\nNo problem found."
    return f"{text}\n\n{len(problems)} problem(s):\n" + "\n".join(f"- {problem}" for problem in problems)


def _folder(folder: Mapping[str, Any]) -> str:
    state = "there" if folder["exists"] else "not there yet"
    access = "writable" if folder["writable"] else "read only"
    return f"{folder['path']} ({state}, {access})"

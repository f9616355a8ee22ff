"""The doctor's findings, as `nnkit doctor` prints them."""

from __future__ import annotations

from collections import Counter

from nnkit.present.cache import total_text
from nnkit.present.layout import WIDTH, key_values
from nnkit.present.text import counted
from nnkit.results.doctor import DoctorResult, Folder


def doctor_text(result: DoctorResult, *, width: int = WIDTH) -> str:
    """Versions, devices, folders, datasets, plugins, and the problems last."""
    environment, devices = result.environment, result.devices
    versions = ", ".join(f"{name} {version}" for name, version in environment.versions.items() if version)
    pairs = [
        ("python", environment.python),
        ("versions", versions),
        (
            "machine",
            f"{environment.cpu}, {counted(devices.cores or 0, 'core')}, {counted(devices.threads, 'thread')}",
        ),
        ("devices", ", ".join(["cpu", *devices.cuda]) + f" (auto means {devices.auto})"),
    ]
    for name, folder in result.folders.items():
        held = f": {total_text(result.cache)}" if name == "cache" and result.cache.files else ""
        pairs.append((name.replace("_", " "), _folder(folder) + held))
    there = [name for name, present in result.datasets.items() if present]
    pairs.append(("datasets there", ", ".join(there) or "none of those that are files; digits needs none"))
    owners = Counter(component.provider for component in result.components)
    pairs.append(
        ("components", ", ".join(f"{count} of {owner}" for owner, count in owners.items()) or "none")
    )
    text = key_values(pairs, width=width)
    problems = result.problems
    if not problems:
        return f"{text}\n\nNo problem found."
    return f"{text}\n\n{counted(len(problems), 'problem')}:\n" + "\n".join(
        f"- {problem}" for problem in problems
    )


def _folder(folder: Folder) -> str:
    state = "there" if folder.exists else "not there yet"
    access = "writable" if folder.writable else "read only"
    return f"{folder.path} ({state}, {access})"

"""Plugins as folders: a `.dist-info` with entry points, and a module, on `sys.path`."""

from __future__ import annotations

from pathlib import Path


def write_plugin(
    folder: Path,
    name: str,
    entry_points: str,
    *,
    module: str = "",
    version: str = "1.0",
    metadata: bool = True,
) -> None:
    """Write a distribution `name` into `folder`, its module `name` with dashes as underscores."""
    info = folder / f"{name.replace('-', '_')}-{version}.dist-info"
    info.mkdir(parents=True)
    (info / "entry_points.txt").write_text(entry_points, encoding="utf-8")
    if metadata:
        text = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
        (info / "METADATA").write_text(text, encoding="utf-8")
    if module:
        (folder / f"{name.replace('-', '_')}.py").write_text(module, encoding="utf-8")

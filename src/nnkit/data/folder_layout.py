"""Classes and splits of image files, from the names of their folders."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

SPLIT_FOLDERS = {"train": "train", "val": "val", "valid": "val", "validation": "val", "test": "test"}
"""The split that a folder's name says."""


SHOWN = 5
"""Names of images that a note holds."""


def left_out(names: Sequence[str], where: str) -> tuple[str, ...]:
    """A note on the images that are left out, with the first of their names; none where none are."""
    if not names:
        return ()
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return (f"{len(names)} images {where} are left out: {', '.join(names[:SHOWN])}{more}",)


def no_images(suffixes: Mapping[str, int]) -> tuple[str, ...]:
    """A note on files that are no images by their names, counted by suffix; none where there are none."""
    if not suffixes:
        return ()
    listed = [f"{count} {suffix or 'without a suffix'}" for suffix, count in suffixes.items()]
    more = f" and {len(listed) - SHOWN} more kinds" if len(listed) > SHOWN else ""
    named = ", ".join(listed[:SHOWN])
    return (f"{sum(suffixes.values())} files are left out, no images by their names: {named}{more}",)


@dataclass(frozen=True)
class FolderLayout:
    """The class and the split of each file, in the order of the names; "" where the folders say none.

    Without folders for splits, `splits` is None.
    """

    classes: tuple[str, ...]
    splits: tuple[str, ...] | None = None


def read_layout(names: Sequence[str]) -> FolderLayout:
    """The layout of files named with slashes, relative to their root.

    Outer folders that hold all others are looked through. The folders below are splits, and those in them the
    classes, where `train` is one of them and either all are named after splits, or `train` and another one so
    named hold folders. Else they are the classes, whatever their names.
    """
    folders = [tuple(name.split("/")[:-1]) for name in names]
    depth = 0
    while True:
        here = {path[depth] for path in folders if len(path) > depth}
        nested = {path[depth] for path in folders if len(path) > depth + 1}
        if _are_splits(here, nested):
            return _with_splits(folders, depth)
        if len(here) != 1 or not nested:
            return FolderLayout(tuple(path[depth] if len(path) > depth else "" for path in folders))
        depth += 1


def _are_splits(here: set[str], nested: set[str]) -> bool:
    """Whether folders are those of splits; `nested` are those that hold folders."""
    if "train" not in here:
        return False
    if here <= set(SPLIT_FOLDERS):
        return True
    return "train" in nested and len(nested & set(SPLIT_FOLDERS)) > 1


def _with_splits(folders: Sequence[tuple[str, ...]], depth: int) -> FolderLayout:
    classes, splits = [], []
    for path in folders:
        split = SPLIT_FOLDERS.get(path[depth], "") if len(path) > depth + 1 else ""
        splits.append(split)
        classes.append(path[depth + 1] if split else "")
    return FolderLayout(tuple(classes), tuple(splits))

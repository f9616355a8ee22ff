"""The folders of a configuration: data root, cache and runs folder."""

from __future__ import annotations

import os
from pathlib import Path

from nnkit.errors import Mistake, UsageError
from nnkit.options import DataConfig
from nnkit.runs.directory import RunDirectory
from nnkit.types import DataPlace


def data_place(config: DataConfig) -> DataPlace:
    """Where datasets are read and decoded data is kept, for this configuration."""
    root = config.data_root if config.data_root is not None else default_data_root()
    return DataPlace(root=root.expanduser(), cache=cache_folder(), download=config.download)


def default_data_root() -> Path:
    """The platform's cache folder, `nnkit/data`."""
    import platformdirs

    return platformdirs.user_cache_path("nnkit", appauthor=False) / "data"


def cache_folder() -> Path:
    """NNKIT_CACHE, else the platform's cache folder, `nnkit/decoded`."""
    import platformdirs

    given = os.environ.get("NNKIT_CACHE")
    return (
        Path(given).expanduser()
        if given
        else platformdirs.user_cache_path("nnkit", appauthor=False) / "decoded"
    )


def resumed_elsewhere(resume: Path | None, **given: object) -> list[Mistake]:
    """A mistake for each option that is given with `resume` and would make a run elsewhere."""
    return [
        Mistake(key, "a run is resumed by itself and stays in its folder", f"leave --{key} out")
        for key, value in given.items()
        if resume is not None and value is not None
    ]


def no_run(run: Path, runs_dir: Path | None) -> list[Mistake]:
    """A mistake where there is no run of this folder or name."""
    try:
        RunDirectory.find(run, runs_dir)
    except UsageError as error:
        return [Mistake("run", error.message, error.hint)]
    return []


def taken(folder: Path | None) -> list[Mistake]:
    """A mistake where the folder that a command is to write is there and holds something."""
    try:
        is_taken = folder is not None and (folder.is_file() or (folder.is_dir() and any(folder.iterdir())))
    except OSError:  # what cannot be read fails when it is written
        is_taken = False
    if not is_taken:
        return []
    return [Mistake("out", f"{folder} is already there", "give --out a new or empty folder")]

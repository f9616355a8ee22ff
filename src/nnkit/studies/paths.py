"""From a configuration to where things are: data root, cache and runs folder."""

from __future__ import annotations

import os
from pathlib import Path

from nnkit.config import FolderConfig
from nnkit.types import DataPlace


def data_place(config: FolderConfig) -> DataPlace:
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

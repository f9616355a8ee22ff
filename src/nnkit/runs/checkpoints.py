"""The checkpoints of a run: each is complete in a folder of its own before index.json names it.

`checkpoints/index.json` names the folders: `last`, newest first, and `best`. A folder is written under a
temporary name, brought to the disk, renamed, and only then named by an index that is replaced atomically; so
whatever happens, the index names whole folders. What no index names any more is removed.
"""

from __future__ import annotations

import logging
import re
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, ValidationError

from nnkit import files
from nnkit.results.base import Part

logger = logging.getLogger("nnkit")

STATE, WEIGHTS = "state.safetensors", "weights.safetensors"
INDEX = "index.json"
FOLDER = r"(last|best)-(\d{8,12})(?:-(\d{1,9}))?"
Kind = Literal["last", "best"]
FolderName = Annotated[str, Field(pattern=f"^{FOLDER}$")]
"""A folder within `checkpoints/`: a damaged index leads nowhere else."""


class Entry(Part):
    """A checkpoint by the name of its folder; `best` is the folder of the best weights at that time."""

    folder: FolderName
    epoch: int
    step: int
    best: FolderName | None = None


class Index(Part):
    """index.json: the checkpoints to resume from, newest first, and the one that holds the best weights."""

    last: tuple[Entry, ...] = ()
    best: FolderName | None = None

    @property
    def folders(self) -> set[str]:
        """Every folder that is needed: those of the best weights at an older checkpoint are, too."""
        named = {name for entry in self.last for name in (entry.folder, entry.best) if name}
        return named | ({self.best} if self.best else set())


class Checkpoints:
    """The folder `checkpoints/` of a run, to write and to read."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def save(
        self,
        epoch: int,
        step: int,
        *,
        state: Callable[[Path], None],
        best: Callable[[Path], None] | None = None,
        keep: int = 2,
    ) -> None:
        """Add the training state, written by `state` to the path that it is given, and keep the last `keep`.

        With `best`, the best weights are replaced in the same moment. `WriteError` where the system refuses,
        as on a full disk: the checkpoints before stay as they were.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        index = self.index()
        made: list[Path] = []
        try:
            name = index.best
            if best is not None:
                made.append(self._write("best", step, best))
                name = made[-1].name
            made.append(self._write("last", step, state))
            entry = Entry(folder=made[-1].name, epoch=epoch, step=step, best=name)
            index = Index(last=(entry, *index.last)[: max(1, keep)], best=name)
            self._write_index(index)
        except BaseException:
            for folder in made:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        self._remove_all_but(index.folders)

    def _write_index(self, index: Index) -> None:
        files.write_json(self.path / INDEX, {"schema": "nnkit.checkpoints/1", **index.document()})

    def _write(self, kind: Kind, step: int, write: Callable[[Path], None]) -> Path:
        """A new folder with the one file that `write` writes, under its final name and on the disk."""
        path = self._free(kind, step)
        with files.new_folder(path) as temporary:
            write(temporary / (STATE if kind == "last" else WEIGHTS))
        return path

    def _free(self, kind: Kind, step: int) -> Path:
        """A name that no folder has: the same step is saved twice in its epoch's last step and at its end."""
        path, number = self.path / f"{kind}-{step:08d}", 1
        while path.exists():
            number += 1
            path = self.path / f"{kind}-{step:08d}-{number}"
        return path

    def _remove_all_but(self, needed: set[str]) -> None:
        for path in self.path.iterdir():
            if re.fullmatch(FOLDER, path.name) and path.name not in needed:
                shutil.rmtree(path, ignore_errors=True)

    def index(self) -> Index:
        """The index; where it is damaged, what the folders' own names say, which a warning tells."""
        path = self.path / INDEX
        try:
            return Index.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            found = self._by_names()
        except (OSError, ValidationError):
            found = self._by_names()
            logger.warning("%s is damaged: the checkpoints are taken by the names of their folders", path)
        return found

    def _by_names(self) -> Index:
        matches = [
            match
            for path in (self.path.iterdir() if self.path.is_dir() else ())
            if (match := re.fullmatch(FOLDER, path.name)) and path.is_dir()
        ]
        newest_first = sorted(matches, key=lambda match: (int(match[2]), int(match[3] or 1)), reverse=True)
        by_kind = {kind: [m[0] for m in newest_first if m[1] == kind] for kind in ("last", "best")}
        best = next(iter(by_kind["best"]), None)
        last = [
            Entry(folder=m[0], epoch=0, step=int(m[2]), best=best) for m in newest_first if m[1] == "last"
        ]
        return Index(last=tuple(last), best=best)

    def best(self) -> Path | None:
        """The file of the best weights; None before the first epoch has ended."""
        name = self.index().best
        return self.weights_in(name) if name else None

    def weights_in(self, folder: str) -> Path:
        """The file of weights in a folder that an entry names."""
        return self.path / folder / WEIGHTS

    def states(self) -> Sequence[tuple[Entry, Path]]:
        """The files of training state, newest first."""
        return [(entry, self.path / entry.folder / STATE) for entry in self.index().last]

    def forget_after(self, folder: str) -> None:
        """Go on from an older checkpoint: the newer ones, which are damaged, are forgotten."""
        index = self.index()
        names = [entry.folder for entry in index.last]
        if names.index(folder) == 0:
            return
        kept = index.last[names.index(folder) :]
        self._write_index(Index(last=kept, best=kept[0].best))

    def size(self) -> int:
        """Bytes on the disk."""
        return sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file())

"""The checkpoints of a run: each is complete in a folder of its own before index.json names it.

`checkpoints/index.json` names the folders: `last`, newest first, and `best`. A folder is written under a
temporary name, brought to the disk, renamed, and only then named by an index that is replaced atomically; so
whatever happens, the index names whole folders. What no index names any more is removed. The index has a
checksum of its own, and one of each file that it names: a file that is put in another's place is noticed.
"""

from __future__ import annotations

import json
import logging
import re
import shutil
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from nnkit import files
from nnkit.errors import CheckpointError
from nnkit.results.base import Document, Part

logger = logging.getLogger("nnkit")

STATE, WEIGHTS = "state.safetensors", "weights.safetensors"
INDEX = "index.json"
MAX_HEADER = 100_000_000
"""The bytes of the longest header that safetensors reads."""
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
    """index.json: the checkpoints to resume from, newest first, and the one that holds the best weights.

    `checksums` are those of the files in the folders, see `_checksum`.
    """

    last: tuple[Entry, ...] = ()
    best: FolderName | None = None
    checksums: Mapping[FolderName, str] = {}

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
        with files.explained(self.path):
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
            index = Index(
                last=(entry, *index.last)[: max(1, keep)],
                best=name,
                checksums={**index.checksums, **{path.name: _checksum(_file_in(path)) for path in made}},
            )
            self._write_index(index)
        except BaseException:
            for folder in made:
                shutil.rmtree(folder, ignore_errors=True)
            raise
        self._remove_all_but(index.folders)

    def _write_index(self, index: Index) -> None:
        checksums = {name: found for name, found in index.checksums.items() if name in index.folders}
        document = {
            "schema": "nnkit.checkpoints/1",
            **index.model_copy(update={"checksums": checksums}).document(),
        }
        files.write_json(self.path / INDEX, {**document, "checksum": _of_document(document)})

    def _write(self, kind: Kind, step: int, write: Callable[[Path], None]) -> Path:
        """A new folder with the one file that `write` writes, under its final name and on the disk."""
        path = self._free(kind, step)
        with files.new_folder(path) as temporary:
            write(_file_in(temporary, kind))
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
            document = json.loads(path.read_bytes())
            if document.pop("checksum", None) != _of_document(document):
                raise ValueError("its checksum is wrong")
            return Index.model_validate(document)
        except FileNotFoundError:
            found = self._by_names()
        except (ValueError, TypeError, AttributeError, RecursionError):  # with pydantic's and JSON's own
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
            Entry(
                folder=m[0],
                epoch=0,
                step=int(m[2]),
                best=next((b[0] for b in newest_first if b[1] == "best" and int(b[2]) <= int(m[2])), None),
            )
            for m in newest_first
            if m[1] == "last"
        ]
        return Index(last=tuple(last), best=best)

    def best(self) -> Path | None:
        """The file of the best weights; None before the first epoch has ended."""
        name = self.index().best
        return self.weights_in(name) if name else None

    def check(self, path: Path) -> None:
        """`CheckpointError` where a file is there and is not the one that the run saved under its name."""
        expected = self.index().checksums.get(path.parent.name)
        if expected is not None and path.is_file() and _checksum(path) != expected:
            raise CheckpointError(
                f"{path} is damaged: it is not the file that the run saved there",
                hint="put it back from a copy, or train again",
            )

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
        self._write_index(Index(last=kept, best=kept[0].best, checksums=index.checksums))

    def size(self) -> int:
        """Bytes on the disk."""
        return sum(path.stat().st_size for path in self.path.rglob("*") if path.is_file())


def _file_in(folder: Path, kind: str = "") -> Path:
    """The one file in the folder of a checkpoint, of the kind that is given or that its name says."""
    return folder / (STATE if (kind or folder.name).startswith("last") else WEIGHTS)


def _checksum(path: Path) -> str:
    """CRC-32 of a safetensors file's header, which holds checksums of the rest: the tensors are not read."""
    with path.open("rb") as file:
        length = file.read(8)
        header = file.read(min(int.from_bytes(length, "little"), MAX_HEADER))
    return f"{zlib.crc32(header, zlib.crc32(length)):08x}"


def _of_document(document: Document) -> str:
    return f"{zlib.crc32(json.dumps(document, sort_keys=True).encode()):08x}"

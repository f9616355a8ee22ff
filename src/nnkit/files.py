"""Files that are replaced atomically: readers see the old content or the new, never a part."""

from __future__ import annotations

import contextlib
import json
import math
import os
import secrets
from collections.abc import Iterator, Mapping
from enum import Enum
from pathlib import Path
from typing import Any

_MARK = ".nnkit-tmp-"


@contextlib.contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; on success it takes `path`'s place, on failure it goes."""
    temporary = path.with_name(f"{_MARK}{secrets.token_hex(4)}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def remove_strays(folder: Path) -> None:
    """Remove the temporary files that a killed process left in `folder`."""
    for stray in folder.glob(f"{_MARK}*"):
        with contextlib.suppress(OSError):
            stray.unlink()


def write_text(path: Path, text: str) -> None:
    """Replace a text file."""
    with replacing(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_json(path: Path, value: object) -> None:
    """Replace a JSON file; numbers that are not finite become null."""
    write_text(path, dumps(value, indent=2) + "\n")


def dumps(value: object, *, indent: int | None = None) -> str:
    """Strict JSON: numbers that are not finite become null, paths and enums their text."""
    return json.dumps(strict(value), indent=indent, allow_nan=False, ensure_ascii=False)


def strict(value: Any) -> Any:
    """The value as strict JSON can hold it."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): strict(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [strict(item) for item in value]
    if isinstance(value, Enum):
        return strict(value.value)
    return str(value) if isinstance(value, Path) else value

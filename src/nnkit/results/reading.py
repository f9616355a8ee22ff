"""Results read back from the files that hold them."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

from pydantic import TypeAdapter, ValidationError

from nnkit.errors import CheckpointError, NnkitError

T = TypeVar("T")


def read(
    path: Path,
    kind: TypeAdapter[T],
    *,
    strict: bool = False,
    error: type[NnkitError] = CheckpointError,
    hint: str = "",
) -> T:
    """The value of type `kind` in a JSON file; an `error` that names the file where it holds anything else.

    With `strict`, "1" is no number. `FileNotFoundError` where there is no file.
    """
    try:
        return kind.validate_json(path.read_bytes(), strict=strict)
    except FileNotFoundError:
        raise
    except OSError as wrong:
        raise error(f"{path} cannot be read: {wrong.strerror}", hint=hint) from None
    except ValidationError as wrong:
        raise error(f"{path} is damaged: {explain(wrong)}", hint=hint) from None


def explain(wrong: ValidationError) -> str:
    """The first thing that is wrong, on one line: its place and what was expected."""
    first = wrong.errors(include_url=False, include_input=False)[0]
    where = ".".join(map(str, first["loc"])) or "it"
    known = first.get("ctx", {})
    if first["type"] == "json_invalid":
        return f"it is no JSON: {known.get('error', '')}"
    if first["type"] == "missing":
        return f"{where} is missing"
    if first["type"] == "literal_error":
        return f"{where} is not {known['expected']}"
    return f"{where} is not as it was written"

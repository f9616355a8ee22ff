"""Options that several commands share, so that each has one name, one help text and one meaning.

Every option defaults to None, "not given", so that a configuration can tell where its values came from.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer


def path(text: str | Path) -> Path:
    """The path that an option names; an empty one would quietly mean the current folder."""
    if not str(text) or "\0" in str(text):
        raise typer.BadParameter("a path is wanted, this is empty or holds a NUL")
    return Path(text)


Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of a table.")]
Quiet = Annotated[bool, typer.Option("--quiet", help="No progress and no warnings.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error, and all warnings.")]
DataRoot = Annotated[
    Path | None,
    typer.Option(
        help="Where datasets are (else NNKIT_DATA, else the platform's cache folder).",
        metavar="DIR",
        parser=path,
    ),
]
RunsDir = Annotated[
    Path | None,
    typer.Option(help="Where runs are kept (else NNKIT_RUNS, else ./runs).", metavar="DIR", parser=path),
]
Download = Annotated[bool | None, typer.Option("--download", help="Fetch the dataset if it is missing.")]
Device = Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:1 or mps.", metavar="NAME")]
Threads = Annotated[int | None, typer.Option(help="CPU threads that torch computes with.", metavar="N")]
Seed = Annotated[int | None, typer.Option(help="Seed of everything random [default: 0].", metavar="N")]
Bucketing = Annotated[
    str | None,
    typer.Option(
        help="How sizes share batches, as max_buckets=32,pad_to=batch; or resize_policy=resize,size=28x28 "
        "[default: each size by itself].",
        metavar="SPEC",
    ),
]
Config = Annotated[
    list[Path] | None,
    typer.Option(
        "--config",
        help="A TOML file of options; repeatable, a later one wins.",
        metavar="FILE",
        parser=path,
    ),
]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", help="One value, as in model.width=81; repeatable.", metavar="A.B=VALUE"),
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Show what would be done, and where each value comes from.")
]


def given(**options: Any) -> dict[str, Any]:
    """The options that were given: those that are neither None nor an empty list."""
    return {key: value for key, value in options.items() if value is not None and value != []}

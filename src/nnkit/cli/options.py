"""From a command's configuration model to the options that Typer offers, and from what was given to layers.

Every option defaults to None, "not given", so that a configuration records the source of each value.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import Annotated, Any, get_args

import typer

from nnkit.cli import output

GENERAL: Mapping[str, tuple[str, str]] = {
    "json": ("--json", "Print one JSON document instead of a table."),
    "quiet": ("--quiet", "No progress and no warnings."),
    "debug": ("--debug", "Show the traceback of an error, and all warnings."),
}
"""What every command takes."""
_METAVARS = {int: "N", float: "X", Path: "DIR", str: "NAME"}


@dataclass(frozen=True)
class Given:
    """What was given on the command line: a command's own options, where the others are, how to answer."""

    options: Mapping[str, Any]
    config: tuple[Path, ...]
    sets: tuple[str, ...]
    dry_run: bool
    json: bool
    quiet: bool

    @property
    def layers(self) -> dict[str, Any]:
        """The keywords of a public function."""
        files = {"config": self.config, "sets": self.sets} if self.config or self.sets else {}
        return {**files, **self.options}


def read(values: Mapping[str, Any]) -> Given:
    """What Typer found, without the options that were left out; sets up stderr as --quiet and --debug say."""
    given = {key: value for key, value in values.items() if value is not None and value != []}
    output.set_up(quiet=given.pop("quiet", False), debug=given.pop("debug", False))
    return Given(
        config=tuple(given.pop("config", ())),
        sets=tuple(given.pop("set", ())),
        dry_run=given.pop("dry_run", False),
        json=given.pop("json", False),
        quiet=bool(values.get("quiet")),
        options=given,
    )


def path(text: str | Path) -> Path:
    """The path that an option names; an empty one would quietly mean the current folder."""
    if not str(text) or "\0" in str(text):
        raise typer.BadParameter("a path is wanted, this is empty or holds a NUL")
    return Path(text)


def give_options(function: Callable[..., None], model: Any = None, *, layered: bool = False) -> None:
    """Give a command's function the signature that its model means; Typer reads the annotations too.

    `layered` commands also take --config, --set and --dry-run.
    """
    own = signature(function).parameters.values()
    found = {p.name: p.annotation for p in own if p.kind is not Parameter.VAR_KEYWORD}
    if "context" in found:
        found["context"] = typer.Context
    if model is not None:
        found |= {name: _option(name, info) for name, info in model.fields().items() if _shown(info)}
    if layered:
        found |= _layers()
    for name, (flag, words) in GENERAL.items():
        found[name] = Annotated[bool, typer.Option(flag, help=words)]
    parameters = [
        Parameter(
            name,
            Parameter.KEYWORD_ONLY,
            # False, not None: what is not given needs no conversion then, and none of pydantic.
            default=Parameter.empty
            if _is_required(name, annotation, model)
            else False
            if name in GENERAL
            else None,
            annotation=annotation,
        )
        for name, annotation in found.items()
    ]
    function.__signature__ = Signature(parameters, return_annotation=None)  # type: ignore[attr-defined]
    function.__annotations__ = {**found, "return": None}


def _layers() -> dict[str, Any]:
    words = "A TOML file of options; repeatable, later files override earlier ones."
    return {
        "config": Annotated[
            list[Path] | None, typer.Option("--config", help=words, metavar="FILE", parser=path)
        ],
        "set": Annotated[
            list[str] | None,
            typer.Option("--set", help="One value, such as model.width=81; repeatable.", metavar="A.B=VALUE"),
        ],
        "dry_run": Annotated[
            bool | None,
            typer.Option(
                "--dry-run", help="Show the configuration and the source of each value; run nothing."
            ),
        ],
    }


def _is_required(name: str, annotation: Any, model: Any) -> bool:
    if annotation is typer.Context:
        return True
    if model is None:
        return False
    from nnkit.options import is_repeatable, option_of  # not at the top: pydantic, which `list` does without

    info = model.model_fields.get(name)
    if info is None:
        return False
    return info.is_required() or (option_of(info).argument and not is_repeatable(info))


def _shown(info: Any) -> bool:
    from nnkit.options import option_of

    return option_of(info).shown


def _option(name: str, info: Any) -> Any:
    """A field as the type and option (or argument) that Typer reads."""
    from nnkit import options

    option = options.option_of(info)
    (kind,) = options.members(info.annotation)
    several = options.is_repeatable(info)
    item = options.members(get_args(kind)[0])[0] if several else kind
    # What is given stays text until the model has judged it in our words: Path("") is the current folder.
    typed: Any = bool if item is bool else Path if item is Path and option.argument else str
    metavar = option.metavar or _metavar(info, item)
    more: dict[str, Any] = {} if option.sets else {"callback": lambda value: False if value else None}
    if item in (int, float) and not options.is_list(info):
        more["parser"] = _whole_number if item is int else _number
    words = _help(info)
    if option.argument:
        return Annotated[
            list[str] if several else typed,
            typer.Argument(help=words, metavar=option.metavar or None, **more),
        ]
    kind = list[typed] if several else typed
    flags = option.flags or (options.flag(name),)
    return Annotated[kind | None, typer.Option(*flags, help=words, metavar=metavar, **more)]


def _whole_number(text: str) -> int | str:
    """The number; what is none is left for the model to refuse."""
    try:
        return int(text)
    except ValueError:
        return text


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _metavar(info: Any, item: Any) -> str | None:
    from nnkit import options

    if item is bool:
        return None
    if options.is_list(info):
        return "LIST"
    return "SPEC" if options.is_spec(item) else _METAVARS.get(item, "NAME")


def _help(info: Any) -> str:
    """A field's help with its default: "Epochs at most [default: 10]." """
    from nnkit import options

    option = options.option_of(info)
    words = option.help.replace("{choices}", options.join(options.choices(info) or ("",)))
    default = "" if option.argument or info.is_required() else option.default or shown_default(info)
    return f"{words} [default: {default}]." if default else f"{words}."


def shown_default(info: Any) -> str:
    """A field's default as help shows it: "10", "no", "max and avg", "0-4"; empty where it says nothing."""
    from nnkit import options

    value, option = info.default, options.option_of(info)
    if value is None or value == ():
        return ""
    if isinstance(value, bool):
        return "" if not any("/" in flag for flag in option.flags) else "yes" if value else "no"
    if isinstance(value, tuple):
        if options.is_repeatable(info):
            return " and ".join(", ".join(map(str, value)).rsplit(", ", 1))
        if len(value) > 1 and value == tuple(range(value[0], value[-1] + 1)):
            return f"{value[0]}-{value[-1]}"
        return ",".join(str(item).lower() if isinstance(item, bool) else str(item) for item in value)
    return f"{value:g}" if isinstance(value, float) else str(value)

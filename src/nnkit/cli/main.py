"""`nnkit`: the commands put together, and the exit code for every way in which a command can end."""

from __future__ import annotations

import contextlib
import inspect
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import FrameType
from typing import Annotated, Any

import typer

from nnkit.cli import output, streams
from nnkit.cli.quick import QuickCommand, QuickGroup
from nnkit.errors import NnkitError, UsageError, hints, quote
from nnkit.present.text import say


@dataclass(frozen=True)
class Entry:
    """Where a command is: its function in `nnkit.cli`, and the model that its options follow from.

    `layered` commands take --config, --set and --dry-run. A group has subcommands, and a function of its own.
    """

    function: str
    model: str = ""
    layered: bool = False
    subcommands: Mapping[str, Entry] = field(default_factory=dict)
    more: Mapping[str, Any] = field(default_factory=dict)


COMMANDS: Mapping[str, Entry] = {
    "train": Entry("train:train", "train.config:TrainConfig", layered=True),
    "evaluate": Entry("evaluate:evaluate", "evaluate.config:EvaluateConfig", layered=True),
    "count-params": Entry("count_params:count_params", "count_params.config:CountParamsConfig"),
    "compare-pooling": Entry(
        "compare_pooling:compare_pooling", "compare_pooling.config:ComparePoolingConfig", layered=True
    ),
    "bench": Entry(
        "bench:bench",
        "bench.config:BenchConfig",
        layered=True,
        subcommands={
            "compare": Entry("bench:compare", "bench.config:BenchCompareConfig"),
            "ops": Entry("bench:ops", "bench.config:BenchOpsConfig"),
        },
    ),
    "list": Entry(
        "list_:list_components",
        more={"options_metavar": "[OPTIONS] [GROUP]...", "context_settings": {"allow_extra_args": True}},
    ),
    "info": Entry("info:info", "info.config:InfoConfig"),
    "doctor": Entry("doctor:doctor", "doctor:DoctorConfig"),
    "runs": Entry(
        "runs:runs",
        subcommands={
            "list": Entry("runs:list_runs", "runs:RunsListConfig"),
            "show": Entry("runs:show_run", "runs:RunsShowConfig"),
            "verify": Entry("runs:verify_run", "runs:RunsVerifyConfig"),
        },
    ),
    "cache": Entry(
        "cache:cache",
        subcommands={
            "list": Entry("cache:list_files"),
            "clear": Entry("cache:clear", "cache:CacheClearConfig"),
        },
    ),
    "new-plugin": Entry("new_plugin:new_plugin", "new_plugin.config:NewPluginConfig"),
    "check-plugin": Entry("check_plugin:check_plugin", "check_plugin:CheckPluginConfig"),
}


class _Commands(QuickGroup):
    """Imports a command's model when it is run or its own help shown: all of them cost as much as Typer."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self._made: dict[str, Any] = {}
        self.commands = dict.fromkeys(COMMANDS)  # type: ignore[assignment]  # names alone, for suggestions

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        if args[0] in COMMANDS:
            self._made[args[0]] = make_command(args[0], COMMANDS[args[0]])
        return super().resolve_command(ctx, args)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command, or before it is asked for what the list of commands says of it."""
        if cmd_name in COMMANDS and cmd_name not in self._made:
            function = _load("nnkit.cli", COMMANDS[cmd_name].function)
            return QuickCommand(cmd_name, help=inspect.cleandoc(function.__doc__ or ""))
        return self._made.get(cmd_name)


def make_command(name: str, entry: Entry) -> Any:
    """The Typer command of an entry, with all its options."""
    holder = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    function = _with_options(entry)
    if entry.subcommands:
        holder.callback(cls=QuickGroup, invoke_without_command=bool(entry.model))(function)
        for sub, its in entry.subcommands.items():
            holder.command(sub, cls=QuickCommand)(_with_options(its))
    else:
        holder.command(name, cls=QuickCommand, **entry.more)(function)
    command = typer.main.get_command(holder)
    command.name = name
    return command


def _with_options(entry: Entry) -> Any:
    from nnkit.cli.options import give_options

    function = _load("nnkit.cli", entry.function)
    if entry.model or not entry.subcommands:
        model = _load("nnkit.studies", entry.model) if entry.model else None
        give_options(function, model, layered=entry.layered)
    return function


def _load(package: str, target: str) -> Any:
    module, _, attribute = target.partition(":")
    return getattr(import_module(f"{package}.{module}"), attribute)


# Plain help: Rich costs more start-up time than everything else together.
app = typer.Typer(
    name="nnkit",
    cls=_Commands,
    help="Compose small vision experiments by name: a dataset, a model, a loss and a stopping rule.",
    epilog="Start with: nnkit train",
    add_completion=False,  # offered below: Typer's own options make every start import all of pydantic
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)


@app.callback(invoke_without_command=True)
def _nnkit(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
    install_completion: Annotated[
        bool, typer.Option("--install-completion", help="Install completion for the current shell.")
    ] = False,
    show_completion: Annotated[
        bool, typer.Option("--show-completion", help="Show the completion script, to copy or change it.")
    ] = False,
) -> None:
    if install_completion or show_completion:
        from typer import completion

        act = completion.install_callback if install_completion else completion.show_callback
        act(context, context.command.params[0], True)
    if show_version:
        import nnkit

        print(f"nnkit {nnkit.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit


def main() -> None:
    """The console script."""
    streams.open_missing()
    signal.signal(signal.SIGTERM, _terminated)
    if hasattr(signal, "SIGHUP") and signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, _terminated)
    sys.exit(run(sys.argv[1:]))


def _terminated(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)  # no Exception: what is under way is cleaned up and nobody catches it


def run(arguments: Sequence[str]) -> int:
    """Run one command line; return its exit code. Nothing but a bug of nnkit's shows a traceback."""
    as_json = "--json" in arguments
    debug = "--debug" in arguments
    if "_NNKIT_COMPLETE" in os.environ:
        from typer import completion

        completion.get_completion_inspect_parameters()  # registers the shells, as Typer itself does
    try:
        try:
            code = app(list(arguments), prog_name="nnkit", standalone_mode=False)
        finally:
            output.take_down()
        sys.stdout.flush()
        if code == 130:  # Typer returns it after Ctrl-C, without a word
            say("nnkit: interrupted")
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        _close_stdout()
        return 0
    except SystemExit as stop:
        # Typer ends this way where the reader is gone; whatever else ends so keeps its code.
        if isinstance(stop.__context__, BrokenPipeError):
            _close_stdout()
            return 0
        return stop.code if isinstance(stop.code, int) else 1
    except (KeyboardInterrupt, typer.Abort):
        say("nnkit: interrupted")
        return 130
    except NnkitError as error:
        return _fail(error, as_json=as_json, debug=debug)
    except typer.TyperException as error:
        usage = UsageError(_shorten(error.format_message()), hint=_usage_hint(error))
        usage.exit_code = error.exit_code
        return _fail(usage, as_json=as_json, debug=False)
    except OSError as error:
        # A disk or permission problem that no part of nnkit could say more about.
        where = f" ({quote(str(error.filename))})" if error.filename else ""
        return _fail(NnkitError(f"{error.strerror or error}{where}"), as_json=as_json, debug=debug)
    except Exception as error:
        if _is_out_of_memory(error):
            explained = NnkitError("out of memory", hint="lower --batch-size or --limit")
            return _fail(explained, as_json=as_json, debug=debug)
        message = f"{type(error).__name__}: {error}"
        bug = NnkitError(message, hint="this looks like a bug: run again with --debug for the traceback")
        return _fail(bug, as_json=as_json, debug=debug)


def _is_out_of_memory(error: Exception) -> bool:
    if "torch" not in sys.modules:
        return isinstance(error, MemoryError)
    from nnkit.training.memory import is_out_of_memory

    return is_out_of_memory(error)


def _shorten(message: str, limit: int = 400) -> str:
    return message if len(message) <= limit else message[: limit - 1] + "…"


_OPTION_OF = {
    "datasets": "--dataset",
    "models": "--model",
    "losses": "--loss",
    "poolings": "--pooling",
    "stopping_rules": "--stop",
    "optimizers": "--optimizer",
    "schedules": "--schedule",
    "trackers": "--tracker",
    "augmentations": "--augment",
    "metrics": "--metric",
}


def _usage_hint(error: typer.TyperException) -> str:
    """The hint for an extra argument; for a component (`nnkit train mnist`) its option."""
    context = getattr(error, "ctx", None)
    see = f"see `{getattr(context, 'command_path', 'nnkit')} --help`"
    _, found, words = error.format_message().partition("unexpected extra argument(s) (")
    if not found or context is None:
        return see
    from nnkit import registry

    word = words.removesuffix(")").split(" ")[0]
    options = {option for parameter in context.command.params for option in parameter.opts}
    group = next((entry.group for entry in registry.entries() if entry.name == word.partition(":")[0]), "")
    option = _OPTION_OF.get(group, "")
    return hints(f"did you mean {option} {word}?" if option in options else "", see)


def _fail(error: NnkitError, *, as_json: bool, debug: bool) -> int:
    if debug:
        import traceback

        traceback.print_exc()
    with contextlib.suppress(BrokenPipeError):
        output.report(error, as_json=as_json)
    return error.exit_code


def _close_stdout() -> None:
    # The reader is gone: without this, the interpreter complains when it flushes stdout at exit.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

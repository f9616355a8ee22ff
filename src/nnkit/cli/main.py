"""`nnkit`: the commands put together, and every way that one of them can end turned into an exit code."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence
from typing import Annotated

import typer

from nnkit.cli import doctor, evaluate, info, list_, output, runs, train
from nnkit.errors import NnkitError, UsageError

# Plain help: Rich costs more start-up time than everything else together.
app = typer.Typer(
    name="nnkit",
    help="Compose small vision experiments by name: a dataset, a model, a loss and a stopping rule.",
    epilog="Start with: nnkit train",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
app.command("train")(train.train)
app.command("evaluate")(evaluate.evaluate)
app.command("list")(list_.list_components)
app.command("info")(info.info)
app.command("doctor")(doctor.doctor)
app.add_typer(runs.app, name="runs")


@app.callback(invoke_without_command=True)
def _nnkit(
    context: typer.Context,
    show_version: Annotated[bool, typer.Option("--version", help="Show the version and exit.")] = False,
) -> None:
    if show_version:
        import nnkit

        print(f"nnkit {nnkit.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        print(context.get_help())
        raise typer.Exit


def main() -> None:
    """The console script."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command line; return its exit code. Nothing but a bug of nnkit's shows a traceback."""
    as_json = "--json" in arguments
    debug = "--debug" in arguments
    try:
        code = app(list(arguments), prog_name="nnkit", standalone_mode=False)
        sys.stdout.flush()
        return code if isinstance(code, int) else 0
    except BrokenPipeError:
        _close_stdout()
        return 0
    except (KeyboardInterrupt, typer.Abort):
        output.say("nnkit: interrupted")
        return 130
    except NnkitError as error:
        return _fail(error, as_json=as_json, debug=debug)
    except typer.TyperException as error:
        command = getattr(getattr(error, "ctx", None), "command_path", "nnkit")
        usage = UsageError(error.format_message(), hint=f"see `{command} --help`")
        usage.exit_code = error.exit_code
        return _fail(usage, as_json=as_json, debug=False)
    except OSError as error:
        # A disk or permission problem that no part of nnkit could say more about.
        where = f" ({error.filename})" if error.filename else ""
        return _fail(NnkitError(f"{error.strerror or error}{where}"), as_json=as_json, debug=debug)
    except MemoryError:
        return _fail(
            NnkitError("out of memory", hint="lower --batch-size or --limit"), as_json=as_json, debug=debug
        )
    except Exception as error:
        message = f"{type(error).__name__}: {error}"
        bug = NnkitError(message, hint="this looks like a bug: run again with --debug for the traceback")
        return _fail(bug, as_json=as_json, debug=debug)


def _fail(error: NnkitError, *, as_json: bool, debug: bool) -> int:
    if debug:
        traceback.print_exc()
    with contextlib.suppress(BrokenPipeError):
        output.report(error, as_json=as_json)
    return error.exit_code


def _close_stdout() -> None:
    # The reader is gone: without this, the interpreter complains when it flushes stdout at exit.
    with contextlib.suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

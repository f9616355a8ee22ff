"""`make mutants`: how many faults, put into the code one at a time by mutmut, the tests see.

    python -m mutation sample --size 1000 --seed 0    a random sample over all modules
    python -m mutation module data/cache              all mutants of one module
    python -m mutation module all                     all mutants
    python -m mutation tables --write docs/testing.md the results as tables, with branch coverage
    python -m mutation undetected                     what survived, with the lines that the mutants change

Run it in the root of the checkout with `tests` on the path. A run that was stopped goes on when it is started
again; where sources or tests were changed in between, with the verdicts that still hold.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from pathlib import Path

from mutation import engine, order, report, results, sampling

RESULTS = engine.COPY / "results.json"
COVERAGE = Path("coverage.json")


def main(arguments: list[str] | None = None) -> int:
    """Runs one command; the exit code is 0, or that of a run that was stopped."""
    options = _options(arguments)
    for number in (signal.SIGINT, signal.SIGTERM):  # also where a shell that runs this beside it ignores it
        signal.signal(number, signal.default_int_handler)
    os.chdir(engine.ROOT)
    if options.command in ("sample", "module"):
        return _try_mutants(options)
    found = results.load(RESULTS)
    if options.command == "undetected":
        names = report.undetected(found)
        print(report.undetected_list(names, engine.diffs(names)), end="")
        return 0
    if options.command == "coverage":
        print("\n".join(report.columns(report.packages(found, _branches()))))
        return 0
    tables = report.markdown(found, _branches())
    if options.write is None:
        print(tables, end="")
    else:
        report.insert(options.write, tables)
    return 0


def _options(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="mutation", description=__doc__.split("\n")[0] if __doc__ else None)
    commands = parser.add_subparsers(dest="command", required=True)
    sample = commands.add_parser("sample", help="a random sample over all modules")
    sample.add_argument("--size", type=int, default=1000)
    sample.add_argument("--seed", type=int, default=0)
    module = commands.add_parser("module", help="all mutants of one module")
    module.add_argument("module", help="data/cache, nnkit.data.cache, src/nnkit/data/cache.py, or all")
    for command in (sample, module):
        command.add_argument("--jobs", type=int, default=2)
        command.add_argument("--again", action="store_true", help="try once more what survived or hung")
        command.add_argument("--budget", type=float, default=engine.Settings.budget_s, metavar="SECONDS")
    tables = commands.add_parser("tables", help="the results as Markdown")
    tables.add_argument("--write", type=Path, metavar="FILE", help="replace the tables of this page")
    commands.add_parser("coverage", help="branch coverage and mutation score by package")
    commands.add_parser("undetected", help="what survived, as Markdown")
    return parser.parse_args(arguments)


def _try_mutants(options: argparse.Namespace) -> int:
    settings = engine.Settings(jobs=options.jobs, budget_s=options.budget)
    start = time.monotonic()
    print("making the mutants", file=sys.stderr)
    engine.prepare()
    by_module = engine.mutants()
    if options.command == "sample":
        names = sampling.draw(by_module, options.size, seed=options.seed)
    else:
        names = [name for module in modules(options.module, by_module) for name in by_module[module]]
    print("finding out which test reaches what (minutes, where tests or sources changed)", file=sys.stderr)
    engine.collect_stats(settings)
    engine.choose(names, again=options.again)
    new = len(set(names) - {name for name, verdict in engine.verdicts().items() if verdict})
    print(f"trying {new:,} mutants; Ctrl-C stops, the same command goes on", file=sys.stderr)
    exit_code = engine.run(settings, new)
    record, sizes = _keep(options, names, by_module)
    print(report.text(record, sizes, engine.diffs(record.undetected)))
    print(f"{time.monotonic() - start:.0f} s; mutants/tried.jsonl says which test killed which mutant")
    return exit_code


def _keep(
    options: argparse.Namespace, names: list[str], by_module: dict[str, list[str]]
) -> tuple[results.Record, dict[str, int]]:
    """Adds what was found to the results file."""
    chosen: dict[str, list[str]] = {}
    for name in names:
        chosen.setdefault(order.module_of(name), []).append(name)
    seed = options.seed if options.command == "sample" else None
    record = results.record(chosen, engine.verdicts(), seed=seed)
    kept = results.load(RESULTS)
    kept.sizes = {module: len(members) for module, members in by_module.items()}
    if options.command == "sample":
        kept.sample = record
    else:
        kept.modules |= {module: record.of(module, len(members)) for module, members in chosen.items()}
    kept.modules = {module: found for module, found in kept.modules.items() if module in kept.sizes}
    results.save(RESULTS, kept)
    return record, kept.sizes


def modules(given: str, known: dict[str, list[str]]) -> list[str]:
    """The modules that a command line names: one, or all."""
    return list(known) if given == "all" else [module_name(given, known)]


def module_name(given: str, known: dict[str, list[str]]) -> str:
    """The dotted name of a module given as people write it."""
    dotted = given.removesuffix(".py").removesuffix("/__init__").strip("/").replace("/", ".")
    name = "nnkit." + dotted.removeprefix("src.").removeprefix("nnkit.")
    if name not in known:
        raise SystemExit(f"{given} is no module with mutants; there are: {', '.join(sorted(known))}")
    return name


def _branches() -> dict[str, tuple[int, int]]:
    """Covered and all branches by file, from what `make coverage` left."""
    if not COVERAGE.exists():
        return {}
    files = json.loads(COVERAGE.read_text(encoding="utf-8"))["files"]
    return {
        file: (found["summary"]["covered_branches"], found["summary"]["num_branches"])
        for file, found in files.items()
    }


if __name__ == "__main__":
    sys.exit(main())

"""Results as text for the terminal, and as tables for docs/testing.md."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from pathlib import Path

from mutation import order, score
from mutation.results import Record, Results

BEGIN, END = "<!-- mutation tables: begin -->", "<!-- mutation tables: end -->"


def percent(share: float) -> str:
    """A share as a percentage with one decimal; a dash for NaN."""
    return "–" if math.isnan(share) else f"{100 * share:.1f} %"


def summary(found: Record, sizes: Mapping[str, int]) -> str:
    """The score with its interval, and how the mutants that were tried ended."""
    estimate = score.overall(found.tallies, sizes)
    tally = found.tally
    ends = ", ".join(f"{count} {verdict}" for verdict, count in sorted(tally.counts.items()))
    interval = f" (95 % interval {percent(estimate.low)} to {percent(estimate.high)})"
    unfinished = "" if found.is_complete else f"; stopped, {found.asked - tally.tried} not tried yet"
    is_sample = found.seed is not None
    return f"mutation score {percent(estimate.value)}{interval if is_sample else ''}: {ends}{unfinished}"


def text(found: Record, sizes: Mapping[str, int], diffs: Mapping[str, list[str]]) -> str:
    """The undetected mutants, a row per module, and the score."""
    lines = []
    for name, verdict in sorted(found.undetected.items()):
        lines += [f"{verdict}: {name}", *(f"    {line}" for line in diffs[name])]
    lines += ["", *columns(_rows({"": found}, sizes)), "", summary(found, sizes)]
    return "\n".join(lines)


def markdown(results: Results, branches: Mapping[str, tuple[int, int]]) -> str:
    """The tables of docs/testing.md; `branches` holds covered and all branches by file."""
    parts = []
    if results.sample is not None:
        found = results.sample
        parts += [
            f"Sample of {found.asked:,} of {sum(results.sizes.values()):,} mutants, seed {found.seed}, "
            f"{found.date} at {found.commit}: {summary(found, results.sizes)}.",
            "",
        ]
    records = {"sample": results.sample} if results.sample else {}
    parts += [*_table(packages(results, branches)), ""]
    parts += _table(_rows({**records, **results.modules}, results.sizes))
    return "\n".join(parts) + "\n"


def insert(page: Path, tables: str) -> None:
    """Replaces what stands between the two marks of a page."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, mark, after = rest.partition(END)
    if not mark:
        raise SystemExit(f"{page} has no lines {BEGIN} and {END}")
    page.write_text(f"{before}{BEGIN}\n\n{tables}\n{END}{after}", encoding="utf-8")


def undetected(results: Results) -> dict[str, str]:
    """The undetected mutants of all runs with their verdicts: of a module's own run where there is one."""
    names = {name: v for found in results.modules.values() for name, v in found.undetected.items()}
    if results.sample is not None:
        whole = set(results.modules)
        sampled = results.sample.undetected.items()
        names |= {name: v for name, v in sampled if order.module_of(name) not in whole}
    return names


def undetected_list(names: Mapping[str, str], diffs: Mapping[str, list[str]]) -> str:
    """A Markdown list of undetected mutants by module, with the lines that they change."""
    lines: list[str] = []
    module = ""
    for name, verdict in sorted(names.items()):
        if order.module_of(name) != module:
            module = order.module_of(name)
            lines += ["", f"### `{module}`", ""]
        changes = " → ".join(f"`{line[2:]}`" for line in diffs[name])
        lines.append(f"- `{name.removeprefix(module + '.')}` ({verdict}): {changes}")
    return "\n".join(lines).strip() + "\n"


def _rows(records: Mapping[str, Record], sizes: Mapping[str, int]) -> list[list[str]]:
    """A row per module; a module's own run stands before its part of a sample."""
    rows = [["module", "mutants", "tried", "detected", "of them timeouts", "score", "run"]]
    for module in sorted(sizes):
        whole = records.get(module)
        found = whole or next((one for one in records.values() if module in one.counts), None)
        if found is None:
            continue
        tally = score.Tally(found.counts.get(module, {}))
        rows.append(
            [
                module.removeprefix("nnkit."),
                f"{sizes[module]:,}",
                f"{tally.tried:,}",
                f"{tally.detected:,}",
                str(tally.counts.get(score.TIMEOUT, 0)),
                percent(tally.score),
                f"{found.date} {found.commit}, {'sample' if found.seed is not None else 'whole'}",
            ]
        )
    return rows


def packages(results: Results, branches: Mapping[str, tuple[int, int]]) -> list[list[str]]:
    """A row per package: what the tests run, and what they see."""
    covered: dict[str, tuple[int, int]] = {}
    for file, (hit, total) in branches.items():
        package = package_of(file.removeprefix("src/").removesuffix(".py").replace("/", "."))
        before = covered.get(package, (0, 0))
        covered[package] = (before[0] + hit, before[1] + total)
    seen: dict[str, tuple[int, int]] = {}
    for module in results.sizes:
        found = results.modules.get(module) or results.sample
        if found is not None and module in found.counts:
            tally = score.Tally(found.counts[module])
            before = seen.get(package_of(module), (0, 0))
            seen[package_of(module)] = (before[0] + tally.detected, before[1] + tally.tried)
    rows = [["package", "branches", "covered", "mutants tried", "mutation score"]]
    for package in sorted({*covered, *seen}):
        hit, total = covered.get(package, (0, 0))
        detected, tried = seen.get(package, (0, 0))
        rows.append(
            [
                package.removeprefix("nnkit."),
                f"{total:,}" if total else "–",
                percent(hit / total) if total else "–",
                f"{tried:,}" if tried else "–",
                percent(detected / tried) if tried else "–",
            ]
        )
    return rows


def package_of(module: str) -> str:
    """The package of a module: `nnkit.data` of `nnkit.data.bucketing.epoch`, `nnkit` of `nnkit.config`."""
    parts = module.split(".")
    return ".".join(parts[:2]) if len(parts) > 2 else "nnkit"


def _table(rows: list[list[str]]) -> Iterable[str]:
    head, *body = rows
    rule = ["---", *("---:" for _ in head[1:])]
    return [f"| {' | '.join(row)} |" for row in (head, rule, *body)]


def columns(rows: list[list[str]]) -> list[str]:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    return [
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    ]

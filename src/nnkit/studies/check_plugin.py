"""`nnkit check-plugin`: the contract tests of all components of one distribution, without pytest."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Annotated, Any

from nnkit import registry
from nnkit.errors import GateError, PluginError, UsageError, did_you_mean
from nnkit.options import DataConfig, Option
from nnkit.registry import Entry
from nnkit.results.check_plugin import CheckPluginResult, CheckResult
from nnkit.spec import Spec, parse
from nnkit.studies.paths import data_place
from nnkit.types import DataPlace

IMPORTABLE = "can_be_imported"
BY_BARE_NAME = "has_a_name_of_its_own"


class CheckPluginConfig(DataConfig):
    """The options of `nnkit check-plugin`."""

    package: Annotated[str, Option("An installed distribution, such as nnkit-poolings", argument=True)] = ""
    spec: Annotated[
        tuple[str, ...],
        Option("A component with settings, such as NAME:key=value", metavar="SPEC"),
    ] = ()


def check_plugin(
    package: str, *, specs: Sequence[str] = (), config: DataConfig | None = None
) -> CheckPluginResult:
    """Check every component of an installed distribution: `check_plugin("nnkit-poolings")`.

    `specs` replace bare names, for components with required settings: `["gem:p=3"]`. A dataset's files are
    looked for in the data root of `config`. `UsageError` where nothing of that name brings components.
    """
    entries = _entries_of(package)
    given = _by_name(specs, entries)
    place = data_place(config or DataConfig())
    checks = tuple(
        result
        for entry in entries
        for spec in given.get(entry.name, [Spec(entry.name)])
        for result in _check(entry, spec, place)
    )
    counts = Counter(check.status for check in checks)
    return CheckPluginResult(
        package=entries[0].provider,
        version=entries[0].version,
        passed=counts["passed"],
        failed=counts["failed"],
        skipped=counts["skipped"],
        checks=checks,
    )


def check_passed(result: CheckPluginResult) -> None:
    """`GateError` (exit 4) that names the components which failed a check."""
    culprits = dict.fromkeys(check.component for check in result.checks if check.status == "failed")
    if culprits:
        raise GateError(
            f"{result.package} failed {result.failed} of {len(result.checks)} checks: {', '.join(culprits)}",
            hint="docs/plugins.md lists the checks of each kind",
        )


def _entries_of(package: str) -> list[Entry]:
    wanted = re.sub(r"[-_.]+", "-", package.strip()).lower()
    found = [entry for entry in registry.entries() if entry.provider == wanted]
    if not found:
        hint = did_you_mean(wanted, {entry.provider for entry in registry.entries()})
        raise UsageError(
            f'no installed distribution "{package[:80]}" brings a component',
            hint=f"{hint}; install it with `pip install -e FOLDER`, and see that NNKIT_PLUGINS allows it",
        )
    return found


def _by_name(specs: Iterable[str], entries: Iterable[Entry]) -> dict[str, list[Spec]]:
    names = {entry.name for entry in entries}
    given: dict[str, list[Spec]] = {}
    for text in specs:
        spec = parse(text)
        if spec.name not in names:
            raise UsageError(
                f'it brings no component "{spec.name[:80]}"', hint=did_you_mean(spec.name, names)
            )
        given.setdefault(spec.name, []).append(spec)
    return given


def _check(entry: Entry, spec: Spec, place: DataPlace) -> Iterable[CheckResult]:
    from nnkit.testing import CHECKS, Outcome, Subject, run_check

    def result(outcome: Outcome) -> CheckResult:
        return CheckResult(group=entry.group, component=str(spec), **vars(outcome))

    if entry.error:
        yield result(Outcome(BY_BARE_NAME, "failed", entry.error))
    try:
        cls: type[Any] = registry.load(entry).cls
    except PluginError as error:
        yield result(Outcome(IMPORTABLE, "failed", error.message))
        return
    yield result(Outcome(IMPORTABLE, "passed"))
    subject = Subject(entry.group, cls, spec.settings, place=place)
    for check in CHECKS[entry.group].values():
        yield result(run_check(check, subject))

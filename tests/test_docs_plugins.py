"""docs/plugins.md says what the code says: the protocols, the checks, and the tutorial's files."""

from __future__ import annotations

import importlib.util
import inspect
import sys
from pathlib import Path

import pytest

from nnkit import testing, types
from nnkit.testing import CHECKS, Outcome, Subject, run_check
from nnkit.types import PROTOCOLS

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
EXAMPLE = ROOT / "examples" / "plugin"
CONTRACTS = {
    contract.group: name
    for name in testing.__all__
    if name.endswith("Contract") and (contract := getattr(testing, name))
}


@pytest.mark.parametrize(
    "name",
    [
        *(protocol.__name__ for protocol in PROTOCOLS),
        *("LeastSquaresModel", "Data", "DataPlace", "EpochResult", "PreparedModel", "Split"),
        *("TrackedEvent", "TrackedResult", "TrackedRun"),
    ],
)
def test_the_page_prints_each_protocol_and_type_as_the_code_has_it(name: str) -> None:
    source = inspect.getsource(getattr(types, name)).rstrip()
    assert f"```python\n{source}\n```" in PAGE


@pytest.mark.parametrize("group", CHECKS)
def test_the_page_has_a_section_per_kind_with_its_contract_class_and_all_its_checks(group: str) -> None:
    assert f"Group `nnkit.{group}`" in PAGE
    assert f"`nnkit.testing.{CONTRACTS[group]}`" in PAGE
    assert "Checks: " + ", ".join(check.replace("_", " ") for check in CHECKS[group]) + "." in PAGE


@pytest.mark.parametrize("file", ["median.py", "pyproject.toml", "test_median.py"])
def test_the_tutorial_shows_the_files_of_the_example(file: str) -> None:
    assert (EXAMPLE / file).read_text(encoding="utf-8").rstrip() + "\n```" in PAGE


def test_the_tutorials_pooling_passes_the_checks() -> None:
    spec = importlib.util.spec_from_file_location("median", EXAMPLE / "median.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["median"] = module
    sys.path.insert(0, str(EXAMPLE))  # a worker process imports it by name
    try:
        spec.loader.exec_module(module)
        subject = Subject("poolings", module.Median)
        outcomes = {name: run_check(check, subject) for name, check in CHECKS["poolings"].items()}
    finally:
        sys.path.remove(str(EXAMPLE))
    failed = [outcome for outcome in outcomes.values() if outcome.status == "failed"]
    assert failed == []
    assert outcomes["leaves_out_what_the_mask_does"] == Outcome(
        "leaves_out_what_the_mask_does",
        "skipped",
        "its forward takes no mask: it pools batches of one size only",
    )

"""check-plugin finds what a broken plugin does wrong, and says of each component what it found."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fake_plugins import write_plugin
from nnkit import registry
from nnkit.errors import GateError, UsageError
from nnkit.options import DataConfig
from nnkit.studies.check_plugin import check_passed, check_plugin
from nnkit.testing import CHECKS, Subject, run_check
from nnkit.types import DataPlace

Install = Callable[[str, str, str], str]

POOLING = """
import torch
class Broken(torch.nn.Module):
    '''A pooling that {what}.'''
    def __init__(self, *, power: float = 2.0{parameter}) -> None:
        super().__init__()
        self.power = power
        {attribute}
    def forward(self, inputs):
        return {output}
"""
RULE = """
class Broken:
    '''A rule{what}.'''
    stops_on_nan = False
    def __init__(self, *, below: float = 0.1) -> None:
        self.below, self.seen = below, []
    def update(self, epoch):
        self.seen.append(epoch.metrics.get("val_loss", 1.0))
        return {answer}
    def state_dict(self):
        return {state}
    def load_state_dict(self, state):
        {load}
"""


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Install]:
    """Put a module and its metadata on the path, as pip would; gives the distribution's name."""
    modules: list[str] = []

    def put(name: str, group: str, source: str) -> str:
        module = f"broken_{name}"
        entry_points = f"[nnkit.{group}]\nbroken = {module}:Broken\n"
        write_plugin(tmp_path, f"broken-{name}", entry_points, module=source)
        modules.append(module)
        registry.refresh()
        return f"broken-{name}"

    monkeypatch.syspath_prepend(str(tmp_path))
    yield put
    monkeypatch.undo()
    registry.refresh()
    for module in modules:
        sys.modules.pop(module, None)


def failures(package: str) -> dict[str, str]:
    return {check.check: check.message for check in check_plugin(package).checks if check.status == "failed"}


def pooling(what: str, *, parameter: str = "", attribute: str = "pass", output: str) -> str:
    return POOLING.format(what=what, parameter=parameter, attribute=attribute, output=output)


MEAN = "inputs.mean((2, 3))"


@pytest.mark.parametrize(
    ("name", "source", "check", "message"),
    [
        ("shape", pooling("keeps rows", output="inputs.mean(2)"), "gives_the_declared_shape", "not (1, 1)"),
        (
            "finite",
            pooling("has a root", output="inputs.square().mean((2, 3)).sqrt()"),
            "forward_and_backward_are_finite",
            "zeros",
        ),
        (
            "seed",
            pooling("draws elsewhere", output=MEAN + " + __import__('random').random()"),
            "is_deterministic_by_seed",
            "one seed gives two outputs",
        ),
        (
            "pickle",
            pooling("holds a lambda", attribute="self.f = lambda x: x", output=MEAN),
            "survives_spawn",
            "does not pickle",
        ),
        (
            "saved",
            pooling("saves too little", attribute="self.w = torch.rand(())", output=MEAN + " * self.w"),
            "saves_and_loads",
            "registered buffers",
        ),
        (
            "inplace",
            pooling("writes", output="inputs.mul_(2).mean((2, 3))"),
            "leaves_its_input_alone",
            "in place",
        ),
        (
            "default",
            pooling("has a wrong default", parameter=", count: int = 'two'", output=MEAN),
            "defaults_are_valid_and_round_trip",
            "count",
        ),
    ],
)  # fmt: skip
def test_what_a_pooling_does_wrong_is_found_and_named(
    name: str, source: str, check: str, message: str, install: Install
) -> None:
    found = failures(install(name, "poolings", source))
    assert message in found[check]


@pytest.mark.parametrize(
    ("name", "parts", "check"),
    [
        ("undocumented", {"what": ""}, "treats_nan_as_documented"),
        ("stops", {"answer": "'stop'"}, "treats_nan_as_documented"),
        ("forgets", {"load": "pass"}, "goes_on_from_its_saved_state"),
        ("notjson", {"state": "{'seen': set(self.seen)}"}, "goes_on_from_its_saved_state"),
        ("answers", {"answer": "len(self.seen) > 3"}, "answers_a_reason_or_none"),
        ("raises", {"answer": "1 / 0"}, "answers_an_epoch_without_its_metric"),
    ],
)
def test_what_a_stopping_rule_does_wrong_is_found(
    name: str, parts: dict[str, str], check: str, install: Install
) -> None:
    right = {
        "what": " for which NaN is no value",
        "answer": "'often' if sum(value < 0.5 for value in self.seen) > 2 else None",
        "state": "{'seen': [v if abs(v) < 9 else None for v in self.seen]}",
        "load": "self.seen = [9.0 if v is None else v for v in state['seen']]",
    }
    assert check in failures(install(name, "stopping_rules", RULE.format(**right | parts)))


METRIC = """
class Broken:
    '''The share of right answers.'''

    def __init__(self):
        self.reset()
        {attribute}

    def update(self, preds, target):
        {update}

    def compute(self):
        {compute}

    def reset(self):
        {reset}
"""


@pytest.mark.parametrize(
    ("name", "parts", "check"),
    [
        ("right", {}, ""),
        ("text", {"compute": "return 'good'"}, "gives_a_number"),
        ("last", {"update": "self.hits = [(preds.argmax(1) == target).double().mean()]"}, "adds_up_batches"),
        ("keeps", {"reset": "self.hits = getattr(self, 'hits', [])"}, "forgets_at_reset"),
        ("once", {"compute": "return self.hits.pop()"}, "compute_changes_nothing"),
        ("up", {"attribute": "self.higher_is_better = 'yes'"}, "says_which_direction_is_better"),
        ("random", {"compute": "import random; return random.random()"}, "is_deterministic"),
        ("lambda", {"attribute": "self.f = lambda x: x"}, "survives_spawn"),
        ("inplace", {"update": "preds.mul_(2); self.hits += [preds.sum()]"}, "leaves_its_input_alone"),
    ],
)
def test_what_a_metric_does_wrong_is_found(
    name: str, parts: dict[str, str], check: str, install: Install
) -> None:
    right = {
        "attribute": "pass",
        "update": "self.hits += (preds.argmax(1) == target).double().tolist()",
        "compute": "return sum(self.hits) / max(1, len(self.hits))",
        "reset": "self.hits = []",
    }
    found = failures(install(f"metric_{name}", "metrics", METRIC.format(**right | parts)))
    assert check in found if check else not found


def test_a_plugin_that_ends_the_process_at_import_is_a_failed_check_and_exit_4(install: Install) -> None:
    result = check_plugin(install("exits", "poolings", "raise SystemExit(3)\n"))
    assert [(check.check, check.status) for check in result.checks] == [("can_be_imported", "failed")]
    with pytest.raises(GateError, match="broken-exits failed 1 of 1 checks"):
        check_passed(result)


def test_a_dataset_without_its_files_is_skipped_with_the_reason(tmp_path: Path) -> None:
    place = DataPlace(root=tmp_path, cache=tmp_path)
    subject = Subject("datasets", registry.load(registry.find("datasets", "mnist")).cls, place=place)
    outcome = run_check(CHECKS["datasets"]["loads_what_it_declares"], subject)
    assert outcome.status == "skipped"
    assert "mnist is missing" in outcome.message


def test_an_unknown_package_and_an_unknown_component_are_usage_errors(install: Install) -> None:
    with pytest.raises(UsageError, match="brings a component"):
        check_plugin("no-such-plugin")
    package = install("fine", "poolings", pooling("takes the mean", output=MEAN))
    with pytest.raises(UsageError, match="brings no component"):
        check_plugin(package, specs=["brokn"])
    result = check_plugin(package, specs=["broken:power=3"])
    assert {check.component for check in result.checks} == {"broken:power=3"}
    assert result.failed == 0
    check_passed(result)


def test_no_component_of_nnkit_fails_a_check_with_its_bare_name(tmp_path: Path) -> None:
    result = check_plugin("nnkit", config=DataConfig(data_root=tmp_path))
    assert [
        (check.component, check.check, check.message) for check in result.checks if check.status == "failed"
    ] == []
    skipped = {(check.component, check.message) for check in result.checks if check.status == "skipped"}
    for component, reason in {
        "time-limit": r"TimeLimit\.minutes: this setting is required",
        "threshold": "expected a number as one of below and above",
        "image-folder": r"ImageFolder\.path: this setting is required",
    }.items():
        assert any(name == component and re.match(reason, why) for name, why in skipped), component
    check_passed(result)

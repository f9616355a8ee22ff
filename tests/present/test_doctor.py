"""The doctor's page: versions, devices, folders, plugins as it found them, and every problem."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator

import pytest

from fake_plugins import write_plugin
from nnkit import registry
from nnkit.options import PlaceConfig
from nnkit.present.doctor import doctor_text
from nnkit.results.doctor import DoctorResult
from nnkit.studies.doctor import doctor
from present.reading import read_pairs


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DoctorResult]:
    """A data root with one dataset, a cache that nobody can write, a plugin that cannot be imported."""
    folder = tmp_path_factory.mktemp("doctor")
    write_plugin(folder, "nnkit-torn", "[nnkit.poolings]\ntorn = nnkit_torn:Torn\n", module="1 / 0")
    (folder / "data").mkdir()
    (folder / "data/mnist-varres.tgz").write_bytes(b"")
    (folder / "file").write_text("")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("NNKIT_PLUGINS", "nnkit-torn")
        patch.setenv("NNKIT_CACHE", str(folder / "file" / "cache"))
        patch.syspath_prepend(str(folder))
        registry.refresh()
        yield doctor(PlaceConfig(data_root=folder / "data", runs_dir=folder / "runs"))
    registry.refresh()
    sys.modules.pop("nnkit_torn", None)


@pytest.fixture(params=[40, 80, 120])
def pairs(request: pytest.FixtureRequest, document: DoctorResult) -> dict[str, str]:
    return dict(read_pairs(doctor_text(document, width=request.param))[0])


def test_versions_and_devices_are_those_found(pairs: dict[str, str], document: DoctorResult) -> None:
    environment, devices = document["environment"], document["devices"]
    assert pairs["python"] == environment["python"] == sys.version.split()[0]
    versions = [f"{name} {version}" for name, version in environment["versions"].items() if version]
    assert pairs["versions"].split(", ") == versions
    machine = pairs["machine"]
    assert machine.startswith(f"{environment['cpu']}, {devices['cores']} core")
    assert f"{devices['threads']} thread" in machine
    assert pairs["devices"] == ", ".join(["cpu", *devices["cuda"]]) + f" (auto means {devices['auto']})"


def test_each_folder_says_whether_it_is_there_and_may_be_written(
    pairs: dict[str, str], document: DoctorResult
) -> None:
    folders = document["folders"]
    assert pairs["data root"] == f"{folders['data_root']['path']} (there, writable)"
    assert pairs["runs"] == f"{folders['runs']['path']} (not there yet, writable)"
    assert pairs["cache"] == f"{folders['cache']['path']} (not there yet, read only)"


def test_datasets_and_components_are_counted(pairs: dict[str, str], document: DoctorResult) -> None:
    assert pairs["datasets there"] == "mnist-varres"
    owners = Counter(row.provider for row in document.components)
    assert owners["nnkit-torn"] == 1
    assert pairs["components"] == ", ".join(f"{num} of {owner}" for owner, num in owners.items())


def test_the_problems_come_last_one_a_line(document: DoctorResult) -> None:
    problems = document["problems"]
    assert len(problems) == 2
    assert any("torn" in problem for problem in problems)
    end = doctor_text(document, width=40).rpartition("\n\n")[2].splitlines()
    assert end == ["2 problems:", *(f"- {problem}" for problem in problems)]


def test_without_problems_that_is_said(document: DoctorResult) -> None:
    """And where no data is there, that the default needs none."""
    datasets = dict.fromkeys(document.datasets, False)
    well = document.model_copy(update={"problems": (), "datasets": datasets})
    text = doctor_text(well)
    assert text.endswith("\n\nNo problem found.")
    assert dict(read_pairs(text)[0])["datasets there"].startswith("none")

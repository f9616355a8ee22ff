"""A benchmark on a machine whose seconds are known says what arithmetic by hand says."""

from __future__ import annotations

import math
import re
import statistics
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from filelock import SoftFileLock
from torch import Tensor, nn

from fake_clock import NANOSECOND, FakeClock, Memory
from fake_clock import clock as clock
from nnkit import registry
from nnkit.api import bench
from nnkit.data.images import Images
from nnkit.errors import NnkitError, PartialError
from nnkit.registry import Entry
from nnkit.runs import directory
from nnkit.runs.directory import RunDirectory
from nnkit.studies.bench import study
from nnkit.studies.bench.arms import Input, Pass
from nnkit.studies.bench.floors import Floors
from nnkit.studies.bench.study import check_complete
from nnkit.studies.runs import list_runs
from nnkit.surrogates.pipelines import Pipeline, parse_pipeline
from nnkit.types import Data, DataPlace, Split

NUM, SIDE = 12, 4
INPUT_BYTES = NUM * 3 * SIDE * SIDE
TARGET_BYTES = 4 * NUM * SIDE * SIDE


@dataclass
class World:
    """The machine of a test: how long each thing takes, and what was done on it."""

    clock: FakeClock
    seconds: dict[str, Sequence[float]] = field(default_factory=dict)
    """By what is done, seconds per image in each pass over the images in turn; the last stays."""
    seen: dict[str, int] = field(default_factory=dict)
    calls: list[tuple[str, int, bool, bool]] = field(default_factory=list)
    """Of networks: name, images, whether in training mode, and whether gradients are recorded."""

    def work(self, name: str, num_images: int) -> None:
        """Let the time pass that it takes to do this to so many images."""
        times = self.seconds[name]
        at = self.seen.get(name, 0) // NUM
        self.seen[name] = self.seen.get(name, 0) + num_images
        self.clock.tick(num_images * times[min(at, len(times) - 1)], name)


world: World


@dataclass(frozen=True)
class TimedPipeline(Pipeline):
    """The steps, at the speeds that the world says for loops, batches and PIL."""

    def transforms(self) -> Callable[[Any], Any]:  # type: ignore[override]
        real = super().transforms()

        def run(images: Any) -> Any:
            with world.clock.stopped():
                result = real(images)
            kind = "pil" if not isinstance(images, Tensor) else "batch" if images.ndim == 4 else "loop"
            world.work(kind, len(images) if kind == "batch" else 1)
            return result

        return run


class TimedImages:
    """Twelve random images of 3×4×4, and what the pipeline makes of them; all are in the test split."""

    task = "transform"
    default_model = "timed"

    def __init__(self, *, pipeline: str = "grayscale,hflip,brightness(1.5)") -> None:
        self.pipeline = TimedPipeline(parse_pipeline(pipeline).steps)

    def load(self, place: DataPlace) -> Data:
        levels = torch.from_numpy(
            np.random.default_rng(0).integers(0, 256, (NUM, 3, SIDE, SIDE), dtype=np.uint8)
        )
        split = Split(Images.from_tensor(levels), self.pipeline.apply(levels), np.arange(NUM))
        return Data(
            task="transform",
            splits=dict.fromkeys(("train", "val", "test"), split),
            in_channels=3,
            image_size=(SIDE, SIDE),
            target_channels=1,
            target_size=(SIDE, SIDE),
            mean=(0.0,) * 3,
            std=(1.0,) * 3,
        )


class Timed(nn.Module):
    """The pipeline's result, off by `error`, at its own speed."""

    def __init__(self, *, label: str = "net", error: float = 0.0) -> None:
        super().__init__()
        self.label, self.error = label, error
        self.steps = parse_pipeline("grayscale,hflip,brightness(1.5)")

    def forward(self, images: Tensor) -> Tensor:
        with world.clock.stopped():
            output: Tensor = self.steps.run(images) + self.error
        world.calls.append((self.label, len(images), self.training, torch.is_grad_enabled()))
        world.work(self.label, len(images))
        return output


class Fitted(Timed):
    """The same, after a fit that takes 60 seconds."""

    least_squares_images = 5

    def fit_least_squares(self, inputs: Tensor, targets: Tensor) -> dict[str, Any]:
        world.clock.tick(60)
        return {}


@pytest.fixture(autouse=True)
def machine(clock: FakeClock, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[World]:
    """The dataset and networks above as a plugin's, on a machine where only moving bytes takes time."""
    module = ModuleType("timed_parts")
    found = list(registry.entries())
    for group, name, cls in (
        ("datasets", "timed-images", TimedImages),
        ("models", "timed", Timed),
        ("models", "fitted", Fitted),
    ):
        setattr(module, cls.__name__, cls)
        found.append(Entry(f"{group}", name, "demo", "1.0", f"timed_parts:{cls.__name__}"))
    monkeypatch.setitem(sys.modules, "timed_parts", module)
    monkeypatch.setattr(registry, "entries", lambda: tuple(found))
    monkeypatch.setenv("NNKIT_RUNS", str(tmp_path / "runs"))
    monkeypatch.setattr(directory, "FileLock", SoftFileLock)
    monkeypatch.setattr(SoftFileLock, "acquire", lambda lock: None)  # it reads the clock while it waits
    global world
    world = World(clock, {"loop": [4.0], "batch": [1.0], "pil": [2.0], "net": [0.5]})
    with Memory(clock):
        yield world


def run(**options: Any) -> dict[str, Any]:
    """The document of a saved benchmark of the timed images."""
    return bench(**{"dataset": "timed-images", "repeats": 7, "save": True, **options}).document()


def cells_of(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    return {arm["name"]: arm["cells"] for arm in document["arms"]}


def middle(values: Sequence[float]) -> list[float]:
    """The bootstrap interval of the median of seven values: by its exact distribution, the 2nd and 6th."""
    assert len(values) == 7
    return [sorted(values)[1], sorted(values)[5]]


def test_each_number_of_a_cell_is_what_its_seconds_say(machine: World) -> None:
    # The passes in turn: fidelity, warm-up, and seven rounds.
    machine.seconds["loop"] = [50.0, 9.0, 4.0, 4.2, 4.4, 3.8, 4.3, 4.1, 9.0]
    machine.seconds["net"] = [50.0, 8.0, 0.5, 0.6, 0.4, 0.7, 0.5, 0.8, 0.3]
    document = run(model=["timed"])
    (cell,) = cells_of(document)["timed"]
    loop, net = ([NUM * s for s in machine.seconds[name][2:]] for name in ("loop", "net"))
    low, _, high = statistics.quantiles(net, n=4, method="inclusive")
    speedups = [a / b for a, b in zip(loop, net, strict=True)]
    floor = NANOSECOND * (4 * INPUT_BYTES + TARGET_BYTES + 8)  # and one word for the sum
    assert cell == {
        "device": "cpu",
        "batch_size": 256,
        "num_workers": 0,
        "shuffle": False,
        "drop_last": False,
        "pin_memory": False,
        "error": None,
        "n": 7,
        "images": NUM,
        "samples_s": pytest.approx(net),
        "warm_up_s": pytest.approx(NUM * 8.0),
        "median_s": pytest.approx(NUM * 0.5),
        "mean_s": pytest.approx(sum(net) / 7),
        "iqr_s": pytest.approx(high - low),
        "noisy": True,
        "outliers": 0,
        "images_per_s": pytest.approx(1 / 0.5),
        "speedup": pytest.approx(statistics.median(speedups)),
        "ci95": pytest.approx(middle(speedups)),
        "floor_s": pytest.approx(floor, rel=1e-4),
        "times_floor": pytest.approx(NUM * 0.5 / floor, rel=1e-4),
    }
    (reference,) = cells_of(document)["reference-loop"]
    assert reference["samples_s"] == pytest.approx(loop)
    assert (reference["speedup"], reference["ci95"]) == (1, [1, 1])
    assert (reference["outliers"], reference["noisy"]) == (1, False)
    assert (document["images"], document["repeats"], document["seed"]) == (NUM, 7, 0)


@pytest.mark.parametrize("repeats", [3, 5])
def test_every_cell_runs_once_for_its_fidelity_once_to_warm_up_and_once_in_each_round(
    machine: World, repeats: int
) -> None:
    rounds: list[tuple[int, int]] = []
    result = bench(
        dataset="timed-images", model=["timed"], batch_size="5,12", repeats=repeats,
        watch=lambda done, total: rounds.append((done, total)),
    )  # fmt: skip
    sizes = [num for _, num, _, _ in machine.calls]
    # Fidelity sees all images at once, as does the cell of 12; that of 5 sees 5, 5 and 2.
    assert (sizes.count(12), sizes.count(5), sizes.count(2)) == (
        1 + 1 + repeats,
        2 * (1 + repeats),
        1 + repeats,
    )
    assert {cell["n"] for arm in result.arms for cell in arm["cells"] if cell["error"] is None} == {repeats}
    assert machine.seen["loop"] == machine.seen["pil"] == NUM * (2 + repeats)
    assert rounds == [(done, repeats) for done in range(1, repeats + 1)]


def test_networks_run_in_eval_mode_without_gradients(machine: World) -> None:
    run(model=["timed", "fitted:label=net"], batch_size="12,4", compile=False)
    assert machine.calls
    assert {(training, gradients) for _, _, training, gradients in machine.calls} == {(False, False)}


@pytest.mark.parametrize(("given", "bytes_each"), [("float", 4), ("uint8", 1)])
def test_the_floor_reads_every_byte_of_the_input_and_writes_the_output_once_in_the_same_rounds(
    machine: World, given: str, bytes_each: int
) -> None:
    document = run(model=["timed"], input=given, repeats=3)
    at = cells_of(document)
    name = "timed" if given == "float" else "timed (uint8 in)"
    floor = NANOSECOND * (bytes_each * INPUT_BYTES + TARGET_BYTES)
    assert at[name][0]["floor_s"] == pytest.approx(floor, abs=NANOSECOND * 16)
    # PIL reads 8-bit values; the loop reads what its pipeline computes in.
    assert at["pil-loop"][0]["floor_s"] == pytest.approx(
        NANOSECOND * (INPUT_BYTES + TARGET_BYTES), abs=NANOSECOND * 16
    )
    assert at["reference-loop"][0]["floor_s"] == pytest.approx(
        NANOSECOND * (4 * INPUT_BYTES + TARGET_BYTES), abs=NANOSECOND * 16
    )


def test_a_dropped_last_batch_counts_by_the_images_that_were_seen(machine: World) -> None:
    document = run(model=["timed"], batch_size="5,16", drop_last="true,false")
    cells = {(c["batch_size"], c["drop_last"]): c for c in cells_of(document)["timed"]}
    dropped, kept = cells[5, True], cells[5, False]
    assert (dropped["images"], kept["images"]) == (10, 12)
    assert dropped["median_s"] == pytest.approx(5.0)
    for cell in (dropped, kept):
        assert cell["images_per_s"] == pytest.approx(2)
        assert cell["speedup"] == pytest.approx(8)
        assert cell["ci95"] == pytest.approx([8, 8])
    assert dropped["floor_s"] == pytest.approx(kept["floor_s"] * 10 / 12)
    assert dropped["times_floor"] == pytest.approx(kept["times_floor"])
    nothing = cells[16, True]
    assert nothing["error"] == "unavailable: 12 images make no whole batch"
    measured = {"n", "median_s", "iqr_s", "mean_s", "noisy", "outliers", "warm_up_s", "images"}
    measured |= {"images_per_s", "speedup", "ci95", "floor_s", "times_floor", "samples_s"}
    assert {key for key, value in nothing.items() if value is None} == measured


class BySize(Timed):
    """Takes 12 seconds a call beside half a second an image: large batches are faster."""

    def forward(self, images: Tensor) -> Tensor:
        world.clock.tick(12)
        return super().forward(images)


def test_best_is_the_cell_with_the_most_images_a_second_of_what_may_stand_in(
    machine: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["timed_parts"], "Timed", BySize)
    machine.seconds["wrong"] = [0.001]
    document = run(model=["timed", "timed:label=wrong,error=0.3"], batch_size="4,12,6")
    assert document["best"] == {
        "arm": "reference-batched",
        "class": "exact",
        **{k: v for k, v in cells_of(document)["reference-batched"][0].items() if k in document["best"]},
    }
    machine.seconds["batch"] = [3.0]
    document = run(model=["timed", "timed:label=wrong,error=0.3"], batch_size="4,12,6")
    cells = cells_of(document)["timed"]
    # 12 images: 3, 1 or 2 calls of 12 s, and 6 s of their own.
    assert [cell["images_per_s"] for cell in cells] == pytest.approx([12 / 42, 12 / 18, 12 / 30])
    best = document["best"]
    assert (best["arm"], best["class"], best["batch_size"]) == ("timed", "exact", 12)
    assert best["median_s"] == pytest.approx(18)
    assert best["images_per_s"] == pytest.approx(12 / 18)
    assert best["speedup"] == pytest.approx(48 / 18)
    assert best["ci95"] == pytest.approx([48 / 18, 48 / 18])
    assert best["times_floor"] == cells[1]["times_floor"]
    assert set(best) == {
        "arm", "class", "device", "batch_size", "num_workers", "shuffle", "drop_last", "pin_memory",
        "median_s", "images_per_s", "speedup", "ci95", "times_floor",
    }  # fmt: skip


def test_comparisons_take_each_side_at_its_fastest_setting_and_name_the_fidelity(
    machine: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["timed_parts"], "Timed", BySize)
    machine.seconds |= {"slow": [7.0], "wrong": [0.01]}
    document = run(
        model=["timed", "timed:label=slow", "timed:label=wrong,error=0.3"], batch_size="4,5,12",
        drop_last="true,false",
    )  # fmt: skip
    by_pair = {(pair["a"], pair["b"]): pair for pair in document["comparisons"]}
    wrong = "timed:label=wrong,error=0.3"
    models = ("timed", "timed:label=slow", wrong)
    assert list(by_pair) == [(a, b) for a in models for b in ("reference-loop", "reference-batched")]
    seconds = {"timed": 18, "timed:label=slow": 96, wrong: 12.12}
    for (a, b), pair in by_pair.items():
        ratio = {"reference-loop": 48, "reference-batched": 12}[b] / seconds[a]
        assert pair["ratio"] == pytest.approx(ratio)
        assert pair["ci95"] == pytest.approx([ratio, ratio])
        assert pair["verdict"] == (
            "no difference" if abs(ratio - 1) < 0.02 else "faster" if ratio > 1 else "slower"
        )
        assert pair["class"] == ("approximate" if a == wrong else "exact")
        assert pair["replaces"] is (a != wrong)
    assert by_pair[wrong, "reference-batched"]["verdict"] == "no difference"  # 1 % slower
    assert by_pair["timed", "reference-loop"]["verdict"] == "faster"
    assert by_pair["timed:label=slow", "reference-loop"]["verdict"] == "slower"
    loose = run(model=[wrong], batch_size="12", min_effect=0.005)["comparisons"]
    assert [pair["verdict"] for pair in loose] == ["faster", "slower"]
    assert run(model=[wrong], min_effect=0.005)["min_effect"] == 0.005


def test_the_geometric_mean_of_speedups_is_over_the_cells_that_were_timed(
    machine: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.modules["timed_parts"], "Timed", BySize)
    document = run(model=["timed"], batch_size="12,6,16", drop_last="true")
    arm = next(arm for arm in document["arms"] if arm["name"] == "timed")
    speedups = [cell["speedup"] for cell in arm["cells"]]
    assert speedups == [pytest.approx(48 / 18), pytest.approx(48 / 30), None]
    assert arm["speedup_geometric_mean"] == pytest.approx(math.sqrt(48 / 18 * 48 / 30))
    missing = next(arm for arm in document["arms"] if arm["name"] == "exact")
    assert missing["speedup_geometric_mean"] is None


def test_training_breaks_even_when_it_is_saved_against_each_reference(machine: World) -> None:
    machine.seconds |= {"slow": [3.0]}
    document = run(model=["fitted:label=net", "fitted:label=slow", "timed"])
    rows = {arm["name"]: arm for arm in document["arms"]}
    fitted = rows["fitted:label=net"]
    assert fitted["train_s"] == pytest.approx(60)
    assert fitted["note"] == "fitted by least squares on 5 images"
    # 60 s over 4 - 0.5 and 1 - 0.5 seconds saved with each image.
    assert fitted["break_even_images"] == {"reference-loop": 18, "reference-batched": 120}
    assert rows["fitted:label=slow"]["break_even_images"] == {"reference-loop": 60, "reference-batched": None}
    assert rows["timed"]["break_even_images"] == {"reference-loop": None, "reference-batched": None}
    assert rows["timed"]["train_s"] is None
    # Of the fastest network whose training is known.
    assert document["break_even_images"] == 18
    machine.seconds["net"] = [5.0]
    assert run(model=["fitted:label=net", "fitted:label=slow"])["break_even_images"] == 60
    assert run(model=["fitted:label=slow,error=0.3", "timed"])["break_even_images"] is None


@pytest.fixture
def fake_cuda(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CUDA device in name: what is moved to it stays where it is."""

    def without_cuda(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **known: Any) -> Any:
            def here(value: Any) -> Any:
                return torch.device("cpu") if isinstance(value, torch.device) else value

            return function(*map(here, args), **{key: here(value) for key, value in known.items()})

        return call

    monkeypatch.setattr(torch.Tensor, "to", without_cuda(torch.Tensor.to))
    monkeypatch.setattr(torch, "empty_like", without_cuda(torch.empty_like))
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda index: f"device {index}")
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda device: None)
    monkeypatch.setattr(torch.cuda, "set_rng_state", lambda state, device: None)


@pytest.mark.usefixtures("fake_cuda")
def test_what_runs_on_a_gpu_is_timed_between_two_waits_for_it_and_the_rest_without(machine: World) -> None:
    document = run(model=["timed"], device="cpu,cuda:0", repeats=3)
    assert [cell["error"] for cell in cells_of(document)["timed"]] == [None, None]
    assert document["environment"]["gpus"] == ["device 0"]
    # A sample is all between two readings of the clock; no others are taken.
    marks = {"clock": "c", "synchronise cuda:0": "s"}
    events = "".join(marks.get(event, event[0].upper()) for event in machine.clock.events)
    on_gpu = re.findall(r"sc([A-Z]*)sc", events)
    on_cpu = re.findall(r"c([A-Z]*)c", re.sub(r"sc([A-Z]*)sc", " ", events))
    # The batched transforms, the network and the floor; warmed up once, then three rounds.
    assert sorted(on_gpu) == sorted(["B", "N", ""] * 4)
    assert sorted(on_cpu) == sorted(["L" * NUM, "P" * NUM, "B", "N", "", ""] * 4)


@pytest.mark.usefixtures("fake_cuda")
@pytest.mark.parametrize("given", ["float", "float,uint8"])
def test_the_images_are_copied_to_a_device_once_for_all_cells_and_floors(
    given: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[torch.dtype] = []
    to = torch.Tensor.to

    def counting(tensor: Tensor, *args: Any, **known: Any) -> Tensor:
        if args[:1] == (torch.device("cuda:0"),) and tuple(tensor.shape) == (NUM, 3, SIDE, SIDE):
            copied.append(tensor.dtype)
        return to(tensor, *args, **known)

    monkeypatch.setattr(torch.Tensor, "to", counting)
    document = run(
        model=["timed", "fitted:label=net"], device="cuda:0", batch_size="3,4,12", input=given, repeats=3
    )
    assert {cell["error"] for arm in document["arms"][4:] for cell in arm["cells"]} == {None}
    assert sorted(map(str, copied)) == [
        f"torch.{kind}" for kind in ("float32", "uint8")[: len(given.split(","))]
    ]


OUT_OF_MEMORY = "CUDA out of memory. Tried to allocate 2.00 GiB"


@pytest.mark.usefixtures("fake_cuda")
@pytest.mark.parametrize("when", ["it is made", "it runs"])
def test_a_floor_without_memory_is_the_error_of_its_cells_and_the_grid_goes_on(
    when: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    prepare = Floors.prepare

    def fail() -> None:
        raise torch.OutOfMemoryError(OUT_OF_MEMORY)

    def without_memory(floors: Floors, input_type: Input, device: str) -> Pass:
        if (input_type, device) != ("float", "cuda:0"):
            return prepare(floors, input_type, device)
        return fail if when == "it runs" else fail()

    monkeypatch.setattr(Floors, "prepare", without_memory)
    result = bench(
        dataset="timed-images", model=["timed"], device="cpu,cuda:0", input="float,uint8", repeats=3
    )
    for arm in result.arms[4:]:
        on_cpu, on_gpu = arm.cells
        assert on_cpu.error is None
        assert on_cpu.times_floor is not None
        if arm.name == "timed":
            assert "OutOfMemoryError: " + OUT_OF_MEMORY in (on_gpu.error or "")
            assert on_gpu.median_s is None
            assert arm.fastest_cell is not None
            assert arm.fastest_cell.device == "cpu"
        else:
            assert on_gpu.error is None
    with pytest.raises(PartialError, match="out of memory"):
        check_complete(result)


def test_the_rounds_are_shuffled_by_the_seed(machine: World) -> None:
    def order(**options: Any) -> list[str]:
        machine.clock.events.clear()
        run(model=["timed", "timed:label=other"], repeats=8, **options)
        arms = [event for event in machine.clock.events if event in ("net", "other")]
        return arms[4:]  # after fidelity and warm-ups

    machine.seconds["other"] = [1.0]
    first = order()
    assert all({*first[at : at + 2]} == {"net", "other"} for at in range(0, 16, 2))
    assert len({tuple(first[at : at + 2]) for at in range(0, 16, 2)}) == 2
    assert order(seed=0) == first
    assert len({tuple(order(seed=seed)) for seed in (0, 1, 2)}) > 1


def test_each_arm_says_what_it_is_and_how_true_it_is(machine: World) -> None:
    document = run(model=["fitted", "timed:error=0.3"], repeats=3, compile=False)
    left_out = ("cells", "fastest_cell")
    rows = [{key: value for key, value in arm.items() if key not in left_out} for arm in document["arms"]]
    true = {"class": "exact", "max_abs_error": 0, "mae_sum": 0}
    nothing = {"reference-loop": None, "reference-batched": None}

    def row(name: str, takes: str, speedup: float | None, **others: Any) -> dict[str, Any]:
        return {
            "name": name, "kind": "reference", "takes": takes, "compiled": False, "copies_timed": False,
            "note": "", "train_s": None, "break_even_images": nothing,
            "fidelity": {**true, "levels": {"differing": 0, "near_boundary": 0}},
            "speedup_geometric_mean": speedup and pytest.approx(speedup), **others,
        }  # fmt: skip

    batches = "float32 (B, C, H, W)"
    assert rows[:2] == [row("reference-loop", "float32 (C, H, W)", 1), row("reference-batched", batches, 4)]
    assert (rows[2]["name"], rows[2]["takes"]) == ("pil-loop", "PIL image")
    why = "unavailable: the pipeline is not affine: no operator equals it"
    unknown = {"class": None, "max_abs_error": None, "mae_sum": None, "levels": None}
    assert rows[3] == row("exact", "", None, fidelity={**unknown, "error": f"UsageError: {why}"})
    fit = {"train_s": pytest.approx(60), "note": "fitted by least squares on 5 images"}
    saved = {"reference-loop": 18, "reference-batched": 120}
    assert rows[4] == row("fitted", batches, 8, kind="model", **fit, break_even_images=saved)
    wrong = rows[5]["fidelity"]
    # 0.3 too light at each of 16 values: all of them differ once rounded, but where white is white.
    assert (wrong["class"], wrong["max_abs_error"]) == ("approximate", pytest.approx(0.3))
    assert wrong["mae_sum"] == pytest.approx(0.3 * SIDE * SIDE)
    assert 0 < wrong["levels"]["differing"] <= NUM * SIDE * SIDE
    assert rows[5]["note"] == "untrained weights"
    names = ("dataset", "pipeline", "loader", "preset")
    pipeline = "grayscale,hflip,brightness(1.5)"
    assert [document[name] for name in names] == ["timed-images", pipeline, "memory", None]


def test_where_nothing_can_be_written_nothing_is_timed(machine: World, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(NnkitError, match="no run can be written"):
        run(runs_dir=str(tmp_path / "file"))
    assert not machine.clock.events


def test_a_benchmark_is_a_run_with_its_state(machine: World, monkeypatch: pytest.MonkeyPatch) -> None:
    document = run(repeats=3)
    done = RunDirectory(Path(document["run_dir"]))
    assert (done.state(), done.summary()) == ("finished", document)
    assert "cifar" not in (done.config_text() or "")
    assert 'dataset = "timed-images"' in (done.config_text() or "")

    def fail(*parts: Any, **settings: Any) -> None:
        raise MemoryError

    monkeypatch.setattr(study, "_measure", fail)
    with pytest.raises(MemoryError):
        run(repeats=3)
    assert sorted(row["state"] for row in list_runs(done.path.parents[1])["runs"]) == ["failed", "finished"]

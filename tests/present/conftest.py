"""Results that the studies themselves returned, on tiny inputs, once per session: what `present` is shown.

Times come from a clock that ticks by drawn amounts, so that they are the same on every machine.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.figure import Figure

import tiny_plugin
from data.image_files import encoded, write_folder
from fake_plugins import write_plugin
from nnkit import registry
from nnkit.api import bench, compare_pooling, evaluate, train
from nnkit.results.bench import BenchResult
from nnkit.results.bench_ops import BenchOpsResult
from nnkit.results.compare_pooling import ComparePoolingResult
from nnkit.results.evaluate import EvaluateResult
from nnkit.results.train import TrainResult
from nnkit.results.train_seeds import TrainSeedsResult
from nnkit.studies.bench.ops import bench_ops
from nnkit.studies.cell_study import Watcher
from nnkit.types import EpochResult, StepResult
from present import results_plugin

PIPELINE = "resize(8),grayscale,hflip"


class Clock:
    """Stands for `time.perf_counter`: each reading is some 10 ms after the last, now and then 40 ms."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        steps = 0.010 * rng.lognormal(0.0, 0.04, 997)
        steps[::13] *= 4
        self._steps = itertools.cycle(steps.tolist())
        self._now = 100.0

    def __call__(self) -> float:
        self._now += next(self._steps)
        return self._now

    def skip(self, seconds: float) -> None:
        """Let time pass, or go back."""
        self._now += seconds


class Watched:
    """An observer that keeps what training told it."""

    def __init__(self) -> None:
        self.steps: list[StepResult] = []
        self.epochs: list[EpochResult] = []

    def on_step(self, step: StepResult) -> None:
        self.steps.append(step)

    def on_epoch(self, epoch: EpochResult) -> None:
        self.epochs.append(epoch)


class Trained:
    """A training run: its result, what it told, and the figures it drew, by file name."""

    def __init__(self, **options: Any) -> None:
        watched = Watched()
        with drawn_figures(render=False) as figures:
            self.result: TrainResult = train(**options, observers=[watched])
        self.steps, self.epochs = watched.steps, watched.epochs
        self.figures: Mapping[str, Figure] = dict(figures)
        self.folder = self.result.run_dir / "figures"


@contextmanager
def drawn_figures(*, render: bool = True) -> Iterator[dict[str, Figure]]:
    """The figures that are saved in the block, by the name of their file; unrendered, the file is empty."""
    from nnkit.present import drawing

    figures: dict[str, Figure] = {}
    pending: list[Figure] = []
    savefig, write = Figure.savefig, drawing.write_file

    def keep(figure: Figure, *places: Any, **options: Any) -> None:
        pending.append(figure)
        if render:
            savefig(figure, *places, **options)

    def named(path: Path, content: bytes) -> Path:
        if path.suffix == ".png":
            figures[path.name] = pending.pop()
        return write(path, content)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Figure, "savefig", keep)
        patch.setattr(drawing, "write_file", named)
        yield figures


def quick_train(**options: Any) -> TrainResult:
    """A run on the CPU without figures."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
        return train(**options, threads=1, device="cpu")


@contextmanager
def ticking(seed: int = 0) -> Iterator[None]:
    """Time as the clock has it while the block runs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(time, "perf_counter", Clock(seed))
        yield


@pytest.fixture(scope="session", autouse=True)
def _plugins_installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The tests' own components, found as any plugin's are."""
    site = tmp_path_factory.mktemp("site")
    write_plugin(site, "tiny-plugin", tiny_plugin.ENTRY_POINTS)
    write_plugin(site, "results-plugin", results_plugin.ENTRY_POINTS, version="2.3")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(site))
        patch.delenv("NNKIT_PLUGINS", raising=False)
        patch.delenv("NNKIT_RUNS", raising=False)
        patch.setenv("NNKIT_CACHE", str(tmp_path_factory.mktemp("decoded")))
        registry.refresh()
        yield
    registry.refresh()


@pytest.fixture(scope="session")
def runs_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where this session's runs are kept."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def trained(runs_dir: Path) -> Trained:
    """Three classes, three sizes, four epochs; the best is not the last."""
    return Trained(
        dataset="tiny:several=true,noise=150.0", epochs=6, batch_size=16, lr=0.02, seed=4, runs_dir=runs_dir,
        threads=1, device="cpu",
    )  # fmt: skip


@pytest.fixture(scope="session")
def several(runs_dir: Path) -> TrainSeedsResult:
    """Three seeds, of which one stops early."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
        return train(
            dataset="tiny:noise=150.0", epochs=4, stop=["threshold:metric=val_accuracy,above=0.4"], lr=0.02,
            batch_size=16, seeds="0,2,4", runs_dir=runs_dir, threads=1, device="cpu",
        )  # fmt: skip


@pytest.fixture(scope="session")
def evaluated(trained: Trained) -> EvaluateResult:
    return evaluate(trained.result.run_dir, threads=1, device="cpu")


@pytest.fixture(scope="session")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 30 colour images of 12×10 pixels."""
    rng = np.random.default_rng(0)
    drawn = {f"{at:02}.png": encoded(rng.integers(0, 256, (12, 10, 3)).astype(np.uint8)) for at in range(30)}
    return write_folder(tmp_path_factory.mktemp("photographs"), drawn)


@pytest.fixture(scope="session")
def transformed(photographs: Path, runs_dir: Path) -> Trained:
    """A network that learns a pipeline by gradient, for two epochs: far from exact."""
    return Trained(
        dataset=f"cifar-transform:source={photographs},pipeline='{PIPELINE}'", model="separable", epochs=2,
        batch_size=8, runs_dir=runs_dir, threads=1, device="cpu",
    )  # fmt: skip


@pytest.fixture(scope="session")
def fitted(photographs: Path, runs_dir: Path) -> Trained:
    """The same by least squares, of which it tells: exact, in one epoch."""
    return Trained(
        dataset=f"cifar-transform:source={photographs},pipeline='{PIPELINE}'", model="separable:band=3",
        solver="als", runs_dir=runs_dir, threads=1, device="cpu",
    )  # fmt: skip


@pytest.fixture(scope="session")
def many_classes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """14 classes of names up to 40 letters, and 14 sizes: five images of each class."""
    rng = np.random.default_rng(1)
    images = {}
    for label in range(14):
        name = f"class {label:02}" + " of images with a rather long name" * (label % 3 == 0)
        for at in range(5):
            shape = (9 + label, 10 + (label + at) % 3)
            split = "train" if at < 3 else "val" if at == 3 else "test"
            pixels = rng.normal(20 + 15 * label, 8, shape).clip(0, 255).astype(np.uint8)
            images[f"{split}/{name}/{at}.png"] = encoded(pixels)
    return write_folder(tmp_path_factory.mktemp("images") / "many", images)


@pytest.fixture(scope="session")
def trained_on_many(many_classes: Path, runs_dir: Path) -> Trained:
    return Trained(
        dataset=f"image-folder:path={many_classes}", model="varres-net:width=4", epochs=1, runs_dir=runs_dir,
        threads=1, device="cpu",
    )  # fmt: skip


@pytest.fixture(scope="session")
def paced(photographs: Path, runs_dir: Path) -> TrainResult:
    """A run of a network that takes 8 ms less than anything else."""
    with ticking(), drawn_figures(render=False):
        return train(
            dataset=f"cifar-transform:source={photographs},pipeline='{PIPELINE}'",
            model="paced-net:lasts_s=-0.004", epochs=1, runs_dir=runs_dir, threads=1, device="cpu",
        )  # fmt: skip


@pytest.fixture(scope="session")
def benchmarked(paced: TrainResult, photographs: Path) -> BenchResult:
    """A fast network from a run and a slow one, over four settings and a device that is not there."""
    with ticking():
        return bench(
            dataset=f"cifar-transform:source={photographs},pipeline='{PIPELINE}'",
            model=["paced-net:lasts_s=0.015", str(paced.run_dir)], batch_size=(2, 3),
            drop_last="false,true", device="cpu,cuda:7", repeats=5, threads=1, seed=3,
        )  # fmt: skip


@pytest.fixture(scope="session")
def benchmarked_once(photographs: Path) -> BenchResult:
    """One setting, no network."""
    with ticking(1):
        return bench(
            dataset=f"cifar-transform:source={photographs},pipeline='{PIPELINE}'", repeats=3, threads=1
        )


@pytest.fixture(scope="session")
def operations() -> BenchOpsResult:
    with ticking(2):
        return bench_ops(
            sizes=(4, 33),
            batch=2,
            in_channels=1,
            out_channels=2,
            kernel=2,
            repeats=5,
            threads=1,
            device="cpu",
        )


class _BreakAt:
    """Breaks the brittle pooling from a given cell on."""

    def __init__(self, cell: int) -> None:
        self._left = cell

    def begin(self, folder: Path, num_cells: int, num_done: int) -> None:
        pass

    def cell_done(self, cell: object, summary: object, error: str) -> None:
        self._left -= 1
        results_plugin.Brittle.broken = self._left <= 0


def shades(folder: Path) -> Path:
    """Dark and light images in two sizes, told apart by their means, the larger ones less surely."""
    rng = np.random.default_rng(0)
    files = {}
    for kind, level in (("dark", 105), ("light", 145)):
        for split, number in (("train", 40), ("val", 6), ("test", 30 if kind == "dark" else 42)):
            for at in range(number):
                shape, spread = ((12, 10), 18) if at % 3 else ((14, 14), 40)
                pixels = rng.normal(level + rng.normal(0, spread), 30, shape).clip(0, 255).astype(np.uint8)
                files[f"{split}/{kind}/{at:02}.png"] = encoded(pixels)
    return write_folder(folder, files)


def compare(images: Path, out: Path, watcher: Watcher | None = None, **options: Any) -> ComparePoolingResult:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
        return compare_pooling(
            dataset=f"image-folder:path={images}", epochs=2, lr=0.005, budget=6000, device="cpu", threads=1,
            batch_size=8, out=str(out), watcher=watcher, **options,
        )  # fmt: skip


@pytest.fixture(scope="session")
def two_shades(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return shades(tmp_path_factory.mktemp("shades") / "shades")


@pytest.fixture(scope="session")
def compared(two_shades: Path, tmp_path_factory: pytest.TempPathFactory) -> ComparePoolingResult:
    """Three poolings over three seeds; the last run of one of them fails."""
    out = tmp_path_factory.mktemp("compared") / "all"
    try:
        return compare(two_shades, out, _BreakAt(8), pooling=["avg", "blind", "brittle"], seeds="1,4,7")
    finally:
        results_plugin.Brittle.broken = False


@pytest.fixture(scope="session")
def compared_by_one_seed(two_shades: Path, tmp_path_factory: pytest.TempPathFactory) -> ComparePoolingResult:
    """Two poolings, whose only run of the second fails."""
    out = tmp_path_factory.mktemp("compared") / "one-seed"
    try:
        return compare(two_shades, out, _BreakAt(1), pooling=["avg", "brittle"], seeds="4")
    finally:
        results_plugin.Brittle.broken = False


@pytest.fixture(scope="session")
def won(two_shades: Path, tmp_path_factory: pytest.TempPathFactory) -> ComparePoolingResult:
    """Two poolings, of which one is better."""
    out = tmp_path_factory.mktemp("compared") / "won"
    return compare(two_shades, out, pooling=["avg", "blind"], seeds="1,4,7")


def with_fixed(document: Mapping[str, Any], **fields: Any) -> dict[str, Any]:
    """A real result's document with some fields (its times, its place) replaced by given ones."""
    assert set(fields) <= set(document)
    return {**document, **fields}

"""The functions of `import nnkit`. `make docs` writes this file from the commands' options."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

from torch import nn

from nnkit.api import components as components
from nnkit.data.own_data import Data as Data
from nnkit.results.bench import BenchResult
from nnkit.results.bench_compare import BenchCompareResult
from nnkit.results.bench_ops import BenchOpsResult
from nnkit.results.cache import CacheClearResult, CacheResult
from nnkit.results.check_plugin import CheckPluginResult
from nnkit.results.compare_pooling import ComparePoolingResult
from nnkit.results.count_params import CountResult
from nnkit.results.doctor import DoctorResult
from nnkit.results.evaluate import EvaluateResult
from nnkit.results.info import InfoResult
from nnkit.results.list_ import ListResult
from nnkit.results.new_plugin import NewPluginResult
from nnkit.results.runs import RunResult, RunsResult
from nnkit.results.runs_verify import RunsVerifyResult
from nnkit.results.train import TrainResult
from nnkit.results.train_seeds import TrainSeedsResult
from nnkit.spec import Spec
from nnkit.studies.bench.study import Watch
from nnkit.studies.cell_study import Watcher
from nnkit.training.observers import Observer
from nnkit.types import Bucketing

__version__: str
Files = Path | str | Sequence[Path | str]
Sets = str | Sequence[str]

def bench(
    *,
    config: Files = (),
    sets: Sets = (),
    watch: Watch | None = None,
    progress: bool = False,
    save: bool = False,
    dataset: Spec | str = 'cifar-transform:source=synthetic',
    model: str | Sequence[str] = (),
    batch_size: int | str | Sequence[int] = (256,),
    num_workers: int | str | Sequence[int] = (0,),
    shuffle: bool | str | Sequence[bool] = (False,),
    drop_last: bool | str | Sequence[bool] = (False,),
    pin_memory: bool | str | Sequence[bool] = (False,),
    loader: Literal['memory', 'dataloader'] = 'memory',
    input: Literal['float', 'uint8'] | str | Sequence[Literal['float', 'uint8']] = ('float',),
    compile: bool = False,
    repeats: int = 10,
    min_effect: float = 0.02,
    preset: Literal['report-grid', 'report-30', 'report-sweep'] | None = None,
    limit: int | None = None,
    resume: Path | str | None = None,
    out: Path | str | None = None,
    seed: int = 0,
    device: str | Sequence[str] = ('cpu',),
    threads: int | None = None,
    data_root: Path | str | None = None,
    download: bool = False,
    runs_dir: Path | str | None = None,
) -> BenchResult:
    """Run a benchmark with the options of `nnkit bench` as keywords: `bench(model=["separable"])`.

    The tables and figures of the command are written to `out`, or with `save` under `runs_dir`; the result's
    `run_dir` is their folder, None where nothing is written. With `progress` the rounds done go to stderr."""

def bench_compare(
    a: Path | str,
    b: Path | str,
    *,
    progress: bool = False,
    runs: int | None = None,
    python_a: Path | str | None = None,
    python_b: Path | str | None = None,
    fail_above: str | None = None,
    min_effect: float = 0.02,
    runs_dir: Path | str | None = None,
) -> BenchCompareResult:
    """Compare benchmarks with the options of `nnkit bench compare` as keywords.

    A regression beyond `fail_above` does not raise: it stands in the result."""

def bench_ops(
    *,
    size: int | Sequence[int] = (8, 16, 32, 64, 128),
    batch_size: int = 16,
    in_channels: int = 3,
    out_channels: int = 16,
    kernel: int = 3,
    repeats: int = 20,
    out: Path | str | None = None,
    seed: int = 0,
    device: str = 'auto',
    threads: int | None = None,
) -> BenchOpsResult:
    """Time a convolution by loops, by unfold and by torch with the options of `nnkit bench ops` as keywords.

    With `out`, its table and figure are written there."""

def check_plugin(
    package: str,
    *,
    spec: str | Sequence[str] = (),
    data_root: Path | str | None = None,
    download: bool = False,
) -> CheckPluginResult:
    """Run the conformance checks on a plugin, as `nnkit check-plugin` does; failures stand in the result."""

def clear_cache(
    *names: str,
    older_than: str | None = None,
) -> CacheClearResult:
    """Remove what is kept between runs, or what is named, with the options of `nnkit cache clear`.

    What could not be removed stands in the result's `failed`."""

def compare_pooling(
    *,
    config: Files = (),
    sets: Sets = (),
    watcher: Watcher | None = None,
    progress: bool = False,
    dataset: Spec | str = 'digits-varres',
    pooling: Spec | str | Sequence[Spec | str] = ...,
    model: Spec | str = 'varres-net',
    budget: int = 29066,
    vary: str = 'width',
    seeds: int | str | Sequence[int] = (0, 1, 2, 3, 4),
    epochs: int = 5,
    lr: float | None = None,
    batch_size: int = 64,
    bucketing: Bucketing | Mapping[str, Any] | str = ...,
    precision: Literal['fp32', 'bf16'] = 'fp32',
    limit: int | None = None,
    jobs: int = 1,
    out: Path | str | None = None,
    device: str = 'auto',
    threads: int | None = None,
    data_root: Path | str | None = None,
    download: bool = False,
    runs_dir: Path | str | None = None,
) -> ComparePoolingResult:
    """Compare with the options of `nnkit compare-pooling` as keywords: `compare_pooling(seeds="0-9")`.

    Cells that fail are listed in the result's `failed`. With `jobs` over 1, a script must guard its
    `__main__`. With `progress` a line per cell goes to stderr."""

def count_params(
    specs: Sequence[Spec | str] | Spec | str,
    *,
    input: str | None = None,
    match: str | None = None,
    vary: str | None = None,
    tolerance: str | None = None,
) -> CountResult:
    """Count models; with `match`, find the value of the setting `vary` that comes closest to its count.

    `input` is "CxHxW"; left out, what the model's own settings and defaults say, else 28x28 for one channel
    and 32x32 for more. `match` is a spec or a number of parameters, `tolerance` "1%" (the default) or "0.01".
    The result of a match outside the tolerance comes back all the same."""

def doctor(
    *,
    data_root: Path | str | None = None,
    download: bool = False,
    runs_dir: Path | str | None = None,
) -> DoctorResult:
    """Versions, devices, folders and plugins, and what is wrong with any, as `nnkit doctor` shows them."""

def evaluate(
    run: Path | str,
    *,
    config: Files = (),
    sets: Sets = (),
    split: Literal['train', 'val', 'test'] = 'test',
    dataset: object | None = None,
    model: object | None = None,
    loss: object | None = None,
    metric: object = (),
    batch_size: int = 256,
    limit: int | None = None,
    device: str = 'auto',
    threads: int | None = None,
    data_root: Path | str | None = None,
    download: bool = False,
    runs_dir: Path | str | None = None,
) -> EvaluateResult:
    """Evaluate a run with the options of `nnkit evaluate` as keywords."""

def fit(
    model: nn.Module,
    data: Any,
    val: Any = None,
    test: Any = None,
    *,
    loss: nn.Module | str | None = None,
    progress: bool = False,
    stop: object = (),
    metric: object = (),
    optimizer: Spec | str = 'adam',
    lr: float | None = None,
    schedule: Spec | str = 'none',
    batch_size: int = 64,
    accumulate: int = 1,
    on_oom: Literal['stop', 'shrink'] = 'stop',
    epochs: int = 10,
    augment: object = ...,
    bucketing: Bucketing | Mapping[str, Any] | str = ...,
    precision: Literal['fp32', 'bf16'] = 'fp32',
    compile: bool = False,
    monitor: str | None = None,
    class_weights: Literal['none', 'balanced'] = 'none',
    sampler: Literal['shuffle', 'balanced'] = 'shuffle',
    order: Literal['interleaved', 'by-resolution'] = 'interleaved',
    solver: Literal['gradient', 'least-squares', 'als'] = 'gradient',
    clip: float | None = None,
    label_smoothing: float = 0.0,
    ema: float = 0.0,
    limit: int | None = None,
    tracker: object = (),
    deterministic: bool = False,
    checkpoint_every: str | None = None,
    keep_checkpoints: int = 2,
    resume: Path | str | None = None,
    out: Path | str | None = None,
    seed: int = 0,
    device: str = 'auto',
    threads: int | None = None,
    data_root: Path | str | None = None,
    download: bool = False,
    runs_dir: Path | str | None = None,
) -> TrainResult:
    """Train a module on images at hand: `nnkit.fit(net, (images, labels), epochs=5)`.

    Short for `nnkit.train(model=model, dataset=nnkit.Data(data, val, test), ...)`: `data`, `val` and `test`
    are what `nnkit.Data` takes, the options those of `nnkit.train` for one run. The module is trained itself,
    and holds the best weights at the end."""

def info(
    spec: Spec | str,
    *,
    group: str | None = None,
    batch_size: int = 64,
    bucketing: Bucketing | Mapping[str, Any] | str = ...,
    data_root: Path | str | None = None,
    download: bool = False,
) -> InfoResult:
    """A component's settings and docstring, and a dataset's facts, as `nnkit info` shows them."""

def list_cache(
) -> CacheResult:
    """The decoded images that are kept between runs, as `nnkit cache list` shows them."""

def list_components(
    *groups: str,
) -> ListResult:
    """The installed components of some groups, or of all, as `nnkit list` does; imports none of them."""

def list_runs(
    *,
    runs_dir: Path | str | None = None,
) -> RunsResult:
    """The runs, newest first, as `nnkit runs list` shows them."""

def load(
    run: Path | str,
    *,
    model: nn.Module | None = None,
) -> nn.Module:
    """A run's best model in eval mode: float (B, C, H, W) in [0, 1] in, the normalisation inside.

    `model`, of the class that was trained, gets the weights of a run whose model was passed as an object."""

def new_plugin(
    name: str,
    *,
    kind: Literal['dataset', 'model', 'pooling', 'loss', 'stopping-rule', 'optimizer', 'schedule', 'augmentation', 'metric', 'tracker'] = ...,
    out: Path | str | None = None,
) -> NewPluginResult:
    """Write a plugin package with the options of `nnkit new-plugin` as keywords."""

def show_run(
    run: Path | str,
    *,
    runs_dir: Path | str | None = None,
) -> RunResult:
    """One run, by its folder or name: state, result, configuration and epochs, as `nnkit runs show` does."""

@overload
def train(
    *,
    config: Files = (),
    sets: Sets = (),
    observers: Sequence[Observer] = (),
    watcher: Watcher | None = None,
    progress: bool = False,
    dataset: object = 'digits',
    model: object | None = None,
    loss: object | None = None,
    stop: object = (),
    metric: object = (),
    optimizer: Spec | str = 'adam',
    lr: float | None = None,
    schedule: Spec | str = 'none',
    batch_size: int = 64,
    accumulate: int = 1,
    on_oom: Literal['stop', 'shrink'] = 'stop',
    epochs: int = 10,
    augment: object = ...,
    bucketing: Bucketing | Mapping[str, Any] | str = ...,
    precision: Literal['fp32', 'bf16'] = 'fp32',
    compile: bool = False,
    monitor: str | None = None,
    class_weights: Literal['none', 'balanced'] = 'none',
    sampler: Literal['shuffle', 'balanced'] = 'shuffle',
    order: Literal['interleaved', 'by-resolution'] = 'interleaved',
    solver: Literal['gradient', 'least-squares', 'als'] = 'gradient',
    clip: float | None = None,
    label_smoothing: float = 0.0,
    ema: float = 0.0,
    limit: int | None = None,
    seeds: None = None,
    jobs: int | None = None,
    tracker: object = (),
    deterministic: bool = False,
    test: bool = True,
    checkpoint_every: str | None = None,
    keep_checkpoints: int = 2,
    resume: Path | str | None = None,
    out: Path | str | None = None,
    seed: int = 0,
    device: str = 'auto',
    threads: int | None = None,
    data_root: Path | str | None = None,
    download: bool = False,
    runs_dir: Path | str | None = None,
) -> TrainResult:
    """Train with the options of `nnkit train` as keywords: `train(dataset="mnist", epochs=4)`.

    `config` is a TOML file or several, `sets` a text such as "model.width=81" or several; the options
    beat both. Raises the errors of `nnkit.errors`.

    With `seeds`, as "0-4" or [0, 1], by keyword or in a file, it trains once per seed and returns a
    `TrainSeedsResult`: each seed's run, the means and their intervals. Seeds that fail stand in its `failed`.
    `watcher` is told of each; `observers` see those that this process trains: all but with `jobs` over 1, for
    which a script must guard its `__main__`. With `progress` a bar, or a line per epoch, goes to stderr.

    `dataset`, `model`, `loss`, `stop` and `augment` may be objects instead of names: a `nnkit.Data`, a
    module, or a class or function that makes one. A model that was passed is trained itself, and holds the
    best weights at the end."""

@overload
def train(
    *,
    config: Files = (),
    sets: Sets = (),
    observers: Sequence[Observer] = (),
    watcher: Watcher | None = None,
    progress: bool = False,
    dataset: object = 'digits',
    model: object | None = None,
    loss: object | None = None,
    stop: object = (),
    metric: object = (),
    optimizer: Spec | str = 'adam',
    lr: float | None = None,
    schedule: Spec | str = 'none',
    batch_size: int = 64,
    accumulate: int = 1,
    on_oom: Literal['stop', 'shrink'] = 'stop',
    epochs: int = 10,
    augment: object = ...,
    bucketing: Bucketing | Mapping[str, Any] | str = ...,
    precision: Literal['fp32', 'bf16'] = 'fp32',
    compile: bool = False,
    monitor: str | None = None,
    class_weights: Literal['none', 'balanced'] = 'none',
    sampler: Literal['shuffle', 'balanced'] = 'shuffle',
    order: Literal['interleaved', 'by-resolution'] = 'interleaved',
    solver: Literal['gradient', 'least-squares', 'als'] = 'gradient',
    clip: float | None = None,
    label_smoothing: float = 0.0,
    ema: float = 0.0,
    limit: int | None = None,
    seeds: Sequence[int] | str | int,
    jobs: int | None = None,
    tracker: object = (),
    deterministic: bool = False,
    test: bool = True,
    checkpoint_every: str | None = None,
    keep_checkpoints: int = 2,
    resume: Path | str | None = None,
    out: Path | str | None = None,
    seed: int = 0,
    device: str = 'auto',
    threads: int | None = None,
    data_root: Path | str | None = None,
    download: bool = False,
    runs_dir: Path | str | None = None,
) -> TrainSeedsResult:
    """Train with the options of `nnkit train` as keywords: `train(dataset="mnist", epochs=4)`.

    `config` is a TOML file or several, `sets` a text such as "model.width=81" or several; the options
    beat both. Raises the errors of `nnkit.errors`.

    With `seeds`, as "0-4" or [0, 1], by keyword or in a file, it trains once per seed and returns a
    `TrainSeedsResult`: each seed's run, the means and their intervals. Seeds that fail stand in its `failed`.
    `watcher` is told of each; `observers` see those that this process trains: all but with `jobs` over 1, for
    which a script must guard its `__main__`. With `progress` a bar, or a line per epoch, goes to stderr.

    `dataset`, `model`, `loss`, `stop` and `augment` may be objects instead of names: a `nnkit.Data`, a
    module, or a class or function that makes one. A model that was passed is trained itself, and holds the
    best weights at the end."""

def verify_run(
    run: Path | str,
    *,
    observers: Sequence[Observer] = (),
    progress: bool = False,
    epochs: int | None = None,
    device: str | None = None,
    threads: int | None = None,
    data_root: Path | str | None = None,
    download: bool = False,
    runs_dir: Path | str | None = None,
) -> RunsVerifyResult:
    """Train a run again with the options of `nnkit runs verify` as keywords; is it equal to the bit?

    Nothing is written into the run. A run that differs comes back all the same, with where it differs first;
    one that cannot be repeated raises, as where its data is missing."""

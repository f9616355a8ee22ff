"""The public functions of `import nnkit`. The commands call them.

Each reads its options, calls its study and lets `nnkit.present` draw the figures of what came of it. Studies,
and torch with them, are imported when a function is called.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import import_module
from inspect import Parameter, Signature, signature
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, overload

from nnkit.build import components
from nnkit.config import Resolved, check_names, resolve
from nnkit.errors import CheckpointError, UsageError
from nnkit.options import CommandConfig, is_repeatable, is_spec, members
from nnkit.results.base import Result
from nnkit.spec import ObjectSpec, Spec
from nnkit.studies.bench.config import BenchCompareConfig, BenchConfig, BenchOpsConfig
from nnkit.studies.cache import CacheClearConfig
from nnkit.studies.check_plugin import CheckPluginConfig
from nnkit.studies.compare_pooling.config import ComparePoolingConfig
from nnkit.studies.count_params.config import CountParamsConfig
from nnkit.studies.doctor import DoctorConfig
from nnkit.studies.evaluate.config import EvaluateConfig
from nnkit.studies.info.config import InfoConfig
from nnkit.studies.new_plugin.config import NewPluginConfig
from nnkit.studies.percent import read_share
from nnkit.studies.runs import RunsListConfig, RunsShowConfig, RunsVerifyConfig
from nnkit.studies.train.config import TrainConfig
from nnkit.types import Bucketing

if TYPE_CHECKING:
    from torch import nn

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
    from nnkit.studies.bench.study import Watch
    from nnkit.studies.cell_study import Watcher
    from nnkit.training.observers import Observer

__all__ = [
    "bench",
    "bench_compare",
    "bench_ops",
    "check_plugin",
    "clear_cache",
    "compare_pooling",
    "components",
    "count_params",
    "doctor",
    "evaluate",
    "fit",
    "info",
    "list_cache",
    "list_components",
    "list_runs",
    "load",
    "new_plugin",
    "show_run",
    "train",
    "verify_run",
]

C = TypeVar("C", bound=CommandConfig)
F = TypeVar("F", bound=Callable[..., Any])
Files = Path | str | Sequence[Path | str]
Sets = str | Sequence[str]
LAYERED: Mapping[str, type[CommandConfig]] = {
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "compare-pooling": ComparePoolingConfig,
    "bench": BenchConfig,
}
"""The commands whose configuration is put together from files, the environment and options."""


def _html(result: Result) -> str:
    from nnkit.present import notebook

    return notebook.html(result)


Result.drawn = _html


def takes(model: type[CommandConfig], *, leave_out: Sequence[str] = ()) -> Callable[[F], F]:
    """Give a public function the signature that its model means: every option by name, type and default."""

    def sign(function: F) -> F:
        own = {
            name: parameter
            for name, parameter in signature(function).parameters.items()
            if parameter.kind is not Parameter.VAR_KEYWORD
        }
        options = [each for each in _keywords(model) if each.name not in (*own, *leave_out)]
        returns = signature(function).return_annotation
        function.__signature__ = Signature([*own.values(), *options], return_annotation=returns)  # type: ignore[attr-defined]
        function.__annotations__ |= {parameter.name: parameter.annotation for parameter in options}
        return function

    return sign


def _keywords(model: type[CommandConfig]) -> Iterator[Parameter]:
    for name, info in model.fields().items():
        annotation = info.annotation
        if is_spec(annotation):
            one = Spec | str
            (kind,) = members(annotation)
            annotation = Sequence[one] if is_repeatable(info) else one if kind is annotation else one | None
        elif Bucketing in members(annotation):
            annotation = Bucketing | Mapping[str, Any] | str
        elif Path in members(annotation):
            annotation = Path | str if annotation is Path else Path | str | None
        yield Parameter(name, Parameter.KEYWORD_ONLY, default=info.default, annotation=annotation)


@overload
def train(
    *,
    config: Files = (),
    sets: Sets = (),
    observers: Sequence[Observer] = (),
    progress: bool = False,
    seeds: None = None,
    **options: Any,
) -> TrainResult: ...


@overload
def train(
    *,
    config: Files = (),
    sets: Sets = (),
    observers: Sequence[Observer] = (),
    watcher: Watcher | None = None,
    progress: bool = False,
    seeds: Sequence[int] | str | int,
    **options: Any,
) -> TrainSeedsResult: ...


@takes(TrainConfig)
def train(
    *,
    config: Files = (),
    sets: Sets = (),
    observers: Sequence[Observer] = (),
    watcher: Watcher | None = None,
    progress: bool = False,
    **options: Any,
) -> TrainResult | TrainSeedsResult:
    """Train with the options of `nnkit train` as keywords: `train(dataset="mnist", epochs=4)`.

    `config` is a TOML file or several, `sets` a text such as "model.width=81" or several; the options
    beat both. Raises the errors of `nnkit.errors`.

    With `seeds`, as "0-4" or [0, 1], by keyword or in a file, it trains once per seed and returns a
    `TrainSeedsResult`: each seed's run, the means and their intervals. Seeds that fail stand in its `failed`.
    `watcher` is told of each; `observers` see those that this process trains: all but with `jobs` over 1, for
    which a script must guard its `__main__`. With `progress` a bar, or a line per epoch, goes to stderr.

    `dataset`, `model`, `loss`, `stop` and `augment` may be objects instead of names: a `nnkit.Data`, a
    module, or a class or function that makes one. A model that was passed is trained itself, and holds the
    best weights at the end.
    """
    resolved = _resolve(TrainConfig, config, sets, options)
    from nnkit.present import figures
    from nnkit.present.progress import CellProgress, Progress

    with Progress(quiet=not progress) as shown:
        observers = [*observers, shown]
        if resolved.config.seeds is not None:
            from nnkit.studies.train import seeds

            watcher = watcher or CellProgress(quiet=not progress, noun="seed", progress=shown)
            return seeds.train_seeds(
                resolved,
                watcher=watcher,
                observers=observers,
                finish=figures.draw_training,
                draw=figures.draw_seeds,
            )
        from nnkit.studies.train import study

        return study.train(resolved, observers=observers, finish=figures.draw_training).result


@takes(TrainConfig, leave_out=("dataset", "seeds", "jobs"))
def fit(
    model: nn.Module,
    data: Any,
    val: Any = None,
    test: Any = None,
    *,
    loss: nn.Module | str | None = None,
    progress: bool = False,
    **options: Any,
) -> TrainResult:
    """Train a module on images at hand: `nnkit.fit(net, (images, labels), epochs=5)`.

    Short for `nnkit.train(model=model, dataset=nnkit.Data(data, val, test), ...)`: `data`, `val` and `test`
    are what `nnkit.Data` takes, the options those of `nnkit.train` for one run. The module is trained itself,
    and holds the best weights at the end.
    """
    from nnkit.data.own_data import Data

    for name in ("dataset", "seeds", "jobs"):
        if name in options:
            raise UsageError(f"{name}: fit trains one module on its data, once", hint="use nnkit.train")
    dataset = Data(data, val, test)
    return train(seeds=None, model=model, dataset=dataset, loss=loss, progress=progress, **options)


@takes(EvaluateConfig)
def evaluate(run: Path | str, *, config: Files = (), sets: Sets = (), **options: Any) -> EvaluateResult:
    """Evaluate a run with the options of `nnkit evaluate` as keywords."""
    resolved = _resolve(EvaluateConfig, config, sets, {"run": str(run), **options})
    from nnkit.studies.evaluate import study

    return study.evaluate(resolved)


@takes(CountParamsConfig)
def count_params(specs: Sequence[Spec | str] | Spec | str, **options: Any) -> CountResult:
    """Count models; with `match`, find the value of the setting `vary` that comes closest to its count.

    `input` is "CxHxW"; left out, what the model's own settings and defaults say, else 28x28 for one channel
    and 32x32 for more. `match` is a spec or a number of parameters, `tolerance` "1%" (the default) or "0.01".
    The result of a match outside the tolerance comes back all the same.
    """
    match = options.get("match")
    given = {**options, "specs": specs, "match": None if match is None else str(match)}
    config = _resolve(CountParamsConfig, (), (), given).config
    from nnkit.studies.count_params import study

    return study.count_params(
        config.specs, input=config.input, match=config.match, vary=config.vary, tolerance=config.tolerance
    )


@takes(ComparePoolingConfig)
def compare_pooling(
    *,
    config: Files = (),
    sets: Sets = (),
    watcher: Watcher | None = None,
    progress: bool = False,
    **options: Any,
) -> ComparePoolingResult:
    """Compare with the options of `nnkit compare-pooling` as keywords: `compare_pooling(seeds="0-9")`.

    Cells that fail are listed in the result's `failed`. With `jobs` over 1, a script must guard its
    `__main__`. With `progress` a line per cell goes to stderr.
    """
    resolved = _resolve(ComparePoolingConfig, config, sets, options)
    from nnkit.present import figures
    from nnkit.present.progress import CellProgress
    from nnkit.studies.compare_pooling import study

    watcher = watcher or CellProgress(quiet=not progress)
    return study.compare_pooling(
        resolved, watcher=watcher, finish=figures.draw_training, draw=figures.draw_comparison
    )


@takes(BenchConfig)
def bench(
    *,
    config: Files = (),
    sets: Sets = (),
    watch: Watch | None = None,
    progress: bool = False,
    save: bool = False,
    **options: Any,
) -> BenchResult:
    """Run a benchmark with the options of `nnkit bench` as keywords: `bench(model=["separable"])`.

    The tables and figures of the command are written to `out`, or with `save` under `runs_dir`; the result's
    `run_dir` is their folder, None where nothing is written. With `progress` the rounds done go to stderr.
    """
    resolved = _resolve(BenchConfig, config, sets, options)
    from nnkit.present.bench import write_bench
    from nnkit.present.progress import Rounds
    from nnkit.studies.bench import study

    watch = watch or Rounds("round", quiet=not progress)
    return study.bench(resolved, watch=watch, save=save, finish=write_bench)


@takes(RunsVerifyConfig)
def verify_run(
    run: Path | str, *, observers: Sequence[Observer] = (), progress: bool = False, **options: Any
) -> RunsVerifyResult:
    """Train a run again with the options of `nnkit runs verify` as keywords; is it equal to the bit?

    Nothing is written into the run. A run that differs comes back all the same, with where it differs first;
    one that cannot be repeated raises, as where its data is missing.
    """
    config = _resolve(RunsVerifyConfig, (), (), {"run": str(run), **options}).config
    from nnkit.present.progress import Progress
    from nnkit.studies.runs_verify import study

    with Progress(quiet=not progress) as shown:
        return study.verify_run(config, observers=[*observers, shown])


@takes(BenchCompareConfig)
def bench_compare(
    a: Path | str, b: Path | str, *, progress: bool = False, **options: Any
) -> BenchCompareResult:
    """Compare benchmarks with the options of `nnkit bench compare` as keywords.

    A regression beyond `fail_above` does not raise: it stands in the result.
    """
    config = _resolve(BenchCompareConfig, (), (), {"a": str(a), "b": str(b), **options}).config
    from nnkit.present.progress import Rounds
    from nnkit.studies.bench import compare

    share = None if config.fail_above is None else read_share(config.fail_above, "fail_above")
    return compare.run(config, fail_above=share, watch=Rounds("run", quiet=not progress))


@takes(BenchOpsConfig)
def bench_ops(**options: Any) -> BenchOpsResult:
    """Time a convolution by loops, by unfold and by torch with the options of `nnkit bench ops` as keywords.

    With `out`, its table and figure are written there.
    """
    config = _resolve(BenchOpsConfig, (), (), options).config
    from nnkit.studies.bench import ops

    result = ops.bench_ops(
        sizes=config.size,
        batch=config.batch_size,
        in_channels=config.in_channels,
        out_channels=config.out_channels,
        kernel=config.kernel,
        repeats=config.repeats,
        seed=config.seed,
        device=config.device,
        threads=config.threads,
    )
    if config.out is not None:
        from nnkit.present.bench_ops import write_bench_ops

        write_bench_ops(config.out, result)
    return result


def list_components(*groups: str) -> ListResult:
    """The installed components of some groups, or of all, as `nnkit list` does; imports none of them."""
    from nnkit.studies.list_ import list_components as study

    return study(groups)


@takes(InfoConfig)
def info(spec: Spec | str, **options: Any) -> InfoResult:
    """A component's settings and docstring, and a dataset's facts, as `nnkit info` shows them."""
    config = _resolve(InfoConfig, (), (), {"spec": str(spec), **options}).config
    from nnkit.studies.info.study import info as study

    return study(
        config.spec,
        group=config.group,
        batch_size=config.batch_size,
        bucketing=config.bucketing,
        config=config,
    )


@takes(RunsListConfig)
def list_runs(**options: Any) -> RunsResult:
    """The runs, newest first, as `nnkit runs list` shows them."""
    from nnkit.studies import runs

    return runs.list_runs(_resolve(RunsListConfig, (), (), options).config.runs_dir)


@takes(RunsShowConfig)
def show_run(run: Path | str, **options: Any) -> RunResult:
    """One run, by its folder or name: state, result, configuration and epochs, as `nnkit runs show` does."""
    config = _resolve(RunsShowConfig, (), (), {"run": str(run), **options}).config
    from nnkit.studies import runs

    return runs.show_run(config.run, config.runs_dir)


def list_cache() -> CacheResult:
    """The decoded images that are kept between runs, as `nnkit cache list` shows them."""
    from nnkit.studies import cache

    return cache.list_cache()


@takes(CacheClearConfig)
def clear_cache(*names: str, **options: Any) -> CacheClearResult:
    """Remove what is kept between runs, or what is named, with the options of `nnkit cache clear`.

    What could not be removed stands in the result's `failed`.
    """
    from nnkit.studies import cache

    return cache.clear_cache(_resolve(CacheClearConfig, (), (), {"names": list(names), **options}).config)


@takes(NewPluginConfig)
def new_plugin(name: str, **options: Any) -> NewPluginResult:
    """Write a plugin package with the options of `nnkit new-plugin` as keywords."""
    config = _resolve(NewPluginConfig, (), (), {"name": name, **options}).config
    from nnkit.studies.new_plugin.study import new_plugin as study

    return study(config.name, kind=config.kind, out=config.out)


@takes(CheckPluginConfig)
def check_plugin(package: str, **options: Any) -> CheckPluginResult:
    """Run the conformance checks on a plugin, as `nnkit check-plugin` does; failures stand in the result."""
    config = _resolve(CheckPluginConfig, (), (), {"package": package, **options}).config
    from nnkit.studies.check_plugin import check_plugin as study

    return study(config.package, specs=config.spec, config=config)


@takes(DoctorConfig)
def doctor(**options: Any) -> DoctorResult:
    """Versions, devices, folders and plugins, and what is wrong with any, as `nnkit doctor` shows them."""
    config = _resolve(DoctorConfig, (), (), options).config
    from nnkit.studies.doctor import doctor as study

    return study(config)


def load(run: Path | str, *, model: nn.Module | None = None) -> nn.Module:
    """A run's best model in eval mode: float (B, C, H, W) in [0, 1] in, the normalisation inside.

    `model`, of the class that was trained, gets the weights of a run whose model was passed as an object.
    """
    from nnkit.runs import weights

    return weights.load(run, model)


def complete(command: str, *, config: Files = (), sets: Sets = (), **options: Any) -> Resolved[Any]:
    """What a command would do: its configuration as its study completes it, and where each value is from."""
    resolved = _resolve(LAYERED[command], config, sets, options)
    study = import_module(f"nnkit.studies.{command.replace('-', '_')}.study")
    completed: Resolved[Any] = study.complete(resolved)
    return completed


def _resolve(model: type[C], config: Files, sets: Sets, options: Mapping[str, Any]) -> Resolved[C]:
    files = [Path(path) for path in ([config] if isinstance(config, Path | str) else config)]
    sets = [sets] if isinstance(sets, str) else sets
    if run := options.get("resume"):
        command = next(name for name, each in LAYERED.items() if each is model)
        runs_dir = options.get("runs_dir") or os.environ.get("NNKIT_RUNS")
        files = [_settings_of(run, runs_dir, command), *files]
    resolved = resolve(model, _with_objects(model, options), files=files, sets=sets)
    check_names(resolved.config)
    return resolved


def _with_objects(model: type[CommandConfig], options: Mapping[str, Any]) -> dict[str, Any]:
    """The options with a spec in place of each component that was passed as an object."""
    found = dict(options)
    for key, value in options.items():
        info = model.model_fields.get(key)
        if info is None or not is_spec(info.annotation):
            continue
        several = is_repeatable(info) and isinstance(value, list | tuple)
        made = [_spec_of(model, key, each) for each in (value if several else [value])]
        found[key] = made if several else made[0]
    return found


def _spec_of(model: type[CommandConfig], key: str, value: Any) -> Any:
    if value is None or isinstance(value, str | Spec | Mapping):
        return value
    if key not in model.takes_objects:
        raise UsageError(f"{key}: expected a name, got a {type(value).__name__}")
    return ObjectSpec.of(value)


def _settings_of(run: Path | str, runs_dir: Path | str | None, command: str) -> Path:
    """The configuration of a run that is to go on. `UsageError` where another command goes on with it."""
    from nnkit.runs.directory import RunDirectory

    folder = RunDirectory.find(run, Path(runs_dir) if runs_dir else None)
    if not folder.config_path.is_file():
        raise CheckpointError(f"{folder.path} has no config.toml, so it cannot be resumed")
    if folder.is_of_several() or folder.status().command not in (command, None):
        raise UsageError(
            f"`nnkit {command} --resume` does not go on with {folder.path}",
            hint=f"this does: {folder.resume_command()}",
        )
    return folder.config_path

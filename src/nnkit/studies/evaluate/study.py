"""`nnkit evaluate`: a run's best weights on a split: metrics, per class, per resolution, confusion matrix."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import nn

from nnkit import registry, schema
from nnkit.bucketing import merged, old_spelling, settings_of
from nnkit.build import build, plan
from nnkit.config import Resolved, resolve
from nnkit.data.loaders import EvalLoader
from nnkit.data.resize_policy import with_policy
from nnkit.data.splits import check_labels, classes_without_images, limited
from nnkit.errors import ConfigError, UsageError
from nnkit.results.evaluate import ClassScores, Counts, EvaluateResult
from nnkit.runs import weights
from nnkit.runs.directory import RunDirectory
from nnkit.runs.weights import ModelCard
from nnkit.spec import PYTHON, ObjectSpec, Spec, from_toml
from nnkit.studies.evaluate.config import EvaluateConfig
from nnkit.studies.metrics import split_metrics
from nnkit.studies.paths import data_place
from nnkit.studies.train.config import TrainConfig
from nnkit.studies.train.experiment import DEFAULT_LOSS, loss_spec
from nnkit.training import evaluation
from nnkit.training.devices import choose_device, likes_channels_last, put_on, set_threads
from nnkit.training.metric_components import make_components
from nnkit.training.metrics import Metrics, make_metrics
from nnkit.types import EXACT_SIZES, Bucketing, Data, Dataset

logger = logging.getLogger("nnkit")


def complete(resolved: Resolved[EvaluateConfig]) -> Resolved[EvaluateConfig]:
    """The configuration with its run's folder: everything else in it is given, or the run's own."""
    config = resolved.config
    if config.run.exists():
        return resolved
    found = RunDirectory.find(config.run, config.runs_dir)  # by its name
    return replace(resolved, config=config.model_copy(update={"run": found.path}))


def evaluate(resolved: Resolved[EvaluateConfig]) -> EvaluateResult:
    """Evaluate as configured."""
    started = time.perf_counter()
    config = complete(resolved).config
    set_threads(config.threads)
    device = choose_device(config.device)
    passed = plan("models", config.model).make() if config.model is not None else None
    model, card = weights.load_bare(config.run, passed)
    trained = _training_config(config.run)
    spec = config.dataset or (trained.dataset if trained else None)
    if spec is None:
        raise UsageError(f"{config.run} does not say what it was trained on", hint="name one with --dataset")
    if config.data_root is None and trained is not None and trained.data_root is not None:
        config = config.model_copy(update={"data_root": trained.data_root})
    spec, bucketing = _bucketing(spec, config, trained)
    dataset: Dataset = plan("datasets", spec).make()
    loaded = dataset.load(data_place(config))
    check_labels(loaded, str(spec))
    data, bucketing = with_policy(loaded, bucketing)
    _check_fits(card, data, spec)
    if not len(data.splits[config.split]):
        raise UsageError(f'"{spec}" has no image in the split {config.split}', hint="choose another --split")
    data = limited(data, config.limit)
    if missing := classes_without_images(data, [config.split]):
        logger.warning("%s", missing)
    # The model saw inputs normalised by its training data: those statistics go with it to other data.
    data = replace(data, mean=card.mean, std=card.std)
    metrics = _measure(config, model, trained, data, bucketing, device)
    return _result(config, spec, card, data, metrics, time.perf_counter() - started)


def _measure(
    config: EvaluateConfig,
    model: nn.Module,
    trained: TrainConfig | None,
    data: Data,
    bucketing: Bucketing,
    device: torch.device,
) -> Metrics:
    """Every metric of the split, computed as at the end of training."""
    split, last = data.splits[config.split], likes_channels_last(model)
    model = put_on(model, device, channels_last=last)
    batches = EvalLoader(
        data, split, batch_size=config.batch_size, device=device, bucketing=bucketing, channels_last=last
    )
    loss: nn.Module = build("losses", config.loss or _loss(trained, data), known=data.known_settings()).to(
        device
    )
    precision = trained.precision if trained is not None else "fp32"
    components = make_components(_metrics(config, trained), data, device)
    metrics = make_metrics(data, device, components)
    return evaluation.evaluate(model, batches, loss, metrics, precision=precision)


def _metrics(config: EvaluateConfig, trained: TrainConfig | None) -> list[Spec]:
    """Those of the run, and those that are named; of one name, the one that is named."""
    own = trained.metric if trained is not None else ()
    named = {spec.key for spec in config.metric}
    gone = [spec for spec in own if spec.name == PYTHON]
    passed = [spec for spec in config.metric if isinstance(spec, ObjectSpec)]
    if gone and not passed:
        logger.warning("left out, as no file holds a Python object: the metric %s", ", ".join(map(str, gone)))
    return [spec for spec in own if spec.name != PYTHON and spec.key not in named] + list(config.metric)


def _result(
    config: EvaluateConfig, spec: Spec, card: ModelCard, data: Data, metrics: Metrics, seconds: float
) -> EvaluateResult:
    confusion = {key: tuple(map(tuple, matrix)) for key, matrix in metrics.confusion().items()}
    return EvaluateResult(
        run_dir=config.run,
        dataset=str(spec),
        model=str(from_toml(card.model, "model")),
        split=config.split,
        images=len(data.splits[config.split]),
        metrics=split_metrics(metrics),
        per_class=per_class(confusion["all"], data.class_names) if confusion else (),
        class_names=data.class_names,
        confusion=confusion,
        seconds=seconds,
    )


def per_class(confusion: Counts, names: Sequence[str]) -> tuple[ClassScores, ...]:
    """Count, precision and recall of each class; NaN where it has no images or no predictions."""
    rows = []
    for index, name in enumerate(names):
        hits, count = confusion[index][index], sum(confusion[index])
        predicted = sum(row[index] for row in confusion)
        rows.append(
            ClassScores(
                name=name,
                count=count,
                precision=hits / predicted if predicted else float("nan"),
                recall=hits / count if count else float("nan"),
            )
        )
    return tuple(rows)


def _bucketing(spec: Spec, config: EvaluateConfig, trained: TrainConfig | None) -> tuple[Spec, Bucketing]:
    """The dataset to evaluate on, and the run's bucketing; an older run has it in its dataset's settings."""
    bucketing = EXACT_SIZES if trained is None else trained.bucketing
    if trained is not None:
        old = old_spelling(trained.dataset)
        bucketing = merged({**old.modes, **old.refused}, bucketing)
    given = old_spelling(spec)
    if config.dataset is not None:
        if mistakes := given.mistakes():
            raise ConfigError(mistakes)
        if given.warning:
            logger.warning("%s", given.warning)
        bucketing = merged(settings_of(bucketing), merged(given.modes, EXACT_SIZES))
    return given.spec, bucketing


def _training_config(run: Path) -> TrainConfig | None:
    path = RunDirectory(run).config_path
    return resolve(TrainConfig, {}, files=[path]).config if path.is_file() else None


def _loss(trained: TrainConfig | None, data: Data) -> Spec:
    if trained is None or trained.loss is None:
        return Spec(DEFAULT_LOSS[data.task])
    return loss_spec(trained)


def _check_fits(card: ModelCard, data: Data, spec: Spec) -> None:
    """The dataset must have the shapes that the model was made for."""
    model = from_toml(card.model, "model")
    passed = model.name == PYTHON
    takes = {} if passed else schema.settings_of(registry.load(registry.find("models", model.name)).cls)
    if card.task != data.task:
        raise UsageError(f'the model was trained for {card.task}, "{spec}" is for {data.task}')
    known = data.known_settings()
    for key, value in card.known.items():
        if key in takes and value != known.get(key):
            made_for = f'the model "{model}" was made for {_show(value)}'
            raise UsageError(
                f'{key}: {made_for}, "{spec}" has {_show(known.get(key))}',
                hint="choose a dataset of the same shapes",
            )


def _show(value: object) -> str:
    if value is None:
        return "several sizes"
    return "×".join(map(str, value)) if isinstance(value, tuple) else str(value)

"""The parts of a training run: its completed configuration and the components that it names."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import nn

from nnkit import registry
from nnkit.bucketing import merged, old_spelling
from nnkit.build import ValidatedSpec, describe_mistakes, plan
from nnkit.config import Resolved, named_components
from nnkit.data.bucketing import BucketPlan
from nnkit.data.loaders import EvalLoader, TrainLoader
from nnkit.data.resize_policy import default_model
from nnkit.errors import ConfigError, Mistake, UsageError, did_you_mean
from nnkit.spec import ObjectSpec, Spec
from nnkit.studies.train.config import NOT_AUGMENTED, TrainConfig
from nnkit.studies.train.optimizing import (
    check_optimizing,
    closure_mistakes,
    make_both,
    rate_mistakes,
    schedule_mistakes,
    searches_a_line,
    with_rate,
)
from nnkit.studies.train.solvers import solver_mistakes
from nnkit.training import random_state
from nnkit.training.augmentation import Augmentations
from nnkit.training.class_weights import WeightedCrossEntropy, balanced_weights
from nnkit.training.devices import likes_channels_last, put_on
from nnkit.training.loop import Recipe, TrainState, make_ema
from nnkit.training.masks import check_takes_mask, check_takes_sizes, output_of
from nnkit.training.metric_components import NamedMetric, make_components
from nnkit.training.metrics import flat, make_metrics
from nnkit.training.parts import Parts
from nnkit.types import Bucketing, Data, Dataset, StoppingRule

logger = logging.getLogger("nnkit")
MANY_PARAMETERS = 50_000_000
DEFAULT_LOSS = {"classification": "cross-entropy", "transform": "mse"}
SMOOTHED = "torch.nn:CrossEntropyLoss"
"""The loss that has label smoothing, by whatever name."""
DEFAULT_MONITOR = {"classification": "accuracy", "transform": "loss"}


@dataclass
class Experiment:
    """Everything that is built for a run: the parts that the loop and the observers share.

    `train_loss` is what training makes smaller, `loss` what its results are measured by: without weights of
    classes, the same.
    """

    config: TrainConfig
    data: Data
    model: nn.Module
    model_plan: ValidatedSpec
    loss: nn.Module
    train_loss: nn.Module
    metrics: Sequence[NamedMetric]
    rules: Sequence[tuple[str, StoppingRule]]
    device: torch.device
    train: TrainLoader
    val: EvalLoader
    monitor: str
    augment: Augmentations | None = None
    solver: Mapping[str, object] = field(default_factory=dict)
    """How the weights were found, as `Solver` of the result reads it."""

    @property
    def num_parameters(self) -> int:
        """Trainable and frozen parameters of the model, tied ones once."""
        return sum(p.numel() for p in self.model.parameters())

    @property
    def recipe(self) -> Recipe:
        """What the training loop needs of the configuration."""
        config = self.config
        return Recipe(config.epochs, config.seed, config.precision, config.clip, config.order)


def complete(resolved: Resolved[TrainConfig]) -> Resolved[TrainConfig]:
    """The configuration with every choice made that needs no data, and all its specs checked."""
    return complete_with_dataset(resolved)[0]


def complete_with_dataset(resolved: Resolved[TrainConfig]) -> tuple[Resolved[TrainConfig], Dataset]:
    """`complete`, and the dataset that it asked for its task and default model, not loaded yet."""
    old = old_spelling(resolved.config.dataset)
    config = resolved.config.model_copy(update={"dataset": old.spec})
    mistakes = describe_mistakes(named_components(config))
    if not any(mistake.path == "optimizer" for mistake in mistakes):  # its name is known
        if no_rate := rate_mistakes(resolved):
            mistakes = [mistake for mistake in mistakes if mistake.path != "optimizer.lr"]
        mistakes += [*no_rate, *closure_mistakes(config)]
    if not any(mistake.path == "schedule" for mistake in mistakes):
        mistakes += schedule_mistakes(config)
    if mistakes := [*mistakes, *resolved.config.mistakes()]:
        raise ConfigError(mistakes)
    dataset: Dataset = plan("datasets", config.dataset).make()
    if old.warning:
        logger.warning("%s", old.warning)
    bucketing = merged(old.modes, config.bucketing)
    values: dict[str, Any] = {
        "bucketing": bucketing,
        "model": config.model or Spec(default_model(dataset.default_model, bucketing)),
        "loss": config.loss or Spec(DEFAULT_LOSS[dataset.task]),
        "monitor": config.monitor or DEFAULT_MONITOR[dataset.task],
    }
    if mistakes := solver_mistakes(config, values["model"]):
        raise ConfigError(mistakes)
    if config.solver != "gradient":
        values |= {"epochs": 1, "solver": "least-squares"}
    else:
        values |= {"optimizer": with_rate(config.optimizer, config.lr), "lr": None}
        check_optimizing(config.model_copy(update=values))
    return replace(resolved, config=config.model_copy(update=values)), dataset


def prepare(config: TrainConfig, data: Data, device: torch.device) -> Experiment:
    """Build every part, so that each mistake is found before anything is written."""
    known = data.known_settings()
    assert config.model is not None
    model_plan = plan("models", config.model, known=known)
    loss_plan = plan("losses", loss_spec(config), known=known)
    rules = [
        (spec.name, plan("stopping_rules", spec, known=known, path="stop").make()) for spec in config.stop
    ]
    random_state.seed(config.seed, device)
    model: nn.Module = model_plan.make()
    num_parameters = sum(parameter.numel() for parameter in model.parameters())
    if num_parameters > MANY_PARAMETERS:
        logger.warning(
            "the model %s has %s parameters: %.1f GiB of weights, and as much again for each state of the "
            "optimizer and each checkpoint",
            model_plan.spec.name,
            f"{num_parameters:,}",
            num_parameters * 4 / 2**30,
        )
    # torch's L-BFGS reads gradients as flat views, which other memory formats do not have.
    channels_last = likes_channels_last(model) and not searches_a_line(config)
    model = put_on(model, device, channels_last=channels_last)
    loss: nn.Module = loss_plan.make().to(device)
    shared: dict[str, Any] = {"device": device, "channels_last": channels_last}
    _check_classes(config, data)
    if not len(data.splits["train"]):
        raise UsageError(
            f'the dataset "{config.dataset}" has no image to train on', hint="raise --limit or add images"
        )
    augment = _make_augmentations(config, data, device)
    shared |= {"bucketing": config.bucketing}
    images_per_step = config.batch_size * config.accumulate
    train = TrainLoader(
        data,
        data.splits["train"],
        batch_size=images_per_step,
        augment=augment,
        **{**shared, "bucketing": _per_step(config)},
    )
    train.sampler = config.sampler
    # The first epoch's, which the loop asks for again: an epoch is planned once.
    _check_leftovers(train, train.plan(epoch=1, seed=config.seed, order=config.order))
    check_takes_mask(model, str(model_plan.spec), train)
    check_takes_sizes(model, str(model_plan.spec), data, device)
    evaluated = evaluation_batch_size(config.batch_size)
    val = EvalLoader(data, data.splits["val"], batch_size=evaluated, **shared)
    metrics = make_components(config.metric, data, device)
    monitor = _monitor(config, data, metrics)
    _check_metrics_of(rules, data, metrics)
    train_loss = _weighted(loss, config, data, device)
    return Experiment(
        config,
        data,
        model,
        model_plan,
        loss,
        train_loss,
        metrics,
        rules,
        device,
        train,
        val,
        monitor,
        augment,
    )


def _make_augmentations(config: TrainConfig, data: Data, device: torch.device) -> Augmentations | None:
    """The augmentations of the training images, on the device; None for none."""
    if config.augment == NOT_AUGMENTED:
        return None
    if data.task != "classification":
        raise UsageError(
            "augment: the target of a transform is a function of the image as it is",
            hint="leave --augment out for this dataset",
        )
    known, named = data.known_settings(), []
    for at, spec in enumerate(config.augment):
        made = plan("augmentations", spec, known=known, path=f"augment[{at}]").make()
        # A module that was passed may have a state: the next seed, or run, is given it as it is now.
        named.append((str(spec), deepcopy(made).to(device) if isinstance(made, nn.Module) else made))
    return Augmentations(named)


def _check_classes(config: TrainConfig, data: Data) -> None:
    """`ConfigError` for settings of uneven classes where there are no classes."""
    given = {"class_weights": config.class_weights != "none", "sampler": config.sampler != "shuffle"}
    if data.task != "classification" and any(given.values()):
        why = "this dataset has images as targets, and no classes"
        raise ConfigError([Mistake(key, why, "leave it out") for key, is_given in given.items() if is_given])


def _weighted(loss: nn.Module, config: TrainConfig, data: Data, device: torch.device) -> nn.Module:
    """The loss of training: with `class_weights`, cross-entropy weighted by the training images' classes."""
    if config.class_weights == "none":
        return loss
    if type(loss) is not nn.CrossEntropyLoss:
        raise UsageError(
            f'class_weights: the loss "{config.loss}" takes no weights of classes',
            hint="use it with --loss cross-entropy",
        )
    split = data.splits["train"]
    labels = split.targets[torch.from_numpy(split.indices).to(split.targets.device)]
    return WeightedCrossEntropy(loss, balanced_weights(labels, len(data.class_names)).to(device))


def _per_step(config: TrainConfig) -> Bucketing:
    """The bucketing of a step's images: `max_pixels` holds for each of the parts that add up to it."""
    pixels = config.bucketing.max_pixels
    return (
        config.bucketing
        if pixels is None
        else replace(config.bucketing, max_pixels=pixels * config.accumulate)
    )


def evaluation_batch_size(batch_size: int) -> int:
    """How many images to evaluate at once: without gradients more of them fit, and save time."""
    return max(batch_size, min(4 * batch_size, 256))


def _check_leftovers(train: TrainLoader, plan: BucketPlan) -> None:
    """`UsageError` where leftovers=drop leaves no batch, a warning where it leaves out images."""
    forecast = plan.forecast
    if not forecast.num_batches:
        raise UsageError(
            f"leftovers=drop leaves nothing to train on: no bucket has {train.batch_size} images for a batch",
            hint="set leftovers=keep or merge, a smaller --batch-size, or fewer buckets",
        )
    if forecast.num_dropped:
        logger.warning(
            "leftovers=drop: %d of %d training images are in no batch of an epoch, others in the next one",
            forecast.num_dropped,
            len(train.split),
        )


def loss_spec(config: TrainConfig) -> Spec:
    """The loss of a complete configuration; `label_smoothing` beats the loss's own setting."""
    assert config.loss is not None
    if not config.label_smoothing:
        return config.loss
    passed = isinstance(config.loss, ObjectSpec)
    if passed or registry.find("losses", config.loss.name).target != SMOOTHED:
        raise UsageError(
            f'label_smoothing: the loss "{config.loss.name}" has no such setting',
            hint="use it with --loss cross-entropy",
        )
    return Spec(config.loss.name, {**config.loss.settings, "label_smoothing": config.label_smoothing})


def _monitor(config: TrainConfig, data: Data, metrics: Sequence[NamedMetric]) -> str:
    assert config.monitor is not None
    name = config.monitor.removeprefix("val_")
    names = [
        key
        for key, value in make_metrics(data, torch.device("cpu"), metrics).result().items()
        if isinstance(value, float)
    ]
    if name not in names:
        raise UsageError(
            f'monitor: there is no metric "{config.monitor[:80]}"', hint="known: " + ", ".join(names)
        )
    if len(data.splits["val"]):
        return f"val_{name}"
    if any(name in each.keys for each in metrics):
        raise UsageError(
            f'monitor: "{name}" is measured on validation images, and there are none',
            hint="choose accuracy or loss, or a dataset with validation images",
        )
    return "train_accuracy" if name == "accuracy" else "train_loss"


def _check_metrics_of(
    rules: Sequence[tuple[str, StoppingRule]], data: Data, metrics: Sequence[NamedMetric]
) -> None:
    """`ConfigError` where a rule needs a metric that no epoch of this run has."""
    known = ["train_loss", *flat(make_metrics(data, torch.device("cpu"), metrics).result(), "val")]
    if data.task == "classification":
        known.append("train_accuracy")
    mistakes = [
        Mistake(
            f"stop[{at}]",
            f'{name} needs the metric "{metric[:80]}", which no epoch has',
            did_you_mean(metric, known),
        )
        for at, (name, rule) in enumerate(rules)
        if isinstance(metric := getattr(rule, "metric", None), str) and metric not in known
    ]
    if mistakes:
        raise ConfigError(mistakes)


def start_state(experiment: Experiment) -> TrainState:
    """The state before the first step; `UsageError` for a model with nothing to train."""
    config = experiment.config
    parameters = [p for p in experiment.model.parameters() if p.requires_grad]
    if not parameters:
        raise UsageError(f'the model "{config.model}" has no trainable parameters')
    optimizer, schedule, explain = make_both(
        config, parameters, num_steps=config.epochs * len(experiment.train)
    )
    shrinks = config.on_oom == "shrink"
    return TrainState(
        experiment.model,
        optimizer,
        schedule,
        make_ema(experiment.model, config.ema),
        parts=Parts(config.accumulate, shrinks),
        eval_parts=Parts(1, shrinks, "evaluation"),
        explain=explain,
    )


def compile_model(experiment: Experiment) -> nn.Module:
    """The compiled model, tried on one batch; eager, with a warning, where no compiler is."""
    compiled: nn.Module = torch.compile(experiment.model)  # type: ignore[assignment]
    batch = next(experiment.train.load(experiment.train.plan()))
    compiled.eval()  # in train mode, the trial would count in the statistics of batch norms
    try:
        output_of(compiled, batch)
    except Exception as error:  # the compiler's own errors have no common base
        logger.warning("--compile: no working compiler (%s), continuing without", type(error).__name__)
        return experiment.model
    return compiled

"""Checks for models: (B, C, H, W) to logits (B, K) or to images (B, C', H', W')."""

from __future__ import annotations

import importlib.util
import json
import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from nnkit import schema
from nnkit.errors import UsageError
from nnkit.testing import common
from nnkit.testing.subject import Skipped, Subject, assert_close, assert_finite, images
from nnkit.types import LeastSquaresModel

BATCHES = (1, 5)
NUM_FITTED = 64
_NEEDED_FOR_ONNX = ("onnx", "onnxscript", "onnxruntime")


def gives_the_declared_shape(subject: Subject) -> None:
    """One image and several give (B, num_classes), or (B, target_channels, *target_size)."""
    model = common.made_with(subject)
    declared = _declared_shape(subject)
    for num_images in BATCHES:
        model.eval()
        shape = tuple(model(images(num_images, subject.world)).shape)
        if declared is None:
            assert shape[:1] == (num_images,), f"a batch of {num_images} gives the shape {shape}"
        else:
            expected = (num_images, *declared)
            assert shape == expected, f"a batch of {num_images} gives the shape {shape}, not {expected}"


def _declared_shape(subject: Subject) -> tuple[int, ...] | None:
    names = schema.settings_of(subject.cls)
    if subject.task == "transform":
        return (subject.world["target_channels"], *subject.world["target_size"])
    return (subject.world["num_classes"],) if "num_classes" in names else None


def forward_and_backward_are_finite(subject: Subject) -> None:
    """In training mode, outputs and all gradients are finite, and each trainable parameter gets one."""
    for num_images in BATCHES:
        model = common.made_with(subject).train()
        output = model(images(num_images, subject.world))
        assert_finite(output, f"the output for a batch of {num_images}")
        if not any(parameter.requires_grad for parameter in model.parameters()):
            continue
        output.square().mean().backward()
        for name, parameter in model.named_parameters():
            if parameter.requires_grad:
                assert parameter.grad is not None, f"the parameter {name} gets no gradient"
                assert_finite(parameter.grad, f"the gradient of {name}")


def an_image_gives_the_same_alone_and_in_a_batch(subject: Subject) -> None:
    """In eval mode, no image of a batch changes what another gives."""
    model = common.made_with(subject).eval()
    batch = images(4, subject.world)
    with torch.no_grad():
        alone = torch.cat([model(batch[at : at + 1]) for at in range(4)])
        assert_close(model(batch), alone, "an image gives another output in a batch than alone")


def is_deterministic_by_seed(subject: Subject) -> None:
    """One seed, one model, one output."""
    common.check_same_seed(subject, images(3, subject.world))


def saves_and_loads(subject: Subject) -> None:
    """Its state dict is all of it."""
    common.check_save_and_load(subject, images(3, subject.world))


def survives_spawn(subject: Subject) -> None:
    """It pickles to a worker process."""
    common.check_spawn(subject, images(2, subject.world))


def leaves_its_input_alone(subject: Subject) -> None:
    """It writes into no input."""
    common.check_inputs_unchanged(subject, images(2, subject.world))


def fits_by_least_squares(subject: Subject) -> None:
    """Where it has `fit_least_squares`, that lowers the squared error, and what it returns is JSON."""
    model = common.made_with(subject)
    if not isinstance(model, LeastSquaresModel):
        raise Skipped("it has no least-squares fit: no fit_least_squares and least_squares_images")
    assert model.least_squares_images >= 1, f"least_squares_images is {model.least_squares_images}"
    model.eval()
    inputs = images(min(NUM_FITTED, model.least_squares_images), subject.world)
    with torch.no_grad():
        targets = model(inputs).flip(0)  # of its own scale, and nothing that it makes already
        before = (model(inputs) - targets).square().mean()
        facts = _fitted(model, inputs, targets)
        output = model(inputs)
    json.dumps(facts, allow_nan=False)
    assert_finite(output, "the output after the fit")
    after = (output - targets).square().mean()
    assert after <= before, f"the fit raises the mean squared error from {before:.3g} to {after:.3g}"


def _fitted(model: LeastSquaresModel, inputs: Tensor, targets: Tensor) -> dict[str, Any]:
    try:
        return dict(model.fit_least_squares(inputs, targets))
    except UsageError as error:
        raise Skipped(f"its settings leave it no such fit: {error.message}") from error


def exports_to_onnx(subject: Subject) -> None:
    """Where it says `exports_to_onnx = True`, onnxruntime gives the same, for one image and several."""
    if not subject.says("exports_to_onnx"):
        raise Skipped("it does not say that it exports: exports_to_onnx is not True")
    missing = [name for name in _NEEDED_FOR_ONNX if importlib.util.find_spec(name) is None]
    if missing:
        raise Skipped(f"{', '.join(missing)} not installed: pip install 'nnkit[export]'")
    import onnxruntime  # optional

    model = common.made_with(subject).eval()
    batch = images(3, subject.world)
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "model.onnx")
        torch.onnx.export(
            model,
            (batch,),
            path,
            input_names=["inputs"],
            dynamo=True,
            dynamic_shapes=({0: torch.export.Dim("batch")},),
            verbose=False,
        )
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        for num_images in BATCHES:
            inputs = images(num_images, subject.world)
            answer = torch.from_numpy(session.run(None, {"inputs": inputs.numpy()})[0])
            with torch.no_grad():
                assert_close(answer, model(inputs), f"onnxruntime differs for a batch of {num_images}")

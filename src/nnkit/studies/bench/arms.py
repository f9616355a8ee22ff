"""The arms of a benchmark: the real transforms in three ways, the exact operator, and networks.

An arm provides one pass over the images at a grid setting; `timing` measures it.
"""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol

import torch
from pydantic import TypeAdapter
from torch import Tensor, nn

from nnkit.build import plan
from nnkit.errors import UsageError
from nnkit.results.reading import read
from nnkit.results.train import TrainResult
from nnkit.runs import weights
from nnkit.runs.directory import RunDirectory
from nnkit.spec import from_toml, parse
from nnkit.studies.bench.config import BenchConfig
from nnkit.studies.bench.device_copies import DeviceCopies
from nnkit.studies.bench.grid import UNAVAILABLE, Setting, one_pass
from nnkit.studies.bench.networks import find_run
from nnkit.surrogates.pipelines import How, Pipeline
from nnkit.surrogates.pipelines.analysis import analyse
from nnkit.training.least_squares import fit_least_squares, fit_of
from nnkit.types import Data

Input = Literal["float", "uint8"]
Pass = Callable[[], object]


class Arm(Protocol):
    """One thing to time."""

    @property
    def name(self) -> str:
        """What tables call it."""
        ...

    @property
    def kind(self) -> Literal["reference", "model"]:
        """Whether it is always there, or asked for."""
        ...

    @property
    def takes(self) -> str:
        """What one call of it is given: "float32 (B, C, H, W)"."""
        ...

    @property
    def input_type(self) -> Input:
        """What it reads: its floor is of that type."""
        ...

    def settings(self, grid: Sequence[Setting]) -> list[Setting]:
        """The settings at which this arm is timed."""
        ...

    def prepare(self, setting: Setting) -> Pass:
        """All that is done before the clock starts; what is returned is one pass over the images."""
        ...

    def outputs(self) -> Tensor:
        """What it makes of all images, float32 (N, C', H', W') on the CPU: what its fidelity is judged by."""
        ...


@dataclass
class LoopArm:
    """torchvision's transforms per image, on tensors or on PIL images. It has one setting: one image."""

    name: str
    how: How
    pipeline: Pipeline
    images: Tensor
    kind: Literal["reference"] = "reference"

    @property
    def takes(self) -> str:
        """What one call is given."""
        if self.how == "pil":
            return "PIL image"
        return "uint8 (C, H, W)" if self.input_type == "uint8" else "float32 (C, H, W)"

    @property
    def input_type(self) -> Input:
        """PIL's images are 8-bit."""
        return "uint8" if self.how == "pil" or self.pipeline.dtype == "uint8" else "float"

    def settings(self, grid: Sequence[Setting]) -> list[Setting]:
        """One image at a time, on the CPU, in order, whatever the grid."""
        return [Setting()]

    def prepare(self, setting: Setting) -> Pass:
        """The images as the transforms take them, made before the clock starts."""
        inputs = self.pipeline.execution(self.how).prepare(self.images)
        transforms = self.pipeline.transforms()
        return lambda: [transforms(image) for image in inputs]

    def outputs(self) -> Tensor:
        """The same passes' results, as float32."""
        execution, transforms = self.pipeline.execution(self.how), self.pipeline.transforms()
        return execution.collect([transforms(image) for image in execution.prepare(self.images)])


@dataclass
class BatchArm:
    """A function of batches, timed over the whole grid: the batched transforms, an operator, a network."""

    name: str
    kind: Literal["reference", "model"]
    module: nn.Module
    images: Tensor
    """The host's images as this arm takes them: float32 in [0, 1] or uint8, (N, C, H, W)."""
    loader: str
    compiled: bool = False
    train_s: float | None = None
    """Seconds that training took, where that is known."""
    note: str = ""
    digest: str = ""
    """Of the weights that it read from a file, which may change from one sitting to the next."""
    copies: DeviceCopies = field(default_factory=DeviceCopies, repr=False)
    """The images on other devices; one for all arms of a benchmark."""
    _modules: dict[torch.device, nn.Module] = field(default_factory=dict, repr=False)

    @property
    def takes(self) -> str:
        """What one call is given."""
        return f"{str(self.images.dtype).removeprefix('torch.')} (B, C, H, W)"

    @property
    def input_type(self) -> Input:
        """That of its images."""
        return "uint8" if self.images.dtype == torch.uint8 else "float"

    def settings(self, grid: Sequence[Setting]) -> list[Setting]:
        """All of the grid."""
        return list(grid)

    def prepare(self, setting: Setting) -> Pass:
        """The module on the device, and with `loader="memory"` the images too."""
        device = torch.device(setting.device)
        module = self._module_on(device)
        images = self.copies.on(device, self.images) if self.loader == "memory" else self.images
        if self.compiled:
            self._compile(module, images[: setting.batch_size].to(device))

        def run() -> Tensor | None:
            output = None
            with torch.inference_mode():
                for batch in one_pass(images, setting, self.loader):
                    output = module(batch)
            return output

        return run

    def outputs(self) -> Tensor:
        """The module's results on the CPU, in batches that bound the memory."""
        module = self._module_on(torch.device("cpu"))
        with torch.inference_mode():
            return torch.cat([module(batch).float() for batch in torch.split(self.images, 1000)])

    def _compile(self, module: nn.Module, batch: Tensor) -> None:
        """Compile for this shape now: that no compiler is here is no failure of the cell."""
        from torch._dynamo.exc import BackendCompilerFailed  # costs half a second of imports

        try:
            with torch.inference_mode():
                module(batch)
        except BackendCompilerFailed as error:
            why = str(error).splitlines()[0]
            raise UsageError(f"{UNAVAILABLE}: cannot be compiled here: {why}") from None

    def _module_on(self, device: torch.device) -> nn.Module:
        """The module there, one for all settings: what is compiled is compiled once for each batch shape."""
        if device not in self._modules:
            module = copy.deepcopy(self.module).to(device).eval()
            if self.compiled:
                # The default limit of 8 shapes is less than a grid's; past it torch silently runs eager.
                torch._dynamo.config.recompile_limit = max(torch._dynamo.config.recompile_limit, 256)
                module.compile(dynamic=False)
            self._modules[device] = module
        return self._modules[device]


@dataclass
class MissingArm:
    """An arm that cannot be had here, and why: its one cell says so."""

    name: str
    why: str
    kind: Literal["reference", "model"] = "reference"
    takes: str = ""
    input_type: Input = "float"

    def settings(self, grid: Sequence[Setting]) -> list[Setting]:
        """One, to hold the reason."""
        return [Setting()]

    def prepare(self, setting: Setting) -> Pass:
        """Raises `UsageError` with the reason."""
        raise UsageError(self.why)

    def outputs(self) -> Tensor:
        """Raises `UsageError` with the reason."""
        raise UsageError(self.why)


class FromLevels(nn.Module):
    """A network that takes uint8 images: value / 255 first, unless it has `takes_levels`."""

    def __init__(self, module: nn.Module) -> None:
        super().__init__()
        self.module = module
        self.divides = not getattr(module, "takes_levels", False)

    def forward(self, images: Tensor) -> Tensor:
        """The output of the network for images (B, C, H, W) of 8-bit values."""
        # Divided, for the float nearest to value / 255.
        output: Tensor = self.module(images.float() / 255 if self.divides else images)
        return output


class Transforms(nn.Module):
    """torchvision's transforms on a whole batch."""

    def __init__(self, pipeline: Pipeline) -> None:
        super().__init__()
        self.transforms = pipeline.transforms()
        self.execution = pipeline.execution("batched")

    def forward(self, images: Tensor) -> Tensor:
        """The transforms of images (B, C, H, W), as float32."""
        return self.execution.collect(self.transforms(images))


def reference_arms(
    pipeline: Pipeline, levels: Tensor, floats: Tensor, config: BenchConfig, copies: DeviceCopies
) -> list[Arm]:
    """The four arms that every benchmark has; "exact" says why where there is no operator."""
    own = levels if pipeline.dtype == "uint8" else floats
    arms: list[Arm] = [
        LoopArm("reference-loop", "pil" if pipeline.backend == "pil" else "loop", pipeline, levels),
        BatchArm("reference-batched", "reference", Transforms(pipeline), own, config.loader, copies=copies),
        LoopArm("pil-loop", "pil", pipeline, levels),
    ]
    shape = (levels.shape[1], levels.shape[2], levels.shape[3])
    try:
        operator = analyse(pipeline, shape).operator()
    except UsageError as error:
        arms.append(MissingArm("exact", f"{UNAVAILABLE}: {error.message}"))
    else:
        arms += batch_arms("exact", "reference", operator, levels, floats, config, copies=copies)
    return arms


def batch_arms(
    name: str,
    kind: Literal["reference", "model"],
    module: nn.Module,
    levels: Tensor,
    floats: Tensor,
    config: BenchConfig,
    **known: Any,
) -> list[Arm]:
    """One arm for each input type, and a compiled one beside each where asked."""
    arms: list[Arm] = []
    for given in config.input:
        own = module if given == "float" else FromLevels(module)
        images = floats if given == "float" else levels
        title = name if given == "float" else f"{name} (uint8 in)"
        arms.append(BatchArm(title, kind, own, images, config.loader, **known))
        if config.compile:
            arms.append(BatchArm(f"{title} (compiled)", kind, own, images, config.loader, True, **known))
    return arms


def model_arms(
    texts: Sequence[str],
    data: Data,
    levels: Tensor,
    floats: Tensor,
    config: BenchConfig,
    copies: DeviceCopies,
) -> list[Arm]:
    """An arm for each network: a run directory, a file of weights, or a spec.

    A spec's network is fitted by least squares where its class offers that, else it has the weights that it
    was made with: its time is right, its output is not. `UsageError` for one that does not fit the images.
    """
    arms: list[Arm] = []
    for text in texts:
        trained = find_run(text, config.runs_dir)
        made = _from_run(trained, data) if trained is not None else _from_spec(text, data, config.seed)
        name = made.name if all(arm.name != made.name for arm in arms) else f"{made.name} ({text})"
        arms += batch_arms(
            name, "model", made.module, levels, floats, config,
            train_s=made.train_s, note=made.note, digest=made.digest, copies=copies,
        )  # fmt: skip
    return arms


@dataclass
class _Network:
    """A network to time, with what its training took."""

    name: str
    module: nn.Module
    train_s: float | None
    note: str
    digest: str = ""


def _from_run(path: Path, data: Data) -> _Network:
    card = weights.read_card(path)
    known = data.known_settings()
    for key, value in card.known.items():
        if key in known and value != known[key]:
            raise UsageError(
                f"{path}: its model was made for {key}={value}, the images have {key}={known[key]}",
                hint="name the dataset that it was trained on with --dataset",
            )
    try:
        run = RunDirectory(path)
        seconds = read(run.summary_path, TypeAdapter(TrainResult)).seconds if path.is_dir() else None
    except FileNotFoundError:
        seconds = None
    module, name = weights.load(path), str(from_toml(card.model, "model"))
    return _Network(name, module, seconds, f"run {path.name}", digest_of(module.state_dict()))


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 of the names and bytes of tensors."""
    digest = hashlib.sha256()
    for name, tensor in tensors.items():
        digest.update(name.encode())
        data = tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8)
        digest.update(data.numpy().tobytes())
    return digest.hexdigest()


def _from_spec(text: str, data: Data, seed: int) -> _Network:
    validated = plan("models", parse(text), known=data.known_settings())
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        module: nn.Module = validated.make()
        if fit_of(module) is None:
            return _Network(text, module, None, "untrained weights")
        found = fit_least_squares(module, data)
    return _Network(text, module, found["solver_s"], f"fitted by least squares on {found['images']} images")

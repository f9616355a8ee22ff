"""Training speed of `nnkit` beside two loops written by hand, in images per second.

The arms train one network on MNIST in batches of 64 with Adam at 1e-3, the same number of images per
round, in an order shuffled from round to round. Run it with nothing else on the machine:

    NNKIT_DATA=... python examples/training_speed.py
"""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import nn
from torch.utils.data import DataLoader, Subset
from torchvision.datasets import MNIST
from torchvision.transforms import ToTensor

import nnkit.build
from nnkit.data.loaders import EvalLoader, TrainLoader
from nnkit.studies.bench.timing import interleave, paired_ratio
from nnkit.training.loop import Recipe, TrainState, fit
from nnkit.types import DataPlace, EpochResult

ROUNDS = 9
IMAGES = 12_800
BATCH = 64


class PlainNet(nn.Module):
    """The same network as most people write it: convolution, ReLU, pooling."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in ((1, 16), (16, 32), (32, 64)):
            layers += [nn.Conv2d(inputs, outputs, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        self.net = nn.Sequential(*layers, nn.Flatten(), nn.Linear(576, 10))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits of a batch."""
        return self.net(images)


def plain_step(
    net: nn.Module, optimizer: torch.optim.Optimizer, images: torch.Tensor, labels: torch.Tensor
) -> None:
    """One step as tutorials have it."""
    optimizer.zero_grad()
    loss = nn.functional.cross_entropy(net(images), labels)
    loss.backward()
    optimizer.step()


def tensor_arm(root: Path, net: nn.Module) -> Iterator[None]:
    """A plain loop over float tensors in memory, shuffled with randperm."""
    source = MNIST(root)
    images, labels = source.data[:IMAGES, None].float() / 255, source.targets[:IMAGES]
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    while True:
        order = torch.randperm(len(images))
        for at in range(0, len(images), BATCH):
            rows = order[at : at + BATCH]
            plain_step(net, optimizer, images[rows], labels[rows])
        yield


def loader_arm(root: Path, net: nn.Module) -> Iterator[None]:
    """A loop over torchvision's dataset with ToTensor and a DataLoader, no worker processes."""
    source = Subset(MNIST(root, transform=ToTensor()), range(IMAGES))
    loader = DataLoader(source, batch_size=BATCH, shuffle=True)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    while True:
        for images, labels in loader:
            plain_step(net, optimizer, images, labels)
        yield


def nnkit_arm(root: Path, net: nn.Module, precision: str) -> Iterator[None]:
    """nnkit's own loop, as `nnkit train` runs it."""
    data = nnkit.build.build("datasets", "mnist").load(DataPlace(root, root))
    device = torch.device("cpu")
    model = net.to(memory_format=torch.channels_last)
    state = TrainState(model, torch.optim.Adam(model.parameters(), lr=1e-3, fused=True))
    train = TrainLoader(
        data, data.splits["train"].sample(IMAGES), batch_size=BATCH, device=device, channels_last=True
    )
    val = EvalLoader(data, data.splits["val"].sample(1), batch_size=1, device=device, channels_last=True)
    recipe = Recipe(epochs=10**6, precision=precision)
    for event in fit(state, model, nn.CrossEntropyLoss(), data, train, val, recipe):
        if isinstance(event, EpochResult):
            yield


def accuracy(root: Path, net: nn.Module) -> float:
    """The share of the test images that a network gets right."""
    test = MNIST(root, train=False)
    with torch.inference_mode():
        guesses = torch.cat([net.eval()(part) for part in (test.data[:, None].float() / 255).split(1000)])
    return float((guesses.argmax(1) == test.targets).float().mean())


def main() -> None:
    """Print images per second of each arm, and nnkit's over the others with 95 % intervals."""
    root = Path(os.environ.get("NNKIT_DATA") or sys.exit("set NNKIT_DATA to the folder that holds MNIST/"))
    torch.manual_seed(0)
    data = nnkit.build.build("datasets", "mnist").load(DataPlace(root, root))
    ours = {
        name: nnkit.build.build("models", "mnist-convnet", known=data.known_settings())
        for name in ("fp32", "bf16")
    }
    plain = {"tensors": PlainNet(), "DataLoader": PlainNet()}
    arms = {
        "nnkit fp32": nnkit_arm(root, ours["fp32"], "fp32"),
        "nnkit bf16": nnkit_arm(root, ours["bf16"], "bf16"),
        "float tensors": tensor_arm(root, plain["tensors"]),
        "DataLoader": loader_arm(root, plain["DataLoader"]),
    }
    started = time.perf_counter()
    timings = interleave({name: lambda arm=arm: next(arm) for name, arm in arms.items()}, rounds=ROUNDS)
    mean, std = torch.tensor(data.mean), torch.tensor(data.std)
    for name, timing in timings.items():
        noisy = " (noisy)" if timing.noisy else ""
        print(f"{name:14} {IMAGES / timing.median_s:9,.0f} images/s{noisy}")
    for name in ("nnkit fp32", "nnkit bf16"):
        for other in ("float tensors", "DataLoader"):
            ratio = paired_ratio(timings[other], timings[name])
            print(f"{name} is {ratio.value:.2f} times {other} [{ratio.low:.2f}, {ratio.high:.2f}]")
    for name, net in ours.items():
        normalised = nn.Sequential(_Normalise(mean, std), net)
        print(f"test accuracy nnkit {name}: {accuracy(root, normalised):.4f}")
    for name, net in plain.items():
        print(f"test accuracy {name}: {accuracy(root, net):.4f}")
    print(f"{ROUNDS} rounds, {torch.get_num_threads()} threads, {time.perf_counter() - started:.0f} s in all")


class _Normalise(nn.Module):
    def __init__(self, mean: torch.Tensor, std: torch.Tensor) -> None:
        super().__init__()
        self.mean, self.std = mean, std

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        return (images - self.mean) / self.std


if __name__ == "__main__":
    main()

"""The configurations of `nnkit bench`, `nnkit bench compare` and `nnkit bench ops`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, ClassVar, Literal

from pydantic import BeforeValidator, Field

from nnkit.errors import Mistake
from nnkit.options import (
    ITEMS,
    CommandConfig,
    Count,
    Device,
    FolderConfig,
    Option,
    RunsDir,
    Seed,
    Share,
    SpecField,
    Threads,
    read_list,
)
from nnkit.spec import Spec
from nnkit.studies.bench.networks import network_mistakes
from nnkit.studies.paths import resumed_elsewhere, taken

Flags = Annotated[tuple[bool, ...], BeforeValidator(read_list), ITEMS]
GridDevice = Annotated[
    str, Field(pattern=r"^(cpu|cuda(:\d{1,3})?|mps)$"), Option("", takes="cpu, cuda, cuda:1 or mps")
]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Side = Annotated[int, Field(ge=1, le=2**20)]


class BenchConfig(FolderConfig):
    """The options of `nnkit bench`. A tuple is one axis of the grid."""

    component_groups: ClassVar[Mapping[str, str]] = {"dataset": "datasets"}

    dataset: Annotated[SpecField, Option("Transform dataset")] = Spec(
        "cifar-transform", {"source": "synthetic"}
    )
    model: Annotated[
        tuple[str, ...], Option("Network: a spec, a run or its weights; repeatable", metavar="X")
    ] = ()
    batch_size: Annotated[
        tuple[Count, ...], BeforeValidator(read_list), ITEMS, Option("Images per batch")
    ] = (256,)
    device: Annotated[
        tuple[GridDevice, ...], BeforeValidator(read_list), ITEMS, Option("cpu, cuda, cuda:1 or mps")
    ] = ("cpu",)
    num_workers: Annotated[
        tuple[Annotated[int, Field(ge=0, le=1024)], ...],
        BeforeValidator(read_list),
        ITEMS,
        Option("Processes that load images"),
    ] = (0,)
    shuffle: Annotated[Flags, Option("true, false or both")] = (False,)
    drop_last: Annotated[Flags, Option("Drop an incomplete last batch")] = (False,)
    pin_memory: Annotated[Flags, Option("Page-locked memory, for CUDA")] = (False,)
    loader: Annotated[
        Literal["memory", "dataloader"],
        Option("memory: slices on the device; dataloader: torch's, per image"),
    ] = "memory"
    input: Annotated[
        tuple[Literal["float", "uint8"], ...],
        BeforeValidator(read_list),
        ITEMS,
        Option("Type of the input: float, uint8 or both"),
    ] = ("float",)
    compile: Annotated[
        bool, Option("Time compiled operators and networks too", flags=("--compile/--no-compile",))
    ] = False
    repeats: Annotated[Annotated[int, Field(ge=3, le=100_000)], Option("Rounds, at least 3")] = 10
    min_effect: Annotated[Share, Option("Smallest difference that counts")] = 0.02
    preset: Annotated[Literal["report-grid", "report-30", "report-sweep"] | None, Option("{choices}")] = None
    limit: Annotated[Count | None, Option("Maximum number of test images", default="all")] = None
    resume: Annotated[
        Path | None,
        Option("Measure the rounds that a benchmark still lacks, by folder or name", "RUN"),
    ] = None
    out: Annotated[
        Path | None,
        Option(
            "Folder for bench.json, .csv, .md and .png, new or empty",
            default="under --runs-dir",
        ),
    ] = None
    seed: Seed = 0

    def mistakes(self) -> list[Mistake]:
        """A network that is not there, and a folder that is taken."""
        found = list(network_mistakes(self.model, self.runs_dir))
        return found + resumed_elsewhere(self.resume, out=self.out) + taken(self.out)


class BenchCompareConfig(CommandConfig):
    """The options of `nnkit bench compare`."""

    a: Annotated[
        Path,
        Option(
            "Runs of the one: a folder or bench.json, several between commas, or a folder of runs",
            "A",
            argument=True,
        ),
    ]
    b: Annotated[Path, Option("Runs of the other", "B", argument=True)]
    runs: Annotated[
        Annotated[int, Field(ge=2, le=1000)] | None,
        Option("Measure A and B anew so many times, interleaved; they are runs or TOML files of options"),
    ] = None
    python_a: Annotated[Path | None, Option("Python whose nnkit measures A", "FILE", default="this one")] = (
        None
    )
    python_b: Annotated[Path | None, Option("Python whose nnkit measures B", "FILE", default="this one")] = (
        None
    )
    fail_above: Annotated[str | None, Option("Exit 4 where b is slower by more than this, as 5%", "X")] = None
    min_effect: Annotated[NotNegative, Option("Smallest difference that counts")] = 0.02
    runs_dir: RunsDir = None

    def mistakes(self) -> list[Mistake]:
        """A side that is not there, and an interpreter for runs that nobody asked for."""
        missing = [
            Mistake(name, f"there is no benchmark at {path}", "name a folder of `nnkit bench`")
            for name, side in (("a", self.a), ("b", self.b))
            for path in paths_of(side)
            if not path.exists()
        ]
        hint = "add --runs 5, or leave it out"
        return missing + [
            Mistake(name, f"{name} is for what --runs measures", hint)
            for name in ("python_a", "python_b")
            if self.runs is None and getattr(self, name) is not None
        ]


def paths_of(side: Path) -> list[Path]:
    """The paths that a side of a comparison names: a comma belongs to a path where a path has one."""
    if side.exists() or "," not in str(side):
        return [side]
    return [path for part in str(side).split(",") for path in paths_of(Path(part.strip()))]


class BenchOpsConfig(CommandConfig):
    """The options of `nnkit bench ops`."""

    size: Annotated[tuple[Side, ...], Field(min_length=1), Option("Side of the image; repeatable")] = (
        8, 16, 32, 64, 128,
    )  # fmt: skip
    batch_size: Annotated[Count, Option("Images per batch")] = 16
    in_channels: Annotated[Side, Option("Channels of the image")] = 3
    out_channels: Annotated[Side, Option("Kernels")] = 16
    kernel: Annotated[Side, Option("Side of the kernel")] = 3
    repeats: Annotated[Annotated[int, Field(ge=1, le=100_000)], Option("Rounds")] = 20
    out: Annotated[Path | None, Option("Folder for bench-ops.png and .csv", default="none")] = None
    seed: Seed = 0
    device: Device = "auto"
    threads: Threads = None

"""The JSON schema of each command's `--json`; `python -m nnkit.results.schemas FOLDER` writes them all."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

from pydantic import TypeAdapter

from nnkit import files
from nnkit.results.base import Document, Result
from nnkit.results.bench import BenchResult
from nnkit.results.bench_compare import BenchCompareResult
from nnkit.results.bench_ops import BenchOpsResult
from nnkit.results.cache import CacheClearResult, CacheResult
from nnkit.results.check_plugin import CheckPluginResult
from nnkit.results.compare_pooling import ComparePoolingResult
from nnkit.results.count_params import CountResult
from nnkit.results.doctor import DoctorResult
from nnkit.results.dry_run import DryRunResult
from nnkit.results.evaluate import EvaluateResult
from nnkit.results.info import InfoResult
from nnkit.results.list_ import ListResult
from nnkit.results.new_plugin import NewPluginResult
from nnkit.results.runs import RunResult, RunsResult
from nnkit.results.runs_verify import RunsVerifyResult
from nnkit.results.train import TrainResult
from nnkit.results.train_seeds import TrainSeedsResult

Kind = type[Result] | type[ListResult]
RESULTS: Mapping[str, Kind] = {
    "train": TrainResult,
    "train-seeds": TrainSeedsResult,
    "evaluate": EvaluateResult,
    "count-params": CountResult,
    "compare-pooling": ComparePoolingResult,
    "bench": BenchResult,
    "bench-compare": BenchCompareResult,
    "bench-ops": BenchOpsResult,
    "list": ListResult,
    "info": InfoResult,
    "doctor": DoctorResult,
    "runs-list": RunsResult,
    "runs-show": RunResult,
    "cache-list": CacheResult,
    "cache-clear": CacheClearResult,
    "runs-verify": RunsVerifyResult,
    "new-plugin": NewPluginResult,
    "check-plugin": CheckPluginResult,
    "dry-run": DryRunResult,
}
"""Each command's result by the name of its schema's file."""


def json_schema(kind: Kind) -> Document:
    """The JSON schema (draft 2020-12) of a result's document, which always says its own schema's name."""
    schema = TypeAdapter(kind).json_schema(by_alias=True, mode="serialization")
    for part in (schema, *schema.get("$defs", {}).values()):
        if "schema" in part.get("properties", {}):
            part["required"] = list(dict.fromkeys(["schema", *part["required"]]))
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema}


def write(folder: Path) -> None:
    """A file `NAME.json` for each command."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, kind in RESULTS.items():
        files.write_json(folder / f"{name}.json", json_schema(kind))


if __name__ == "__main__":
    write(Path(sys.argv[1]))

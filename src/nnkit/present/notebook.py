"""A result in a notebook: its tables as HTML, and its run's figures inline."""

from __future__ import annotations

import base64
import html as markup
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nnkit.present.bench import bench_table
from nnkit.present.bench_compare import bench_compare_table
from nnkit.present.bench_ops import bench_ops_table
from nnkit.present.cache import cache_table, clear_text
from nnkit.present.check_plugin import check_plugin_text
from nnkit.present.compare_pooling import comparison_table
from nnkit.present.count_params import count_params_text
from nnkit.present.doctor import doctor_text
from nnkit.present.evaluate import evaluate_table
from nnkit.present.info import info_text
from nnkit.present.layout import as_html, joined
from nnkit.present.new_plugin import new_plugin_text
from nnkit.present.runs import run_text, runs_table
from nnkit.present.runs_verify import runs_verify_text
from nnkit.present.train import train_table
from nnkit.present.train_seeds import train_seeds_table
from nnkit.results.base import Result
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
from nnkit.results.new_plugin import NewPluginResult
from nnkit.results.runs import RunResult, RunsResult
from nnkit.results.runs_verify import RunsVerifyResult
from nnkit.results.train import TrainResult
from nnkit.results.train_seeds import TrainSeedsResult

TABLES: Mapping[type[Result], Callable[[Any], str]] = {
    TrainResult: train_table,
    TrainSeedsResult: train_seeds_table,
    EvaluateResult: evaluate_table,
    CountResult: count_params_text,
    ComparePoolingResult: comparison_table,
    BenchResult: bench_table,
    RunsVerifyResult: runs_verify_text,
    BenchCompareResult: bench_compare_table,
    BenchOpsResult: bench_ops_table,
    CacheClearResult: clear_text,
    CacheResult: cache_table,
    CheckPluginResult: check_plugin_text,
    DoctorResult: doctor_text,
    InfoResult: info_text,
    NewPluginResult: new_plugin_text,
    RunResult: run_text,
    RunsResult: runs_table,
}
"""What the functions of `import nnkit` return, and what makes its tables."""


def html(result: Result) -> str:
    """The tables of a result, then the figures that were drawn of it, each within the page."""
    with as_html():
        tables = joined(TABLES[type(result)](result))
    return "\n".join([tables, *map(_image, _figures(result))])


def _figures(result: Result) -> list[Path]:
    if not isinstance(result, TrainResult | TrainSeedsResult | ComparePoolingResult | BenchResult):
        return []
    run = result.run_dir
    return [] if run is None else sorted([*run.glob("*.png"), *run.glob("figures/*.png")])


def _image(path: Path) -> str:
    pixels = base64.b64encode(path.read_bytes()).decode()
    return f'<img alt="{markup.escape(path.stem)}" src="data:image/png;base64,{pixels}">'

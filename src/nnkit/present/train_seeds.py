"""What trainings with several seeds came to, as `nnkit train --seeds` prints it."""

from __future__ import annotations

from nnkit.present.layout import WIDTH, joined, key_values, wide_table
from nnkit.present.metrics import words
from nnkit.present.text import count, counted, duration, interval, metric
from nnkit.results.train_seeds import TrainSeedsResult


def train_seeds_table(result: TrainSeedsResult, *, width: int = WIDTH) -> str:
    """The training, a row per seed with the monitored metric, its mean and interval, the runs' folders."""
    pairs = [
        ("run", result.run_dir),
        ("dataset", result.dataset),
        ("model", result.model),
        ("loss", result.loss),
        ("parameters", count(result.parameters)),
        ("time", f"{duration(result.seconds)} for {counted(len(result.runs), 'seed')}"),
    ]
    few = "" if result.validation.ci95 else "An interval needs at least three seeds."
    failed = [(f"failed: seed {each.seed}", each.error) for each in result.failed]
    return joined(
        key_values(pairs, width=width),
        _rows(result, width) if result.runs else "",
        few,
        key_values(failed, width=width),
        "\n".join(str(run.run_dir) for run in result.runs),
    )


def _rows(result: TrainSeedsResult, width: int) -> str:
    """A row per seed; below them the mean, and where there is one the interval."""
    over = {words(result.validation.metric): result.validation}
    if result.test is not None:
        over[f"test {words(result.test.metric)}"] = result.test
    columns = list(over.values())
    place = {seed: at for at, seed in enumerate(result.seeds)}
    rows: list[list[object]] = [
        [
            str(run.seed),
            count(run.epochs),
            count(run.best.epoch),
            *(metric(column.metric, column.values[place[run.seed]]) for column in columns),
            duration(run.seconds),
        ]
        for run in result.runs
    ]
    rows.append(["mean", None, None, *(metric(column.metric, column.mean) for column in columns), None])
    if any(column.ci95 for column in columns):
        intervals = (interval(column.metric, column.ci95) for column in columns)
        rows.append(["95 %", None, None, *intervals, None])
    heads = ["seed", "epochs", "best epoch", *over, "time"]
    return wide_table(rows, heads, align="n" + "r" * (len(heads) - 1), width=width)

"""Options are written once: help, Python keywords and TOML keys follow from a command's model."""

from __future__ import annotations

import inspect
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, get_type_hints

import pytest

import nnkit
from nnkit import api
from nnkit.cli.main import COMMANDS, make_command, run
from nnkit.config import dump, resolve
from nnkit.options import CommandConfig, option_of, takes
from nnkit.studies.bench.config import BenchCompareConfig, BenchConfig, BenchOpsConfig
from nnkit.studies.check_plugin import CheckPluginConfig
from nnkit.studies.compare_pooling.config import ComparePoolingConfig
from nnkit.studies.count_params.config import CountParamsConfig
from nnkit.studies.doctor import DoctorConfig
from nnkit.studies.evaluate.config import EvaluateConfig
from nnkit.studies.info.config import InfoConfig
from nnkit.studies.new_plugin.config import NewPluginConfig
from nnkit.studies.runs import RunsListConfig, RunsShowConfig
from nnkit.studies.train.config import TrainConfig

FUNCTIONS: dict[str, type[CommandConfig]] = {
    "train": TrainConfig,
    "evaluate": EvaluateConfig,
    "count_params": CountParamsConfig,
    "compare_pooling": ComparePoolingConfig,
    "bench": BenchConfig,
}
MODELS = [
    *FUNCTIONS.values(), BenchCompareConfig, BenchOpsConfig, CheckPluginConfig, DoctorConfig, InfoConfig,
    NewPluginConfig, RunsListConfig, RunsShowConfig,
]  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_public_function_names_every_option_with_its_type_and_default(name: str) -> None:
    function, model = getattr(nnkit, name), FUNCTIONS[name]
    parameters = inspect.signature(function).parameters
    assert set(model.model_fields) <= set(parameters)
    assert not any(p.kind is p.VAR_KEYWORD for p in parameters.values())
    for field, info in model.model_fields.items():
        assert parameters[field].annotation is not inspect.Parameter.empty
        if parameters[field].kind is inspect.Parameter.KEYWORD_ONLY and not info.is_required():
            assert parameters[field].default == info.default
        assert field in function.__annotations__


@pytest.mark.parametrize("name", ["train", "bench", "info", "new-plugin"])
def test_typer_reads_the_same_from_the_signature_and_from_the_annotations(name: str) -> None:
    make_command(name, COMMANDS[name])
    module, _, attribute = COMMANDS[name].function.partition(":")
    function = getattr(sys.modules[f"nnkit.cli.{module}"], attribute)
    hints = get_type_hints(function, include_extras=True)
    for key, parameter in inspect.signature(function).parameters.items():
        assert hints[key] == parameter.annotation


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_field_says_what_it_is_for_and_what_it_takes(model: type[CommandConfig]) -> None:
    for name, info in model.model_fields.items():
        assert option_of(info).help, name
        words = takes(info)
        assert words, name
        assert not any(odd in words for odd in ("typing", "<class", "Annotated", "None")), words


def test_help_shows_the_default_that_the_model_has(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Changed(TrainConfig):
        epochs: Annotated[int, option_of(TrainConfig.model_fields["epochs"])] = 12_345

    monkeypatch.setattr("nnkit.studies.train.config.TrainConfig", Changed)
    assert run(["train", "--help"]) == 0
    assert "Maximum number of epochs [default: 12345]." in capsys.readouterr().out


LOOK = """
import sys
from nnkit.cli.main import run
code = run({words!r})
models = [m for m in sys.modules if m.startswith("nnkit.studies.") and m.endswith(".config")]
print(code, "torch" in sys.modules, models, file=sys.stderr)
"""


def after(words: list[str], **environment: str) -> str:
    """Exit code, whether torch was imported, and the models that were, after a command."""
    import os

    done = subprocess.run(
        [sys.executable, "-c", LOOK.format(words=words)],
        capture_output=True, text=True, check=True, env={**os.environ, **environment},
    )  # fmt: skip
    return done.stderr.splitlines()[-1]


def test_a_model_is_imported_when_its_command_is_asked_for() -> None:
    assert after(["--help"]) == "0 False []"
    assert after(["list"]) == "0 False []"
    assert after(["train", "--help"]) == "0 False ['nnkit.studies.train.config']"


def test_the_list_imports_no_pydantic() -> None:
    code = "import sys; from nnkit.cli.main import run; run(['list']); print('pydantic' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"


def test_completion_imports_neither_torch_nor_a_model() -> None:
    words = {"_NNKIT_COMPLETE": "complete_bash", "COMP_WORDS": "nnkit t", "COMP_CWORD": "1"}
    assert after([], **words).split(" ", 1)[1] == "False []"


@pytest.mark.parametrize(
    "words",
    [
        ["train", "--epochs", "0"],
        ["train", "--model", "no-such-model"],
        ["train", "--stop", "no-such-rule"],
        ["train", "--optimizer", "adamm"],
        ["train", "--lr", "-1"],
        ["train", "--schedule", "cosin"],
        ["train", "--config", "no-such-file"],
        ["train", "--set", "no_such=3"],
        ["train", "--out", "."],
        ["train", "--bucketing", "max_bukets=2"],
        ["train", "--dataset", "mnist-varres:max_buckets=8"],
        ["train", "--seeds", "4-1"],
        ["train", "--seeds", "1,1"],
        ["train", "--seeds", "0-1", "--seed", "2"],
        ["train", "--seeds", "0-1", "--out", "."],
        ["train", "--jobs", "2"],
        ["compare-pooling", "--dataset", "mnist-varres:fit=resize"],
        ["info", "mnist-varres", "--bucketing", "pad_to=page"],
        ["evaluate", "no-such-run"],
        ["bench", "--device", "auto"],
        ["bench", "--dataset", "no-such"],
        ["bench", "--model", "no-such-model"],
        ["bench", "compare", "no-such-run", "nor-this"],
        ["bench", "ops", "--threads", "0"],
        ["info", "no-such"],
        ["runs", "verify", "no-such-run"],
        ["compare-pooling", "--pooling", "no-such"],
        ["compare-pooling", "--seeds", "1,1"],
        ["count-params", "no-such"],
    ],
    ids=" ".join,
)
def test_what_is_wrong_by_itself_is_told_before_torch_is_imported(words: list[str]) -> None:
    assert after(words).startswith("2 False")


@pytest.mark.serial
@pytest.mark.parametrize("words", [["--help"], ["list"]], ids=" ".join)
def test_a_start_takes_at_most_twice_the_time_of_importing_typer_and_pydantic(words: list[str]) -> None:
    def seconds(code: str) -> float:
        started = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
        return time.perf_counter() - started

    ours = f"from nnkit.cli.main import run; run({words!r})"
    pairs = [(seconds("import typer, pydantic"), seconds(ours)) for _ in range(7)]
    assert min(our for _, our in pairs) <= 2 * min(theirs for theirs, _ in pairs)


@pytest.mark.parametrize("model", [TrainConfig, EvaluateConfig, ComparePoolingConfig, BenchConfig])
def test_each_key_of_a_file_is_a_field(model: type[CommandConfig], tmp_path: Path) -> None:
    config = resolve(model, {"run": "x"} if model is EvaluateConfig else {}).config
    assert set(dump(config)) <= set(model.model_fields)


def test_one_spec_counts_as_one_model() -> None:
    assert [model.spec for model in api.count_params("varres-net:width=8").models] == ["varres-net:width=8"]


@pytest.mark.parametrize("kind", [Path, str])
def test_one_file_and_one_setting_count_as_one(kind: type[Path | str], tmp_path: Path) -> None:
    path = tmp_path / "few.toml"
    path.write_text('dataset = "mnist"\nepochs = 7\n[model]\nname = "varres-net"\n')
    config = api.complete("train", config=kind(path), sets="model.width=9").config
    assert (config.epochs, str(config.model)) == (7, "varres-net:width=9")

from __future__ import annotations

import json
import os
import tempfile
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nnkit.config import dump, dumps, read_toml, resolve
from nnkit.errors import ConfigError, Mistake, UsageError
from nnkit.options import CommandConfig
from nnkit.spec import Spec, Text, parse, typed
from nnkit.studies.bench.config import BenchConfig, BenchOpsConfig
from nnkit.studies.compare_pooling.config import ComparePoolingConfig
from nnkit.studies.evaluate.config import EvaluateConfig
from nnkit.studies.train.config import TrainConfig


def write(folder: Path, text: str, name: str = "config.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


LAYERS = ("early", "late", "environment", "set", "option")
"""Lowest first."""
KEYS: dict[str, list[int] | list[str]] = {
    "epochs": [1, 2, 3, 4, 5],
    "seed": [11, 12, 13, 14, 15],
    "data_root": list("abcde"),
    "runs_dir": list("abcde"),
}
VARIABLES = {"data_root": "NNKIT_DATA", "runs_dir": "NNKIT_RUNS"}


@pytest.fixture(autouse=True)
def _no_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in VARIABLES.values():
        monkeypatch.delenv(variable, raising=False)


@settings(max_examples=60, deadline=None)
@given(st.fixed_dictionaries({key: st.sets(st.sampled_from(LAYERS)) for key in KEYS}))
def test_the_highest_layer_that_gives_a_value_wins_and_is_its_origin(given_in: dict[str, set[str]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        early, late = Path(folder, "early.toml"), Path(folder, "late.toml")
        origins = {"early": f"file {early}", "late": f"file {late}", "set": "--set"}
        files: dict[str, list[str]] = {"early": [], "late": []}
        variables, sets, options, expected = dict.fromkeys(VARIABLES.values(), ""), [], {}, {}
        for key, values in KEYS.items():
            for layer, value in zip(LAYERS, values, strict=True):
                if layer not in given_in[key] or (layer == "environment" and key not in VARIABLES):
                    continue
                origin = origins.get(layer, f"option --{key.replace('_', '-')}")
                if layer in files:
                    files[layer].append(f"{key} = {json.dumps(value)}\n")
                elif layer == "environment":
                    variables[VARIABLES[key]] = str(value)
                    origin = f"environment {VARIABLES[key]}"
                elif layer == "set":
                    sets.append(f"{key}={value}")
                else:
                    options[key] = value
                expected[key] = (Path(value) if isinstance(value, str) else value, origin)
        for path in (early, late):
            path.write_text("".join(files[path.stem]))
        with mock.patch.dict(os.environ, variables):
            resolved = resolve(TrainConfig, options, files=[early, late], sets=sets)
    found = {key: (getattr(resolved.config, key), origin) for key, origin in resolved.origins.items()}
    assert found == expected
    assert resolved.config == TrainConfig(**{key: value for key, (value, _) in expected.items()})


def test_a_command_without_places_takes_nothing_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    class Plain(CommandConfig):
        number: int = 1

    monkeypatch.setenv("NNKIT_DATA", "/data")
    assert resolve(Plain, {"number": 2}).config == Plain(number=2)


def test_dashes_in_a_key_of_set_are_underscores() -> None:
    resolved = resolve(TrainConfig, {}, sets=["batch-size = 10"])
    assert (resolved.config.batch_size, resolved.origins) == (10, {"batch_size": "--set"})


def test_none_goes_back_to_no_value(tmp_path: Path) -> None:
    path = write(tmp_path, "limit = 7\nclip = 1.0\n")
    resolved = resolve(TrainConfig, {"clip": None}, files=[path], sets=["limit=none"])
    assert (resolved.config.limit, resolved.config.clip) == (None, None)


def test_a_setting_changes_the_component_that_was_named_below(tmp_path):
    path = write(tmp_path, '[model]\nname = "varres-net"\nwidth = 8\n')
    later = write(tmp_path, '[model]\npooling = "avg"\n[optimizer]\nweight_decay = 0.1\n', "later.toml")
    resolved = resolve(TrainConfig, {}, files=[path, later], sets=["model.width=16"])
    assert resolved.config.model == Spec("varres-net", {"width": "16", "pooling": "avg"})
    assert resolved.config.optimizer == Spec("adam", {"weight_decay": 0.1})
    assert resolved.origins["model.width"] == "--set"


def test_an_option_that_names_a_component_starts_its_settings_afresh_and_beats_set(tmp_path):
    path = write(tmp_path, '[model]\nname = "varres-net"\nwidth = 8\n')
    config = resolve(TrainConfig, {"model": "mlp:hidden=1"}, files=[path], sets=["model.hidden=2"]).config
    assert config.model == parse("mlp:hidden=1")


def test_the_origins_of_settings_go_with_the_component_that_they_belonged_to(tmp_path: Path) -> None:
    early = write(tmp_path, '[model]\nname = "varres-net"\nwidth = 8\n', "early.toml")
    late = write(tmp_path, "[model]\nwidth = 9\n", "late.toml")
    resolved = resolve(TrainConfig, {}, files=[early, late])
    assert resolved.config.model == Spec("varres-net", {"width": 9})
    assert resolved.origins == {"model": f"file {early}", "model.width": f"file {late}"}
    for name in ("option", "set", "file"):
        options = {"model": "linear"} if name == "option" else {}
        sets = ["model=linear"] if name == "set" else []
        third = [write(tmp_path, 'model = "linear"\n', "third.toml")] if name == "file" else []
        resolved = resolve(TrainConfig, options, files=[early, late, *third], sets=sets)
        origin = {"option": "option --model", "set": "--set", "file": f"file {tmp_path / 'third.toml'}"}[name]
        assert resolved.config.model == Spec("linear")
        assert resolved.origins == {"model": origin}


def test_a_table_with_a_name_starts_afresh_and_one_without_changes_what_is_named(tmp_path: Path) -> None:
    early = write(tmp_path, '[model]\nname = "varres-net"\nwidth = 8\n', "early.toml")
    again = write(tmp_path, '[model]\nname = "varres-net"\npooling = "avg"\n', "again.toml")
    assert resolve(TrainConfig, {}, files=[early, again]).config.model == parse("varres-net:pooling=avg")
    last = write(tmp_path, '[model]\npooling = "avg"\nname = "varres-net"\n', "last.toml")
    resolved = resolve(TrainConfig, {}, files=[early, last])
    assert resolved.config.model == parse("varres-net:pooling=avg")
    assert resolved.origins == {"model": f"file {last}"}
    by_name = resolve(TrainConfig, {}, files=[early], sets=["model.name=linear"])
    assert by_name.config.model == Spec("linear")
    both = resolve(TrainConfig, {}, files=[early], sets=["model.name=linear", "model.bias=false"])
    assert both.config.model == Spec("linear", {"bias": "false"})


def test_set_changes_one_setting_of_what_an_option_names_unless_the_option_gives_it() -> None:
    resolved = resolve(
        TrainConfig,
        {"dataset": "image-folder:path=a", "model": "varres-net"},
        sets=["dataset.path=b", "dataset.channels=3", "model.width=9", "model.pooling=a=b"],
    )
    assert resolved.config.dataset == Spec("image-folder", {"path": "a", "channels": "3"})
    assert resolved.config.model == Spec("varres-net", {"width": "9", "pooling": "a=b"})
    assert resolved.origins == {
        "dataset": "option --dataset",
        "dataset.channels": "--set",
        "model": "option --model",
        "model.width": "--set",
        "model.pooling": "--set",
    }


def test_a_setting_of_a_component_that_is_named_by_default_can_be_set(tmp_path: Path) -> None:
    path = write(tmp_path, "[dataset]\nnoise = 2\n")
    assert resolve(TrainConfig, {}, files=[path]).config.dataset == Spec("digits", {"noise": 2})
    assert resolve(TrainConfig, {}, sets=["dataset.noise=2"]).config.dataset == Spec("digits", {"noise": "2"})


@pytest.mark.parametrize(
    ("text", "sets", "options"),
    [
        ('stop = ["patience:patience=4", "window"]', [], {}),
        ('stop = ["patience:patience=4", {name = "window"}]', [], {}),
        ('[[stop]]\nname = "patience:patience=4"\n[[stop]]\nname = "window"', [], {}),
        ("", ['stop=["patience:patience=4", "window"]'], {}),
        ('stop = "window"', [], {"stop": ["patience:patience=4", "window"]}),
        ('stop = "window"', ["stop=[]"], {"stop": (parse("patience:patience=4"), Spec("window"))}),
    ],
)
def test_several_stopping_rules_are_told_in_every_layer(
    tmp_path: Path, text: str, sets: list[str], options: dict[str, Any]
) -> None:
    stop = resolve(TrainConfig, options, files=[write(tmp_path, text)], sets=sets).config.stop
    assert stop == (parse("patience:patience=4"), parse("window"))


@pytest.mark.parametrize(("text", "sets"), [('stop = "window"', []), ("", ["stop=window"])])
def test_one_stopping_rule_needs_no_list(tmp_path: Path, text: str, sets: list[str]) -> None:
    resolved = resolve(TrainConfig, {}, files=[write(tmp_path, text)], sets=sets)
    assert resolved.config.stop == (Spec("window"),)


def shown(part: object) -> str:
    return part.__name__ if isinstance(part, type) else repr(part)[:20]


SEEDS: dict[object, tuple[int, ...] | None] = {
    "0-4": (0, 1, 2, 3, 4),
    "3": (3,),
    "3-3": (3,),
    "0,1,5": (0, 1, 5),
    "7,2-3,9": (7, 2, 3, 9),
    "[1, 2]": (1, 2),
    "0-999": tuple(range(1000)),
    "1000-1999": tuple(range(1000, 2000)),
    3: (3,),
    (4, 2): (4, 2),
    "0-1000": None,
    "0-999,1000": None,
    "4-3": None,
    "1,4-3": None,
    "": None,
    "x": None,
    "1-": None,
    "1-x": None,
    "-1": None,
    "1.5": None,
    True: None,
    1.5: None,
    (): None,
    "9223372036854775807": (2**63 - 1,),
    "9223372036854775808": None,
}


@pytest.mark.parametrize(("written", "seeds"), SEEDS.items(), ids=shown)
def test_seeds_are_ranges_and_lists_and_single_numbers(
    written: object, seeds: tuple[int, ...] | None
) -> None:
    ways: list[dict[str, Any]] = [{"options": {"seeds": written}}]
    if isinstance(written, str):
        ways.append({"options": {}, "sets": [f"seeds={written}"]})
    if isinstance(written, tuple):
        ways.append({"options": {"seeds": list(written)}})
    for way in ways:
        if seeds is None:
            with pytest.raises(ConfigError, match="seeds"):
                resolve(ComparePoolingConfig, **way)
        else:
            assert resolve(ComparePoolingConfig, **way).config.seeds == seeds


AXES: list[tuple[str, object, tuple[object, ...] | None]] = [
    ("batch_size", "16,32", (16, 32)),
    ("batch_size", "[16, 32]", (16, 32)),
    ("batch_size", "16", (16,)),
    ("batch_size", 16, (16,)),
    ("batch_size", [16, 32], (16, 32)),
    ("batch_size", (16,), (16,)),
    ("batch_size", "0", None),
    ("batch_size", "16,x", None),
    ("batch_size", "16,,32", None),
    ("batch_size", [True], None),
    ("batch_size", [], None),
    ("batch_size", [1] * 64, (1,) * 64),
    ("batch_size", [1] * 65, None),
    ("device", "cpu,cuda", ("cpu", "cuda")),
    ("device", "cuda:1", ("cuda:1",)),
    ("device", "tpu", None),
    ("device", "cuda:", None),
    ("device", "xcpu", None),
    ("num_workers", "0,4", (0, 4)),
    ("num_workers", 1024, (1024,)),
    ("num_workers", 1025, None),
    ("num_workers", "-1", None),
    ("shuffle", "true,false", (True, False)),
    ("shuffle", True, (True,)),
    ("shuffle", "yes", None),
    ("shuffle", "1", None),
    ("drop_last", "false", (False,)),
    ("pin_memory", "true", (True,)),
    ("input", "float,uint8", ("float", "uint8")),
    ("input", "int8", None),
]


@pytest.mark.parametrize(("key", "written", "values"), AXES, ids=shown)
def test_an_axis_of_a_grid_is_a_list_or_one_value(
    key: str, written: object, values: tuple[object, ...] | None
) -> None:
    ways: list[dict[str, Any]] = [{"options": {key: written}}]
    if isinstance(written, str):
        ways.append({"options": {}, "sets": [f"{key}={written}"]})
    for way in ways:
        if values is None:
            with pytest.raises(ConfigError, match=key):
                resolve(BenchConfig, **way)
        else:
            read = getattr(resolve(BenchConfig, **way).config, key)
            assert read == values
            assert [type(value) for value in read] == [type(value) for value in values]


BOUNDS: list[tuple[type[CommandConfig], str, list[object], list[object]]] = [
    (TrainConfig, "epochs", [1, 2**31], [0, -1, 2**31 + 1, 1.0, True, "1"]),
    (TrainConfig, "batch_size", [1, 2**31], [0, 2**31 + 1]),
    (TrainConfig, "limit", [1, None], [0]),
    (TrainConfig, "seed", [0, 2**63 - 1], [-1, 2**63, 1.0, True]),
    (TrainConfig, "threads", [1, 1024, None], [0, 1025, True]),
    (TrainConfig, "lr", [1e-9, 1, 3.5], [0, -1, float("inf"), float("nan"), True, "0.1"]),
    (TrainConfig, "clip", [0.5, None], [0, -1, float("inf")]),
    (TrainConfig, "label_smoothing", [0, 0.999], [1, -0.001, float("nan")]),
    (TrainConfig, "ema", [0, 0.999], [1, -0.001]),
    (TrainConfig, "precision", ["fp32", "bf16"], ["int8"]),
    (TrainConfig, "order", ["interleaved", "by-resolution"], ["random"]),
    (TrainConfig, "solver", ["gradient", "least-squares", "als"], ["newton"]),
    (TrainConfig, "compile", [True, False], [1, 0, "true", "no"]),
    (TrainConfig, "test", [True, False], [1, "false"]),
    (TrainConfig, "download", [True], [1]),
    (TrainConfig, "monitor", ["val_loss", None], [3, True]),
    (TrainConfig, "class_weights", ["none", "balanced"], ["even", True]),
    (TrainConfig, "sampler", ["shuffle", "balanced"], ["none", 1]),
    (TrainConfig, "device", ["auto", "cpu", "cuda", "cuda:12", "mps"], ["", "gpu", "cuda:-1", "cpu ", 0]),
    (TrainConfig, "data_root", [Path("/x"), "x", None], [3]),
    (ComparePoolingConfig, "budget", [1, 2**31], [0]),
    (ComparePoolingConfig, "jobs", [1, 1024], [0, 1025]),
    (ComparePoolingConfig, "vary", ["width"], [3]),
    (EvaluateConfig, "split", ["train", "val", "test"], ["all"]),
    (BenchConfig, "repeats", [3, 100_000], [2, 100_001]),
    (BenchConfig, "min_effect", [0, 0.5], [1, -0.1]),
    (BenchConfig, "loader", ["memory", "dataloader"], ["disk"]),
    (BenchConfig, "preset", ["report-grid", "report-30", "report-sweep", None], ["report"]),
    (BenchConfig, "seed", [0, 2**63 - 1], [-1, 2**63]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("model", "key", "good", "bad"), BOUNDS, ids=lambda part: getattr(part, "__name__", None)
)
def test_each_option_has_its_type_and_its_bounds(
    model: type[CommandConfig], key: str, good: list[object], bad: list[object]
) -> None:
    for value in good:
        config = resolve(model, {key: value}).config
        read = config.optimizer.settings["lr"] if key == "lr" else getattr(config, key)  # type: ignore[attr-defined]
        assert read == (Path(value) if key == "data_root" and value else value)
    for value in bad:
        with pytest.raises(ConfigError) as caught:
            resolve(model, {key: value})
        assert [mistake.path for mistake in caught.value.mistakes] == [key]
        assert "from option --" + key.replace("_", "-") in caught.value.mistakes[0].hint


def test_a_configuration_made_in_python_is_as_strict() -> None:
    for wrong in ({"epochs": "5"}, {"epochs": True}, {"lr": "0.1"}, {"compile": 1}, {"model": "linear"}):
        with pytest.raises(ValueError, match=next(iter(wrong))):
            TrainConfig(**wrong)


DEFAULTS: dict[type[CommandConfig], dict[str, object]] = {
    TrainConfig: {
        "dataset": "digits", "stop": [], "metric": [], "optimizer": "adam", "schedule": "none",
        "batch_size": 64, "class_weights": "none", "sampler": "shuffle", "tracker": [],
        "epochs": 10, "augment": ["none"], "precision": "fp32", "compile": False, "order": "interleaved",
        "solver": "gradient", "label_smoothing": 0.0, "ema": 0.0, "accumulate": 1, "on_oom": "stop",
        "keep_checkpoints": 2, "deterministic": False, "seed": 0, "test": True, "device": "auto",
        "download": False,
    },
    ComparePoolingConfig: {
        "dataset": "digits-varres", "model": "varres-net", "pooling": ["max", "avg"], "vary": "width",
        "budget": 29_066, "seeds": [0, 1, 2, 3, 4], "epochs": 5, "batch_size": 64, "precision": "fp32",
        "jobs": 1, "device": "auto", "download": False,
    },
    EvaluateConfig: {
        "run": ".", "split": "test", "metric": [], "batch_size": 256, "device": "auto", "download": False,
    },
    BenchConfig: {
        "dataset": {"name": "cifar-transform", "source": "synthetic"}, "model": [], "batch_size": [256],
        "device": ["cpu"], "num_workers": [0], "shuffle": [False], "drop_last": [False],
        "pin_memory": [False], "loader": "memory", "input": ["float"], "compile": False, "repeats": 10,
        "min_effect": 0.02, "seed": 0, "download": False,
    },
}  # fmt: skip


@pytest.mark.parametrize("model", DEFAULTS)
def test_the_defaults_are_those_of_the_contract(model: type[CommandConfig]) -> None:
    resolved = resolve(model, {})
    assert dump(resolved.config) == DEFAULTS[model]
    assert resolved.origins == {}
    assert tomllib.loads(dumps(resolved.config)) == DEFAULTS[model]


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"model": 'varres-net:pooling="gem:p=3",width=81', "stop": ["patience:patience=4", "window"]},
        {"dataset": 'image-folder:path="none",channels=none', "lr": 1e-5, "out": Path("x y")},
        {"test": False, "compile": True, "limit": 7, "monitor": "val_loss"},
    ],
)
def test_a_dumped_configuration_resolves_to_itself(tmp_path, options):
    config = resolve(TrainConfig, options).config
    assert resolve(TrainConfig, {}, files=[write(tmp_path, dumps(config))]).config == config


def test_values_that_were_read_dump_as_a_table_and_values_as_typed_as_text() -> None:
    config = TrainConfig(
        model=Spec("varres-net", {"width": 81, "at": Path("x")}),
        loss=Spec("mse", {"a": None}),
        stop=(parse("patience:patience=4"),),
    )
    dumped = dump(config)
    assert dumped["model"] == {"name": "varres-net", "width": 81, "at": "x"}
    assert (dumped["loss"], dumped["stop"]) == ("mse:a=none", ["patience:patience=4"])
    without = {key: value for key, value in dumped.items() if key not in ("model", "epochs")}
    assert dump(config, leave_out=["model", "epochs"]) == without
    assert tomllib.loads(dumps(config, leave_out=["model", "epochs"])) == without


def test_every_mistake_of_every_layer_is_reported_at_once(tmp_path):
    path = write(tmp_path, 'epochz = 1\nlr = "fast"\ndevice = "gpu"\n')
    with pytest.raises(ConfigError) as caught:
        resolve(
            TrainConfig,
            {"epochs": -1, "order": "never", "model": "net:"},
            files=[path],
            sets=["seed=x", "nonsense", "model.width=1", "batch_size.x=1"],
        )
    told = {mistake.path: mistake for mistake in caught.value.mistakes}
    assert set(told) == {
        "epochz",
        "lr",
        "device",
        "epochs",
        "order",
        "model",
        "seed",
        "--set",
        "model.width",
        "batch_size.x",
    }
    assert told["epochz"].hint.startswith('did you mean "epochs"?')
    assert told["epochs"].hint == "from option --epochs"
    assert "auto, cpu, cuda" in told["device"].message
    assert str(caught.value).startswith("10 mistakes:")


def mistakes(*, options: dict[str, Any] | None = None, **layers: Any) -> list[Mistake]:
    with pytest.raises(ConfigError) as caught:
        resolve(TrainConfig, options or {}, **layers)
    return list(caught.value.mistakes)


def test_a_mistake_says_where_it_stands_and_where_it_is_from(tmp_path: Path) -> None:
    path = write(tmp_path, "epochs = 'many'\n[model]\nwidth = 3\n")
    (epochs, model) = mistakes(files=[path])
    assert (epochs.path, epochs.hint) == ("epochs", f"from file {path}")
    assert epochs.message == "'many' is not a whole number from 1 to 2147483648"
    assert (model.path, model.message) == ("model", "model: the table has no name")
    assert model.hint.endswith(f"; from file {path}")
    (unknown,) = mistakes(sets=["epoch=3"])
    assert unknown == Mistake("epoch", "unknown key", 'did you mean "epochs"?; from --set')
    (open_quote,) = mistakes(options={"batch_size": "x", "model": 'a:b="c'})[1:]
    assert (open_quote.path, open_quote.hint) == ("model", "close it; from option --model")
    (device,) = mistakes(sets=["device=gpu"])
    assert device == Mistake("device", "'gpu' is not auto, cpu, cuda, cuda:1 or mps", "from --set")
    (stop,) = mistakes(sets=["stop=[1]"])
    assert (stop.path, stop.message) == ("stop", "stop: 1 is no spec")


def test_a_setting_without_a_component_is_a_mistake_that_says_why() -> None:
    (no_model,) = mistakes(sets=["model.width=1"])
    assert no_model.path == "model.width"
    assert "--set model=NAME" in no_model.hint
    assert no_model.hint.endswith("from --set")
    (no_component,) = mistakes(sets=["batch_size.x=1"])
    assert no_component.path == "batch_size.x"
    assert "dataset, loss, metric, model, optimizer" in no_component.hint
    assert no_component.hint.endswith("from --set")
    (no_key,) = mistakes(sets=["nothing.x=1"])
    assert no_key.path == "nothing.x"
    assert [mistake.path for mistake in mistakes(sets=["nonsense", "=3", "seed=0"])] == ["--set", "--set"]
    assert "'nonsense'" in mistakes(sets=["nonsense"])[0].message


@pytest.mark.parametrize(
    "layers",
    [{"options": {"k" * 999: 1}}, {"sets": ["model." + "k" * 999 + "=1"]}, {"sets": ["k" * 999 + ".a=1"]}],
)
def test_a_path_in_a_message_is_short(layers: dict[str, Any]) -> None:
    (mistake,) = mistakes(**layers)
    assert len(mistake.path) == 80


def test_an_unknown_key_like_no_other_is_told_without_a_list_of_all() -> None:
    (mistake,) = mistakes(sets=["zzz=3"])
    assert mistake.hint == "--dry-run shows every key; from --set"
    assert len(str(mistake)) < 100


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = ", b"[" * 5000])
def test_a_file_that_is_no_toml_is_named(tmp_path, content):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="bad"):
        read_toml(path)


def test_a_folder_and_a_missing_file_are_no_configuration(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.toml"):
        with pytest.raises(UsageError) as caught:
            read_toml(path)
        assert str(path) in caught.value.message
        assert "--config" in caught.value.hint


def test_a_file_is_read_as_utf_8(tmp_path: Path) -> None:
    assert read_toml(write(tmp_path, 'monitor = "é×"')) == {"monitor": "é×"}


def test_configurations_are_frozen_and_take_no_unknown_key():
    with pytest.raises(ValueError, match="frozen"):
        TrainConfig().epochs = 3
    with pytest.raises(ValueError, match=r"forbidden|not permitted"):
        EvaluateConfig(epochs=3)


def test_a_later_layer_that_names_an_optimizer_beats_the_learning_rate_of_an_earlier_one(
    tmp_path: Path,
) -> None:
    path = write(tmp_path, "lr = 0.001\noptimizer = 'adam'\n")

    def optimizer(options: dict[str, Any], *sets: str, files: Sequence[Path] = (path,)) -> Spec:
        return resolve(TrainConfig, options, files=files, sets=sets).config.optimizer

    assert optimizer({}) == Spec("adam", {"lr": 0.001})
    assert optimizer({"optimizer": "sgd:lr=0.5"}) == parse("sgd:lr=0.5")
    assert optimizer({"optimizer": "lbfgs"}) == Spec("lbfgs")
    assert optimizer({}, "optimizer.lr=0.5") == Spec("adam", {"lr": "0.5"})
    assert optimizer({"optimizer": "sgd"}, "lr=0.5") == Spec("sgd", {"lr": 0.5})
    assert optimizer({"lr": 0.5, "optimizer": "sgd:lr=0.1"}) == Spec("sgd", {"lr": 0.5})
    assert optimizer({"lr": 0.5}, "optimizer.lr=0.1", "lr=0.2") == Spec("adam", {"lr": 0.5})
    later = write(tmp_path, "[optimizer]\nlr = 0.3\n", "later.toml")
    assert optimizer({}, files=[path, later]) == Spec("adam", {"lr": 0.3})


WORDS = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    [
        "a:b=c",
        "a b",
        "x,y",
        "none",
        "None",
        "[1",
        "{",
        "'",
        '"',
        "\\",
        "1",
        "true",
        "1e3",
        "=",
        " a ",
        "a=b",
        "\n",
    ]
)
KEYWORDS = st.from_regex(r"[a-z][a-z_]{0,6}", fullmatch=True).filter(lambda key: key != "name")
PLAIN = (
    WORDS | st.integers(-(2**62), 2**62) | st.booleans() | st.floats(allow_nan=False) | st.none()
    | WORDS.map(typed)
)  # fmt: skip
NESTED = st.recursive(
    PLAIN.filter(lambda value: value is not None and not isinstance(value, Text)),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYWORDS, inner, max_size=3),
    max_leaves=5,
)
BUCKETING = st.fixed_dictionaries(
    {},
    optional={
        "tolerance": st.floats(0, 8, allow_subnormal=False),
        "max_buckets": st.integers(1, 99),
        "max_pixels": st.integers(1, 10**9),
        "leftovers": st.sampled_from(["keep", "drop", "merge"]),
        "pad_to": st.sampled_from(["bucket", "batch"]),
    },
)
NAMES = st.from_regex(r"[a-z][a-z0-9-]{0,8}(/[a-z]{1,5})?", fullmatch=True)
SPECS = st.builds(Spec, NAMES, st.dictionaries(KEYWORDS, PLAIN | NESTED, max_size=4))
LAYERED = st.fixed_dictionaries(
    {},
    optional={
        "dataset": SPECS, "model": SPECS, "loss": SPECS, "optimizer": SPECS,
        "stop": st.lists(SPECS, max_size=3), "lr": st.floats(1e-300, 1e300), "epochs": st.integers(1, 2**31),
        "bucketing": BUCKETING, "monitor": WORDS, "compile": st.booleans(), "ema": st.floats(0, 0.99),
        "out": WORDS.filter(lambda text: text and "\0" not in text),
    },
)  # fmt: skip


@settings(max_examples=400, deadline=None)
@given(LAYERED, st.dictionaries(KEYWORDS, WORDS, max_size=2))
def test_any_resolved_configuration_dumps_and_reads_back_equal(
    options: dict[str, Any], changed: dict[str, str]
) -> None:
    sets = [f"dataset.{key}={value}" for key, value in changed.items()]
    config = resolve(TrainConfig, options, sets=sets).config
    with tempfile.TemporaryDirectory() as folder:
        again = resolve(TrainConfig, {}, files=[write(Path(folder), dumps(config))])
    assert again.config == config


@pytest.mark.parametrize("value", ["\udcff", "a\ud800b"])
def test_what_no_file_can_hold_is_refused(value: str) -> None:
    for way in (
        {"options": {"out": value}},
        {"options": {"model": Spec("linear", {"a": [value]})}},
        {"options": {}, "sets": [f"dataset.path={value}"]},
        {"options": {}, "sets": [f"monitor={value}"]},
    ):
        with pytest.raises(ConfigError, match="bytes that are no text"):
            resolve(TrainConfig, **way)  # type: ignore[arg-type]


def test_a_setting_of_a_component_that_a_command_does_not_have_is_a_mistake() -> None:
    with pytest.raises(ConfigError, match="only a component has settings"):
        resolve(EvaluateConfig, {"run": "x"}, sets=["optimizer.lr=e-folder:path=a b"])


SENTENCES: list[tuple[type[CommandConfig], str, object, str]] = [
    (TrainConfig, "epochs", "x", "'x' is not a whole number from 1 to 2147483648"),
    (TrainConfig, "lr", -1.0, "-1.0 is not a number above 0"),
    (TrainConfig, "ema", 1.5, "1.5 is not a number from 0 to less than 1"),
    (TrainConfig, "order", "never", "'never' is not interleaved or by-resolution"),
    (TrainConfig, "compile", "maybe", "'maybe' is not true or false"),
    (TrainConfig, "out", "", "'' is not a path: not empty, and without NUL"),
    (BenchConfig, "device", "auto",
     "'auto' is not cpu, cuda, cuda:1 or mps; several are written between commas"),
    (BenchConfig, "batch_size", "0", "'0' is not a whole number from 1 to 2147483648; several are written "
     "between commas"),
    (BenchOpsConfig, "size", ["x"], "'x' is not a whole number from 1 to 1048576"),
    (BenchOpsConfig, "size", [8, "x"], "8, 'x' is not a whole number from 1 to 1048576"),
    (TrainConfig, "bucketing", "foo", "'foo' gives no settings of bucketing"),
    (ComparePoolingConfig, "seeds", "x",
     "'x' is not of the form \"0-4\", \"0,1,5\" or \"3\", with at most 1000 seeds below 2**63"),
]  # fmt: skip


@pytest.mark.parametrize(("model", "key", "value", "sentence"), SENTENCES, ids=shown)
def test_a_value_that_does_not_fit_is_answered_with_what_its_option_takes(
    model: type[CommandConfig], key: str, value: object, sentence: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(model, {key: value})
    (mistake,) = caught.value.mistakes
    assert (mistake.path, mistake.message) == (key, sentence)


def test_of_two_alternatives_the_higher_layer_gives_the_one_that_counts(tmp_path: Path) -> None:
    one, several = write(tmp_path, "seed = 3", "one.toml"), write(tmp_path, "seeds = [1, 2]", "several.toml")
    for files, sets, options, kept, origin in (
        ([one, several], [], {}, {"seeds": [1, 2]}, f"file {several}"),
        ([several, one], [], {}, {"seed": 3}, f"file {one}"),
        ([several], ["seed=4"], {}, {"seed": 4}, "--set"),
        ([one], ["seed=4"], {"seeds": "0-2"}, {"seeds": [0, 1, 2]}, "option --seeds"),
        ([several], [], {"seed": 5}, {"seed": 5}, "option --seed"),
        ([several], [], {"seed": 5, "seeds": None}, {"seed": 5}, "option --seed"),
    ):
        resolved = resolve(TrainConfig, options, files=files, sets=sets)
        written = dump(resolved.config)
        assert {key: written[key] for key in ("seed", "seeds") if key in written} == kept
        (key,) = kept
        assert resolved.origins[key] == origin
        assert resolve(TrainConfig, {}, files=[write(tmp_path, dumps(resolved.config))]).config == (
            resolved.config.model_copy(update={} if key == "seed" else {"seed": 0})
        )


@pytest.mark.parametrize(
    ("text", "sets", "options"),
    [
        ("", [], {"seed": 0, "seeds": "0-2"}),
        ("", [], {"seeds": "0-2", "seed": 0}),
        ("", ["seeds=0-2", "seed=1"], {}),
        ("seed = 1\nseeds = [1]\n", [], {}),
    ],
)
def test_two_alternatives_of_one_layer_are_a_mistake(
    text: str, sets: Sequence[str], options: dict[str, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigError) as caught:
        resolve(TrainConfig, options, files=[write(tmp_path, text)], sets=sets)
    (mistake,) = caught.value.mistakes
    assert {mistake.path, mistake.message.removeprefix("cannot be given together with ")} == {"seed", "seeds"}

from pathlib import Path

import pytest

from nnkit.config import EvaluateConfig, TrainConfig, dump, dumps, read_toml, resolve
from nnkit.errors import ConfigError, UsageError
from nnkit.spec import Spec, parse


def write(folder: Path, text: str, name: str = "config.toml") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path


def test_each_layer_beats_the_one_below_and_says_where_the_value_is_from(tmp_path, monkeypatch):
    early = write(
        tmp_path, 'epochs = 1\nlr = 0.1\nseed = 5\nbatch_size = 8\ndata_root = "/early"\n', "a.toml"
    )
    late = write(tmp_path, 'epochs = 2\nlr = 0.2\nbatch_size = 9\nruns_dir = "/late"\n', "b.toml")
    monkeypatch.setenv("NNKIT_DATA", "/environment")
    monkeypatch.setenv("NNKIT_RUNS", "")
    resolved = resolve(TrainConfig, {"lr": 0.4}, files=[early, late], sets=["lr=0.3", "batch-size=10"])
    config, origins = resolved.config, resolved.origins
    assert (config.lr, config.batch_size, config.epochs, config.seed) == (0.4, 10, 2, 5)
    assert (config.data_root, config.runs_dir) == (Path("/environment"), Path("/late"))
    assert origins["lr"] == "option --lr"
    assert origins["batch_size"] == "--set"
    assert origins["epochs"] == f"file {late}"
    assert origins["data_root"] == "environment NNKIT_DATA"
    assert "precision" not in origins


def test_set_beats_the_environment(monkeypatch):
    monkeypatch.setenv("NNKIT_DATA", "/environment")
    assert resolve(TrainConfig, {}, sets=["data_root=/set"]).config.data_root == Path("/set")


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


def test_values_that_were_read_dump_as_a_table():
    config = TrainConfig(model=Spec("varres-net", {"width": 81}))
    assert dump(config)["model"] == {"name": "varres-net", "width": 81}
    assert dump(config, leave_out=["model"]).get("model") is None


def test_every_mistake_of_every_layer_is_reported_at_once(tmp_path):
    path = write(tmp_path, 'epochz = 1\nlr = "fast"\ndevice = "gpu"\n')
    with pytest.raises(ConfigError) as caught:
        resolve(
            TrainConfig,
            {"epochs": -1, "schedule": "never", "model": "net:"},
            files=[path],
            sets=["seed=x", "nonsense", "model.width=1", "batch_size.x=1"],
        )
    told = {mistake.path: mistake for mistake in caught.value.mistakes}
    assert set(told) == {
        "epochz",
        "lr",
        "device",
        "epochs",
        "schedule",
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


def test_an_unknown_key_like_no_other_is_told_without_a_list_of_all():
    with pytest.raises(ConfigError) as caught:
        resolve(TrainConfig, {}, sets=["zzz=3"])
    assert len(str(caught.value)) < 100


@pytest.mark.parametrize("lr", [float("nan"), float("inf"), -1.0, 0.0])
def test_a_learning_rate_is_finite_and_positive(lr):
    with pytest.raises(ConfigError, match="lr"):
        resolve(TrainConfig, {"lr": lr})


@pytest.mark.parametrize("content", [b"\xff\xfe", b"a = ", b"[" * 5000])
def test_a_file_that_is_no_toml_is_named(tmp_path, content):
    path = tmp_path / "bad.toml"
    path.write_bytes(content)
    with pytest.raises(UsageError, match="bad"):
        read_toml(path)


def test_a_folder_and_a_missing_file_are_no_configuration(tmp_path):
    for path in (tmp_path, tmp_path / "none.toml"):
        with pytest.raises(UsageError):
            read_toml(path)


def test_configurations_are_frozen_and_take_no_unknown_key():
    with pytest.raises(ValueError, match="frozen"):
        TrainConfig().epochs = 3
    with pytest.raises(ValueError, match=r"forbidden|not permitted"):
        EvaluateConfig(epochs=3)

import json

import numpy as np
import pytest

from data.image_files import random_png, write_folder
from nnkit.cli.main import run
from nnkit.errors import ConfigError, UsageError
from nnkit.options import PlaceConfig
from nnkit.present.info import info_text
from nnkit.studies.info.study import help_of, info


def test_a_component_shows_its_settings_and_docstring():
    document = info("patience")
    assert document["group"] == "stopping_rules"
    assert {"metric", "patience", "min_delta"} <= {setting["name"] for setting in document["settings"]}
    assert document["docstring"]
    assert document["file"].endswith("patience.py")


def test_a_dataset_shows_its_facts():
    facts = info("digits")["facts"]
    assert facts["task"] == "classification"
    assert facts["image_size"] == (28, 28)
    assert set(facts["splits"]) == {"train", "val", "test"}


@pytest.mark.parametrize("spec", ["mnist", "image-folder", "image-folder:path=/nowhere"])
def test_facts_that_cannot_be_known_are_no_failure(spec, tmp_path, capsys):
    document = info(spec, config=PlaceConfig(data_root=tmp_path))
    assert document["facts"]["error"]
    assert "not known here" in info_text(document)
    assert run(["info", spec, "--data-root", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["schema"] == "nnkit.info/1"


@pytest.mark.parametrize(
    "spec", ["digits-varres:max_buckets=2", "cifar-transform:pipeline='rezise(28)'", "mnist:val_fraction=7"]
)
def test_a_wrong_value_of_a_setting_is_a_mistake_of_the_user(spec, tmp_path, capsys):
    assert run(["info", spec, "--data-root", str(tmp_path)]) == 2
    assert "not known here" not in capsys.readouterr().out


def test_mistakes_in_the_spec_are_told():
    with pytest.raises(ConfigError, match="widht"):
        info("varres-net:widht=3")
    with pytest.raises(UsageError, match="no group"):
        info("max", group="pooling")


def test_a_settings_help_is_the_docstrings_first_sentence_that_names_it_in_backticks():
    docstring = "A rule. Waits `patience` epochs, or `min_delta=0` for any gain. `patience` is at least 1."
    assert help_of("patience", docstring) == "Waits `patience` epochs, or `min_delta=0` for any gain."
    assert help_of("min_delta", docstring) == help_of("patience", docstring)
    assert help_of("rule", docstring) == ""


def pets(tmp_path):
    rng = np.random.default_rng(0)
    files = {
        f"{'cat' if number % 2 else 'dog'}/{number}.png": random_png(number, *rng.integers(8, 30, 2).tolist())
        for number in range(100)
    }
    folder = write_folder(tmp_path / "pets", files)
    return f"image-folder:path={folder}"


def test_a_wrong_bucketing_is_a_mistake_of_the_user(capsys):
    assert run(["info", "digits-varres", "--bucketing", "max_buckets=0"]) == 2
    assert "max_buckets=0" in capsys.readouterr().err
    assert run(["info", "digits-varres", "--bucketing", "max_buckets=2", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["facts"]["forecast"]["num_buckets"] == 2


def test_all_images_of_one_size_have_another_default_model_and_no_forecast(tmp_path, monkeypatch):
    monkeypatch.setenv("NNKIT_CACHE", str(tmp_path / "cache"))
    facts = info(pets(tmp_path), bucketing="resize_policy=resize,size=9x11")["facts"]
    assert (facts["default_model"], facts["image_size"], facts["forecast"]) == (
        "mnist-convnet",
        (9, 11),
        None,
    )
    assert facts["sizes"]["train"] == {"9x11": 80}
    assert info(pets(tmp_path))["facts"]["default_model"] == "varres-net"


def test_a_dataset_of_several_sizes_shows_what_an_epoch_will_cost(tmp_path, monkeypatch):
    monkeypatch.setenv("NNKIT_CACHE", str(tmp_path / "cache"))
    document = info(pets(tmp_path), bucketing={"max_buckets": 3, "leftovers": "drop"}, batch_size=7)
    forecast = document["facts"]["forecast"]
    assert forecast["num_buckets"] == len(forecast["buckets"]) == 3
    assert forecast["num_images"] + forecast["num_dropped"] == document["facts"]["splits"]["train"] == 80
    assert forecast["num_images"] == 7 * forecast["num_batches"]
    assert forecast["fill"] == 1
    assert forecast["padded_share"] == forecast["padded_pixels"] / forecast["processed_pixels"] > 0
    text = info_text(document)
    for shown in (
        "of up to 7 images",
        f"{forecast['num_dropped']} per epoch",
        f"{forecast['padded_share']:.1%}",
    ):
        assert shown in text
    assert json.loads(json.dumps(document.document()))["facts"]["forecast"]["batch_size"] == 7


def test_images_resized_to_their_buckets_show_their_own_sizes_and_no_padding(tmp_path, monkeypatch):
    monkeypatch.setenv("NNKIT_CACHE", str(tmp_path / "cache"))
    plain = info(pets(tmp_path))["facts"]
    facts = info(pets(tmp_path), bucketing="max_buckets=3,resize_policy=resize")["facts"]
    assert facts["sizes"] == plain["sizes"]
    assert (facts["forecast"]["num_buckets"], facts["forecast"]["padded_pixels"]) == (3, 0)
    assert plain["forecast"]["num_buckets"] == len(plain["sizes"]["train"])
    one = info(pets(tmp_path), bucketing="max_buckets=1,resize_policy=resize")["facts"]
    assert one["sizes"] == plain["sizes"]
    assert one["forecast"]["num_buckets"] == 1


def test_data_of_one_size_has_no_forecast_and_a_batch_size_is_at_least_one(capsys):
    assert info("digits")["facts"]["forecast"] is None
    with pytest.raises(UsageError, match="batch_size"):
        info("digits", batch_size=0)
    assert run(["info", "digits", "--batch-size", "0"]) == 2
    assert "batch-size" in capsys.readouterr().err

import json

import pytest

from nnkit.cli.main import run
from nnkit.config import PlaceConfig
from nnkit.errors import ConfigError, UsageError
from nnkit.present.info import info_text
from nnkit.studies.info import help_of, info


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

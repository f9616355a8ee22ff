"""A result that is read back from a damaged file: one error, in plain words, that names the file."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import TypeAdapter

from nnkit.errors import CheckpointError
from nnkit.results.new_plugin import NewPluginResult
from nnkit.results.reading import read


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{", "it is no JSON: "),
        ("[1]", "it is not as it was written"),
        ("{}", " is missing"),
        ('{"schema": "nnkit.other/1"}', "schema is not 'nnkit.new-plugin/1'"),
        ('{"folder": 5}', "folder is not as it was written"),
    ],
)
def test_what_is_wrong_is_told_with_its_place_and_not_in_the_words_of_a_library(
    tmp_path: Path, text: str, said: str
) -> None:
    path = tmp_path / "summary.json"
    path.write_text(text)
    with pytest.raises(CheckpointError) as caught:
        read(path, TypeAdapter(NewPluginResult))
    assert caught.value.message.startswith(f"{path} is damaged: ")
    assert said in caught.value.message
    assert "input" not in caught.value.message.lower()


def test_a_file_that_is_not_there_is_for_the_caller_to_explain(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "none.json", TypeAdapter(NewPluginResult))

"""`nnkit count-params` as a user meets it: stdout, stderr and exit codes."""

from __future__ import annotations

import json

import pytest

from nnkit.cli.main import run


def test_json_is_one_document_with_the_promised_keys(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["count-params", "mlp-bottleneck", "--match", "linear", "--vary", "hidden", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["schema"] == "nnkit.count-params/1"
    keys = {"spec", "total", "trainable", "frozen", "buffers", "flops", "activation_bytes", "layers"}
    assert keys <= set(document["models"][0])
    assert {"name", "type", "parameters"} <= set(document["models"][0]["layers"][0])
    assert (document["match"]["value"], document["match"]["total"]) == (624, 2_407_552)


def test_without_a_match_the_document_has_none(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["count-params", "linear", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert "match" not in document
    assert document["models"][0]["total"] == 2_409_232


@pytest.mark.parametrize(
    "arguments",
    [["no-such"], ["varres-net", "--input", "28"], ["varres-net", "--match", "9", "--vary", "widht"], []],
)
def test_what_the_user_mistyped_exits_2_with_nothing_on_stdout(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["count-params", *arguments]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err


def test_help_shows_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["count-params", "-h"]) == 0
    assert "nnkit count-params varres-net --match mnist-convnet --vary width" in capsys.readouterr().out

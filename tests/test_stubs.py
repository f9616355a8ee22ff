"""src/nnkit/__init__.pyi has the public functions with their options; `make docs` writes it anew."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

import nnkit
from nnkit import registry
from nnkit.cli.main import COMMANDS, Entry, run
from nnkit.errors import UsageError

ROOT = Path(__file__).parents[1]
STUB = ROOT / "src/nnkit/__init__.pyi"


def functions() -> dict[str, list[ast.FunctionDef]]:
    found: dict[str, list[ast.FunctionDef]] = {}
    for node in ast.parse(STUB.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            found.setdefault(node.name, []).append(node)
    return found


def test_the_stub_is_what_the_options_say() -> None:
    spec = importlib.util.spec_from_file_location("write_stubs", ROOT / "docs/write_stubs.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    assert STUB.read_text(encoding="utf-8") == module.stub(), "run `make docs`"


@pytest.mark.parametrize("name", sorted(set(nnkit.__all__) - {"Data", "components"}))
def test_a_function_has_the_parameters_that_it_has_when_it_runs(name: str) -> None:
    expected = inspect.signature(getattr(nnkit, name)).parameters
    for function in functions()[name]:
        arguments = function.args
        several = [arguments.vararg.arg] if arguments.vararg else []
        names = [
            *(each.arg for each in arguments.args),
            *several,
            *(each.arg for each in arguments.kwonlyargs),
        ]
        assert [*names, *([arguments.kwarg.arg] if arguments.kwarg else [])] == list(expected)
        assert all(each.annotation is not None for each in (*arguments.args, *arguments.kwonlyargs))
        assert ast.get_docstring(function)
        assert function.returns is not None


def test_one_text_is_as_good_as_a_list_of_one() -> None:
    one = nnkit.bench(model="separable", limit=20, repeats=3, batch_size=10, device="cpu")
    many = nnkit.bench(model=["separable"], limit=20, repeats=3, batch_size=[10], device=["cpu"])
    assert [arm.name for arm in one.arms] == [arm.name for arm in many.arms]
    sizes = [[cell.batch_size for arm in result.arms for cell in arm.cells] for result in (one, many)]
    assert sizes[0] == sizes[1]
    assert set(sizes[0]) == {1, 10}  # transforms per image take one


FUNCTION_OF = {
    "list": "list_components",
    "runs list": "list_runs",
    "runs show": "show_run",
    "runs verify": "verify_run",
    "cache list": "list_cache",
    "cache clear": "clear_cache",
}


def commands(entries: Mapping[str, Entry] = COMMANDS, before: str = "") -> Iterator[str]:
    for name, entry in entries.items():
        if not entry.subcommands or name == "bench":
            yield f"{before}{name}"
        yield from commands(entry.subcommands, f"{before}{name} ")


@pytest.mark.parametrize("command", commands())
def test_what_a_command_can_do_python_can(command: str) -> None:
    assert FUNCTION_OF.get(command, command.replace(" ", "_").replace("-", "_")) in nnkit.__all__


def test_the_functions_give_what_the_commands_print(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def printed(*words: str) -> object:
        assert run([*words, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    monkeypatch.setenv("NNKIT_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr("nnkit.present.figures.draw_training", lambda *parts: [])
    made = nnkit.train(limit=60, epochs=1, runs_dir=tmp_path / "runs")
    pairs = [
        (nnkit.info("varres-net:width=9"), ["info", "varres-net:width=9"]),
        (nnkit.info("digits-varres", batch_size=32), ["info", "digits-varres", "--batch-size", "32"]),
        (nnkit.list_runs(runs_dir=tmp_path / "runs"), ["runs", "list", "--runs-dir", str(tmp_path / "runs")]),
        (nnkit.show_run(made.run_dir), ["runs", "show", str(made.run_dir)]),
        (nnkit.list_components("losses"), ["list", "losses"]),
        (nnkit.list_cache(), ["cache", "list"]),
        (nnkit.clear_cache(older_than="30d"), ["cache", "clear", "--older-than", "30d"]),
    ]
    for result, words in pairs:
        assert result.document() == printed(*words), words
        if words[0] != "list":
            assert "<table" in (result._repr_html_() or "") or "<p>" in (result._repr_html_() or "")
    written = nnkit.new_plugin("nnkit-neat", kind="loss", out=tmp_path)
    assert (tmp_path / "nnkit-neat" / "pyproject.toml").is_file()
    assert written.kind == "loss"
    with pytest.raises(UsageError, match="nnkit-none"):
        nnkit.check_plugin("nnkit-none")
    timed = nnkit.bench_ops(size=8, repeats=1, batch_size=2, out=tmp_path / "ops")
    assert {cell.size for cell in timed.cells} == {8}
    assert sorted(path.name for path in (tmp_path / "ops").iterdir()) == ["bench-ops.csv", "bench-ops.png"]


def test_doctor_finds_what_the_command_finds(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    two = [entry for entry in registry.entries() if entry.name in ("mse-sum", "max")]
    monkeypatch.setattr(registry, "entries", lambda: tuple(two))  # it imports each in a process of its own
    result = nnkit.doctor()
    assert run(["doctor", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in printed["components"]] == [each.name for each in result.components]
    assert len(result.components) == 2

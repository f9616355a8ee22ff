"""src/nnkit/__init__.pyi has the public functions with their options; `make docs` writes it anew."""

from __future__ import annotations

import ast
import importlib.util
import inspect
from pathlib import Path

import pytest

import nnkit

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
        names = [each.arg for each in (*arguments.args, *arguments.kwonlyargs)]
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

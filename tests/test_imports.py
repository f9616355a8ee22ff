"""What import-linter cannot see: the contracts in pyproject.toml hold the layers (`make check`)."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import nnkit
from nnkit.runs import directory

ROOT = Path(nnkit.__file__).parent
FAMILIES = (
    "datasets", "models", "poolings", "losses", "stopping_rules", "optimizers", "schedules", "augmentations",
    "metrics",
)  # fmt: skip
COMPONENTS = sorted(path for family in FAMILIES for path in (ROOT / family).glob("*.py"))


@pytest.mark.parametrize("path", COMPONENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_component_imports_of_its_own_family_what_is_private_alone(path):
    family = path.parent.name
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith(f"nnkit.{family}"):
            assert node.module.split(".")[-1].startswith("_"), f"a component imports {node.module}"


def test_files_of_a_run_are_named_in_runs_alone():
    names = {value for value in vars(directory).values() if isinstance(value, str) and Path(value).suffix}
    assert {"config.toml", "metrics.jsonl", "status.json", "summary.json"} <= names
    for path in ROOT.rglob("*.py"):
        if path.relative_to(ROOT).parts[0] == "runs":
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Div):
                named = getattr(node.right, "value", None)
                assert named not in names, f"{path}:{node.lineno} opens {named} past RunDirectory"


def test_no_import_is_relative():
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not (isinstance(node, ast.ImportFrom) and node.level), path


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["list", "--json"], ["train", "--help"]])
def test_help_and_list_import_neither_torch_nor_numpy(arguments):
    code = (
        "import sys\nfrom nnkit.cli.main import run\n"
        f"assert run({arguments!r}) == 0\n"
        "print(sorted({'torch', 'numpy', 'torchvision', 'matplotlib'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"


def test_the_api_is_lazy_and_complete():
    code = "import sys, nnkit; nnkit.components('models'); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[0] == "False"
    assert all(callable(getattr(nnkit, name)) for name in nnkit.__all__)
    assert set(nnkit.__all__) < set(dir(nnkit))
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        nnkit.nothing  # noqa: B018

"""Rule 1 of design.md: arrows point left only, and components import what a third party may import."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import nnkit

ROOT = Path(nnkit.__file__).parent
ROOMS = [
    {"errors"}, {"types"}, {"registry", "spec", "schema", "bucketing", "config", "files"}, {"build"},
    {"ops", "data", "surrogates"}, {"training", "runs", "results", "present", "testing"},
    {"studies"}, {"cli"},
]  # fmt: skip
RANK = {room: rank for rank, rooms in enumerate(ROOMS) for room in rooms}
COMPONENTS = {"datasets", "models", "poolings", "losses", "stopping_rules", "trackers"}
ALLOWED = {"errors", "types", "ops", "data", "surrogates", "files"}
FILES = sorted(ROOT.rglob("*.py"))


def imports(path: Path) -> set[str]:
    """Dotted names that a file imports; `from nnkit import config` counts as nnkit.config."""
    found = set()
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for_types = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.dump(node.test)
    ]
    hidden = {id(inner) for node in for_types for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in hidden:
            continue
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= whole if node.module == "nnkit" else {str(node.module)}
    return found


def rooms(path: Path) -> list[tuple[str, str]]:
    names = [name for name in imports(path) if name.startswith("nnkit.")]
    return [(name.split(".")[1], name) for name in names]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_point_left_only(path):
    own = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for room, name in rooms(path):
        if own in COMPONENTS:
            private = room == own and name.split(".")[-1].startswith("_")
            assert room in ALLOWED or private, f"a component imports {name}"
        elif own in RANK:
            assert room not in COMPONENTS, f"{name} is a built-in component: name it, do not import it"
            assert RANK.get(room, 99) <= RANK[own], f"{name} stands to the right of {own}"


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_nobody_imports_click(path):
    assert "click" not in {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", sorted((ROOT / "cli").glob("*.py")), ids=lambda path: path.name)
def test_a_command_file_imports_no_torch(path):
    assert not {"torch", "torchvision", "numpy"} & {name.split(".")[0] for name in imports(path)}


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

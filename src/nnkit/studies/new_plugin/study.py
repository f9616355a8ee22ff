"""`nnkit new-plugin`: a package with one component, its tests and README, that passes as written."""

from __future__ import annotations

import keyword
import re
import shutil
import sys
import tempfile
from importlib import resources
from pathlib import Path
from string import Template

from nnkit.build import components
from nnkit.errors import UsageError, did_you_mean, quote
from nnkit.registry import group_title
from nnkit.results.new_plugin import NewPluginResult

GROUP_OF: dict[str, str] = {
    "dataset": "datasets",
    "model": "models",
    "pooling": "poolings",
    "loss": "losses",
    "stopping-rule": "stopping_rules",
    "optimizer": "optimizers",
    "schedule": "schedules",
    "tracker": "trackers",
    "augmentation": "augmentations",
    "metric": "metrics",
}
_TRY_IT = {
    "datasets": "nnkit train --dataset {0} --epochs 1",
    "models": "nnkit train --model {0} --epochs 1 --limit 500",
    "poolings": "nnkit train --dataset digits-varres --model varres-net:pooling={0} --epochs 1 --limit 500",
    "losses": "nnkit train --loss {0} --epochs 1 --limit 500",
    "stopping_rules": "nnkit train --stop {0} --epochs 2 --limit 500",
    "optimizers": "nnkit train --optimizer {0} --epochs 1 --limit 500",
    "schedules": "nnkit train --schedule {0} --epochs 3 --limit 500",
    "trackers": "nnkit train --tracker {0} --epochs 1 --limit 500",
    "augmentations": "nnkit train --augment {0} --epochs 1 --limit 500",
    "metrics": "nnkit train --metric {0} --epochs 1 --limit 500",
}
_DISTRIBUTION = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,98}[A-Za-z0-9])?")
_TAKEN = {"nnkit", "torch", "torchvision", "numpy"}
_TEMPLATES = "templates"


def new_plugin(name: str, *, kind: str, out: Path | None = None) -> NewPluginResult:
    """Write a plugin package into the new folder `out/name` (default: the current folder).

    `name` is a distribution's name, such as "nnkit-gem": the component is named "gem", the module
    `nnkit_gem`, the class `Gem`. `UsageError` for a name that no distribution or module can have, for a
    component's name that is taken, and for a folder that exists; nothing is written then.
    """
    if kind not in GROUP_OF:
        raise UsageError(f"there is no kind {quote(kind)}", hint=did_you_mean(kind, GROUP_OF))
    group = GROUP_OF[kind]
    words = _words(name, group)
    parent = Path() if out is None else out.expanduser()
    if not parent.is_dir():
        raise UsageError(f"there is no folder {parent}", hint="make it first, or give another --out")
    folder = parent / name
    if folder.exists() or folder.is_symlink():
        raise UsageError(f"{folder} exists", hint="choose another name, or remove it")
    contents = _contents(words, group)
    _write(folder, contents)
    return NewPluginResult(
        folder=folder,
        kind=kind,
        files=tuple(sorted(contents)),
        next_commands=(
            f"pip install -e {folder}",
            f"python -m pytest {folder}",
            f"nnkit check-plugin {name}",
            words["try_it"],
        ),
        distribution=words["distribution"],
        component=words["component"],
        module=words["module"],
        class_name=words["class_name"],
    )


def _words(name: str, group: str) -> dict[str, str]:
    """Everything that the templates fill in."""
    if not _DISTRIBUTION.fullmatch(name):
        raise UsageError(
            f"{quote(name)} cannot name a distribution",
            hint="letters, digits, dot, dash and underscore, such as nnkit-gem; at most 100 characters",
        )
    module = re.sub(r"[-_.]+", "_", name).lower()
    if not module.isidentifier() or keyword.iskeyword(module):
        raise UsageError(
            f'"{name}" makes the module name "{module}", which Python cannot import',
            hint="begin with a letter, such as nnkit-gem",
        )
    if module in _TAKEN or module in sys.stdlib_module_names:
        raise UsageError(f'a module "{module}" exists already', hint=f"for example nnkit-{name}")
    component = re.sub(r"[-_.]+", "-", name).lower().removeprefix("nnkit-")
    if component in components(group):
        raise UsageError(
            f'{_with_article(group_title(group))} "{component}" is installed already',
            hint="choose another name",
        )
    class_name = "".join(part.capitalize() for part in component.split("-"))
    if not class_name.isidentifier() or keyword.iskeyword(class_name):
        class_name = f"The{class_name}"
    return {
        "distribution": name,
        "module": module,
        "component": component,
        "class_name": class_name,
        "contract": group_title(group).title().replace(" ", "") + "Contract",
        "group": group,
        "title": group_title(group),
        "a_title": _with_article(group_title(group)),
        "try_it": _TRY_IT[group].format(component),
        "dependencies": '"nnkit", "numpy", "torch"' if group == "datasets" else '"nnkit", "torch"',
    }


def _with_article(title: str) -> str:
    return f"{'an' if title[0] in 'aeiou' else 'a'} {title}"


def _contents(words: dict[str, str], group: str) -> dict[str, str]:
    """File name to text."""
    sources = {
        "pyproject.toml": "pyproject.toml.in",
        "README.md": "README.md.in",
        f"{words['module']}.py": f"{group}.py.in",
        f"test_{words['module']}.py": "test.py.in",
    }
    templates = resources.files("nnkit.studies.new_plugin") / _TEMPLATES
    return {
        name: Template((templates / source).read_text(encoding="utf-8")).substitute(words)
        for name, source in sources.items()
    }


def _write(folder: Path, contents: dict[str, str]) -> None:
    """All files or none: they are written beside the folder and take its name together."""
    unfinished = Path(tempfile.mkdtemp(prefix=".nnkit-tmp-", dir=folder.parent))
    try:
        for name, text in contents.items():
            (unfinished / name).write_text(text, encoding="utf-8")
        unfinished.chmod(0o755)
        unfinished.rename(folder)
    except BaseException:
        shutil.rmtree(unfinished, ignore_errors=True)
        raise

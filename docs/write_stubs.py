"""Write src/nnkit/__init__.pyi: the public functions with every option as a keyword, for editors and mypy.

python docs/write_stubs.py
"""

from __future__ import annotations

import inspect
import types
import typing
from inspect import Parameter, Signature
from pathlib import Path
from typing import Any

import nnkit
from nnkit import api
from nnkit.options import CommandConfig, is_list, is_repeatable
from nnkit.spec import Spec
from nnkit.studies.bench.config import BenchCompareConfig, BenchConfig, BenchOpsConfig
from nnkit.studies.cache import CacheClearConfig
from nnkit.studies.check_plugin import CheckPluginConfig
from nnkit.studies.compare_pooling.config import ComparePoolingConfig
from nnkit.studies.count_params.config import CountParamsConfig
from nnkit.studies.doctor import DoctorConfig
from nnkit.studies.evaluate.config import EvaluateConfig
from nnkit.studies.info.config import InfoConfig
from nnkit.studies.new_plugin.config import NewPluginConfig
from nnkit.studies.runs import RunsListConfig, RunsShowConfig, RunsVerifyConfig
from nnkit.studies.train.config import TrainConfig

STUB = Path(__file__).parents[1] / "src/nnkit/__init__.pyi"
MODELS: dict[str, type[CommandConfig]] = {
    "train": TrainConfig,
    "fit": TrainConfig,
    "evaluate": EvaluateConfig,
    "count_params": CountParamsConfig,
    "compare_pooling": ComparePoolingConfig,
    "bench": BenchConfig,
    "verify_run": RunsVerifyConfig,
    "bench_compare": BenchCompareConfig,
    "bench_ops": BenchOpsConfig,
    "info": InfoConfig,
    "list_runs": RunsListConfig,
    "show_run": RunsShowConfig,
    "clear_cache": CacheClearConfig,
    "new_plugin": NewPluginConfig,
    "check_plugin": CheckPluginConfig,
    "doctor": DoctorConfig,
}
HEAD = '''"""The functions of `import nnkit`. `make docs` writes this file from the commands' options."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, overload

from torch import nn

from nnkit.api import components as components
from nnkit.data.own_data import Data as Data
from nnkit.results.bench import BenchResult
from nnkit.results.bench_compare import BenchCompareResult
from nnkit.results.bench_ops import BenchOpsResult
from nnkit.results.cache import CacheClearResult, CacheResult
from nnkit.results.check_plugin import CheckPluginResult
from nnkit.results.compare_pooling import ComparePoolingResult
from nnkit.results.count_params import CountResult
from nnkit.results.doctor import DoctorResult
from nnkit.results.evaluate import EvaluateResult
from nnkit.results.info import InfoResult
from nnkit.results.list_ import ListResult
from nnkit.results.new_plugin import NewPluginResult
from nnkit.results.runs import RunResult, RunsResult
from nnkit.results.runs_verify import RunsVerifyResult
from nnkit.results.train import TrainResult
from nnkit.results.train_seeds import TrainSeedsResult
from nnkit.spec import Spec
from nnkit.studies.bench.study import Watch
from nnkit.studies.cell_study import Watcher
from nnkit.training.observers import Observer
from nnkit.types import Bucketing

__version__: str
Files = Path | str | Sequence[Path | str]
Sets = str | Sequence[str]
'''


def stub() -> str:
    """The file's text."""
    parts = [HEAD]
    for name in sorted(nnkit.__all__):
        if name in ("Data", "components"):
            continue
        function = getattr(api, name)
        signature = inspect.signature(function)
        if name == "train":
            for seeds, returns in (
                ("None = None", "TrainResult"),
                ("Sequence[int] | str | int", "TrainSeedsResult"),
            ):
                parts.append(
                    f"@overload\n{_function(name, signature, function, seeds=seeds, returns=returns)}"
                )
        else:
            parts.append(_function(name, signature, function))
    return "\n".join(parts)


def _function(name: str, signature: Signature, function: Any, *, seeds: str = "", returns: str = "") -> str:
    lines, starred = [f"def {name}("], False
    for parameter in signature.parameters.values():
        starred = starred or parameter.kind is Parameter.VAR_POSITIONAL
        if parameter.kind is Parameter.KEYWORD_ONLY and not starred:
            starred = True
            lines.append("    *,")
        lines.append(f"    {_parameter(name, parameter, seeds)},")
    doc = inspect.getdoc(function) or ""
    indented = "\n".join(f"    {line}".rstrip() for line in doc.splitlines())
    answer = returns or str(signature.return_annotation)
    return "\n".join([*lines, f') -> {answer}:\n    """{indented.strip()}"""\n'])


def _parameter(name: str, parameter: Parameter, seeds: str) -> str:
    stars = {Parameter.VAR_KEYWORD: "**", Parameter.VAR_POSITIONAL: "*"}.get(parameter.kind, "")
    if parameter.name == "seeds" and seeds:
        return f"seeds: {seeds}"
    info = MODELS[name].model_fields.get(parameter.name) if name in MODELS else None
    written = _written(parameter.annotation)
    if info is None or isinstance(parameter.annotation, str):
        pass
    elif parameter.name in MODELS[name].takes_objects:
        written = f"object{'' if parameter.default is not None else ' | None'}"
    elif is_list(info) or is_repeatable(info):
        one = _written(parameter.annotation).removeprefix("Sequence[").removesuffix("]")
        words = [*one.split(" | "), *(["str"] if is_list(info) else []), f"Sequence[{one}]"]
        written = " | ".join(dict.fromkeys(words))
    default = "" if parameter.default is parameter.empty or stars else f" = {_default(parameter.default)}"
    return f"{stars}{parameter.name}: {written}{default}"


def _written(annotation: Any) -> str:
    """An annotation as a stub has it, without what pydantic reads of it."""
    if isinstance(annotation, str):
        return annotation
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _written(arguments[0])
    if origin in (typing.Union, types.UnionType):
        return " | ".join(dict.fromkeys(_written(each) for each in arguments))
    if origin is typing.Literal:
        return f"Literal[{', '.join(map(repr, arguments))}]"
    if origin is tuple and arguments[-1:] == (Ellipsis,):
        return f"Sequence[{_written(arguments[0])}]"
    if origin is not None:
        return f"{origin.__name__}[{', '.join(map(_written, arguments))}]"
    return "None" if annotation is type(None) else str(getattr(annotation, "__name__", annotation))


def _default(value: object) -> str:
    """A default: plain values as they are, the rest as "...", which a stub may say."""
    if isinstance(value, Spec):
        return repr(str(value))
    values = value if isinstance(value, tuple) else (value,)
    plain = all(each is None or isinstance(each, bool | int | float | str) for each in values)
    return repr(value) if plain else "..."


if __name__ == "__main__":
    STUB.write_text(stub(), encoding="utf-8")

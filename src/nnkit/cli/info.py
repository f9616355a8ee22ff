"""`nnkit info`."""

from __future__ import annotations

from typing import Any

from nnkit.cli import options as o
from nnkit.cli import output


def info(**values: Any) -> None:
    """Show a component: its settings, defaults and docstring, and for a dataset its facts.

    For a dataset of several sizes: how many images of each, and what its buckets will cost in training.

    Example: nnkit info patience
    """
    given = o.read(values)
    from nnkit.config import check_names, resolve
    from nnkit.present.info import info_text
    from nnkit.studies.info.config import InfoConfig

    config = resolve(InfoConfig, given.options).config
    check_names(config)
    from nnkit.studies.info.study import info as study

    result = study(
        config.spec,
        group=config.group,
        batch_size=config.batch_size,
        bucketing=config.bucketing,
        config=config,
    )
    output.emit(result.document(), info_text(result, width=output.width()), as_json=given.json)

"""`nnkit check-plugin`."""

from __future__ import annotations

from typing import Any

from nnkit.cli import options as o
from nnkit.cli import output


def check_plugin(**values: Any) -> None:
    """Run the conformance checks on every component of a plugin; exit 4 where one fails.

    Example: nnkit check-plugin nnkit-poolings
    """
    given = o.read(values)
    from nnkit.config import resolve
    from nnkit.present.check_plugin import check_plugin_text
    from nnkit.studies import check_plugin as study

    config = resolve(study.CheckPluginConfig, given.options).config
    result = study.check_plugin(config.package, specs=config.spec, config=config)
    output.emit(result.document(), check_plugin_text(result, width=output.width()), as_json=given.json)
    study.check_passed(result)

"""What `nnkit new-plugin` wrote, and the commands to go on with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


def new_plugin_text(document: Mapping[str, Any]) -> str:
    """The files, then the next commands, each on a line of its own to be copied."""
    files = "\n".join(f"  {document['folder']}/{name}" for name in document["files"])
    commands = "\n".join(f"  {command}" for command in document["next_commands"])
    return f'wrote the {document["kind"]} "{document["component"]}":\n{files}\n\nnext:\n{commands}'

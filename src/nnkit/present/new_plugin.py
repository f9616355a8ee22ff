"""The files that `nnkit new-plugin` wrote, and the next commands."""

from __future__ import annotations

from nnkit.results.new_plugin import NewPluginResult


def new_plugin_text(result: NewPluginResult) -> str:
    """The files, then the next commands, each on a line of its own to be copied."""
    files = "\n".join(f"  {result.folder}/{name}" for name in result.files)
    commands = "\n".join(f"  {command}" for command in result.next_commands)
    return f'wrote the {result.kind} "{result.component}":\n{files}\n\nnext:\n{commands}'

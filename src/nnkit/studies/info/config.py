"""The configuration of `nnkit info`."""

from __future__ import annotations

from typing import Annotated

from nnkit import registry
from nnkit.errors import Mistake, UsageError, did_you_mean, hints
from nnkit.options import Count, DataConfig, Option, SharedBatches
from nnkit.spec import Spec, parse
from nnkit.types import EXACT_SIZES


class InfoConfig(DataConfig):
    """The options of `nnkit info`."""

    spec: Annotated[str, Option("A component, such as varres-net or mnist-varres:seed=1", argument=True)]
    group: Annotated[str | None, Option("The group, where two share the name", "GROUP")] = None
    batch_size: Annotated[Count, Option("Images per batch in a dataset's forecast")] = 64
    bucketing: SharedBatches = EXACT_SIZES

    def mistakes(self) -> list[Mistake]:
        """A component that is not installed."""
        try:
            spec = parse(self.spec)
            registry.find(group_of(spec, self.group), spec.name)
        except UsageError as error:
            return [Mistake("spec", error.message, error.hint)]
        return []


def group_of(spec: Spec, group: str | None) -> str:
    """The entry-point group of a component: the one named, or the only one that has its name."""
    if group is not None:
        return registry.find_group(group)
    bare = spec.name.rpartition("/")[2]
    groups = list(dict.fromkeys(entry.group for entry in registry.entries() if entry.name == bare))
    if len(groups) > 1:
        raise UsageError(f'{" and ".join(groups)} both have a "{bare}"', hint="choose one with --group")
    if not groups:
        hint = did_you_mean(bare, {entry.name for entry in registry.entries()})
        raise UsageError(f'no component is named "{bare[:80]}"', hint=hints(hint, "`nnkit list` shows all"))
    return groups[0]

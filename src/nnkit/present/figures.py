"""The figures of a run, to be imported from one place. Each writes a PNG and, beside it, its data."""

from nnkit.present.confusion import write_confusion
from nnkit.present.curves import write_curves, write_first_epoch, write_resolution_curves
from nnkit.present.examples import write_examples

__all__ = [
    "write_confusion",
    "write_curves",
    "write_examples",
    "write_first_epoch",
    "write_resolution_curves",
]

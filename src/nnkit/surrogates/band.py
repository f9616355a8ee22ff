"""Banded matrices: the columns of the band in each row, and the energy that the band drops."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nnkit.surrogates.separable_map import widened


def along_diagonal(num_rows: int, num_columns: int, band: int) -> Tensor:
    """Columns (num_rows, band) around the diagonal, where a resize has its entries.

    The centre of row i lies at (i + 0.5) · num_columns / num_rows of the longer axis.
    """
    centres = (torch.arange(num_rows) + 0.5) * num_columns / num_rows
    starts = (centres - band / 2).round().long().clamp(0, num_columns - band)
    return starts[:, None] + torch.arange(band)


def of_most_energy(matrix: Tensor, band: int) -> Tensor:
    """In each row of (m, n), the `band` neighbouring columns of the largest sum of squares: (m, band)."""
    starts = matrix.square().unfold(1, band, 1).sum(2).argmax(1)
    return starts[:, None] + torch.arange(band)


def cut(matrix: Tensor, columns: Tensor) -> Tensor:
    """The matrix with 0 outside `columns`."""
    return widened(matrix.gather(1, columns), columns, matrix.shape[1])


def what_is_dropped(band: int, parts: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Any]:
    """What cutting each (matrix, columns) loses: `dropped` as values, and as a sentence in `notes`."""
    lost = torch.cat([(matrix - cut(matrix, columns)).flatten() for matrix, columns in parts])
    energy = sum(float(matrix.square().sum()) for matrix, _ in parts)
    share, largest = float(lost.square().sum()) / (energy or 1.0), float(lost.abs().max())
    note = (
        f"band={band} dropped {share:.2g} of the matrices' energy; the largest entry dropped is {largest:.2g}"
    )
    return {"dropped": {"energy_share": share, "largest": largest}, "notes": [note]}

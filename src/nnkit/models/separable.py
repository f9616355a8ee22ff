"""separable: mix the channels, then one matrix for the rows and one for the columns."""

from __future__ import annotations

from math import ceil, prod
from typing import Any

import torch
from torch import Tensor, nn

from nnkit.errors import UsageError
from nnkit.models._checks import check_counts, check_sizes
from nnkit.models._least_squares import (
    notes_on_residual,
    require_converged,
    require_linear,
    set_weights,
)
from nnkit.models._output import Output, check_output, limit
from nnkit.surrogates.alternating import RIDGE, Separated, fit_separable
from nnkit.surrogates.band import along_diagonal, cut, of_most_energy, what_is_dropped
from nnkit.surrogates.separable_map import separable_map, widened
from nnkit.types import Size

EQUATIONS = 8
"""Equations per unknown that the images of a fit should give."""


class Separable(nn.Module):
    """out = A · (w · x) · Bᵀ: resizing, flips and grayscale are linear and act on one axis each.

    So the reference pipeline of reports A to C is of this form exactly, with A and B each a resize and a
    flip and w the luma weights. Parameters: `channels` w (target_channels, in_channels), `rows` A (h', h)
    and `cols` B (w', w), 3 + 896 + 896 = 1,795 for 3 × 32×32 to 1 × 28×28.
    With `band=3` each row of A and of B has 3 non-zero entries, in adjacent columns: 171 parameters. A fit by
    least squares finds the columns and reports what the band drops. Before training by gradient, a fit on a
    few training images finds the columns; its weights are not kept.
    (B, in_channels, h, w) to (B, target_channels, h', w') for image_size (h, w) and target_size (h', w').
    """

    takes_levels = True
    """Whether uint8 images are accepted, as value / 255."""
    row_columns: Tensor | None
    col_columns: Tensor | None

    def __init__(
        self,
        *,
        in_channels: int = 3,
        image_size: tuple[int, int] = (32, 32),
        target_channels: int = 1,
        target_size: tuple[int, int] = (28, 28),
        band: int | None = None,
        output: Output = "none",
    ) -> None:
        super().__init__()
        check_counts(in_channels=in_channels, target_channels=target_channels)
        check_sizes(image_size=image_size, target_size=target_size)
        check_output(output)
        if band is not None and not 1 <= band <= min(image_size):
            raise UsageError(
                f"expected band to be at least 1 and at most {min(image_size)}, but got band={band}",
                hint="the default pipeline needs band=3",
            )
        self.output, self.image_size, self.band = output, image_size, band
        self.channels = nn.Parameter(torch.empty(target_channels, in_channels))
        self.rows = nn.Parameter(torch.empty(target_size[0], band or image_size[0]))
        self.cols = nn.Parameter(torch.empty(target_size[1], band or image_size[1]))
        for name, axis in (("row_columns", 0), ("col_columns", 1)):
            at = along_diagonal(target_size[axis], image_size[axis], band) if band else None
            self.register_buffer(name, at)
        self.least_squares_images = _num_images(in_channels, image_size, target_channels, target_size)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Start at the mean of the channels and with matrices that keep a grey image about as bright.

        Each matrix is the mean over its axis plus noise: without the mean, the product of two random
        matrices starts as noise of either sign, and the clamp would stop the gradient of half of it.
        """
        nn.init.constant_(self.channels, 1 / self.channels.shape[1])
        for matrix in (self.rows, self.cols):
            size = matrix.shape[1]
            nn.init.normal_(matrix, mean=1 / size, std=1 / size)

    def forward(self, inputs: Tensor) -> Tensor:
        """Images (B, target_channels, h', w') of inputs (B, in_channels, h, w)."""
        cols: Tensor = self.cols
        if self.col_columns is not None:
            cols = widened(cols, self.col_columns, self.image_size[1])
        out = separable_map(inputs, self.channels, self.rows, cols, row_columns=self.row_columns)
        return limit(out, self.output)

    def fit_least_squares(self, inputs: Tensor, targets: Tensor, *, ridge: float = RIDGE) -> dict[str, Any]:
        """Alternating least squares on float images (N, C, h, w) and (N, C', h', w'), on the CPU.

        With a band: fitted without it, cut to it, and fitted again within it. `dropped` reports what was cut:
        the share of A's and B's energy (their squared entries), and the largest entry where those of a row
        add up to 1 at most. `UsageError` with a sigmoid.
        """
        require_linear(self.output)
        found = fit_separable(inputs, targets, ridge=ridge)
        require_converged(found.converged, found.residual, found.iterations, len(inputs))
        if self.band is None:
            set_weights((self.channels, found.channels), (self.rows, found.rows), (self.cols, found.cols))
            return _facts(found.iterations, found.residual)
        rows, cols, facts = self._place_band(found)
        start = Separated(found.channels, cut(found.rows, rows), cut(found.cols, cols))
        within = fit_separable(inputs, targets, ridge=ridge, start=start, row_columns=rows, col_columns=cols)
        set_weights(
            (self.channels, within.channels),
            (self.rows, within.rows.gather(1, rows)),
            (self.cols, within.cols.gather(1, cols)),
        )
        require_converged(within.converged, within.residual, within.iterations, len(inputs))
        summary = _facts(found.iterations + within.iterations, within.residual)
        return {**summary, **facts, "notes": [*summary["notes"], *facts["notes"]]}

    def prepare_for_training(self, inputs: Tensor, targets: Tensor) -> dict[str, Any]:
        """Before training by gradient: find the band's columns, which no gradient moves; keep the weights."""
        if self.band is None:
            return {}
        found = fit_separable(inputs, targets)
        require_converged(found.converged, found.residual, found.iterations, len(inputs))
        return self._place_band(found)[2]

    def _place_band(self, found: Separated) -> tuple[Tensor, Tensor, dict[str, Any]]:
        """Set the columns to those of the most energy; return them, and what the band drops of `found`."""
        assert self.band is not None
        assert self.row_columns is not None
        assert self.col_columns is not None
        rows, cols = of_most_energy(found.rows, self.band), of_most_energy(found.cols, self.band)
        self.row_columns.copy_(rows)
        self.col_columns.copy_(cols)
        return rows, cols, what_is_dropped(self.band, ((found.rows, rows), (found.cols, cols)))


def _facts(iterations: int, residual: float) -> dict[str, Any]:
    return {"iterations": iterations, "residual": residual, "notes": notes_on_residual(residual)}


def _num_images(channels: int, size: Size, target_channels: int, target_size: Size) -> int:
    """How many images the fit asks for.

    An image gives C'·w' equations for each row of A, which has h unknowns, and C'·h' for each of B, which
    has w. Neighbouring pixels are alike, so few equations leave the fit where it started: with 2.3 times as
    many as unknowns it failed on 224×224 to 32×32, with 3.4 and more it did not. From some hundred images on,
    more gain nothing; their values as float64 stay below 2 GiB.
    """
    per_image = channels * prod(size)
    enough = EQUATIONS * max(
        size[0] / (target_channels * target_size[1]), size[1] / (target_channels * target_size[0])
    )
    wanted = max(16, min(500, (1 << 21) // per_image), ceil(enough))
    return max(16, min(wanted, (1 << 28) // per_image))

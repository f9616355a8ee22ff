"""Analysis of a pipeline: whether it is affine, linear or separable, its rank, and its exact operator.

A pipeline on images (C, H, W) is affine where it equals K · x + offset with one matrix K, and separable where
K = channels ⊗ rows ⊗ cols: out = rows · (channels · x) · colsᵀ, a sum over channels and one small matrix
per axis. The analysis measures the responses to images; it does not read the steps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from nnkit.errors import UsageError
from nnkit.surrogates.pipelines import Pipeline, Shape
from nnkit.surrogates.pipelines.per_axis import (
    CHUNK_VALUES,
    Entry,
    Evaluate,
    lines_through,
    strong_entry,
)
from nnkit.surrogates.separable_map import MAX_TAPS, narrowed, separable_map

MAX_ENTRIES = 1 << 25  # of the operator: 256 MiB as float64, and three times that while it is examined
TOLERANCE = 1e-9  # relative; float64 rounding stays near 1e-15, one 8-bit value is 4e-3
BASIS_CHUNK = 512
NUM_RANDOM = 16


@dataclass(frozen=True, eq=False)
class Factors:
    """A separable operator, float64: `channels` (C', C), `rows` (H', H), `cols` (W', W).

    out = rows · (channels · x) · colsᵀ, and where `transposed` (an odd number of quarter turns) with
    (channels · x)ᵀ in the middle: `rows` is then (H', W) and `cols` (W', H). Scaled such that the largest
    sum of absolute values over a row is 1 in `rows` and in `cols`; the rest of the scale is in `channels`.
    Of the weights found in float64 and in float32, `analyse` keeps those that come nearer to the pipeline:
    torchvision computes the weights of a resize in the dtype of the image, 1e-6 apart.
    """

    channels: Tensor
    rows: Tensor
    cols: Tensor
    transposed: bool = False


@dataclass(frozen=True, eq=False)
class LinearAnalysis:
    """What `analyse` found of a pipeline on images of `input_shape`.

    `affine`: out = K · x + offset over all images; `linear`: affine with offset 0. `separable`: K has
    `factors`. `rank` is the numerical rank of K, (C'·H'·W') × (C·H·W), in float64; None where not affine.
    `max_error` is the largest absolute difference, over random and extreme images, between K · x + offset and
    the pipeline: for an affine one in float32, as `operator()` and `Pipeline.apply` compute it, so rounding;
    else how far the pipeline is from affine. `offset` is float64 (C', H', W'), what becomes of a black image.
    `matrix` is K, float64, held only where it is affine and not separable.
    """

    input_shape: Shape
    output_shape: Shape
    linear: bool
    affine: bool
    separable: bool
    rank: int | None
    max_error: float
    offset: Tensor
    factors: Factors | None = None
    matrix: Tensor | None = None

    @property
    def transposed(self) -> bool:
        """True where the factors act on the transposed image; see `Factors`."""
        return self.factors is not None and self.factors.transposed

    @property
    def rows(self) -> Tensor | None:
        """A of out = A · (w · x) · Bᵀ: (H', H), or (H', W) where transposed. None where not separable."""
        return self.factors.rows if self.factors else None

    @property
    def cols(self) -> Tensor | None:
        """B of out = A · (w · x) · Bᵀ: (W', W), or (W', H) where transposed. None where not separable."""
        return self.factors.cols if self.factors else None

    @property
    def channels(self) -> Tensor | None:
        """The channel weights w of out = A · (w · x) · Bᵀ: (C', C). None where not separable."""
        return self.factors.channels if self.factors else None

    def operator(self) -> PipelineOperator:
        """The pipeline as one float32 module; `UsageError` where it is not affine."""
        if not self.affine:
            raise UsageError("the pipeline is not affine: no operator equals it", hint="run its steps")
        return _build_operator(self.factors, self.matrix, self.offset)


class PipelineOperator(nn.Module):
    """An affine pipeline fused into one operator: float (B, C, H, W) in [0, 1] to float (B, C', H', W')."""

    offset: Tensor | None

    def __init__(self, offset: Tensor) -> None:
        super().__init__()
        self.register_buffer("offset", offset.float() if offset.any() else None)

    def forward(self, images: Tensor) -> Tensor:
        """Apply the operator to a batch."""
        out = self.multiply(images)
        return out if self.offset is None else out + self.offset

    def multiply(self, images: Tensor) -> Tensor:
        """The linear part, K · x."""
        raise NotImplementedError


class SeparableOperator(PipelineOperator):
    """out = rows · (channels · x) · colsᵀ + offset, the shapes as in `Factors`.

    Where the rows have few entries each, as a resize's do, they are kept as a band.
    """

    takes_levels = True
    """Whether uint8 images are accepted, as value / 255."""
    rows: Tensor
    cols: Tensor
    channels: Tensor
    row_columns: Tensor | None

    def __init__(self, factors: Factors, offset: Tensor) -> None:
        super().__init__(offset)
        self.transposed = factors.transposed
        rows, row_columns = narrowed(factors.rows.float(), MAX_TAPS)
        self.register_buffer("rows", rows)
        self.register_buffer("row_columns", row_columns)
        self.register_buffer("cols", factors.cols.float())
        self.register_buffer("channels", factors.channels.float())

    def multiply(self, images: Tensor) -> Tensor:
        """The linear part, K · x."""
        if self.transposed:
            images = images.transpose(-1, -2).contiguous()
        return separable_map(images, self.channels, self.rows, self.cols, row_columns=self.row_columns)


class MatrixOperator(PipelineOperator):
    """out = K · x + offset with the whole matrix, for an operator that is not separable."""

    matrix: Tensor

    def __init__(self, matrix: Tensor, offset: Tensor) -> None:
        super().__init__(offset)
        self.output_shape = tuple(offset.shape)
        self.register_buffer("matrix", matrix.float())

    def multiply(self, images: Tensor) -> Tensor:
        """The linear part, K · x."""
        return (images.flatten(1) @ self.matrix.T).view(-1, *self.output_shape)


def analyse(pipeline: Pipeline, shape: Shape) -> LinearAnalysis:
    """Analyse `pipeline` on images of `shape` (C, H, W).

    The operator is the response to each one-pixel image minus that to a black one. The pipeline is affine if
    the operator predicts it on probe images: all combinations of channels at 0 and 1, and random ones. Float
    pipelines are examined in float64, others on 8-bit values. Raises `UsageError` where the images do not fit
    the pipeline, and for an operator of more than `MAX_ENTRIES` entries that is affine and not separable.
    """
    output_shape = pipeline.output_shape(shape)
    if math.prod(shape) * math.prod(output_shape) > MAX_ENTRIES:
        return _analyse_large(pipeline, shape, output_shape)
    matrix, offset = operator_matrix(pipeline, shape)
    probes = _probes(shape)
    outputs = _evaluate(pipeline, probes)
    predicted = (probes.double() / 255).flatten(1) @ matrix.T + offset.flatten()
    error, limit = float((outputs.flatten(1) - predicted).abs().max()), TOLERANCE * float(outputs.abs().max())
    if error > limit:
        return _not_affine(shape, output_shape, error, offset)
    factors = factorise(matrix, shape, output_shape)
    rank = operator_rank(factors or matrix)
    if factors:
        factors = _nearest(pipeline, shape, factors, offset, probes)
    kept = None if factors else matrix
    return LinearAnalysis(
        input_shape=shape,
        output_shape=output_shape,
        linear=float(offset.abs().max()) <= limit,
        affine=True,
        separable=factors is not None,
        rank=rank,
        max_error=_float32_error(pipeline, _build_operator(factors, kept, offset), probes),
        offset=offset,
        factors=factors,
        matrix=kept,
    )


def _analyse_large(pipeline: Pipeline, shape: Shape, output_shape: Shape) -> LinearAnalysis:
    """As `analyse`, without the matrix: three lines of the operator give its factors if it has any."""
    black = torch.zeros(1, *shape, dtype=torch.uint8)
    offset = _evaluate(pipeline, black)[0]
    probes = _probes(shape)

    def response(images: Tensor) -> Tensor:
        return _evaluate(pipeline, images) - offset

    entry = strong_entry(response, shape)
    for transposed in (False, True):
        factors = _factors_at(response, shape, output_shape, entry, transposed)
        if _error_of(pipeline, factors, offset, probes) <= TOLERANCE:
            break
    else:
        error = _additivity_error(response, probes)
        if error > TOLERANCE:
            return _not_affine(shape, output_shape, error, offset)
        raise UsageError(
            f"the operator of this pipeline on {shape[0]}×{shape[1]}×{shape[2]} images is not separable, "
            f"and has {math.prod(output_shape)}×{math.prod(shape)} entries, too many to examine",
            hint=f"examine smaller images: at most {MAX_ENTRIES} entries",
        )
    if entry is not None:
        black32 = _evaluate(pipeline, black, torch.float32)[0]
        single = _factors_at(
            lambda images: _evaluate(pipeline, images, torch.float32) - black32,
            shape, output_shape, entry, transposed,
        )  # fmt: skip
        factors = min((factors, single), key=lambda found: _operator_error(pipeline, found, offset, probes))
    return LinearAnalysis(
        input_shape=shape,
        output_shape=output_shape,
        linear=float(offset.abs().max()) <= TOLERANCE,
        affine=True,
        separable=True,
        rank=operator_rank(factors),
        max_error=_operator_error(pipeline, factors, offset, probes),
        offset=offset,
        factors=factors,
    )


def _factors_at(
    response: Evaluate, shape: Shape, output_shape: Shape, entry: Entry | None, transposed: bool
) -> Factors:
    """The factors that K has if it has any; of zeros where K is zero."""
    (out_channels, out_height, out_width), (channels, height, width) = output_shape, shape
    if entry is None:
        rows, cols = torch.zeros(out_height, height), torch.zeros(out_width, width)
        return Factors(torch.zeros(out_channels, channels).double(), rows.double(), cols.double())
    for _ in range(2):  # through any strong entry, then through the strongest, where rounding weighs least
        lines = lines_through(response, shape, entry)
        rows, cols = (lines.rows_w, lines.cols_h) if transposed else (lines.rows_h, lines.cols_w)
        o, c = _strongest(lines.channels)
        p, of_row = _strongest(rows)
        q, of_col = _strongest(cols)
        h, w = (of_col, of_row) if transposed else (of_row, of_col)
        pivot = lines.channels[entry.o, entry.c]
        entry = Entry(o, p, q, c, h, w)
    return _scaled(rows, cols, lines.channels, pivot, transposed)


def _strongest(matrix: Tensor) -> tuple[int, int]:
    row, column = torch.unravel_index(matrix.abs().argmax(), matrix.shape)
    return int(row), int(column)


def _chunks(images: Tensor) -> Iterator[Tensor]:
    yield from torch.split(images, max(1, CHUNK_VALUES // images[0].numel()))


def _error_of(pipeline: Pipeline, factors: Factors, offset: Tensor, probes: Tensor) -> float:
    """The largest difference in float64 between the factors and the pipeline, relative to its outputs."""
    error = largest = 0.0
    for images in _chunks(probes):
        values = images.double() / 255
        values = values.transpose(-1, -2) if factors.transposed else values
        predicted = factors.rows @ torch.einsum("oc,bchw->bohw", factors.channels, values) @ factors.cols.T
        outputs = _evaluate(pipeline, images)
        error = max(error, float((predicted + offset - outputs).abs().max()))
        largest = max(largest, float(outputs.abs().max()))
    return error / (largest or 1.0)


def _operator_error(pipeline: Pipeline, factors: Factors, offset: Tensor, probes: Tensor) -> float:
    operator = SeparableOperator(factors, offset)
    return max(_float32_error(pipeline, operator, images) for images in _chunks(probes))


def _additivity_error(response: Evaluate, probes: Tensor) -> float:
    """How far the response to images is from the sum of those to two parts of their values: 0 if affine."""
    share = torch.rand(probes.shape[1:], generator=torch.Generator().manual_seed(1))
    error = 0.0
    for images in _chunks(probes):
        part = (images * share).to(torch.uint8)
        sum_of_parts = response(part) + response(images - part)
        error = max(error, float((response(images) - sum_of_parts).abs().max()))
    return error


def _not_affine(shape: Shape, output_shape: Shape, error: float, offset: Tensor) -> LinearAnalysis:
    return LinearAnalysis(
        input_shape=shape,
        output_shape=output_shape,
        linear=False,
        affine=False,
        separable=False,
        rank=None,
        max_error=error,
        offset=offset,
    )


def operator_matrix(
    pipeline: Pipeline, shape: Shape, *, dtype: torch.dtype = torch.float64
) -> tuple[Tensor, Tensor]:
    """K, float64 (C'·H'·W', C·H·W), from one-pixel images, and the offset (C', H', W'), from a black one.

    A float pipeline is run in `dtype`. K means something only for an affine pipeline; this does not check it.
    """
    num_inputs, num_outputs = math.prod(shape), math.prod(pipeline.output_shape(shape))
    if num_inputs * num_outputs > MAX_ENTRIES:
        raise UsageError(
            f"the operator of this pipeline on {shape[0]}×{shape[1]}×{shape[2]} images has "
            f"{num_outputs}×{num_inputs} entries, too many to examine",
            hint=f"examine smaller images: at most {MAX_ENTRIES} entries",
        )
    offset = _evaluate(pipeline, torch.zeros(1, *shape, dtype=torch.uint8), dtype)[0]
    columns = torch.empty(num_inputs, num_outputs, dtype=torch.float64)
    for start in range(0, num_inputs, BASIS_CHUNK):
        length = min(BASIS_CHUNK, num_inputs - start)
        basis = torch.zeros(length, num_inputs, dtype=torch.uint8)
        basis[torch.arange(length), start + torch.arange(length)] = 255
        outputs = _evaluate(pipeline, basis.view(-1, *shape), dtype)
        columns[start : start + length] = (outputs - offset).flatten(1)
    return columns.T, offset


def factorise(matrix: Tensor, shape: Shape, output_shape: Shape) -> Factors | None:
    """The factors of K, (C'·H'·W', C·H·W), on the image or on the transposed one; None where it has none."""
    array = matrix.view(*output_shape, *shape)
    for transposed in (False, True):
        factors = _lines(array, transposed)
        product = torch.einsum("oc,ph,qw->opqchw", factors.channels, factors.rows, factors.cols)
        difference = product.sub_(array.transpose(-1, -2) if transposed else array).abs_().max()
        if difference <= TOLERANCE * array.abs().max():
            return factors
    return None


def operator_rank(operator: Factors | Tensor) -> int:
    """Numerical rank in float64; of factors the product of theirs, the rank of a Kronecker product.

    A singular value counts if it exceeds the largest one times the longer side times 2.2e-16.
    """
    if isinstance(operator, Tensor):
        return int(torch.linalg.matrix_rank(operator))
    parts = (operator.channels, operator.rows, operator.cols)
    return math.prod(int(torch.linalg.matrix_rank(part)) for part in parts)


def _build_operator(factors: Factors | None, matrix: Tensor | None, offset: Tensor) -> PipelineOperator:
    if factors is not None:
        return SeparableOperator(factors, offset)
    assert matrix is not None
    return MatrixOperator(matrix, offset)


def _lines(array: Tensor, transposed: bool) -> Factors:
    """Factors of an array (C', H', W', C, H, W) if it has any: its lines through the largest entry.

    Where array = channels ⊗ rows ⊗ cols, these multiply to the array times the square of that entry.
    """
    if transposed:
        array = array.transpose(-1, -2)
    o, p, q, c, h, w = torch.unravel_index(array.abs().argmax(), array.shape)
    rows, cols = array[o, :, q, c, :, w], array[o, p, :, c, h, :]
    return _scaled(rows, cols, array[:, p, q, :, h, w], array[o, p, q, c, h, w], transposed)


def _scaled(rows: Tensor, cols: Tensor, channels: Tensor, pivot: Tensor, transposed: bool) -> Factors:
    """Factors from the lines of K through one entry, `pivot`: what they multiply to, over its square."""
    scale = 1 / pivot if pivot != 0 else pivot
    rows, cols = rows * scale, cols * scale
    row_sum, col_sum = rows.abs().sum(1).max(), cols.abs().sum(1).max()
    channels = channels * row_sum * col_sum
    if pivot != 0:
        rows, cols = rows / row_sum, cols / col_sum
    return Factors(channels, rows, cols, transposed)


def _nearest(pipeline: Pipeline, shape: Shape, factors: Factors, offset: Tensor, probes: Tensor) -> Factors:
    matrix, _ = operator_matrix(pipeline, shape, dtype=torch.float32)
    other = _lines(matrix.view(*offset.shape, *shape), factors.transposed)
    return min(
        (factors, other), key=lambda found: _float32_error(pipeline, SeparableOperator(found, offset), probes)
    )


def _probes(shape: Shape) -> Tensor:
    """Images, uint8 (P, C, H, W): uniform ones at the corners of the range, and random ones."""
    generator = torch.Generator().manual_seed(0)
    # No step weighs pixels negatively, so a clamp that acts on any image acts on one of these.
    corner_values = itertools.islice(itertools.product((0, 255), repeat=shape[0]), 256)
    corners = torch.tensor(list(corner_values), dtype=torch.uint8)[:, :, None, None].expand(-1, *shape)
    random = torch.randint(0, 256, (NUM_RANDOM, *shape), dtype=torch.uint8, generator=generator)
    extreme = torch.randint(0, 2, (NUM_RANDOM, *shape), dtype=torch.uint8, generator=generator) * 255
    return torch.cat([corners, random, extreme, random // 2])


def _evaluate(pipeline: Pipeline, levels: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """The pipeline on uint8 images as float64: a float one run in `dtype`, another as exact value / 255."""
    if pipeline.dtype == "uint8":
        return pipeline.apply(levels).double().mul(255).round().div(255)
    result: Tensor = pipeline.run(levels.to(dtype) / 255).double()
    return result


def _float32_error(pipeline: Pipeline, operator: PipelineOperator, probes: Tensor) -> float:
    return float((operator(probes / 255) - pipeline.apply(probes)).abs().max())

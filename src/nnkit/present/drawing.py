"""Shared by all figures: a canvas, a colour-blind-safe palette, atomic writing.

Matplotlib is imported when the first figure is drawn, and never through pyplot: there is no global state.
"""

from __future__ import annotations

import csv
import io
import math
import warnings
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nnkit import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito, "Color Universal Design" (2008), without the yellow, which is pale on white.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
MARKERS = "osD^vPX"
GREY = "#6E6E6E"
DPI = 100
_OTHER_SCRIPTS = (
    "Noto Sans CJK JP",
    "Noto Sans",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Yu Gothic",
)
MAX_MARKED = 40
"""Longest line that still gets a marker per point."""


def new_figure(width: float, height: float) -> Figure:
    """A blank white figure of width × height inches."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def style_axes(axes: Axes, *, title: str, x_label: str, y_label: str) -> None:
    """Title, labels, a light grid and no box."""
    axes.set_title(title, fontsize=11, loc="left")
    axes.set_xlabel(x_label, fontsize=10)
    axes.set_ylabel(y_label, fontsize=10)
    axes.tick_params(labelsize=9)
    axes.grid(color="#DDDDDD", linewidth=0.7)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def scale_y(axes: Axes, values: Iterable[float], *, log_from: float = 10.0) -> None:
    """A log axis where all values are positive and span a factor of `log_from`, else a linear one."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, ScalarFormatter

    finite = [value for value in values if math.isfinite(value)]
    if not finite or min(finite) <= 0 or max(finite) / min(finite) < log_from:
        axes.yaxis.set_major_formatter(ScalarFormatter(useOffset=False, useMathText=False))
        return
    decades = math.log10(max(finite) / min(finite))
    steps = (1, 2, 3, 4, 6, 8) if decades < 1 else (1, 2, 5) if decades < 2.5 else (1,)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=steps, numticks=12))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def add_legend(axes: Axes) -> None:
    """A legend below the axes, where it can hide no point."""
    handles, _ = axes.get_legend_handles_labels()
    if handles:
        axes.legend(
            loc="upper center",
            bbox_to_anchor=(0.5, -0.16),
            ncols=4,
            fontsize=9,
            frameon=False,
            handlelength=1.8,
        )


def finite_or_gap(values: Iterable[float | None]) -> list[float]:
    """Values to plot: a gap (NaN) where one is missing or infinite."""
    return [value if value is not None and math.isfinite(value) else math.nan for value in values]


def save_figure(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG, atomically. Text is drawn literally: "$" starts no formula."""
    from matplotlib.text import Text

    families = _font_families()
    for text in figure.findobj(Text):
        text.set_parse_math(False)
        text.set_usetex(False)
        text.set_fontfamily(families)
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        # A letter that no installed font has is drawn as a box; the data file beside holds it.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font", category=UserWarning)
        figure.savefig(buffer, format="png", dpi=DPI, metadata={"Software": None})
    return write_file(path, buffer.getvalue())


def _font_families() -> list[str]:
    # DejaVu comes with matplotlib; of the fonts for other scripts only those installed are named,
    # because matplotlib logs a warning for each that it does not find.
    from matplotlib.font_manager import fontManager

    installed = set(fontManager.get_font_names())
    return ["DejaVu Sans", *(name for name in _OTHER_SCRIPTS if name in installed)]


def save_csv(header: Sequence[str], rows: Iterable[Sequence[Any]], path: Path) -> Path:
    """Write a CSV file, atomically. Floats keep every digit; a missing value is an empty cell."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return write_file(path, buffer.getvalue().encode("utf-8", "replace"))


def write_file(path: Path, content: bytes) -> Path:
    """Replace a file, in a folder that is made where it is missing; return its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    files.write_bytes(path, content)
    return path

"""Figures: their sizes, their style, how they are saved, and what every axis may carry."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from avatarl.files import write_atomic
from avatarl.report.comparison import Section
from avatarl.report.metrics import describe
from avatarl.report.plots.data import PlotData
from avatarl.report.words import LEVEL_NAMES

#: The width of a figure across a page, in inches.
WIDTH_IN = 7.2
_DPI = 200
_STYLE: dict[Any, Any] = {
    "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9, "legend.fontsize": 7.5,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25, "grid.linewidth": 0.5,
    "lines.linewidth": 1.4, "axes.linewidth": 0.7, "svg.fonttype": "path",
    "legend.frameon": False, "text.parse_math": False, "svg.hashsalt": "avatarl",
}  # fmt: skip
#: Grey of lines to compare with.
RULE = "#555555"


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure, in inches, that belongs to no window."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_in_style(draw: Callable[[PlotData], Figure | None], data: PlotData) -> Figure | None:
    """Draw a plot; None where there is nothing to draw."""
    with mpl.rc_context(_STYLE):
        return draw(data)


def write(
    draw: Callable[[PlotData], Figure | None], data: PlotData, paths: Sequence[Path]
) -> Sequence[Path]:
    """Draw a plot and save it to each path, as PNG or SVG by its ending, whole or not at all.

    Returns:
        The files written: none where there was nothing to draw.
    """
    with mpl.rc_context(_STYLE):
        figure = draw(data)
        if figure is None:
            return ()
        for path in paths:
            out = io.BytesIO()
            kind = path.suffix.removeprefix(".")
            # No date: the same runs give the same file.
            metadata = {"Date": None} if kind == "svg" else None
            figure.savefig(out, format=kind, dpi=_DPI, metadata=metadata)
            write_atomic(path, out.getvalue())
    return paths


def millions(value: float, _: object = None) -> str:
    """Write a count of characters briefly: ``250 k``, ``1.5 M``."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"


def wrapped(text: str, width: int) -> str:
    """Return ``text`` in lines of at most ``width`` characters."""
    return textwrap.fill(text, width)


def draw_levels(axis: Axes, section: Section, metric: str) -> None:
    """Draw the corpus's n-gram models as labelled levels, those that fall into view."""
    low, high = sorted(axis.get_ylim())
    better = describe(metric).better
    for name, values in section.levels.items():
        value = values.get(metric)
        if value is None:
            continue
        # A level still to be reached is the point of the picture; one long passed is not.
        if better < 0 and value < low:
            low = value - 0.04 * (high - value)
        elif better > 0 and value > high:
            high = value + 0.04 * (value - low)
        axis.set_ylim(low, high)
        if low <= value <= high:
            axis.axhline(value, color=RULE, linewidth=0.8, linestyle=(0, (6, 3)), zorder=1)
            axis.annotate(
                LEVEL_NAMES[name], xy=(1, value), xycoords=("axes fraction", "data"),
                xytext=(3, 0), textcoords="offset points", va="center", fontsize=7,
                color="#444444", annotation_clip=False,
            )  # fmt: skip

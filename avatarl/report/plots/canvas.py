"""Figures: their sizes, their style, how they are saved, and what every axis may carry."""

from __future__ import annotations

import io
import textwrap
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from itertools import pairwise
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


@dataclass(frozen=True)
class Style:
    """What a picture is made for.

    Attributes:
        width_in: Most width, in inches.
        font: Size of the letters, in points.
        legend_below: Whether legends go below the axes rather than beside them.
    """

    width_in: float
    font: float
    legend_below: bool = False


#: By the words of ``avatarl compare --style``: a screen, and a page and a column of a paper.
STYLES = {
    "screen": Style(1.4 * WIDTH_IN, 9),
    "page": Style(6.75, 8),
    "column": Style(3.3, 7, legend_below=True),
}
_style: ContextVar[Style] = ContextVar("style", default=STYLES["screen"])
_STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25, "grid.linewidth": 0.5,
    "lines.linewidth": 1.4, "axes.linewidth": 0.7, "svg.fonttype": "path", "pdf.fonttype": 42,
    "legend.frameon": False, "text.parse_math": False, "svg.hashsalt": "avatarl",
}  # fmt: skip
#: Grey of lines to compare with.
RULE = "#555555"


def new_figure(width: float, height: float, legend: float = 0.0) -> Figure:
    """Return an empty figure that belongs to no window, and is no wider than the style.

    Args:
        width: In inches.
        height: In inches.
        legend: The legend's height, in inches.
    """
    widest = _style.get().width_in
    if width > widest:
        # A narrow picture keeps enough height for its letters.
        width, height = widest, height * max(0.7, widest / width)
    height = height + legend if _style.get().legend_below else max(height, legend)
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_in_style(draw: Callable[[PlotData], Figure | None], data: PlotData) -> Figure | None:
    """Draw a plot; None where there is nothing to draw."""
    with mpl.rc_context(_STYLE):
        return draw(data)


def write(
    draw: Callable[[PlotData], Figure | None],
    data: PlotData,
    paths: Sequence[Path],
    style: Style = STYLES["screen"],
) -> Sequence[Path]:
    """Draw a plot and save it to each path, PNG, SVG or PDF by its ending, whole or not at all.

    Returns:
        The files written: none where there was nothing to draw.
    """
    font = style.font
    sizes = {
        "font.size": font, "axes.titlesize": font + 1, "axes.labelsize": font,
        "legend.fontsize": font - 1.5 if font > 8 else font - 1,
        "legend.title_fontsize": font - 1.5 if font > 8 else font - 1,
        "xtick.labelsize": font - 1, "ytick.labelsize": font - 1,
    }  # fmt: skip
    chosen = _style.set(style)
    try:
        return _write(draw, data, paths, {**_STYLE, **sizes})
    finally:
        _style.reset(chosen)


def _write(
    draw: Callable[[PlotData], Figure | None],
    data: PlotData,
    paths: Sequence[Path],
    settings: dict[Any, Any],
) -> Sequence[Path]:
    with mpl.rc_context(settings):
        figure = draw(data)
        if figure is None:
            return ()
        for path in paths:
            out = io.BytesIO()
            kind = path.suffix.removeprefix(".")
            # No date: the same runs give the same file.
            metadata = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)
            figure.savefig(out, format=kind, dpi=_DPI, metadata=metadata)
            write_atomic(path, out.getvalue())
    return paths


def style() -> Style:
    """Return what the picture being drawn is made for."""
    return _style.get()


def across(panels: int, most: int, each_in: float = 3.0) -> int:
    """Return how many panels of at least ``each_in`` inches go beside each other."""
    return max(1, min(panels, most, int(_style.get().width_in // each_in)))


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
    for values in section.levels.values():
        value = values.get(metric)
        if value is None:
            continue
        # A level still to be reached is the point of the picture; one long passed is not.
        if better < 0 and value < low:
            low = value - 0.04 * (high - value)
        elif better > 0 and value > high:
            high = value + 0.04 * (value - low)
        axis.set_ylim(low, high)
    seen = [
        (value, LEVEL_NAMES[name])
        for name, values in section.levels.items()
        if (value := values.get(metric)) is not None and low <= value <= high
    ]
    for (value, name), shift in zip(seen, _apart(axis, [value for value, _ in seen]), strict=True):
        axis.axhline(value, color=RULE, linewidth=0.8, linestyle=(0, (6, 3)), zorder=1)
        axis.annotate(
            name, xy=(1, value), xycoords=("axes fraction", "data"),
            xytext=(3, shift), textcoords="offset points", va="center", fontsize=_level_points(),
            color="#444444", annotation_clip=False,
        )  # fmt: skip


def _level_points() -> float:
    return min(7.0, _style.get().font - 1)


def _apart(axis: Axes, values: Sequence[float]) -> list[float]:
    """Return how far to move each value's label, in points, so that none lies on another."""
    figure = axis.get_figure()
    assert figure is not None
    own = [float(axis.transData.transform((0.0, value))[1]) * 72 / figure.dpi for value in values]
    moved, order = list(own), sorted(range(len(own)), key=own.__getitem__)
    # Neighbours that are too close push each other off, until none is.
    for _ in range(50):
        for below, above in pairwise(order):
            lacking = 1.25 * _level_points() - (moved[above] - moved[below])
            if lacking > 1e-3:
                moved[below] -= lacking / 2
                moved[above] += lacking / 2
    return [there - here for there, here in zip(moved, own, strict=True)]

"""Learning curves as a picture: a band a configuration, the n-gram levels drawn in."""

from __future__ import annotations

import io
import math
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from avatarl.files import write_atomic
from avatarl.report.aggregate import LEVEL_NAMES, Comparison, Configuration, Section, show
from avatarl.report.curves import Journals, band
from avatarl.report.metrics import describe, format_number
from avatarl.report.style import Look, looks

#: Sizes for a full-width figure on paper, in inches and points.
WIDTH_IN = 7.2
_DPI = 200
RC: dict[Any, Any] = {
    "font.size": 9, "axes.titlesize": 10, "axes.labelsize": 9, "legend.fontsize": 7.5,
    "xtick.labelsize": 8, "ytick.labelsize": 8, "axes.spines.top": False,
    "axes.spines.right": False, "axes.grid": True, "grid.alpha": 0.25, "grid.linewidth": 0.5,
    "lines.linewidth": 1.4, "axes.linewidth": 0.7, "svg.fonttype": "path",
    "legend.frameon": False, "text.parse_math": False, "svg.hashsalt": "avatarl",
}  # fmt: skip
_LEGEND_ROWS = 24
#: A legend that stands right of the levels' names: from the axis's edge, in its own letters.
_BESIDE: dict[str, Any] = {
    "loc": "center left", "bbox_to_anchor": (1, 0.5), "borderaxespad": 6, "handlelength": 2.4,
    "title_fontsize": 7.5, "alignment": "left",
}  # fmt: skip
_LEGEND_WIDTH = 34


def millions(value: float, _: object = None) -> str:
    """Write a count of characters briefly: ``250 k``, ``1.5 M``."""
    for size, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= size:
            return f"{value / size:g} {unit}"
    return f"{value:g}"


def new_figure(width: float, height: float) -> Figure:
    """Return an empty figure that belongs to no window."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, path: Path) -> None:
    """Write a figure as the path's ending says (PNG or SVG), whole or not at all."""
    out = io.BytesIO()
    kind = path.suffix.removeprefix(".")
    # No date: the same runs give the same file.
    metadata = {"Date": None} if kind == "svg" else None
    figure.savefig(out, format=kind, dpi=_DPI, metadata=metadata)
    write_atomic(path, out.getvalue())


def learning_curves(
    comparison: Comparison, journals: Journals, metric: str = "val/nats"
) -> Figure | None:
    """Draw ``metric`` against characters seen, one panel a section; None if nothing was logged."""
    import matplotlib as mpl

    panels = [
        section
        for section in comparison.sections
        if any(
            journals.curve(run.run_id, metric) for row in section.configurations for run in row.runs
        )
    ]
    if not panels:
        return None
    with mpl.rc_context(RC):
        figure = new_figure(WIDTH_IN * 1.25, 4.3 * len(panels))
        axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
        for axis, section in zip(axes, panels, strict=True):
            _panel(axis, comparison, section, journals, metric)
            if len(comparison.sections) > 1 or len(panels) == 1:
                axis.set_title(section.title, loc="left")
    return figure


def _panel(
    axis: Axes, comparison: Comparison, section: Section, journals: Journals, metric: str
) -> None:
    rows = section.configurations
    styles = looks(rows, section.keys)
    drawn: list[float] = []
    entries: list[tuple[Any, str]] = []
    hidden = 0
    # Muted first, so that what stands out lies on top.
    for row in sorted(rows, key=lambda row: not styles[row.key].muted):
        line = _draw(axis, row, styles[row.key], journals, metric, drawn)
        if line is None:
            continue
        if styles[row.key].muted:
            hidden += 1
        else:
            entries.append((line, legend_label(section, row, metric)))
    if hidden:
        entries.append((axis.plot([], [], color="#BFBFBF")[0], f"{hidden} more configurations"))
    finals = any(metric in row.estimates for row in rows)
    sample = "\n(lines: a fixed sample of the held-out text; dots and levels: all of it)"
    axis.set_xlabel(f"characters seen{sample if finals and metric.startswith('val/') else ''}")
    axis.set_ylabel(describe(metric).title)
    axis.xaxis.set_major_formatter(FuncFormatter(millions))
    _limits(axis, drawn)
    draw_levels(axis, section, metric)
    if entries:
        lines, labels = zip(*entries, strict=True)
        legend_beside(axis, comparison, section, lines, labels)


def legend_beside(
    axis: Axes,
    comparison: Comparison,
    section: Section,
    handles: Sequence[Any],
    labels: Sequence[str],
) -> None:
    """Put a legend right of the axis, headed by the keys whose values its labels are."""
    title = ", ".join(comparison.headings[key] for key in section.keys)
    axis.legend(
        handles[:_LEGEND_ROWS], labels[:_LEGEND_ROWS],
        title=textwrap.fill(title, _LEGEND_WIDTH), **_BESIDE,
    )  # fmt: skip


def _draw(
    axis: Axes, row: Configuration, look: Look, journals: Journals, metric: str, drawn: list[float]
) -> Any:
    mean = band(row, journals, metric)
    line = None
    if mean is not None:
        single = mean.x.size == 1
        (line,) = axis.plot(
            mean.x, mean.mean, color=look.colour, linestyle=look.dash,
            marker=look.marker if single else None, zorder=2 if look.muted else 3,
        )  # fmt: skip
        if mean.n > 1:
            axis.fill_between(
                mean.x, mean.low, mean.high, color=look.colour, alpha=0.15, linewidth=0
            )
        drawn += _after_start(mean.x, mean.mean)
        final = row.estimates.get(metric)
        if final is not None:
            # The curve is of a sample of the held-out text, the table's number of all of it.
            axis.plot(
                mean.x[-1:], [final.mean], look.marker, color=look.colour, markersize=4.5,
                markeredgecolor="white", markeredgewidth=0.5, zorder=5,
            )  # fmt: skip
            drawn.append(final.mean)
    for run in row.unfinished:
        curve = journals.curve(run.run_id, metric)
        if curve is None:
            continue
        (thin,) = axis.plot(
            curve.x, curve.y, color=look.colour, linestyle=(0, (1, 2)), linewidth=0.9
        )
        end = "x" if run.state == "failed" else ">"
        axis.plot(curve.x[-1:], curve.y[-1:], color=look.colour, marker=end, markersize=4)
        drawn += _after_start(curve.x, curve.y)
        line = line or thin
    return line


def row_name(section: Section, row: Configuration) -> str:
    """Return a configuration's values, which is its name in a legend; controls are named so."""
    name = ", ".join(show(row.values[key]) for key in section.keys if key in row.values)
    alike = [other for other in section.configurations if other.is_control is row.is_control]
    code = ""
    if sum(other.values == row.values for other in alike) > 1:
        code = f", code {row.code[:8] or 'unknown'}"
    if not row.is_control:
        return f"{name or row.label}{code}"
    return f"control · {name}{code}" if len(alike) > 1 else "control"


def legend_label(section: Section, row: Configuration, metric: str) -> str:
    """Return a configuration's name and its final metric, as a legend has them."""
    name = textwrap.fill(row_name(section, row), _LEGEND_WIDTH)
    told = row.estimates.get(metric)
    ending = ""
    if told is not None:
        ending = f"  {format_number(told.mean, min(3, describe(metric).digits))}"
        ending += f" (n={told.n})" if told.n > 1 else ""
    waiting = [run.describe_state() for run in row.unfinished]
    if waiting and not row.done:
        ending += f"  ({waiting[0]})"
    return f"{name}{ending}"


def _after_start(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[float]:
    """Return the values after the first twentieth, where every curve falls alike from the top."""
    late: list[float] = y[x >= x[-1] / 20].tolist()
    return late


def _limits(axis: Axes, drawn: Sequence[float]) -> None:
    finite = [value for value in drawn if math.isfinite(value)]
    if not finite:
        return
    low, high = min(finite), max(finite)
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    axis.set_ylim(low - margin, high + margin)


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
            axis.axhline(value, color="#555555", linewidth=0.8, linestyle=(0, (6, 3)), zorder=1)
            axis.annotate(
                LEVEL_NAMES[name], xy=(1, value), xycoords=("axes fraction", "data"),
                xytext=(3, 0), textcoords="offset points", va="center", fontsize=7,
                color="#444444", annotation_clip=False,
            )  # fmt: skip

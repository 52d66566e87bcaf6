"""Learning curves: a band a configuration, the n-gram levels drawn in, one panel a section."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from numpy.typing import NDArray

from avatarl.report.comparison import Comparison, Configuration, Section
from avatarl.report.curves import Band, Journals, band
from avatarl.report.metrics import describe
from avatarl.report.plots.canvas import WIDTH_IN, draw_levels, millions, new_figure, style, wrapped
from avatarl.report.plots.data import PlotData
from avatarl.report.plots.legends import legend_beside, legend_height, legend_label
from avatarl.report.plots.scales import set_scale
from avatarl.report.scale import scale_of
from avatarl.report.style import MUTED, Look, looks

EACH = "metric"
#: Seeds from which on a mean has a band; fewer are drawn one by one.
ENOUGH = 4


def draw(data: PlotData) -> Figure | None:
    """Draw the metric against the journals' axis."""
    comparison, journals, metric = data.comparison, data.journals, data.metric
    panels = [
        section
        for section in comparison.sections
        if any(
            journals.curve(run.run_id, metric) for row in section.configurations for run in row.runs
        )
    ]
    if not panels:
        return None
    legend = sum(map(legend_height, panels))
    figure = new_figure(WIDTH_IN * 1.25, 4.3 * len(panels), legend)
    axes = figure.subplots(len(panels), 1, squeeze=False)[:, 0]
    for axis, section in zip(axes, panels, strict=True):
        _panel(axis, comparison, section, journals, metric)
        if len(comparison.sections) > 1 or len(panels) == 1:
            axis.set_title(wrapped(section.title, 40 if style().legend_below else 90), loc="left")
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
            entries.append((line, legend_label(section, row)))
    if hidden:
        entries.append((axis.plot([], [], color=MUTED)[0], f"{hidden} more configurations"))
    finals = any(metric in row.estimates for row in rows)
    title = journals.axis.title
    if finals and metric.startswith("val/"):
        sample = "(lines: a fixed sample of the held-out text; dots and levels: all of it)"
        title += f"\n{wrapped(sample, 46 if style().legend_below else 80)}"
    axis.set_xlabel(title)
    axis.set_ylabel(describe(metric).title)
    axis.xaxis.set_major_formatter(FuncFormatter(millions))
    set_limits(axis, drawn)
    draw_levels(axis, section, metric)
    if entries:
        lines, labels = zip(*entries, strict=True)
        legend_beside(axis, section, lines, labels)


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
        draw_spread(axis, row, mean, journals, metric, look.colour)
        drawn += after_start(mean.x, mean.mean)
        final = row.mean(metric)
        if final is not None:
            # The curve is of a sample of the held-out text, the table's number of all of it.
            axis.plot(
                mean.x[-1:], [final], look.marker, color=look.colour, markersize=4.5,
                markeredgecolor="white", markeredgewidth=0.5, zorder=5,
            )  # fmt: skip
            drawn.append(final)
    for run in row.unfinished:
        curve = journals.curve(run.run_id, metric)
        if curve is None:
            continue
        (thin,) = axis.plot(
            curve.x, curve.y, color=look.colour, linestyle=(0, (1, 2)), linewidth=0.9
        )
        end = "x" if run.state == "failed" else ">"
        axis.plot(curve.x[-1:], curve.y[-1:], color=look.colour, marker=end, markersize=4)
        drawn += after_start(curve.x, curve.y)
        line = line or thin
    return line


def after_start(x: NDArray[np.float64], y: NDArray[np.float64]) -> list[float]:
    """Return the values after the first twentieth, where every curve falls alike from the top."""
    late: list[float] = y[x >= x[-1] / 20].tolist()
    return late


def telling(values: Sequence[float], better: int) -> list[float]:
    """Return all but the worst fifth, which would leave the others no room in a picture."""
    ranked = sorted(values, reverse=better > 0)
    return ranked[: math.ceil(0.8 * len(ranked))]


def draw_spread(
    axis: Axes, row: Configuration, mean: Band, journals: Journals, metric: str, colour: str
) -> None:
    """Draw what a mean is of: the band of its interval, or so few seeds as thin lines."""
    if mean.n >= ENOUGH:
        axis.fill_between(mean.x, mean.low, mean.high, color=colour, alpha=0.15, linewidth=0)
    elif mean.n > 1:
        for run in row.done:
            if (curve := journals.curve(run.run_id, metric)) is not None:
                axis.plot(curve.x, curve.y, color=colour, linewidth=0.5, alpha=0.5, zorder=1.5)


def set_limits(axis: Axes, drawn: Sequence[float]) -> None:
    """Let the vertical axis show these values, on a logarithmic scale where they span powers."""
    finite = [value for value in drawn if math.isfinite(value)]
    if not finite:
        return
    low, high = min(finite), max(finite)
    if scale_of(finite) == "log":
        set_scale(axis, "y", finite)
        axis.set_ylim(low / (high / low) ** 0.05, high * (high / low) ** 0.05)
        return
    margin = 0.05 * (high - low) or 0.05 * abs(high) or 0.05
    axis.set_ylim(low - margin, high + margin)

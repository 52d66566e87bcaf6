"""Entropy and health over the run, with alarms (▲ raised, ▽ cleared) and promotions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from avatarl.report.alarms import HEALTH, curve_of, thresholds
from avatarl.report.comparison import Configuration
from avatarl.report.curves import Journals, band
from avatarl.report.metrics import describe
from avatarl.report.plots.canvas import RULE, WIDTH_IN, millions, new_figure, style, wrapped
from avatarl.report.plots.curves import ENOUGH, draw_spread
from avatarl.report.plots.data import PlotData
from avatarl.report.plots.legends import ROWS, heading, legend_height, legend_label
from avatarl.report.plots.scales import set_scale
from avatarl.report.style import Look

CURVES = HEALTH


def draw(data: PlotData) -> Figure | None:
    """Draw a panel a curve."""
    section, journals = data.section, data.journals
    rows = section.configurations
    drawn = [
        metric
        for metric in HEALTH
        if any(journals.curve(run.run_id, metric) for row in rows for run in row.runs)
    ]
    if not drawn:
        return None
    styles, limits = data.looks, thresholds(section)
    figure = new_figure(WIDTH_IN * 1.25, 1.5 * len(drawn) + 0.4, legend_height(section))
    panels = list(figure.subplots(len(drawn), 1, squeeze=False, sharex=True)[:, 0])
    for axis, metric in zip(panels, drawn, strict=True):
        for row in sorted(rows, key=lambda row: not styles[row.key].muted):
            _timeline(axis, row, styles[row.key], journals, metric)
        values = [value for line in axis.get_lines() for value in np.asarray(line.get_ydata())]
        set_scale(axis, "y", [value for value in values if np.isfinite(value)])
        if metric in limits:
            axis.axhline(limits[metric], color=RULE, linewidth=0.8, linestyle=":")
        axis.set_ylabel(wrapped(describe(metric).title, 18), fontsize=7.5)
        axis.margins(x=0.01)
    for row in rows:
        for run in row.runs:
            for event in journals.events.get(run.run_id, ()):
                _mark(panels, drawn, event, styles[row.key], journals, run.run_id)
    panels[-1].set_xlabel(f"{journals.axis.title}   (▲ alarm raised, ▽ cleared, | promotion)")
    panels[-1].xaxis.set_major_formatter(FuncFormatter(millions))
    by_key = {str(line.get_label()): line for line in panels[0].get_lines()}
    shown = [row for row in rows if row.key in by_key][:ROWS]
    if shown:
        figure.legend(
            [by_key[row.key] for row in shown],
            [legend_label(section, row) for row in shown],
            loc="outside lower left" if style().legend_below else "outside right center",
            title=heading(section),
        )
    return figure


def _timeline(axis: Axes, row: Configuration, look: Look, journals: Journals, metric: str) -> None:
    mean = band(row, journals, metric)
    if mean is not None:
        axis.plot(
            mean.x, mean.mean, color=look.colour, linestyle=look.dash, linewidth=1,
            label=None if look.muted else row.key,
        )  # fmt: skip
        if mean.n < ENOUGH:
            draw_spread(axis, row, mean, journals, metric, look.colour)
    for run in row.unfinished:
        curve = journals.curve(run.run_id, metric)
        if curve is not None:
            axis.plot(curve.x, curve.y, color=look.colour, linestyle=(0, (1, 2)), linewidth=0.8)


def _mark(
    panels: Sequence[Axes],
    drawn: Sequence[str],
    event: Mapping[str, Any],
    look: Look,
    journals: Journals,
    run_id: str,
) -> None:
    x = event.get(journals.axis.column)
    if not isinstance(x, int | float):
        return
    if event.get("event") == "promotion":
        for axis in panels:
            axis.axvline(x, color=look.colour, linewidth=0.7, alpha=0.6)
        panels[0].annotate(
            str(event.get("to", "")), xy=(x, 1), xycoords=("data", "axes fraction"),
            fontsize=6.5, rotation=90, va="top", ha="right", color=look.colour,
        )  # fmt: skip
    elif event.get("event") == "alarm":
        metric = curve_of(event, drawn)
        curve = journals.curve(run_id, metric)
        if curve is None:
            return
        raised = event.get("state") == "raised"
        panels[drawn.index(metric)].plot(
            [x], [np.interp(x, curve.x, curve.y)], marker="^" if raised else "v",
            color=look.colour, markerfacecolor=look.colour if raised else "white", markersize=5,
            zorder=4,
        )  # fmt: skip

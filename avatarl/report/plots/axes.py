"""The final metric against each swept key, one line for each value of another key."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avatarl.report.comparison import Configuration, Section
from avatarl.report.metrics import describe
from avatarl.report.plots.canvas import WIDTH_IN, across, draw_levels, new_figure
from avatarl.report.plots.data import PlotData
from avatarl.report.plots.scales import set_scale
from avatarl.report.plots.swept import POOLED, swept_rows
from avatarl.report.scale import places
from avatarl.report.statistics import estimate
from avatarl.report.style import CONTROL, MARKERS, PALETTE
from avatarl.report.words import word, words


def draw(data: PlotData) -> Figure | None:
    """Draw a panel a key."""
    rows, keys = swept_rows(data)
    if not keys:
        return None
    wide = across(len(keys), 2)
    down = math.ceil(len(keys) / wide)
    figure = new_figure(WIDTH_IN * (1 if wide == 2 else 0.75), 3.2 * down)
    panels = figure.subplots(down, wide, squeeze=False).flatten()
    for axis, key in zip(panels, keys, strict=False):
        _panel(axis, data, rows, key)
    for axis in panels[len(keys) :]:
        axis.set_visible(False)
    return figure


def _panel(axis: Axes, data: PlotData, rows: Sequence[Configuration], key: str) -> None:
    section, metric, headings = data.section, data.metric, data.comparison.headings
    values = words(rows, key)
    where, numeric = places(values)
    others = [k for k in section.keys if k != key and 1 < len(words(rows, k)) <= len(PALETTE)]
    series = others[0] if others else ""
    groups = words(rows, series) if series else [""]
    # Side by side rather than on top of each other, a little, where the axis is of words.
    gap = min((b - a for a, b in pairwise(sorted(where.values()))), default=1.0)
    for index, group in enumerate(groups):
        members = [row for row in rows if not series or word(row, series) == group]
        shift = 0.0 if numeric else (index - (len(groups) - 1) / 2) * 0.06 * gap
        shifted = {value: place + shift for value, place in where.items()}
        look = {"color": PALETTE[index], "marker": MARKERS[index], "label": group}
        # Numbers lie on a line; words are in no order that a line could follow.
        look["linestyle"] = "-" if numeric else "none"
        _series(axis, members, key, metric, shifted, look)
        if len(words(members, key)) < len(members):
            axis.set_title(POOLED, loc="left", fontsize=8)
    _controls(axis, section, key, metric, where, numeric)
    axis.margins(x=0.08)
    draw_levels(axis, section, metric)
    axis.set_xlabel(headings[key])
    axis.set_ylabel(describe(metric).title)
    if not numeric:
        axis.set_xticks([where[value] for value in values], values)
        if sum(map(len, values)) > 40:
            axis.tick_params(axis="x", rotation=30)
    else:
        set_scale(axis, "x", list(where.values()), chosen=True)
    if series or len(axis.get_legend_handles_labels()[0]) > 1:
        axis.legend(
            title=headings.get(series), loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=4,
        )  # fmt: skip


def _series(
    axis: Axes,
    rows: Sequence[Configuration],
    key: str,
    metric: str,
    where: Mapping[str, float],
    look: Mapping[str, Any],
) -> None:
    """Draw the mean at each place, with its interval, and every seed."""
    x, y, below, above = [], [], [], []
    for value, place in where.items():
        runs = [run for row in rows if word(row, key) == value for run in row.done]
        numbers = [number for run in runs if (number := run.number(metric)) is not None]
        average = estimate(numbers)
        if average is None:
            continue
        axis.plot(
            [place] * len(numbers), numbers, ".", color=look["color"], alpha=0.35, markersize=4,
            zorder=2,
        )  # fmt: skip
        x.append(place)
        y.append(average.mean)
        below.append(0.0 if average.low is None else average.mean - average.low)
        above.append(0.0 if average.high is None else average.high - average.mean)
    axis.errorbar(
        x, y, yerr=[below, above], markersize=5, linewidth=1.1, elinewidth=0.9, capsize=2,
        zorder=3, **look,
    )  # fmt: skip


def _controls(
    axis: Axes,
    section: Section,
    key: str,
    metric: str,
    where: Mapping[str, float],
    numeric: bool,
) -> None:
    """Draw controls where they stand on the key, if they depend on it, else as levels."""
    controls = [row for row in section.configurations if row.is_control and metric in row.estimates]
    if len({word(row, key) for row in controls}) > 1:
        placed = [row for row in controls if word(row, key) in where]
        look = {"color": CONTROL, "marker": "o", "markerfacecolor": "white", "label": "control"}
        look["linestyle"] = "-." if numeric else "none"
        _series(axis, placed, key, metric, where, look)
        return
    means = sorted(row.estimates[metric].mean for row in controls)
    for mean in means:
        axis.axhline(mean, color=CONTROL, linewidth=1, linestyle="-.", zorder=1)
    if means:
        axis.annotate(
            "control" if len(means) == 1 else "controls", xy=(0, means[-1]),
            xycoords=("axes fraction", "data"), xytext=(3, 2), textcoords="offset points",
            fontsize=7, color=CONTROL,
        )  # fmt: skip

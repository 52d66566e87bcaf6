"""The final metric over each pair of swept keys, averaged over what is left."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import combinations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from avatarl.report.comparison import Configuration
from avatarl.report.metrics import describe, format_number
from avatarl.report.plots.canvas import WIDTH_IN, across, new_figure
from avatarl.report.plots.data import PlotData
from avatarl.report.plots.swept import POOLED, swept_rows
from avatarl.report.words import word, words

_MOST_PAIRS = 3


def draw(data: PlotData) -> Figure | None:
    """Draw a panel a pair."""
    rows, keys = swept_rows(data)
    pairs = list(combinations(keys, 2))[:_MOST_PAIRS]
    if not pairs:
        return None
    wide = across(len(pairs), _MOST_PAIRS)
    tall = math.ceil(len(pairs) / wide)
    figure = new_figure(min(WIDTH_IN * 1.4, 4.4 * wide), 3.4 * tall)
    panels = figure.subplots(tall, wide, squeeze=False).flatten()
    for axis, (vertical, horizontal) in zip(panels, pairs, strict=False):
        _panel(axis, figure, data, rows, vertical, horizontal)
    for axis in panels[len(pairs) :]:
        axis.set_visible(False)
    return figure


def _panel(
    axis: Axes,
    figure: Figure,
    data: PlotData,
    rows: Sequence[Configuration],
    down: str,
    along: str,
) -> None:
    metric = describe(data.metric)
    vertical, horizontal = words(rows, down), words(rows, along)
    cells = np.full((len(vertical), len(horizontal)), np.nan)
    most = 0
    for i, tall in enumerate(vertical):
        for j, wide in enumerate(horizontal):
            fit = [row for row in rows if word(row, down) == tall and word(row, along) == wide]
            most = max(most, len(fit))
            if fit:
                cells[i, j] = np.mean([row.estimates[data.metric].mean for row in fit])
    # Dark is good whichever way the metric runs; cividis reads alike for every kind of vision.
    colours = "cividis" if metric.better <= 0 else "cividis_r"
    image = axis.imshow(cells, cmap=colours, aspect="auto")
    axis.grid(visible=False)
    axis.set_xticks(range(len(horizontal)), horizontal)
    axis.set_yticks(range(len(vertical)), vertical)
    axis.set_xlabel(data.comparison.headings[along])
    axis.set_ylabel(data.comparison.headings[down])
    if cells.size <= 80:
        low, high = float(np.nanmin(cells)), float(np.nanmax(cells))
        for (i, j), value in np.ndenumerate(cells):
            if np.isfinite(value):
                shade = (float(value) - low) / (high - low or 1.0)
                light = shade < 0.5 if colours == "cividis" else shade > 0.5
                axis.text(
                    j, i, format_number(float(value), min(3, metric.digits)),
                    ha="center", va="center", fontsize=7, color="white" if light else "black",
                )  # fmt: skip
    bar = figure.colorbar(image, ax=axis, shrink=0.9)
    bar.set_label(metric.title)
    if most > 1:
        axis.set_title(POOLED, loc="left", fontsize=8)

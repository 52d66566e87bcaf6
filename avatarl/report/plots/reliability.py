"""Accuracy against confidence, a panel a configuration; the diagonal is honest."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from avatarl.report.comparison import Configuration
from avatarl.report.plots.canvas import WIDTH_IN, across, new_figure, style, wrapped
from avatarl.report.plots.data import PlotData
from avatarl.report.plots.legends import name
from avatarl.report.style import PALETTE

_MOST_PANELS = 12


def draw(data: PlotData) -> Figure | None:
    """Draw every finished seed's bins, larger where more of the text falls in."""
    section = data.section
    rows = [row for row in section.configurations if any(_bins(run.result) for run in row.done)]
    if not rows:
        return None
    shown = rows[:_MOST_PANELS]
    wide = across(len(shown), 4, 1.6)
    down = math.ceil(len(shown) / wide)
    # Wide enough for the words below, also for a single panel.
    figure = new_figure(max(3.6, WIDTH_IN * wide / 4 + 0.4), 2.1 * down + 0.4)
    panels = figure.subplots(down, wide, squeeze=False, sharex=True, sharey=True)
    for axis, row in zip(panels.flatten(), shown, strict=False):
        _panel(axis, row)
        axis.set_title(wrapped(name(section, row), 26), fontsize=8)
    for place, axis in enumerate(panels.flatten()):
        axis.set_visible(place < len(shown))
        # The lowest panel of a column may be in the last row but one.
        axis.tick_params(labelbottom=place + wide >= len(shown))
    figure.supxlabel("confidence (probability of the likeliest character)", fontsize=style().font)
    figure.supylabel("held-out accuracy", fontsize=style().font)
    if len(rows) > len(shown):
        figure.suptitle(f"the best {len(shown)} of {len(rows)} configurations", fontsize=8)
    return figure


def _panel(axis: Axes, row: Configuration) -> None:
    axis.plot([0, 1], [0, 1], color="#888888", linewidth=0.8, linestyle=":")
    for run in row.done:
        bins = _bins(run.result)
        if bins is None:
            continue
        confidence, accuracy, weight = bins
        full = weight > 0
        axis.plot(confidence[full], accuracy[full], color=PALETTE[0], linewidth=0.9, alpha=0.6)
        axis.scatter(
            confidence[full], accuracy[full], s=4 + 120 * weight[full], color=PALETTE[0],
            alpha=0.6, linewidths=0,
        )  # fmt: skip
    axis.set(xlim=(0, 1), ylim=(0, 1), aspect="equal", xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))


def _bins(result: Mapping[str, Any]) -> tuple[NDArray[np.float64], ...] | None:
    """Return confidence, accuracy and weight of the bins, (N,) each; None if they are no such."""
    bins = result.get("reliability")
    if not isinstance(bins, Mapping):
        return None
    try:
        confidence, accuracy, weight = (
            np.asarray([np.nan if v is None else v for v in bins[name]], dtype=np.float64)
            for name in ("confidence", "accuracy", "weight")
        )
    except (KeyError, TypeError, ValueError):
        return None
    if not confidence.shape == accuracy.shape == weight.shape or confidence.ndim != 1:
        return None
    return confidence, accuracy, np.nan_to_num(weight)

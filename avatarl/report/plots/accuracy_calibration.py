"""Accuracy against calibration error: top left is accurate and honest."""

from __future__ import annotations

from matplotlib.figure import Figure

from avatarl.report.alarms import thresholds
from avatarl.report.metrics import describe
from avatarl.report.plots.canvas import RULE, WIDTH_IN, draw_levels, new_figure
from avatarl.report.plots.data import PlotData
from avatarl.report.plots.legends import legend_beside, legend_height, legend_label
from avatarl.report.statistics import Estimate, estimate


def draw(data: PlotData) -> Figure | None:
    """Draw a point a configuration, with whiskers over its seeds."""
    points = []
    for row in data.finished("val/accuracy"):
        x, y = (
            estimate([value for run in row.done if (value := run.number(metric)) is not None])
            for metric in ("val/ece", "val/accuracy")
        )
        if x is not None and y is not None:
            points.append((row, x, y))
    if not points:
        return None
    styles = data.looks
    figure = new_figure(WIDTH_IN, 3.6, legend_height(data.section))
    axis = figure.subplots()
    handles, labels = [], []
    for row, x, y in points:
        look = styles[row.key]
        marker, _, _ = axis.errorbar(
            [x.mean], [y.mean], xerr=_whiskers(x), yerr=_whiskers(y), color=look.colour,
            marker=look.marker, markersize=6, linestyle="none", elinewidth=0.8, capsize=2,
        )  # fmt: skip
        if not look.muted:
            # Without the whiskers, which would only crowd the legend.
            handles.append(marker)
            labels.append(legend_label(data.section, row))
    alarm = thresholds(data.section).get("val/ece")
    if alarm is not None:
        axis.axvline(alarm, color=RULE, linewidth=0.8, linestyle=":")
        axis.annotate(
            "alarm", xy=(alarm, 1), xycoords=("data", "axes fraction"), xytext=(0, 2),
            textcoords="offset points", ha="center", fontsize=7, color="#444444",
        )  # fmt: skip
    axis.set_xlim(left=0)
    axis.margins(y=0.12)
    draw_levels(axis, data.section, "val/accuracy")
    axis.set_xlabel(describe("val/ece").title)
    axis.set_ylabel(describe("val/accuracy").title)
    legend_beside(axis, data.section, handles, labels)
    return figure


def _whiskers(average: Estimate) -> list[list[float]] | None:
    if average.low is None or average.high is None:
        return None
    return [[average.mean - average.low], [average.high - average.mean]]

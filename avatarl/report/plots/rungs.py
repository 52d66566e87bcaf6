"""Where a search put its runs down: each run's curve, cut where it was paused."""

from __future__ import annotations

from typing import Any

from matplotlib.figure import Figure

from avatarl.report.metrics import describe
from avatarl.report.plots.canvas import RULE, WIDTH_IN, millions, new_figure
from avatarl.report.plots.curves import after_start, set_limits, telling
from avatarl.report.plots.data import PlotData
from avatarl.report.style import PALETTE
from avatarl.runs.state import RunState

CURVES = ("dev/nats",)


def draw(data: PlotData) -> Figure | None:
    """Draw paused runs apart from those that went to their ends; lines where runs were paused."""
    metric = data.searched.metric
    runs = [run for row in data.section.configurations for run in row.runs if not run.is_control]
    curves = [(run, curve) for run in runs if (curve := data.journals.curve(run.run_id, metric))]
    if not any(run.state is RunState.PAUSED for run, _ in curves):
        return None
    figure = new_figure(WIDTH_IN, 3.6)
    axis = figure.subplots()
    drawn: list[float] = []
    labels: dict[str, str] = {}
    for run, curve in curves:
        paused = run.state is RunState.PAUSED
        kind = str(run.state)
        look: dict[str, Any] = {"color": PALETTE[1 if paused else 0], "zorder": 2 if paused else 3}
        axis.plot(
            curve.x, curve.y, linewidth=0.8 if paused else 1.4, alpha=0.7 if paused else 1,
            label=None if kind in labels else kind, **look,
        )  # fmt: skip
        labels[kind] = kind
        axis.plot(curve.x[-1:], curve.y[-1:], "|" if paused else "o", markersize=5, **look)
        drawn += after_start(curve.x, curve.y)
    at = sorted({float(curve.x[-1]) for run, curve in curves if run.state is RunState.PAUSED})
    for place in at if len(at) <= 6 else ():
        axis.axvline(place, color=RULE, linewidth=0.7, linestyle=":", zorder=1)
    set_limits(axis, telling(drawn, describe(metric).better))
    axis.set_xlabel(data.journals.axis.title)
    axis.set_ylabel(describe(metric).title)
    axis.xaxis.set_major_formatter(millions)
    axis.legend(loc="upper right")
    return figure

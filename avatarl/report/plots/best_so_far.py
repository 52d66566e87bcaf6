"""The best result so far, against the steps that were spent by then and the runs begun."""

from __future__ import annotations

from matplotlib.figure import Figure

from avatarl.report.metrics import describe
from avatarl.report.plots.canvas import WIDTH_IN, millions, new_figure, wrapped
from avatarl.report.plots.curves import set_limits, telling
from avatarl.report.plots.data import PlotData
from avatarl.report.style import PALETTE


def draw(data: PlotData) -> Figure | None:
    """Draw every run's end as a dot, and the best of them so far as a line."""
    searched = data.searched
    if len(searched.values) < 2:
        return None
    figure = new_figure(WIDTH_IN, 3.0)
    panels = figure.subplots(1, 2, sharey=True)
    for axis, places, title in zip(
        panels, (searched.spent, searched.begun), ("steps spent", "runs begun"), strict=True
    ):
        axis.plot(places, searched.values, "o", color=PALETTE[0], alpha=0.4, markersize=3.5)
        axis.step(places, searched.best, where="post", color=PALETTE[1], label="best so far")
        axis.set_xlabel(title)
        axis.set_xlim(left=0)
        axis.xaxis.set_major_formatter(millions)
    metric = describe(searched.metric)
    set_limits(panels[0], [*telling(searched.values, metric.better), *searched.best])
    panels[0].set_ylabel(wrapped(metric.title, 30))
    panels[1].legend(loc="upper right")
    return figure

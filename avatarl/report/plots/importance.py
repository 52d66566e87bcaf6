"""How much each swept key matters for how good a run is."""

from __future__ import annotations

from matplotlib.figure import Figure

from avatarl.report.importance import importance_of
from avatarl.report.plots.canvas import WIDTH_IN, new_figure
from avatarl.report.plots.data import PlotData
from avatarl.report.style import PALETTE


def draw(data: PlotData) -> Figure | None:
    """Draw a bar a key."""
    found = importance_of(data.section, data.searched)
    if found is None:
        return None
    figure = new_figure(WIDTH_IN, 0.9 + 0.32 * len(found.shares))
    axis = figure.subplots()
    keys = list(found.shares)[::-1]
    axis.barh([data.comparison.headings[key] for key in keys], [found.shares[key] for key in keys],
              color=PALETTE[0], height=0.6)  # fmt: skip
    axis.set_xlabel(found.told)
    axis.set_xlim(left=0)
    return figure

"""A plot as an object: seen in a notebook, saved to a file."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from avatarl.errors import UserError, did_you_mean
from avatarl.report.curves import read_journals
from avatarl.report.metrics import AXES
from avatarl.report.plots import curves as learning_curves
from avatarl.report.plots.canvas import draw_in_style, write
from avatarl.report.plots.data import PlotData

if TYPE_CHECKING:
    from avatarl.report.load import Runs


class Picture:
    """Learning curves of one metric.

    Attributes:
        figure: As matplotlib has it, to be changed further.
    """

    def __init__(self, data: PlotData) -> None:
        self._data = data
        figure = draw_in_style(learning_curves.draw, data)
        if figure is None:
            raise UserError(f"no run has logged {data.metric} yet")
        self.figure = figure

    def __repr__(self) -> str:
        return f"Picture({self._data.metric} of {self._data.comparison.title})"

    def _repr_png_(self) -> bytes:
        out = io.BytesIO()
        self.figure.savefig(out, format="png", dpi=100)
        return out.getvalue()

    def save(self, path: str | Path) -> None:
        """Write it as ``avatarl compare --plot`` would, as PNG or SVG by the file's ending."""
        write(lambda data: self.figure, self._data, [Path(path)])


def curves(runs: Runs, metric: str, x: str) -> Picture:
    """Draw a metric of runs against an axis.

    Raises:
        UserError: There is no such metric or axis.
    """
    if x not in AXES:
        raise UserError(f"x={x!r} is no axis; valid: {', '.join(AXES)}")
    known = runs.metric_names()
    if metric not in known:
        near = did_you_mean(metric, known)
        raise UserError(f"no run has logged {metric!r}{near}; valid: {', '.join(known)}")
    journals = read_journals(runs, [metric], axis=AXES[x])
    return Picture(PlotData(runs.compare(), journals, metric))

"""Matplotlib's axes with the scale that their numbers ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter, SymmetricalLogLocator

from avatarl.report.scale import scale_of


def set_scale(
    axes: Axes, which: Literal["x", "y"], values: Sequence[float], *, chosen: bool = False
) -> None:
    """Give an axis its scale, with plain numbers at its ticks."""
    scale = scale_of(values, chosen=chosen)
    if scale == "linear":
        return
    set_axis, axis = (
        (axes.set_xscale, axes.xaxis) if which == "x" else (axes.set_yscale, axes.yaxis)
    )
    least, most = min(value for value in values if value > 0), max(values)
    few = most / least < 100
    subs = (1.0, 2.0, 5.0) if few else (1.0,)
    if scale == "log":
        set_axis("log")
        axis.set_major_locator(LogLocator(subs=subs))
    else:
        set_axis("symlog", linthresh=least, linscale=0.5)
        axis.set_major_locator(SymmetricalLogLocator(linthresh=least, base=10, subs=[*subs]))
        # Nothing lies below 0; without an end there, the axis would go on to the next power.
        (axes.set_xlim if which == "x" else axes.set_ylim)(-0.4 * least, 1.3 * most)
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())

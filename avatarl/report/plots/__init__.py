"""The plots of ``avatarl compare --plot``, each a PNG for the screen, an SVG and a PDF for print.

A plot is a module of this package with ``draw(data: PlotData) -> Figure | None`` (None where the
runs hold nothing to draw), or any importable module like it, by its dotted name. It makes a picture
a section; with ``EACH = "metric"``, a picture a metric for all sections together. Metrics that it
reads from the journals besides those shown are listed in its ``CURVES``.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping, Sequence
from importlib import import_module
from pathlib import Path
from types import ModuleType

from avatarl.errors import UserError, did_you_mean
from avatarl.report.comparison import Comparison
from avatarl.report.curves import read_journals
from avatarl.report.load import Runs
from avatarl.report.metrics import CHARACTERS, Axis
from avatarl.report.plots.canvas import STYLES, write
from avatarl.report.plots.data import PlotData
from avatarl.source import entry_points


def find_plots(names: Sequence[str] = ()) -> dict[str, ModuleType]:
    """Return plots by name, every one of this package by default.

    Raises:
        UserError: A name is no plot's.
    """
    own = {
        module.name: plot
        for module in pkgutil.iter_modules(__path__)
        if hasattr(plot := import_module(f"{__name__}.{module.name}"), "draw")
    }
    return {name: _find(name, own) for name in names} or own


def _find(name: str, own: dict[str, ModuleType]) -> ModuleType:
    valid = f"valid: {', '.join(own)}, or the dotted name of a module with draw(data)"
    name = entry_points("avatarl.plot").get(name, name) if name not in own else name
    if "." not in name:
        plot = own.get(name.replace("-", "_"))
        if plot is None:
            raise UserError(
                f"--plots {name}: no plot has this name{did_you_mean(name, own)}; {valid}"
            )
        return plot
    try:
        plot = import_module(name)
    except (ImportError, SyntaxError, TypeError) as error:
        raise UserError(f"--plots {name}: {error}; {valid}") from None
    if not hasattr(plot, "draw"):
        raise UserError(f"--plots {name}: the module has no draw(data); {valid}")
    return plot


def write_plots(
    runs: Runs,
    comparison: Comparison,
    directory: Path,
    plots: Mapping[str, ModuleType] | None = None,
    axis: Axis = CHARACTERS,
    style: str = "screen",
) -> list[Path]:
    """Write every plot the runs have data for, as PNG, SVG and PDF.

    Args:
        runs: The runs.
        comparison: The same, aggregated.
        directory: Where the pictures go.
        plots: What :func:`find_plots` found; all of this package by default.
        axis: What curves are drawn against.
        style: What the pictures are made for: screen, page or column.

    Returns:
        The files written.
    """
    plots = find_plots() if plots is None else plots
    logged = set(runs.metric_names())
    shown = dict.fromkeys(["val/nats", "val/accuracy", *comparison.metrics, "train/nats"])
    timelines = [metric for metric in shown if metric in logged]
    extra = [metric for plot in plots.values() for metric in getattr(plot, "CURVES", ())]
    curves = dict.fromkeys([*timelines, *(metric for metric in extra if metric in logged)])
    journals = read_journals(runs, list(curves), axis=axis)
    written: list[Path] = []
    for name, plot in plots.items():
        stem = name.rpartition(".")[2].replace("_", "-")
        if getattr(plot, "EACH", "section") == "metric":
            pictures = {
                f"-{_file_name(metric)}": PlotData(comparison, journals, metric)
                for metric in timelines
            }
        else:
            pictures = {
                _tail(comparison, at): PlotData(comparison, journals, comparison.metrics[0], at)
                for at in range(len(comparison.sections))
            }
        for tail, data in pictures.items():
            paths = [directory / f"{stem}{tail}.{kind}" for kind in ("png", "svg", "pdf")]
            written += write(plot.draw, data, paths, STYLES[style])
    return written


def _tail(comparison: Comparison, at: int) -> str:
    if len(comparison.sections) == 1:
        return ""
    return f"-{_file_name(comparison.sections[at].corpus)}-{at + 1}"


def _file_name(metric: str) -> str:
    return "".join(c if c.isalnum() or c in "-_" else "-" for c in metric) or "unnamed"

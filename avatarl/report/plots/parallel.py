"""Parallel axes: a line a run over the swept keys and what came of it, paused runs apart."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator

from avatarl.report.metrics import describe
from avatarl.report.plots.canvas import RULE, WIDTH_IN, new_figure, style
from avatarl.report.plots.curves import telling
from avatarl.report.plots.data import PlotData
from avatarl.report.scale import places, scale_of
from avatarl.report.style import PALETTE
from avatarl.report.words import word, words
from avatarl.runs.state import RunState

#: Fewer lines than this are a table; and how many values are all marked.
_FEWEST, _MOST_MARKS = 4, 8
#: How runs are drawn: those put down, and those that came to their ends.
_LOOKS: dict[str, dict[str, Any]] = {
    "paused": {"color": PALETTE[1], "linewidth": 0.8, "linestyle": (0, (4, 3)), "alpha": 0.7},
    "done": {"color": PALETTE[0], "linewidth": 1.3, "linestyle": "-"},
}


@dataclass(frozen=True)
class _Axis:
    """One of the axes, from 0 at its foot to 1.

    Attributes:
        at: Where each run stands; NaN: nowhere.
        marks: Places and their words.
    """

    title: str
    at: Sequence[float]
    marks: Sequence[tuple[float, str]]


def draw(data: PlotData) -> Figure | None:
    """Draw the keys, then the metric at the first rung of a search and at the end."""
    rows = [row for row in data.section.configurations if not row.is_control]
    runs = [(row, run) for row in rows for run in row.runs
            if run.state in (RunState.DONE, RunState.PAUSED)]  # fmt: skip
    keys = [key for key in data.section.keys if len(words([row for row, _ in runs], key)) > 1]
    searched, metric = data.searched, data.searched.metric
    first = [searched.first.get(run.run_id, math.nan) for _, run in runs]
    ends = [
        value if run.done and (value := run.number(metric)) is not None else math.nan
        for _, run in runs
    ]
    if len(runs) < _FEWEST or not keys or all(map(math.isnan, ends)):
        return None
    headings = data.comparison.headings
    axes = [
        _of_key(headings[key], [word(row, key) for row, _ in runs], words(rows, key))
        for key in keys
    ]
    better = describe(metric).better
    if searched.rung is not None:
        axes.append(_of_metric(f"{metric}\nat step {searched.rung}", first, better))
    axes.append(_of_metric(f"{metric}\nat the end", ends, better))
    figure = new_figure(max(WIDTH_IN, 1.15 * len(axes)), 3.6)
    panel = figure.subplots()
    _lines(panel, axes, [str(run.state) for _, run in runs], axes[-1].at)
    _frame(panel, axes)
    return figure


def _lines(panel: Axes, axes: Sequence[_Axis], states: Sequence[str], end: Sequence[float]) -> None:
    best = max(range(len(end)), key=lambda run: -1.0 if math.isnan(end[run]) else end[run])
    for state, look in _LOOKS.items():
        label: str | None = state
        for run in (run for run, its in enumerate(states) if its == state):
            panel.plot([axis.at[run] for axis in axes], label=label, zorder=2, **look)
            label = None
    whole = {**_LOOKS["done"], "linewidth": 2.5}
    panel.plot([axis.at[best] for axis in axes], label="best", zorder=3, **whole)
    panel.legend(loc="lower center", bbox_to_anchor=(0.5, 1.13), ncols=3)


def _frame(panel: Axes, axes: Sequence[_Axis]) -> None:
    small = style().font - 2
    paper = {"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 0.8}
    for x, axis in enumerate(axes):
        panel.axvline(x, color=RULE, linewidth=0.8, zorder=4)
        panel.text(x, 1.04, axis.title, ha="center", va="bottom", fontsize=small + 1)
        for y, mark in axis.marks:
            panel.annotate(
                mark, (x, y), xytext=(-3, 0), textcoords="offset points", ha="right", va="center",
                fontsize=small, bbox=paper, zorder=5,
            )  # fmt: skip
    panel.set_xlim(-0.45, len(axes) - 0.9)
    panel.set_ylim(-0.03, 1.03)
    panel.set_axis_off()


def _of_key(title: str, column: Sequence[str], ordered: Sequence[str]) -> _Axis:
    where, numeric = places(ordered)
    values = [where[word] for word in column]
    if not numeric:
        level = _level([0.0, max(values)])
        marks = [(level(at), shown) for shown, at in where.items()]
        return _Axis(title, [*map(level, values)], marks)
    scale = scale_of(values, chosen=True)
    to = math.log if scale == "log" else float
    level = _level([to(value) for value in values])
    ticks = sorted(where.values())
    if len(ticks) > _MOST_MARKS:
        locator = LogLocator(numticks=8) if scale == "log" else MaxNLocator(5)
        ends = ticks[0], ticks[-1]
        ticks = [tick for tick in locator.tick_values(*ends) if ends[0] <= tick <= ends[1]]
    return _Axis(
        title, [level(to(value)) for value in values],
        [(level(to(tick)), f"{tick:.4g}") for tick in ticks],
    )  # fmt: skip


def _of_metric(title: str, values: Sequence[float], better: int) -> _Axis:
    """Better is up; the worst that leave the picture stand at its foot."""
    seen = telling([value for value in values if math.isfinite(value)], better)
    low, high = min(seen), max(seen)
    to = _level([low, high])

    def level(value: float) -> float:
        share = min(1.0, max(0.0, to(value))) if math.isfinite(value) else math.nan
        return 1 - share if better < 0 else share

    marks = [mark for mark in MaxNLocator(5).tick_values(low, high) if low <= mark <= high]
    return _Axis(title, [*map(level, values)], [(level(mark), f"{mark:g}") for mark in marks])


def _level(values: Sequence[float]) -> Callable[[float], float]:
    """Say where a number stands between the least and the most."""
    low, high = min(values), max(values)
    return lambda value: (value - low) / (high - low) if high > low else 0.5

"""Learning curves: one band a configuration, and single lines for runs that aren't done."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from avatarl.report.comparison import Configuration
from avatarl.report.load import Runs
from avatarl.report.metrics import CHARACTERS, Axis
from avatarl.report.statistics import t_quantile

#: Longest curve that is drawn; longer ones are thinned without losing their extremes.
_POINTS = 2000


@dataclass(frozen=True)
class Curve:
    """One metric of one run.

    Attributes:
        x: (N,) places on the journals' axis, increasing.
        y: (N,) finite values.
        thinned: Whether points were left out.
    """

    x: NDArray[np.float64]
    y: NDArray[np.float64]
    thinned: bool = False


@dataclass(frozen=True)
class Band:
    """One metric of one configuration, over its finished seeds.

    Attributes:
        x: (N,) places on the axis, where every seed has a value.
        mean, low, high: (N,) mean and pointwise 95 % interval (equal to the mean for one seed).
        n: Seeds.
    """

    x: NDArray[np.float64]
    mean: NDArray[np.float64]
    low: NDArray[np.float64]
    high: NDArray[np.float64]
    n: int


@dataclass(frozen=True)
class Journals:
    """Curves and events of runs, by run id.

    Attributes:
        axis: What the curves are drawn against.
        places: (N,) of each of the axes asked for besides, by column: where the points of a run's
            curves lie on it, in order; NaN where the journal doesn't say.
    """

    curves: Mapping[str, Mapping[str, Curve]]
    events: Mapping[str, Sequence[Mapping[str, Any]]]
    problems: tuple[str, ...]
    axis: Axis = CHARACTERS
    places: Mapping[str, Mapping[str, NDArray[np.float64]]] = field(default_factory=dict)

    def curve(self, run_id: str, metric: str) -> Curve | None:
        """Return a curve, None where the run logged no such metric."""
        return self.curves.get(run_id, {}).get(metric)


def read_journals(
    runs: Runs,
    metrics: Sequence[str],
    points: int = _POINTS,
    axis: Axis = CHARACTERS,
    besides: Sequence[Axis] = (),
) -> Journals:
    """Read and thin the curves of every run; only the thinned points are held.

    Args:
        runs: The runs.
        metrics: Metrics to read.
        points: Most points a curve keeps.
        axis: What they are drawn against; a run whose journal lacks it has no curves.
        besides: Further axes whose places are wanted.
    """
    curves: dict[str, dict[str, Curve]] = {}
    places: dict[str, dict[str, NDArray[np.float64]]] = {}
    columns = list(dict.fromkeys([axis.column, *(other.column for other in besides)]))
    events: dict[str, Sequence[Mapping[str, Any]]] = {}
    problems: list[str] = []
    for run, read in runs.journals([*metrics, *columns]):
        curves[run.run_id] = thin(read.records, metrics, points, axis)
        if besides:
            places[run.run_id] = _places(read.records, curves[run.run_id], columns)
        if read.records.height and read.records[axis.column].is_null().all():
            problems.append(f"{run.folder.journal} doesn't say {axis.title}: the run has no curves")
        events[run.run_id] = read.events
        problems += read.problems
    return Journals(curves, events, tuple(problems), axis, places)


def _places(
    records: pl.DataFrame, curves: Mapping[str, Curve], columns: Sequence[str]
) -> dict[str, NDArray[np.float64]]:
    """Return the places of the records that any curve keeps; the first column is the curves' x."""
    if not curves:
        return {}
    kept = np.unique(np.concatenate([curve.x for curve in curves.values()]))
    at = np.searchsorted(records[columns[0]].to_numpy(), kept)
    return {
        column: records[column].cast(pl.Float64).to_numpy()[at]
        for column in columns
        if column in records.columns
    }


def thin(
    records: pl.DataFrame, metrics: Sequence[str], points: int, axis: Axis = CHARACTERS
) -> dict[str, Curve]:
    """Return each metric's curve with at most ``points`` points, extremes kept."""
    from avatarl.report.downsample import min_max_indices

    kept: dict[str, Curve] = {}
    if axis.column not in records.columns or records.height == 0:
        return kept
    x = records[axis.column].to_numpy().astype(np.float64)
    for metric in metrics:
        if metric not in records.columns:
            continue
        y = records[metric].to_numpy().astype(np.float64)
        finite = np.isfinite(x) & np.isfinite(y)
        if not finite.any():
            continue
        there, values = x[finite], y[finite]
        places = min_max_indices(values, points)
        kept[metric] = Curve(there[places], values[places], places.size < values.size)
    return kept


def band(row: Configuration, journals: Journals, metric: str) -> Band | None:
    """Average a configuration's finished seeds, where all of them have values.

    Seeds that were evaluated at other places are read between their points (linearly).
    """
    curves = [
        curve for run in row.done if (curve := journals.curve(run.run_id, metric)) is not None
    ]
    if not curves:
        return None
    start = max(curve.x[0] for curve in curves)
    end = min(curve.x[-1] for curve in curves)
    grid = np.unique(np.concatenate([curve.x for curve in curves]))
    grid = grid[(grid >= start) & (grid <= end)]
    if grid.size == 0:
        return None
    values = np.stack([np.interp(grid, curve.x, curve.y) for curve in curves])  # (n, N)
    mean = values.mean(axis=0)
    if len(curves) == 1:
        return Band(grid, mean, mean, mean, 1)
    half = t_quantile(len(curves) - 1) * values.std(axis=0, ddof=1) / math.sqrt(len(curves))
    return Band(grid, mean, mean - half, mean + half, len(curves))

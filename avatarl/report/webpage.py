"""The comparison as one self-contained HTML page: no network, no external file.

The data travel as gzipped JSON in base64, so no text of a run is ever read as markup; the page's
script puts text on the screen as text nodes only.
"""

from __future__ import annotations

import base64
import gzip
import html
import json
import math
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatarl.files import write_atomic
from avatarl.report.comparison import Comparison
from avatarl.report.curves import Journals, read_journals
from avatarl.report.downsample import min_max_indices
from avatarl.report.inspected import inspected
from avatarl.report.load import Runs
from avatarl.report.metrics import AXES, CHARACTERS, STEPS, Axis
from avatarl.report.page_data import page_data

#: A page beyond this is thinned further.
MOST_BYTES = 14_500_000
#: Points over all curves of a page, a curve's share of them, and its bounds.
_POINTS = 600_000
_POINTS_EACH = (48, 1000)
#: A page of many runs holds the curves of this many metrics at most.
_MANY_RUNS, _MOST_METRICS = 200, 12
_FIRST = (
    "val/nats", "ensemble/nats", "val/accuracy", "val/ece", "val/entropy", "reward/hit_probability",
    "reward/expected", "train/nats", "train/accuracy", "train/loss", "train/kl", "train/entropy",
    "health/grad_norm", "health/collapse_gap", "health/clip_fraction", "val/brier",
)  # fmt: skip
#: A third of the time of the default level, for a tenth more bytes.
_GZIP_LEVEL = 3


def write_page(
    runs: Runs, comparison: Comparison, path: Path, axis: Axis = CHARACTERS, inspect: str = ""
) -> None:
    """Write the page, whole or not at all; ``inspect`` is a text to ask kept checkpoints about."""
    write_atomic(path, render(runs, comparison, axis, inspect=inspect))


def render(
    runs: Runs,
    comparison: Comparison,
    axis: Axis = CHARACTERS,
    *,
    live: bool = False,
    version: str = "",
    inspect: str = "",
) -> str:
    """Return the page's HTML.

    Args:
        runs: The runs.
        comparison: The same, aggregated.
        axis: What curves are drawn against.
        live: Whether the page asks its server for newer data.
        version: The server's word for the state of the runs.
        inspect: A text that the best runs' kept checkpoints are asked about.
    """
    encoded = encode(runs, comparison, axis, live=live, version=version, inspect=inspect)
    folder = resources.files("avatarl.report") / "page"
    scripts = [item for item in folder.iterdir() if item.name.endswith(".js")]
    # The one that starts the page comes last.
    scripts.sort(key=lambda item: (item.name == "main.js", item.name))
    # The data come last: what they hold is then never searched for a placeholder.
    parts = {
        "CONNECT": "'self'" if live else "'none'",
        "TITLE": html.escape(comparison.title),
        "STYLE": (folder / "page.css").read_text(encoding="utf-8"),
        "SCRIPT": "\n".join(item.read_text(encoding="utf-8") for item in scripts),
        "DATA": encoded,
    }
    page = (folder / "page.html").read_text(encoding="utf-8")
    pieces = page.split("@@")
    return "".join(parts[piece] if place % 2 else piece for place, piece in enumerate(pieces))


def encode(
    runs: Runs,
    comparison: Comparison,
    axis: Axis = CHARACTERS,
    *,
    live: bool = False,
    version: str = "",
    inspect: str = "",
) -> str:
    """Return the page's data, gzipped and in base64, thinned until they fit the page."""
    metrics, left_out = _curve_metrics(runs, comparison)
    low, high = _POINTS_EACH
    points = max(low, min(high, _POINTS // max(1, len(runs) * len(metrics))))
    journals = read_journals(runs, metrics, points, STEPS, tuple(AXES.values()))
    data = page_data(runs, comparison, journals, metrics, axis)
    data |= {"live": live, "version": version}
    if inspect:
        data["inspected"], problems = inspected(comparison, inspect)
        data["warnings"] += problems
    if left_out:
        data["warnings"].append(
            f"at this number of runs the page holds the curves of {len(metrics)} metrics, "
            f"{left_out} are left out (--metrics chooses)"
        )
    while True:
        for run in data["runs"]:
            run |= _curves(journals, run["id"], points)
        packed = base64.b64encode(gzip.compress(_dump(data), _GZIP_LEVEL, mtime=0))
        if len(packed) <= MOST_BYTES or points <= 4:
            return packed.decode("ascii")
        points //= 2


def _dump(data: Mapping[str, Any]) -> bytes:
    return json.dumps(data, separators=(",", ":"), allow_nan=False, default=str).encode()


def _curve_metrics(runs: Runs, comparison: Comparison) -> tuple[list[str], int]:
    """Return the metrics whose curves the page holds, and how many are left out."""
    logged = [name for name in runs.metric_names() if not name.startswith("time/")]
    first = [name for name in (*comparison.metrics, *_FIRST) if name in logged]
    ordered = list(dict.fromkeys([*first, *logged]))
    if len(runs) <= _MANY_RUNS:
        return ordered, 0
    return ordered[:_MOST_METRICS], max(0, len(ordered) - _MOST_METRICS)


def _curves(journals: Journals, run_id: str, limit: int) -> dict[str, Any]:
    """Return a run's places on every axis, and its curves: which places, values, thinned or not."""
    curves = journals.curves.get(run_id, {})
    kept = {name: min_max_indices(curve.y, max(4, limit)) for name, curve in curves.items()}
    steps = [curve.x[kept[name]] for name, curve in curves.items()]
    used = np.unique(np.concatenate(steps)) if steps else np.empty(0)
    places = journals.places.get(run_id, {})
    at = np.searchsorted(places.get(STEPS.column, used), used)
    return {
        "places": {
            word: used.astype(int).tolist()
            if axis is STEPS
            else _on_axis(places[axis.column][at], used)
            for word, axis in AXES.items()
            if axis.column in places
        },
        "curves": {
            name: [
                np.searchsorted(used, curve.x[kept[name]]).tolist(),
                # Five digits are more than the eye resolves.
                [float(f"{value:.5g}") for value in curve.y[kept[name]].tolist()],
                bool(curve.thinned or kept[name].size < curve.y.size),
            ]
            for name, curve in curves.items()
        },
    }


def _on_axis(places: NDArray[np.float64], steps: NDArray[np.float64]) -> Any:
    """Return the places, or how many a step goes on where they go evenly."""
    if steps.size and steps[-1] > 0:
        pace = places[-1] / steps[-1]
        if np.allclose(places, pace * steps, rtol=1e-9, atol=0):
            return _plain(pace)
    return [None if math.isnan(place) else _plain(round(place, 4)) for place in places.tolist()]


def _plain(number: float) -> float:
    return int(number) if float(number).is_integer() else float(number)

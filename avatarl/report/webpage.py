"""The comparison as one self-contained HTML page: no network, no external file.

The data travel as gzipped JSON in base64, so no text of a run is ever read as markup; the page's
script puts text on the screen as text nodes only.
"""

from __future__ import annotations

import base64
import gzip
import hashlib
import html
import json
import math
import shlex
import time
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from avatarl.files import write_atomic
from avatarl.report.comparison import Comparison, Configuration
from avatarl.report.curves import Curve, Journals, read_journals
from avatarl.report.downsample import min_max_indices
from avatarl.report.load import Runs
from avatarl.report.metrics import describe, metric_heading
from avatarl.report.remarks import shared_keys
from avatarl.report.statistics import t_quantile
from avatarl.report.style import looks
from avatarl.report.table import _p_cell
from avatarl.report.words import LEVEL_NAMES
from avatarl.runs.flatten import flatten
from avatarl.runs.result import NO_METRICS
from avatarl.runs.run import NGRAM_LEVELS, Run

#: A page beyond this is thinned further.
MOST_BYTES = 14_500_000
#: Points over all curves of a page, a curve's share of them, and its bounds.
_POINTS = 600_000
_POINTS_EACH = (48, 1000)
#: A page of many runs holds the curves of this many metrics at most.
_MANY_RUNS, _MOST_METRICS = 200, 12
_SAMPLE_CHARACTERS = 4000
_EVENTS, _MOST_EVENTS = ("alarm", "promotion"), 500
_TRACE_CHARACTERS = 6000
_FIRST = (
    "val/nats", "val/accuracy", "val/ece", "val/entropy", "reward/expected", "train/loss",
    "train/kl", "train/entropy", "health/grad_norm", "health/collapse_gap",
    "health/clip_fraction", "val/brier",
)  # fmt: skip
_LARGEST_DEGREES = 60
#: A third of the time of the default level, for a tenth more bytes.
_GZIP_LEVEL = 3


def write_page(runs: Runs, comparison: Comparison, path: Path) -> None:
    """Write the page, whole or not at all."""
    write_atomic(path, render(runs, comparison))


def render(runs: Runs, comparison: Comparison, *, live: bool = False, version: str = "") -> str:
    """Return the page's HTML.

    Args:
        runs: The runs.
        comparison: The same, aggregated.
        live: Whether the page asks its server for newer data.
        version: The server's word for the state of the runs.
    """
    encoded = encode(runs, comparison, live=live, version=version)
    folder = resources.files("avatarl.report") / "page"
    scripts = sorted(
        (item for item in folder.iterdir() if item.name.endswith(".js")), key=lambda item: item.name
    )
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


def encode(runs: Runs, comparison: Comparison, *, live: bool = False, version: str = "") -> str:
    """Return the page's data, gzipped and in base64, thinned until they fit the page."""
    metrics, left_out = _curve_metrics(runs, comparison)
    low, high = _POINTS_EACH
    points = max(low, min(high, _POINTS // max(1, len(runs) * len(metrics))))
    journals = read_journals(runs, metrics, points)
    told = _payload(runs, comparison, journals, metrics, left_out)
    told |= {"live": live, "version": version}
    while True:
        told["runs"] = _runs(runs, comparison, journals, points, told)
        packed = base64.b64encode(gzip.compress(_dump(told), _GZIP_LEVEL, mtime=0))
        if len(packed) <= MOST_BYTES or points <= 4:
            return packed.decode("ascii")
        points //= 2


def _dump(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), allow_nan=False, default=str).encode()


def _curve_metrics(runs: Runs, comparison: Comparison) -> tuple[list[str], int]:
    logged = [name for name in runs.metric_names() if not name.startswith("time/")]
    wanted = [name for name in (*comparison.metrics, *_FIRST) if name in logged]
    ordered = list(dict.fromkeys([*wanted, *logged]))
    if len(runs) <= _MANY_RUNS:
        return ordered, 0
    return ordered[:_MOST_METRICS], max(0, len(ordered) - _MOST_METRICS)


def _payload(
    runs: Runs,
    comparison: Comparison,
    journals: Journals,
    metrics: Sequence[str],
    left_out: int,
) -> dict[str, Any]:
    results: dict[str, None] = dict.fromkeys(["val/nats", "val/accuracy", "val/ece"])
    for run in runs:
        results.update(dict.fromkeys(key for key in run.result if run.number(key) is not None))
    known = [*results, *metrics, *comparison.metrics]
    problems = list(dict.fromkeys([*runs.problems, *journals.problems]))
    warnings = [*comparison.warnings, *problems[:20]]
    if len(problems) > 20:
        warnings.append(f"and {len(problems) - 20} more files had something wrong with them")
    if left_out:
        warnings.append(
            f"at this number of runs the page holds the curves of {len(metrics)} metrics, "
            f"{left_out} are left out (--metrics chooses)"
        )
    groups: list[dict[str, Any]] = []
    where = {run.run_id: place for place, run in enumerate(runs)}
    for index, section in enumerate(comparison.sections):
        styles = looks(section.configurations, section.keys)
        for row in section.configurations:
            look = styles[row.key]
            groups.append(
                {
                    **_group(row, where),
                    "id": len(groups),
                    "section": index,
                    "look": {"colour": look.colour, "dash": look.dash, "muted": look.muted},
                }
            )
    return {
        "schema": 1,
        "title": comparison.title,
        "generated": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "metrics": list(comparison.metrics),
        "curves": list(metrics),
        "info": {name: _info(name) for name in dict.fromkeys(known)},
        "headings": dict(comparison.headings),
        "sort": comparison.sort,
        "interval": comparison.interval,
        "baseline": comparison.baseline,
        "quantiles": [0.0, *(t_quantile(n) for n in range(1, _LARGEST_DEGREES + 1))],
        "warnings": warnings,
        "footer": "Written by avatarl compare from the runs' own files.",
        "level_names": LEVEL_NAMES,
        "sections": [
            {
                "title": section.title, "corpus": section.corpus, "track": section.track,
                "keys": list(section.keys), "levels": section.levels,
                "shared": shared_keys(comparison, section),
            }
            for section in comparison.sections
        ],
        "groups": groups,
        "base": _shared([run.config for run in runs]),
        "prov": {},
    }  # fmt: skip


def _info(name: str) -> dict[str, Any]:
    told = describe(name)
    return {
        "title": told.title, "better": told.better, "digits": told.digits,
        "heading": metric_heading(name),
    }  # fmt: skip


def _group(row: Configuration, where: Mapping[str, int]) -> dict[str, Any]:
    pair = None
    if row.against is not None:
        pair = {
            "difference": row.against.difference,
            "p": _p_cell(row),
        }
    return {
        # Stable over reloads, unlike its place.
        "key": hashlib.sha256(row.key.encode()).hexdigest()[:12],
        "label": row.label,
        "values": dict(row.values),
        "notes": row.notes(),
        "code": row.code,
        "control": row.is_control,
        "best": row.best,
        "baseline": row.baseline,
        "pair": pair,
        "est": {
            name: [told.n, told.mean, told.low, told.high] for name, told in row.estimates.items()
        },
        "runs": [where[run.run_id] for run in row.runs],
    }


def _shared(tables: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the keys that every table has with one and the same value."""
    known = [table for table in tables if table]
    if not known:
        return {}
    return {
        key: value
        for key, value in known[0].items()
        if all(key in table and table[key] == value for table in known[1:])
        and all(type(table[key]) is type(value) for table in known[1:])
    }


def _runs(
    runs: Runs,
    comparison: Comparison,
    journals: Journals,
    points: int,
    told: dict[str, Any],
) -> list[dict[str, Any]]:
    group_of = {place: group["id"] for group in told["groups"] for place in group["runs"]}
    section_of = {group["id"]: group["section"] for group in told["groups"]}
    provenance = [_provenance(run) for run in runs]
    told["prov"] = _shared(provenance)
    rows = []
    for place, run in enumerate(runs):
        group = group_of[place]
        came = {key: v for key, v in provenance[place].items() if key not in told["prov"]}
        rows.append(
            {
                "id": run.run_id,
                "name": run.name,
                "state": run.state,
                "told": run.describe_state(),
                "reason": run.reason,
                "trace": _trace(run),
                "seed": run.seed,
                "section": section_of[group],
                "group": group,
                "control": run.is_control,
                "code": run.code,
                "dir": str(run.directory),
                "config": {
                    key: value for key, value in run.config.items() if key not in told["base"]
                },
                "result": _numbers(run),
                "samples": _samples(run),
                "reliability": _reliability(run),
                "events": _events(journals.events.get(run.run_id, ())),
                "curves": {
                    name: _points(curve, points)
                    for name, curve in journals.curves.get(run.run_id, {}).items()
                },
                "prov": came,
                "notes": _notes(run),
                "command": _command(run),
            }
        )
    return rows


def _numbers(run: Run) -> dict[str, float]:
    """Return the result's numbers, or the newest ones of a run that isn't done."""
    levels = [f"ngram/{level}" for level in NGRAM_LEVELS]
    left_out = {f"{level}/{end}" for level in levels for end in ("nats", "accuracy")}
    left_out |= NO_METRICS
    if run.result:
        found = {key: run.number(key) for key in run.result if key not in left_out}
        return {key: _short(value) for key, value in found.items() if value is not None}
    return {
        key: _short(float(value))
        for key, value in run.latest.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and (key.startswith("val/") or key in ("characters_seen", "reward/expected"))
    }


def _short(value: float) -> float:
    return int(value) if value.is_integer() else float(f"{value:.7g}")


def _points(curve: Curve, limit: int) -> list[Any]:
    places: NDArray[np.int64] = np.asarray(min_max_indices(curve.y, max(4, limit)))
    thinned = curve.thinned or bool(places.size < curve.y.size)
    # Five digits are more than the eye resolves.
    y = [float(f"{value:.5g}") for value in curve.y[places].tolist()]
    return [curve.x[places].astype(np.int64).tolist(), y, thinned]


def _samples(run: Run) -> list[dict[str, Any]]:
    found = run.result.get("samples")
    if not isinstance(found, list):
        return []
    return [
        {"temperature": s.get("temperature"), "text": str(s.get("text", ""))[:_SAMPLE_CHARACTERS]}
        for s in found
        if isinstance(s, Mapping)
    ]


def _reliability(run: Run) -> dict[str, list[float | None]] | None:
    found = run.result.get("reliability")
    if not isinstance(found, Mapping):
        return None
    told: dict[str, list[float | None]] = {}
    for name in ("confidence", "accuracy", "weight"):
        values = found.get(name)
        if not isinstance(values, list):
            return None
        told[name] = [
            round(float(v), 4) if isinstance(v, int | float) and math.isfinite(v) else None
            for v in values
        ]
    return told


def _events(events: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    return [_event(event) for event in events if event.get("event") in _EVENTS][:_MOST_EVENTS]


def _event(event: Mapping[str, Any]) -> dict[str, Any]:
    kept = (
        "event",
        "alarm",
        "fact",
        "state",
        "characters_seen",
        "value",
        "threshold",
        "from",
        "to",
    )
    return {
        key: None if isinstance(event[key], float) and not math.isfinite(event[key]) else event[key]
        for key in kept
        if key in event
    }


def _notes(run: Run) -> list[str]:
    found = run.result.get("notes")
    return [str(note) for note in found] if isinstance(found, list) else []


def _trace(run: Run) -> str:
    if run.state != "failed":
        return ""
    failure = run.folder.read_failure()
    return failure.traceback[-_TRACE_CHARACTERS:] if failure else ""


def _provenance(run: Run) -> dict[str, Any]:
    told: dict[str, Any] = {}
    for key, value in flatten(run.folder.read_provenance()).items():
        if value is None or (isinstance(value, float) and not math.isfinite(value)):
            continue
        if key == "command" and isinstance(value, list):
            told[key] = shlex.join(map(str, value))
        else:
            plain = isinstance(value, str | int | float)
            told[key] = value if plain else json.dumps(value, default=str)
    return told


def _command(run: Run) -> str:
    """Return what repeats this run alone; a sweep's command, as it was typed, is provenance."""
    return f"avatarl reproduce {shlex.quote(str(run.directory))}"

"""What the page shows of one run."""

from __future__ import annotations

import json
import math
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from avatarl.report.alarms import HEALTH, curve_of
from avatarl.report.curves import Journals
from avatarl.report.load import facts
from avatarl.report.metrics import AXES
from avatarl.runs.flatten import flatten
from avatarl.runs.result import NGRAM_LEVELS, NO_METRICS
from avatarl.runs.run import Run
from avatarl.runs.state import RunState

_SAMPLE_CHARACTERS = 4000
_TRACE_CHARACTERS = 6000
_EVENTS, _MOST_EVENTS = ("alarm", "promotion"), 500
_EVENT_KEYS = (
    "event", "alarm", "fact", "state", "value", "threshold", "from", "to",
)  # fmt: skip
_NEWEST = (
    "val/", "ensemble/", "characters_seen", "epoch", "reward/expected", "reward/hit",
)  # fmt: skip
#: Further curves of a run's health.
MORE_HEALTH = ("val/nats", "train/entropy", "train/loss")


def run_data(run: Run, journals: Journals) -> dict[str, Any]:
    """Return everything the page shows of a run but its curves."""
    curves = journals.curves.get(run.run_id, {})
    drawn = [metric for metric in [*HEALTH, *MORE_HEALTH] if metric in curves]
    events = [e for e in journals.events.get(run.run_id, ()) if e.get("event") in _EVENTS]
    notes, numbers = run.result.get("notes"), _numbers(run)
    return {
        "id": run.run_id,
        "name": run.name,
        "state": run.state,
        "told": run.describe_state(),
        "reason": run.reason,
        "trace": _trace(run),
        "seed": run.seed,
        "control": run.is_control,
        "code": run.code,
        "dir": str(run.directory),
        "config": dict(run.config),
        "result": {key: _short(value) for key, value in numbers.items()},
        # What a filter may ask besides.
        "facts": {
            key: None if _broken(value) else value
            for key, value in facts(run).items()
            if key not in (numbers if run.done else ()) and run.config.get(key, run) != value
        },
        "samples": _samples(run),
        "reliability": _reliability(run),
        "events": [_event(event, drawn) for event in events[:_MOST_EVENTS]],
        "prov": _provenance(run),
        "notes": [str(note) for note in notes] if isinstance(notes, list) else [],
        # What repeats this run alone; a sweep's command, as it was typed, is provenance.
        "command": f"avatarl reproduce {shlex.quote(str(run.directory))}",
    }


def _numbers(run: Run) -> dict[str, float]:
    """Return the result's numbers, or the newest ones of a run that isn't done."""
    if not run.result:
        return newest(run)
    levels = {f"ngram/{level}/{end}" for level in NGRAM_LEVELS for end in ("nats", "accuracy")}
    return {
        key: value
        for key in run.result
        if key not in levels | NO_METRICS and (value := run.number(key)) is not None
    }


def newest(run: Run) -> dict[str, float]:
    """Return the newest evaluation of a run that isn't done."""
    return {
        key: float(value)
        for key, value in run.latest.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
        and key.startswith(_NEWEST)
    }


def _short(value: float) -> float:
    return int(value) if value.is_integer() else float(f"{value:.7g}")


def _samples(run: Run) -> list[dict[str, Any]]:
    samples = run.result.get("samples")
    return [
        {
            "temperature": sample.get("temperature"),
            "text": str(sample.get("text", ""))[:_SAMPLE_CHARACTERS],
        }
        for sample in (samples if isinstance(samples, list) else [])
        if isinstance(sample, Mapping)
    ]


def _reliability(run: Run) -> dict[str, list[float | None]] | None:
    bins = run.result.get("reliability")
    names = ("confidence", "accuracy", "weight")
    if not isinstance(bins, Mapping) or not all(isinstance(bins.get(n), list) for n in names):
        return None
    return {
        name: [
            round(float(v), 4) if isinstance(v, int | float) and math.isfinite(v) else None
            for v in bins[name]
        ]
        for name in names
    }


def _event(event: Mapping[str, Any], drawn: Sequence[str]) -> dict[str, Any]:
    kept = {key: event[key] for key in _EVENT_KEYS if key in event}
    kept["places"] = {
        word: event[axis.column]
        for word, axis in AXES.items()
        if not _broken(event.get(axis.column, math.nan))
    }
    if event["event"] == "alarm":
        kept["curve"] = curve_of(event, drawn)
    return {key: None if _broken(value) else value for key, value in kept.items()}


def _broken(value: Any) -> bool:
    return isinstance(value, float) and not math.isfinite(value)


def _trace(run: Run) -> str:
    failure = run.folder.read_failure() if run.state is RunState.FAILED else None
    return failure.traceback[-_TRACE_CHARACTERS:] if failure else ""


def _provenance(run: Run) -> dict[str, Any]:
    record: dict[str, Any] = {}
    for key, value in flatten(run.folder.read_provenance()).items():
        if value is None or _broken(value):
            continue
        if key == "command" and isinstance(value, list):
            record[key] = shlex.join(map(str, value))
        else:
            plain = isinstance(value, str | int | float)
            record[key] = value if plain else json.dumps(value, default=str)
    return record

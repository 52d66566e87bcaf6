"""A run's ``metrics.jsonl``, read as a dataframe, whatever state it was left in."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from avatarl.runs.journal import (
    CUT_OFF,
    SCHEMA,
    header_problems,
    is_metric,
    parse_line,
    read_header,
)

_EVENT_MARK = b'"event"'


@dataclass(frozen=True)
class Records:
    """What one ``metrics.jsonl`` holds.

    Attributes:
        header: The first line, empty where there is none (older journals).
        records: One row a record, ordered by step: ``step``, ``characters_seen`` (int64) and the
            metrics asked for (float64, null where a record lacks one or it wasn't finite).
        events: Alarms and promotions, as they were written.
        problems: What was wrong with the file, in words.
    """

    header: dict[str, Any]
    records: pl.DataFrame
    events: list[dict[str, Any]] = field(default_factory=list)
    problems: tuple[str, ...] = ()


def empty_records(metrics: Sequence[str] = ()) -> pl.DataFrame:
    """Return a dataframe of no records with the columns of :class:`Records`."""
    return pl.DataFrame(schema=_schema(metrics))


def _schema(metrics: Sequence[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {"step": pl.Int64, "characters_seen": pl.Int64}
    schema |= {name: pl.Float64 for name in metrics if name not in schema}
    return schema


def read(path: Path, metrics: Sequence[str] | None = None) -> Records:
    """Read a journal.

    A last line cut off by a crash is left out; so are lines that aren't JSON. Where a resumed run
    wrote steps a second time, the later record counts.

    Args:
        path: The ``metrics.jsonl``.
        metrics: The metrics to read; all of them by default.

    Returns:
        The journal. A missing or unreadable file is an empty one, with the problem told.
    """
    if metrics is not None:
        swift = _read_swiftly(path, metrics)
        if swift is not None:
            return swift
    try:
        raw = path.read_bytes()
    except OSError as error:
        why = f"{path} can't be read: {error.strerror}"
        if isinstance(error, FileNotFoundError):
            why = f"{path} is missing: the run has no curves"
        return Records({}, empty_records(metrics or ()), [], (why,))
    problems: list[str] = []
    end = raw.rfind(b"\n") + 1
    if end < len(raw):
        if parse_line(raw[end:]) is None:
            problems.append(f"{path}: {CUT_OFF}")
            raw = raw[:end]
        else:
            raw += b"\n"
    header, raw = _split_header(path, raw, problems)
    events, raw = _split_events(raw)
    if metrics is None:
        metrics = _all_metrics(raw)
    records = _records(path, raw, metrics, problems)
    return Records(header, records, events, tuple(problems))


def _read_swiftly(path: Path, metrics: Sequence[str]) -> Records | None:
    """Let the dataframe library read the file itself; None where something needs a closer look.

    That is a journal without a header of this schema, one whose last line is cut off, one with a
    line that isn't JSON, and one with events.
    """
    header = read_header(path)
    if header.get("schema") != SCHEMA:
        return None
    try:
        with path.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            if file.read() != b"\n":
                return None
        frame = pl.read_ndjson(path, schema={**_schema(metrics), "event": pl.String})
    except (OSError, pl.exceptions.PolarsError):
        return None
    if frame["event"].null_count() < frame.height:
        return None
    # The header has no step.
    return Records(header, _tidy(frame.drop("event")))


def _split_header(path: Path, raw: bytes, problems: list[str]) -> tuple[dict[str, Any], bytes]:
    first, _, rest = raw.partition(b"\n")
    header = parse_line(first) or {}
    problems += header_problems(path, header) if raw else []
    return (header, rest) if "schema" in header else ({}, raw)


def _split_events(raw: bytes) -> tuple[list[dict[str, Any]], bytes]:
    if _EVENT_MARK not in raw:
        return [], raw
    events, kept, start = [], [], 0
    while (at := raw.find(_EVENT_MARK, start)) >= 0:
        begin = raw.rfind(b"\n", start, at) + 1 or start
        end = raw.find(b"\n", at) + 1 or len(raw)
        event = parse_line(raw[begin:end])
        if event is not None:
            events.append(event)
        kept.append(raw[start:begin])
        start = end
    kept.append(raw[start:])
    return events, b"".join(kept)


def _all_metrics(raw: bytes) -> list[str]:
    names: dict[str, None] = {}
    for line in raw.split(b"\n"):
        record = parse_line(line)
        if record is not None:
            names.update(dict.fromkeys(key for key, value in record.items() if is_metric(value)))
    return [name for name in names if name not in ("step", "characters_seen")]


def _records(path: Path, raw: bytes, metrics: Sequence[str], problems: list[str]) -> pl.DataFrame:
    schema = _schema(metrics)
    if not raw.strip():
        return empty_records(metrics)
    try:
        frame = pl.read_ndjson(io.BytesIO(raw), schema=schema)
    except pl.exceptions.PolarsError:
        # A line somewhere isn't JSON, or holds a word where a number belongs: line by line, then.
        frame = _line_by_line(path, raw, schema, problems)
    return _tidy(frame)


def _tidy(frame: pl.DataFrame) -> pl.DataFrame:
    """Order the records by step, each once, with null for whatever isn't finite."""
    frame = frame.filter(pl.col("step").is_not_null())
    if frame.height and not frame["step"].is_sorted():
        frame = frame.with_row_index("order").sort("step", "order").drop("order")
    if frame["step"].is_duplicated().any():
        # The last record of a step wins, metric by metric: a resumed run says the same again.
        frame = frame.group_by("step", maintain_order=True).agg(pl.all().drop_nulls().last())
    return frame.with_columns(pl.col(pl.Float64).replace([float("inf"), -float("inf")], None))


def _line_by_line(
    path: Path, raw: bytes, schema: dict[str, Any], problems: list[str]
) -> pl.DataFrame:
    rows, broken = [], 0
    for line in raw.split(b"\n"):
        if not line.strip():
            continue
        record = parse_line(line)
        if record is None:
            broken += 1
            continue
        rows.append({key: _number(record.get(key)) for key in schema})
    if broken:
        lines = "line isn't" if broken == 1 else "lines aren't"
        problems.append(f"{path}: {broken} {lines} JSON and left out")
    return pl.DataFrame(rows, schema=schema, strict=False)


def _number(value: object) -> float | int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != value:
        return None
    return value

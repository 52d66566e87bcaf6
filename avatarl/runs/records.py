"""A run's ``metrics.jsonl``, read as a dataframe, whatever state it was left in."""

from __future__ import annotations

import io
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

#: The newest journal this code knows.
SCHEMA = 1
#: What every record carries besides its metrics.
INDEX = ("step", "characters_seen", "time/elapsed_s")
_EVENT_MARK = b'"event"'
_CUT_OFF = "the last line is cut off and left out"
_HEAD_BYTES = 1 << 14
_TAIL_BYTES = 1 << 20
#: Lines looked at from either end.
_FEW = 6


@dataclass(frozen=True)
class Journal:
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
    """Return a dataframe of no records with the columns of :class:`Journal`."""
    return pl.DataFrame(schema=_schema(metrics))


def _schema(metrics: Sequence[str]) -> dict[str, Any]:
    schema: dict[str, Any] = {"step": pl.Int64, "characters_seen": pl.Int64}
    schema |= {name: pl.Float64 for name in metrics if name not in schema}
    return schema


def metric_names(path: Path) -> list[str]:
    """Return the metrics that occur near the start or the end of a journal, in order met."""
    head, tail = _ends(path, _HEAD_BYTES, _HEAD_BYTES)
    lines = [*_whole_lines(head)[:_FEW], *_evaluations(head)[:2]]
    lines += [*_whole_lines(tail)[-_FEW:], *_evaluations(tail)[-1:]]
    names: dict[str, None] = {}
    for record in map(_parse, lines):
        if record is not None and "event" not in record and "schema" not in record:
            names.update(dict.fromkeys(key for key, value in record.items() if _is_metric(value)))
    return [name for name in names if name not in ("step", "characters_seen")]


def latest(path: Path) -> dict[str, Any]:
    """Return the newest value of each metric near the end of a journal (for a run under way)."""
    _, tail = _ends(path, 0, _TAIL_BYTES)
    newest: dict[str, Any] = {}
    for line in [*_evaluations(tail)[-1:], *_whole_lines(tail)[-_FEW:]]:
        record = _parse(line)
        if record is not None and "event" not in record and "schema" not in record:
            newest |= {key: value for key, value in record.items() if value is not None}
    return newest


def read_header(path: Path) -> dict[str, Any]:
    """Return the first line of a journal if it is a header, else an empty dictionary."""
    try:
        with path.open("rb") as file:
            first = json.loads(file.readline())
    except (OSError, ValueError):
        return {}
    return first if isinstance(first, dict) and "schema" in first else {}


def _is_metric(value: object) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _ends(path: Path, head: int, tail: int) -> tuple[bytes, bytes]:
    """Return the first and the last bytes of a file; the last may begin within a line."""
    try:
        with path.open("rb") as file:
            first = file.read(head)
            size = os.fstat(file.fileno()).st_size
            file.seek(max(0, size - tail))
            return first, file.read()
    except OSError:
        return b"", b""


def _whole_lines(raw: bytes) -> list[bytes]:
    # A part of a line isn't JSON and falls out when parsed.
    return raw.split(b"\n")


def _evaluations(raw: bytes) -> list[bytes]:
    return [line for line in raw.split(b"\n") if b'"val/' in line]


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        record = json.loads(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def read(path: Path, metrics: Sequence[str] | None = None) -> Journal:
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
        return Journal({}, empty_records(metrics or ()), [], (why,))
    problems: list[str] = []
    end = raw.rfind(b"\n") + 1
    if end < len(raw):
        if _parse(raw[end:]) is None:
            problems.append(f"{path}: {_CUT_OFF}")
            raw = raw[:end]
        else:
            raw += b"\n"
    header, raw = _split_header(path, raw, problems)
    events, raw = _split_events(raw)
    if metrics is None:
        metrics = _all_metrics(raw)
    records = _records(path, raw, metrics, problems)
    return Journal(header, records, events, tuple(problems))


def _read_swiftly(path: Path, metrics: Sequence[str]) -> Journal | None:
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
    return Journal(header, _tidy(frame.drop("event")))


def _split_header(path: Path, raw: bytes, problems: list[str]) -> tuple[dict[str, Any], bytes]:
    first, _, rest = raw.partition(b"\n")
    header = _parse(first) or {}
    problems += _header_problems(path, header) if raw else []
    return (header, rest) if "schema" in header else ({}, raw)


def _header_problems(path: Path, header: dict[str, Any]) -> list[str]:
    if "schema" not in header:
        return [f"{path}: no header, so written by an older version; read as it is"]
    schema = header["schema"]
    if schema == SCHEMA:
        return []
    age = "a newer" if isinstance(schema, int) and schema > SCHEMA else "an older"
    return [
        f"{path}: schema {schema!r}, written by {age} version (this one writes {SCHEMA}); "
        "what both share is shown"
    ]


def quick_problems(path: Path, *, running: bool) -> list[str]:
    """Look at a journal's first line and last byte only, as a table of many runs can afford.

    Args:
        path: The ``metrics.jsonl``.
        running: Whether somebody may be writing its last line just now.
    """
    try:
        with path.open("rb") as file:
            first = file.readline()
            if not first:
                return []
            file.seek(-1, os.SEEK_END)
            whole = file.read() == b"\n"
    except FileNotFoundError:
        return [f"{path} is missing: the run has no curves"]
    except OSError as error:
        return [f"{path} can't be read: {error.strerror}"]
    problems = _header_problems(path, _parse(first) or {})
    if not whole and not running:
        problems.append(f"{path}: {_CUT_OFF}")
    return problems


def _split_events(raw: bytes) -> tuple[list[dict[str, Any]], bytes]:
    if _EVENT_MARK not in raw:
        return [], raw
    events, kept, start = [], [], 0
    while (at := raw.find(_EVENT_MARK, start)) >= 0:
        begin = raw.rfind(b"\n", start, at) + 1 or start
        end = raw.find(b"\n", at) + 1 or len(raw)
        event = _parse(raw[begin:end])
        if event is not None:
            events.append(event)
        kept.append(raw[start:begin])
        start = end
    kept.append(raw[start:])
    return events, b"".join(kept)


def _all_metrics(raw: bytes) -> list[str]:
    names: dict[str, None] = {}
    for line in raw.split(b"\n"):
        record = _parse(line)
        if record is not None:
            names.update(dict.fromkeys(key for key, value in record.items() if _is_metric(value)))
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
        record = _parse(line)
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

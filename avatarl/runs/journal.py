"""metrics.jsonl: one JSON object a line, appended as the run goes, never rewritten in place."""

from __future__ import annotations

import contextlib
import itertools
import json
import math
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from avatarl import storage
from avatarl.files import parse_json, write_atomic

#: The newest journal this code knows.
SCHEMA = 1
#: What every record carries besides its metrics.
INDEX = ("step", "characters_seen", "epoch", "time/elapsed_s")
CUT_OFF = "the last line is cut off and left out"
_HEAD_BYTES = 1 << 14
_TAIL_BYTES = 1 << 20
#: Lines looked at from either end.
_FEW = 6


class JournalWriter:
    """Appends records; each line is flushed, so that a crash loses none that was written.

    Args:
        path: ``metrics.jsonl`` of the run.
        header: First line of a new file.
        last_step: When resuming, records after this step are dropped first: they will come again.
        guard: Called before each write; raises where another process has taken the run over.
    """

    def __init__(
        self,
        path: Path,
        header: Mapping[str, Any],
        last_step: int | None,
        guard: Callable[[], object] = lambda: None,
    ) -> None:
        guard()
        lines = [json.dumps({"schema": SCHEMA, **header})]
        if last_step is not None and path.exists():
            lines += _records_until(path, last_step)
        write_atomic(path, "\n".join(lines) + "\n")
        self.path, self._guard = path, guard
        self._open()

    def _open(self) -> None:
        self._file = self.path.open("ab", buffering=0)
        self._size, self._whole = self._file.tell(), True

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record; numbers that aren't finite become null."""
        line = json.dumps({k: _finite(v) for k, v in record.items()}) + "\n"
        storage.persist(lambda: self._append(line.encode()))

    def _append(self, line: bytes) -> None:
        self._guard()
        if not self._whole:
            self._reopen()
        self._whole = False
        written = 0
        while written < len(line):
            written += self._file.write(line[written:])
        self._size, self._whole = self._size + len(line), True

    def _reopen(self) -> None:
        """Go on after the last whole record: a write that failed may have left a part of one."""
        storage.require(self.path.parent)
        with contextlib.suppress(OSError):
            self._file.close()
        try:
            os.truncate(self.path, min(self._size, self.path.stat().st_size))
        except FileNotFoundError as error:
            raise storage.gone(self.path) from error
        self._open()

    def rewind(self, last_step: int) -> None:
        """Drop what was written after a step: a run went back to it, and its records come again."""
        self._guard()
        self._file.close()
        header = self.path.read_text(encoding="utf-8").splitlines()[0]
        write_atomic(self.path, "\n".join([header, *_records_until(self.path, last_step)]) + "\n")
        self._open()

    def close(self) -> None:
        """Close the file."""
        with contextlib.suppress(OSError):  # some file systems complain here of earlier writes
            self._file.close()


def read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read a journal back: its header, and its records up to the first that isn't whole."""
    header, *lines = path.read_bytes().split(b"\n")
    records = list(itertools.takewhile(lambda record: record is not None, map(parse_line, lines)))
    return parse_line(header) or {}, [record for record in records if record is not None]


def metric_names(path: Path) -> list[str]:
    """Return the metrics that occur near the start or the end of a journal, in order met."""
    head, tail = _ends(path, _HEAD_BYTES, _HEAD_BYTES)
    # A part of a line isn't JSON and falls out when parsed.
    lines = [*head.split(b"\n")[:_FEW], *_evaluations(head)[:2]]
    lines += [*tail.split(b"\n")[-_FEW:], *_evaluations(tail)[-1:]]
    names: dict[str, None] = {}
    for record in map(parse_line, lines):
        if record is not None and "event" not in record and "schema" not in record:
            names.update(dict.fromkeys(key for key, value in record.items() if is_metric(value)))
    return [name for name in names if name not in INDEX[:3]]


def latest(path: Path) -> dict[str, Any]:
    """Return the newest value of each metric near the end of a journal (for a run under way)."""
    _, tail = _ends(path, 0, _TAIL_BYTES)
    newest: dict[str, Any] = {}
    for line in [*_evaluations(tail)[-1:], *tail.split(b"\n")[-_FEW:]]:
        record = parse_line(line)
        if record is not None and "event" not in record and "schema" not in record:
            newest |= {key: value for key, value in record.items() if value is not None}
    return newest


def value_at(path: Path, metric: str, step: int) -> float | None:
    """Return the newest value of a metric that was logged by a step.

    Returns:
        The number; None where it wasn't finite, or there are no records at all.

    Raises:
        KeyError: There are records by then, and none of them has the metric.
    """
    name, found = json.dumps(metric).encode(), None
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError:
        return None
    for line in reversed(lines):
        record = parse_line(line) if name in line or found is None else None
        if record is None or "event" in record or "schema" in record or record["step"] > step:
            continue
        found = record
        if metric in record:
            value = record[metric]
            return None if value is None else float(value)
    if found is None:
        return None
    raise KeyError(metric)


def read_header(path: Path) -> dict[str, Any]:
    """Return the first line of a journal if it is a header, else an empty dictionary."""
    try:
        with path.open("rb") as file:
            first = parse_line(file.readline())
    except OSError:
        return {}
    return first if first is not None and "schema" in first else {}


def is_metric(value: object) -> bool:
    """Whether a record's value is a number, or one that wasn't finite."""
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


def _evaluations(raw: bytes) -> list[bytes]:
    return [line for line in raw.split(b"\n") if b'"val/' in line]


def parse_line(line: bytes | str) -> dict[str, Any] | None:
    """Read one line; None where it isn't a JSON object."""
    try:
        record = parse_json(line)
    except ValueError:
        return None
    return record if isinstance(record, dict) else None


def header_problems(path: Path, header: dict[str, Any]) -> list[str]:
    """Say what is wrong with a journal's first line."""
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
                return [f"{path} is empty: the run has no curves"]
            file.seek(-1, os.SEEK_END)
            whole = file.read() == b"\n"
    except FileNotFoundError:
        return [f"{path} is missing: the run has no curves"]
    except OSError as error:
        return [f"{path} can't be read: {error.strerror}"]
    problems = header_problems(path, parse_line(first) or {})
    if not whole and not running:
        problems.append(f"{path}: {CUT_OFF}")
    return problems


def _records_until(path: Path, last_step: int) -> list[str]:
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
        step = (parse_line(line) or {}).get("step")
        # A line cut short by a crash: nothing whole can follow it.
        if not isinstance(step, int) or step > last_step:
            break
        kept.append(line)
    return kept


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""metrics.jsonl: one JSON object a line, appended as the run goes, never rewritten in place."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from avatarl.files import write_atomic

SCHEMA = 1


class JournalWriter:
    """Appends records; each line is flushed, so that a crash loses none that was written.

    Args:
        path: ``metrics.jsonl`` of the run.
        header: First line of a new file.
        last_step: When resuming, records after this step are dropped first: they will come again.
    """

    def __init__(self, path: Path, header: Mapping[str, Any], last_step: int | None) -> None:
        lines = [json.dumps({"schema": SCHEMA, **header})]
        if last_step is not None and path.exists():
            lines += _records_until(path, last_step)
        write_atomic(path, "\n".join(lines) + "\n")
        self.path = path
        self._file = path.open("a", encoding="utf-8")

    def write(self, record: Mapping[str, Any]) -> None:
        """Append one record; numbers that aren't finite become null."""
        self._file.write(json.dumps({k: _finite(v) for k, v in record.items()}) + "\n")
        self._file.flush()

    def rewind(self, last_step: int) -> None:
        """Drop what was written after a step: a run went back to it, and its records come again."""
        self._file.close()
        header = self.path.read_text(encoding="utf-8").splitlines()[0]
        write_atomic(self.path, "\n".join([header, *_records_until(self.path, last_step)]) + "\n")
        self._file = self.path.open("a", encoding="utf-8")

    def close(self) -> None:
        """Close the file."""
        self._file.close()


def read(path: Path) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Read a journal back: its header, and its records up to the first that isn't whole."""
    header, *lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    records = []
    for line in lines:
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return json.loads(header), records


def _records_until(path: Path, last_step: int) -> list[str]:
    kept = []
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines()[1:]:
        try:
            record = json.loads(line)
        except json.JSONDecodeError:
            break  # a line cut short by a crash; nothing whole can follow it
        if record.get("step", 0) > last_step:
            break
        kept.append(line)
    return kept


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value

"""What a study has decided and learned, as numbered files that each are written once.

An entry is made by creating the next number, which the file system lets exactly one process do:
who comes second reads what the first has written, and thinks again. So no lock is held, and none
can be left behind. ``decisions.jsonl`` is a copy for people and programs.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from avatarl import storage
from avatarl.files import create_exclusively, read_json, replace_quickly
from avatarl.runs.liveness import Owner
from avatarl.runs.outputs import SweepFolder

#: Seconds between two copies, and after which what can't be read stays nothing.
_COPY_EVERY_S, _HALF_WRITTEN_AFTER_S = 2.0, 30.0

Event = Mapping[str, Any]
# What this process has read, by folder: entries never change, and may be many small files.
_read: dict[Path, tuple[Entry | None, ...]] = {}


@dataclass(frozen=True)
class Entry:
    """What one process wrote down at once.

    Attributes:
        by: The process.
        asker: Which of those that ask in this process.
        time: In Unix seconds.
    """

    by: Owner
    asker: str
    time: float
    events: tuple[Event, ...]


class Ledger:
    """The entries of a sweep's study.

    Attributes:
        entries: All that are known, in order; None for one that was cut off by a crash.
    """

    def __init__(self, sweep: SweepFolder) -> None:
        self._folder, self._copy = sweep.ledger.absolute(), sweep.decisions
        there = self._path(0).exists()
        self.entries: list[Entry | None] = [*_read.get(self._folder, ())] if there else []
        self._copied, self._copied_at = 0, 0.0

    def read_on(self) -> bool:
        """Read what was written since the last look; whether there was anything."""
        before = len(self.entries)
        while (path := self._path(len(self.entries))).exists():
            try:
                self.entries.append(_entry(read_json(path)))
            except (ValueError, KeyError, TypeError):
                if time.time() - path.stat().st_mtime < _HALF_WRITTEN_AFTER_S:
                    time.sleep(0.05)  # its writer may be between two system calls
                else:
                    self.entries.append(None)
        if len(self.entries) > before:
            _read[self._folder] = tuple(self.entries)
        return len(self.entries) > before

    def append(self, by: Owner, asker: str, events: Sequence[Event], known: int) -> bool:
        """Write the next entry; False: another process was faster, and wrote it.

        Args:
            by: This process.
            asker: Which of those that ask in it.
            events: What it says.
            known: How many entries the asker has thought about.

        Raises:
            OSError: The folder can't be written.
        """
        if known < len(self.entries):
            return False
        entry = Entry(by, asker, time.time(), tuple(events))
        self._folder.mkdir(parents=True, exist_ok=True)
        path, content = self._path(len(self.entries)), json.dumps(asdict(entry)) + "\n"
        if not storage.persist(lambda: create_exclusively(path, content)):
            return False
        self.entries.append(entry)
        return True

    def copy(self, *, now: bool = False) -> None:
        """Bring ``decisions.jsonl`` up to date, now or unless that was done a moment ago."""
        if not now and time.monotonic() - self._copied_at < _COPY_EVERY_S:
            return
        while len(self.entries) > self._copied:
            self._copied, self._copied_at = len(self.entries), time.monotonic()
            lines = [
                json.dumps({"entry": number, "time": round(entry.time, 3), **_told(event)}) + "\n"
                for number, entry in enumerate(self.entries, 1)
                if entry is not None
                for event in entry.events
            ]
            replace_quickly(self._copy, "".join(lines))
            self.read_on()  # or an older copy might take the place of a newer one

    def _path(self, place: int) -> Path:
        return self._folder / f"{place + 1:06}.json"


def _told(event: Event) -> Event:
    # A whole configuration is no decision.
    return {key: value for key, value in event.items() if key != "planned"}


def _entry(raw: Mapping[str, Any]) -> Entry:
    events = tuple(dict(event) for event in raw["events"])
    return Entry(Owner.from_json(raw["by"]), str(raw["asker"]), float(raw["time"]), events)

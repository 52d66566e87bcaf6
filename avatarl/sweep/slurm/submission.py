"""The record of jobs that were queued together, as files under the sweep's directory.

SLURM forgets jobs a few minutes after their end; where accounting is off, nobody knows any more how
they ended. So that a cancelled job isn't taken for a lost one, ``avatarl cancel`` notes what it
cancels (``cancelled.json``), and each job notes when it begins and when it is told to stop
(``job-<pack>.json``).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from avatarl.files import read_json, write_json


@dataclass(frozen=True)
class Submission:
    """Jobs that were queued together.

    Attributes:
        directory: Packs, submitit's files (0700).
        jobs: Job id of each pack.
        packs: Run ids of each pack.
        code: The frozen source.
    """

    directory: Path
    jobs: tuple[str, ...]
    packs: tuple[tuple[str, ...], ...]
    code: str
    created: float

    @classmethod
    def read(cls, directory: Path) -> Submission:
        """Read ``submission.json``.

        Raises:
            FileNotFoundError: The submission was never completed.
            ValueError: The file is damaged.
        """
        raw = read_json(directory / "submission.json")
        try:
            texts = [*raw["jobs"], *(run for runs in raw["packs"] for run in runs), raw["code"]]
            "".join(texts)
            float(raw["created"])
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{directory / 'submission.json'} is damaged ({error})") from error
        return cls(
            directory,
            tuple(raw["jobs"]),
            tuple(tuple(runs) for runs in raw["packs"]),
            raw["code"],
            raw["created"],
        )

    def note_cancellation(self, jobs: Iterable[str]) -> None:
        """Note jobs that are about to be cancelled."""
        write_json(self.directory / "cancelled.json", {"jobs": sorted(self._cancelled() | {*jobs})})

    def forget_cancellation(self, jobs: Iterable[str]) -> None:
        """Take back :meth:`note_cancellation`: it couldn't be done."""
        write_json(self.directory / "cancelled.json", {"jobs": sorted(self._cancelled() - {*jobs})})

    def cancellation(self, job: str, *, forgotten: bool) -> str | None:
        """How a job that has ended was cancelled, in words; ``None``: it wasn't, as far as known.

        Args:
            job: Its id.
            forgotten: Neither SLURM's queue nor its accounting knows how it ended. A job that was
                told to stop, or never began, and that SLURM doesn't know any more, was cancelled:
                one that is to run again stays in the queue.
        """
        if job in self._cancelled():
            return "was cancelled"
        if not forgotten:
            return None
        try:
            note = read_json(self.directory / f"job-{self.jobs.index(job)}.json")
        except (OSError, ValueError):
            began = any(self.directory.glob(f"submitit/{job}_*_log.*"))
            return None if began else "was cancelled before it began"
        if note.get("state") != "stopping":
            return None
        return f"was cancelled (stopped by {note.get('signal')}, and not in the queue any more)"

    def _cancelled(self) -> set[str]:
        with contextlib.suppress(OSError, ValueError, KeyError):
            return set(read_json(self.directory / "cancelled.json")["jobs"])
        return set()


def note_job(directory: Path, number: int, state: str, signal: str | None = None) -> None:
    """Note what the job of pack ``number`` is doing; where the disk is full, nothing is noted.

    Args:
        directory: Of the submission.
        number: Of the pack.
        state: ``working``, or ``stopping`` once it was told to.
        signal: The signal that told it.
    """
    with contextlib.suppress(OSError):
        content = {"state": state, "signal": signal, "time": time.time()}
        write_json(directory / f"job-{number}.json", content)


def submissions(sweep: Path) -> list[Submission]:
    """Completed submissions of a sweep, oldest first."""
    completed = []
    for path in sorted(
        (sweep / "slurm").glob("*/submission.json"), key=lambda p: int(p.parent.name)
    ):
        with contextlib.suppress(OSError, ValueError, KeyError):
            completed.append(Submission.read(path.parent))
    return completed


def new_directory(sweep: Path) -> Path:
    """Make the next free ``slurm/<number>`` of a sweep, readable by the user alone."""
    sweep.absolute().joinpath("slurm").mkdir(parents=True, exist_ok=True)
    while True:
        directory = next_directory(sweep)
        try:
            directory.mkdir(mode=0o700)
        except FileExistsError:
            continue  # another client was faster
        (directory / "submitit").mkdir(mode=0o700)
        (directory / "failed").mkdir(mode=0o700)
        return directory


def next_directory(sweep: Path) -> Path:
    """Where the next submission of a sweep goes."""
    folder = sweep.absolute() / "slurm"
    taken = [int(path.name) for path in folder.glob("*") if path.name.isdigit()]
    return folder / str(max(taken, default=0) + 1)

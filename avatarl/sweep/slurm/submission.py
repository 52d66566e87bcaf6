"""The record of jobs that were queued together, as files under the sweep's directory.

SLURM forgets jobs a few minutes after their end; where accounting is off, nobody knows any more how
they ended. So that a cancelled job isn't taken for a lost one, ``avatarl cancel`` notes what it
cancels (``cancelled.json``), and each job notes when it begins and when it is told to stop
(``job-<pack>.json``).
"""

from __future__ import annotations

import contextlib
import dataclasses
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarl.files import read_json, write_json
from avatarl.runs import liveness, slurm_jobs
from avatarl.runs.liveness import Owner

#: The record's name.
NOTE = "submission.json"


@dataclass(frozen=True)
class Submission:
    """Jobs that were queued together.

    Attributes:
        directory: Packs, submitit's files (0700).
        jobs: Job id of each pack, as far as SLURM has taken them: of the first so many.
        packs: Run ids of each pack.
        code: The frozen source.
        client: The process that queues them.
        proposes: Whether it proposes further runs to them, as long as it is there.
    """

    directory: Path
    jobs: tuple[str, ...]
    packs: tuple[tuple[str, ...], ...]
    code: str
    created: float
    client: Owner | None = None
    proposes: bool = False

    @property
    def sweep_name(self) -> str:
        """Name of the sweep."""
        return self.directory.parent.parent.name

    @property
    def waits(self) -> bool:
        """Whether some packs wait for their client to queue them."""
        return len(self.jobs) < len(self.packs) and self.attended

    @property
    def attended(self) -> bool:
        """Whether its client is there."""
        if self.client is None:
            return False
        alive = liveness.lives(self.client)
        if alive is None:  # on another machine; it touches the file as it tries, or proposes
            with contextlib.suppress(OSError):
                touched = (self.directory / NOTE).stat().st_mtime
                return time.time() - touched < liveness.SILENT_AFTER_S
        return bool(alive)

    def write(self, settings: Mapping[str, Any]) -> None:
        """Note the jobs, before SLURM is asked for more of them and after."""
        content = {
            "schema": 1,
            "created": self.created,
            "jobs": list(self.jobs),
            "packs": [list(runs) for runs in self.packs],
            "code": self.code,
            "client": dataclasses.asdict(self.client) if self.client else None,
            "proposes": self.proposes,
            "settings": dict(settings),
        }
        write_json(self.directory / NOTE, content)

    def found(self) -> Submission:
        """The same with jobs that SLURM has taken, and whose client has ended before it said so.

        SLURM is asked only where jobs are missing.
        """
        if len(self.jobs) == len(self.packs):
            return self
        jobs = slurm_jobs.writing_to(self.directory, job_name(self.sweep_name)) or []
        known = {job.split("_")[0] for job in self.jobs}
        new: list[str] = []
        for job in jobs:
            base, _, element = job.partition("_")
            if base not in known:
                # Elements that SLURM has forgotten leave their places.
                new += [f"{base}_{at}" for at in range(len(new), int(element or 0))]
                new.append(job)
        return dataclasses.replace(self, jobs=(*self.jobs, *new)[: len(self.packs)])

    @classmethod
    def read(cls, directory: Path) -> Submission:
        """Read ``submission.json``.

        Raises:
            FileNotFoundError: The submission was never begun.
            ValueError: The file is damaged.
        """
        raw = read_json(directory / NOTE)
        try:
            texts = [*raw["jobs"], *(run for runs in raw["packs"] for run in runs), raw["code"]]
            "".join(texts)
            float(raw["created"])
            client = Owner.from_json(raw["client"]) if raw.get("client") else None
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{directory / 'submission.json'} is damaged ({error})") from error
        return cls(
            directory,
            tuple(raw["jobs"]),
            tuple(tuple(runs) for runs in raw["packs"]),
            raw["code"],
            raw["created"],
            client,
            bool(raw.get("proposes")),
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
    """Submissions of a sweep, oldest first, with all jobs that SLURM has taken."""
    paths = (sweep.absolute() / "slurm").glob(f"*/{NOTE}")
    found = []
    for path in sorted(paths, key=lambda path: int(path.parent.name)):
        with contextlib.suppress(OSError, ValueError, KeyError):
            read = Submission.read(path.parent)
            found.append(read if read.waits else read.found())  # its client notes them itself
    return found


def is_proposed_to(sweep: Path) -> bool:
    """Whether a client that proposes runs of a sweep is there, or nobody can tell for now."""
    for path in (sweep.absolute() / "slurm").glob(f"*/{NOTE}"):
        with contextlib.suppress(ValueError):
            try:
                one = Submission.read(path.parent)
                if one.proposes and one.attended:
                    return True
            except OSError:
                return True
    return False


def job_name(sweep_name: str) -> str:
    """What SLURM calls the jobs of a sweep."""
    return f"avatarl-{sweep_name}"


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

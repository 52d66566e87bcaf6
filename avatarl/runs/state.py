"""What has become of a run: one enumeration, and one function from its folder to a state."""

from __future__ import annotations

import enum
import os
import socket
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from avatarl.runs import liveness, ownership
from avatarl.runs.folder import Failure, RunFolder
from avatarl.runs.progress import Progress
from avatarl.runs.result import Result


class RunState(str, enum.Enum):
    """The state of a run, the one that most wants attention first.

    ``INTERRUPTED``: begun, and nobody works on it; started again, it goes on from its checkpoint.
    ``QUEUED``: a job that is to work on it waits, or is busy with other runs.
    ``NEW``: nothing of it was computed.
    ``PAUSED``: put down at a rung of a search with its checkpoint; a better one has its place.
    ``UNREADABLE``: its files can't be seen for now, so that nobody can tell.
    """

    FAILED = "failed"
    RUNNING = "running"
    INTERRUPTED = "interrupted"
    UNREADABLE = "unreadable"
    QUEUED = "queued"
    NEW = "new"
    PAUSED = "paused"
    DONE = "done"

    __str__ = str.__str__


def in_words(states: Iterable[RunState]) -> str:
    """Count runs by state, what wants attention first: ``1 failed, 2 running, 3 done``."""
    counts = Counter(states)
    return ", ".join(f"{counts[state]} {state}" for state in RunState if counts[state])


@dataclass(frozen=True)
class RunStatus:
    """A run at one moment, as its folder tells it.

    Attributes:
        state: What has become of it.
        result: Of a run that is done, else None.
        progress: How far it has come, if it began and isn't done.
        failure: Why it failed, if that is its state.
        owner: Who claimed it last, if it isn't done and anybody did.
        fault: Why its files can't be seen, if that is its state.
    """

    state: RunState
    result: Result | None = None
    progress: Progress | None = None
    failure: Failure | None = None
    owner: liveness.Owner | None = None
    fault: OSError | None = None

    @property
    def reason(self) -> str:
        """Why the run failed or can't be seen, in one line; else empty, or nothing was told."""
        return str(self.fault) if self.fault else self.failure.reason if self.failure else ""


def status_of(
    folder: RunFolder,
    *,
    slurm: liveness.SlurmLiveness | None = None,
    queued: bool = False,
    problems: list[str] | None = None,
) -> RunStatus:
    """Tell what has become of a run; every part of the project that asks, asks here.

    Args:
        folder: The run's.
        slurm: Tells whether an owner's SLURM job still runs; by default SLURM is asked.
        queued: Whether a job of a queue is going to work on the run.
        problems: Collects what is wrong with its files.
    """
    try:
        return _status_of(folder, slurm, queued, problems)
    except OSError as error:
        if problems is not None:
            problems.append(f"{error.filename or folder.path} can't be read ({error})")
        return RunStatus(RunState.UNREADABLE, fault=error)


def _status_of(
    folder: RunFolder,
    slurm: liveness.SlurmLiveness | None,
    queued: bool,
    problems: list[str] | None,
) -> RunStatus:
    result = folder.read_result(problems, strict=True)
    if result is not None:
        return RunStatus(RunState.DONE, result)
    try:
        names = {entry.name for entry in os.scandir(folder.path)}
    except (FileNotFoundError, NotADirectoryError):
        return RunStatus(RunState.QUEUED if queued else RunState.NEW)
    progress = folder.read_progress(problems) if folder.progress.name in names else None
    failure = folder.read_failure(problems) if folder.failure.name in names else None
    owner = ownership.current_owner(folder) if folder.claims.name in names else None
    if owner is not None:
        works, since = _owner_works(owner, folder, slurm), owner.time
    else:
        works, since = _process_works(progress, folder), progress.updated if progress else 0.0
    # What failed before the latest attempt began is no longer the run's end.
    ended = failure is not None and not (failure.time is not None and failure.time < since)
    if failure is not None and ended:
        return RunStatus(RunState.FAILED, None, progress, failure, owner)
    if works:
        return RunStatus(RunState.RUNNING, None, progress, None, owner)
    if folder.paused.name in names and folder.read_paused() is not None:
        return RunStatus(RunState.PAUSED, None, progress, None, owner)
    began = folder.journal.name in names or any(name.startswith("checkpoint-") for name in names)
    state = RunState.INTERRUPTED if began or progress is not None else RunState.NEW
    return RunStatus(RunState.QUEUED if queued else state, None, progress, None, owner)


def _owner_works(
    owner: liveness.Owner, folder: RunFolder, slurm: liveness.SlurmLiveness | None
) -> bool:
    alive = liveness.lives(owner, slurm)
    return _fresh(folder) if alive is None else alive


def _process_works(progress: Progress | None, folder: RunFolder) -> bool:
    """Whether a run that nobody claimed says that it runs, and may be believed."""
    if progress is None or progress.state != "running":
        return False
    here = progress.pid is not None and progress.host == socket.gethostname()
    if here and not liveness.process_exists(progress.pid or 0):
        return False
    return time.time() - progress.updated < liveness.SILENT_AFTER_S


def _fresh(folder: RunFolder) -> bool:
    return time.time() - folder.last_sign() < liveness.SILENT_AFTER_S

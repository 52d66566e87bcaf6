"""Handing packs to SLURM: all at once, or in as many parts as it has room for."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from avatarl.files import write_checked
from avatarl.runs import ownership, slurm_jobs
from avatarl.sweep import failure
from avatarl.sweep.plan.planned import Plan, PlannedRun
from avatarl.sweep.plan.rollback import Rollback
from avatarl.sweep.slurm.executor import make_executor, script, write_pickle
from avatarl.sweep.slurm.packs import make_packs
from avatarl.sweep.slurm.sbatch import Refused, sbatch
from avatarl.sweep.slurm.settings import SlurmSettings
from avatarl.sweep.slurm.submission import NOTE, Submission, new_directory

_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 5.0, 60.0


@dataclass
class Queue:
    """What one client has SLURM take.

    Attributes:
        sweep: The sweep's directory.
        code: The frozen source.
        settings: The launcher's.
        say: Tells that SLURM takes no more for now, and when it does again.
        searched: The plan of a search, whose jobs ask what is next; None: packs are worked through.
    """

    sweep: Path
    code: Path
    settings: SlurmSettings
    say: Callable[[str], object]
    searched: Plan | None = None

    def __post_init__(self) -> None:
        self._open: list[Submission] = []
        self._pause, self._due = _FIRST_PAUSE_S, 0.0
        self._told = False

    @property
    def left(self) -> int:
        """Jobs that SLURM hasn't taken yet."""
        return sum(len(one.packs) - len(one.jobs) for one in self._open)

    def add(self, runs: Sequence[PlannedRun], rollback: Rollback | None = None) -> Submission:
        """Queue runs as arrays of packs; what SLURM has no room for, :meth:`again` does.

        Args:
            runs: In the order wanted.
            rollback: Takes back all that was written and queued, should more be refused.

        Raises:
            Refused: SLURM doesn't take them; nothing stays queued or written.
        """
        with Rollback() as undo:
            directory = new_directory(self.sweep)
            undo.directory(directory)
            undo.call(lambda: _cancel(directory))
            submission = self._write_down(runs, directory)
            self._open.append(submission)
            undo.call(lambda: self._drop(directory))
            self._push(submission)
            if rollback is not None:
                rollback.directory(directory)
                rollback.call(lambda: _cancel(directory))
        return Submission.read(directory)

    def again(self) -> None:
        """Try what SLURM had no room for, unless it was tried a moment ago.

        Raises:
            Refused: It never will take it.
        """
        if self._open and time.monotonic() >= self._due:
            self._push(self._open[0])

    def _write_down(self, runs: Sequence[PlannedRun], directory: Path) -> Submission:
        shared = self.searched is not None
        packs = make_packs(runs, self.settings.runs_per_job, shared)
        if self.searched is not None:
            self.searched.write(directory)
        _write_packs(packs, directory, self.code, self.settings, shared)
        executor = make_executor(directory, self.sweep.name, self.code, self.settings)
        for number in range(len(packs)):
            write_pickle(executor, number)
        ids = tuple(tuple(run.id for run in members) for members in packs)
        me = ownership.this_process()
        submission = Submission(directory, (), ids, str(self.code), time.time(), me)
        submission.write(dataclasses.asdict(self.settings))
        return submission

    def _push(self, submission: Submission) -> None:
        """Have SLURM take as many packs as it does."""
        if self._told:  # an sbatch that was ended may have been heard after all
            found = submission.found()
            if found != submission:
                submission = self._note(found)
        size = limit = slurm_jobs.max_array_size()
        while left := len(submission.packs) - len(submission.jobs):
            size = min(size, left, limit)
            try:
                submission = self._queue(submission, size)
            except Refused as refusal:
                if size > 1 and (refusal.full or refusal.maybe):
                    self._tell(refusal, left)
                    size = -(-size // 2)
                    continue
                self._wait(submission)
                if not (refusal.full or (refusal.maybe and submission.jobs)):
                    raise
                self._tell(refusal, left)
                return
            self._pause = _FIRST_PAUSE_S
        self._drop(submission.directory)
        if self._told and not self._open:
            self._told = False
            self.say("SLURM has taken all jobs")

    def _queue(self, submission: Submission, count: int) -> Submission:
        first = len(submission.jobs)
        text = script(count, first, submission.directory, self.sweep.name, self.code, self.settings)
        path = submission.directory / "submitit" / f"{first}_submission.sh"
        path.write_text(text, encoding="utf-8")
        settled = [name for name, value in vars(self.settings).items() if value is not None]
        number = sbatch(path, [*settled, *self.settings.additional_parameters])
        new = [number] if count == 1 else [f"{number}_{element}" for element in range(count)]
        taken = self._note(dataclasses.replace(submission, jobs=(*submission.jobs, *new)))
        if self._told:
            left = len(taken.packs) - len(taken.jobs)
            self.say(f"SLURM has taken {count} more, {left} are left")
        return taken

    def _tell(self, refusal: Refused, left: int) -> None:
        if not self._told:
            self._told = True
            self.say(
                f"SLURM has no room for {left} job{'s' * (left > 1)} ({refusal.complaint}): trying "
                f"in parts, and again every {_FIRST_PAUSE_S:g} to {_LONGEST_PAUSE_S:g} s"
            )

    def _wait(self, submission: Submission) -> None:
        self._due = time.monotonic() + self._pause
        self._pause = min(2 * self._pause, _LONGEST_PAUSE_S)
        with contextlib.suppress(OSError):
            os.utime(submission.directory / NOTE)

    def _note(self, submission: Submission) -> Submission:
        same = submission.directory
        self._open = [submission if one.directory == same else one for one in self._open]
        submission.write(dataclasses.asdict(self.settings))
        return submission

    def _drop(self, directory: Path) -> None:
        self._open = [one for one in self._open if one.directory != directory]


def _cancel(directory: Path) -> None:
    """Cancel all jobs of a submission that SLURM has taken, noted or not."""
    with contextlib.suppress(OSError, ValueError):
        slurm_jobs.cancel(Submission.read(directory).found().jobs)


def _write_packs(
    packs: Sequence[Sequence[PlannedRun]],
    directory: Path,
    code: Path,
    settings: SlurmSettings,
    searched: bool,
) -> None:
    shared = {
        "schema": 1,
        "submission": f"{directory.parent.parent.name}/{directory.name}",
        "policy": {name: getattr(settings, name) for name in failure.SETTINGS},
        "execute": settings.execute,
        "code": str(code),
        "slots_per_gpu": settings.slots_per_gpu,
        "stack": 1 if searched else settings.stack,
        "searched": searched,  # the plan then lies beside the packs
        "storage_patience_s": settings.storage_patience_s,
    }
    for number, members in enumerate(packs):
        content = {**shared, "runs": [] if searched else [run.to_json() for run in members]}
        write_checked(directory / f"pack-{number}.json", content)

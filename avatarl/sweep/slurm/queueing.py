"""Handing packs to SLURM: all at once, or in as many parts as it has room for."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarl.files import write_checked
from avatarl.runs import liveness, slurm_jobs
from avatarl.sweep import failure
from avatarl.sweep.plan.planned import Plan, PlannedRun
from avatarl.sweep.plan.rollback import Rollback
from avatarl.sweep.slurm.executor import make_executor, script, write_pickle
from avatarl.sweep.slurm.packs import make_packs
from avatarl.sweep.slurm.resources import Kind, Resources
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
        resources: What which runs ask for; ``None``: all ask for the same.
        proposes: Whether this client proposes further runs.
    """

    sweep: Path
    code: Path
    settings: SlurmSettings
    say: Callable[[str], object]
    searched: Plan | None = None
    resources: Resources | None = None
    proposes: bool = False

    def __post_init__(self) -> None:
        self._resources = self.resources or Resources([], self.settings)
        self._open: list[Submission] = []
        #: What each pack of a submission asks for.
        self._kinds: dict[Path, list[Kind]] = {}
        self._pause, self._due = _FIRST_PAUSE_S, 0.0
        self._told = False

    @property
    def left(self) -> int:
        """Jobs that SLURM hasn't taken yet."""
        return sum(len(one.packs) - len(one.jobs) for one in self._open)

    def add(
        self, runs: Sequence[PlannedRun], rollback: Rollback | None = None, more: int = 0
    ) -> Submission:
        """Queue runs as arrays of packs; what SLURM has no room for, :meth:`again` does.

        Args:
            runs: In the order wanted.
            rollback: Takes back all that was written and queued, should more be refused.
            more: How many a search is going to propose beside them.

        Raises:
            Refused: SLURM doesn't take them; nothing stays queued or written.
        """
        with Rollback() as undo:
            directory = new_directory(self.sweep)
            undo.directory(directory)
            undo.call(lambda: _cancel(directory))
            submission = self._write_down(runs, directory, more)
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

    def attend(self) -> None:
        """Show jobs that this client is there, and goes on proposing runs."""
        for directory in self._kinds:
            with contextlib.suppress(OSError):
                os.utime(directory / NOTE)

    def _write_down(self, runs: Sequence[PlannedRun], directory: Path, more: int) -> Submission:
        shared = self.searched is not None
        if self.searched is not None:
            self.searched.write(directory)
        packs: list[list[PlannedRun]] = []
        kinds: list[Kind] = []
        for kind, alike in self._resources.split(runs):
            made = make_packs(alike, kind.settings.runs_per_job, shared, more)
            executor = make_executor(directory, self.sweep.name, self.code, kind.settings)
            content = self._content(kind, directory)
            for number, members in enumerate(made, len(packs)):
                write_pickle(executor, number)
                runs_of = [] if shared else [run.to_json() for run in members]
                write_checked(directory / f"pack-{number}.json", {**content, "runs": runs_of})
            packs += made
            kinds += [kind] * len(made)
        self._kinds[directory] = kinds
        ids = tuple(tuple(run.id for run in members) for members in packs)
        me = liveness.this_process()
        submission = Submission(directory, (), ids, str(self.code), time.time(), me, self.proposes)
        submission.write(dataclasses.asdict(self.settings))
        return submission

    def _content(self, kind: Kind, directory: Path) -> dict[str, Any]:
        """What all packs of a kind say, but for their runs."""
        plan, settings = self.searched, kind.settings
        return {
            "schema": 1,
            "submission": f"{directory.parent.parent.name}/{directory.name}",
            "policy": {name: getattr(settings, name) for name in failure.SETTINGS},
            "execute": settings.execute,
            "code": str(self.code),
            "slots_per_gpu": settings.slots_per_gpu,
            "stack": 1 if plan else settings.stack,
            "searched": plan is not None,  # the plan then lies beside the packs
            "takes": self._resources.takes(kind, plan.runs) if plan else None,
            "storage_patience_s": settings.storage_patience_s,
        }

    def _push(self, submission: Submission) -> None:
        """Have SLURM take as many packs as it does."""
        if self._told:  # an sbatch that was ended may have been heard after all
            found = submission.found()
            if found != submission:
                submission = self._note(found)
        size = slurm_jobs.max_array_size()
        while left := len(submission.packs) - len(submission.jobs):
            count = min(size, left, self._alike(submission))
            try:
                submission = self._queue(submission, count)
            except Refused as refusal:
                if count > 1 and (refusal.full or refusal.maybe):
                    self._tell(refusal, left)
                    size = -(-count // 2)
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

    def _alike(self, submission: Submission) -> int:
        """How many of the packs that come next ask for the same, so that they can be one array."""
        kinds = self._kinds[submission.directory][len(submission.jobs) :]
        return sum(1 for _ in itertools.takewhile(lambda kind: kind is kinds[0], kinds))

    def _queue(self, submission: Submission, count: int) -> Submission:
        first = len(submission.jobs)
        settings = self._kinds[submission.directory][first].settings
        text = script(count, first, submission.directory, self.sweep.name, self.code, settings)
        path = submission.directory / "submitit" / f"{first}_submission.sh"
        path.write_text(text, encoding="utf-8")
        settled = [name for name, value in vars(settings).items() if value is not None]
        number = sbatch(path, [*settled, *settings.additional_parameters])
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

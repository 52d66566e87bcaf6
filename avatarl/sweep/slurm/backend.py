"""A sweep on SLURM: one array of packs through submitit, watched for as long as wanted."""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from avatarl.errors import ConfigError
from avatarl.options import read
from avatarl.runs import find, slurm_jobs
from avatarl.runs.state import RunState, status_of
from avatarl.search.study import Study
from avatarl.signals import SignalFlag, catching
from avatarl.sweep.launch import Backend, Work
from avatarl.sweep.outcome import SweepOutcome
from avatarl.sweep.plan import request, snapshot
from avatarl.sweep.plan.planned import Plan, PlannedRun
from avatarl.sweep.plan.rollback import Rollback
from avatarl.sweep.plan.study import study_of
from avatarl.sweep.slurm import watch
from avatarl.sweep.slurm.executor import script
from avatarl.sweep.slurm.feed import feed
from avatarl.sweep.slurm.packs import make_packs
from avatarl.sweep.slurm.queueing import Queue
from avatarl.sweep.slurm.resources import Kind, Resources
from avatarl.sweep.slurm.settings import SlurmSettings
from avatarl.sweep.slurm.submission import next_directory, submissions
from avatarl.terminal import say

#: Seconds between two looks at whether it is time to try again.
_LOOK_EVERY_S = 0.2


class SlurmBackend(Backend):
    """Queues a sweep as an array of packs, and stays with it if wanted.

    Args:
        raw: The launcher's settings.

    Raises:
        ConfigError: A setting can't be used.
    """

    name = "slurm"
    settings: SlurmSettings

    def __init__(self, raw: Mapping[str, Any]) -> None:
        self.raw = raw
        self.settings = read(SlurmSettings, raw, "hydra.launcher")
        self.settings.check()

    def preview(self, plan: Plan, sweep: Path, console: Console) -> None:
        """Show the plan, the jobs, and the sbatch script byte for byte; works anywhere."""
        more = plan.expected - len(plan.runs)
        groups = [
            (kind, make_packs(runs, kind.settings.runs_per_job, plan.search is not None, more))
            for kind, runs in self._resources(plan).split(_pending(plan, sweep))
        ]
        workers = sum(
            sum(_side_by_side(kind, packs)[: kind.settings.array_parallelism])
            for kind, packs in groups
        )
        request.show_plan(plan, console, workers=workers)
        request.show_left_out(console)
        if groups and (missing := _missing()):
            say(
                console,
                f"No {missing} on this machine: shown is what a login node would submit, arrays "
                "of at most 1,000 jobs, with the paths and the Python of this machine",
            )
        output_dir, own = sweep.parent.parent.absolute(), self.elsewhere(plan)
        code = snapshot.location(output_dir, elsewhere=own)
        directory, done = next_directory(sweep), 0
        for kind, packs in groups:
            sizes = ", ".join(str(len(members)) for members in packs)
            whose = f"{' and '.join(kind.conditions)} ({kind.asked}): " if kind.conditions else ""
            say(
                console,
                f"{whose}{len(packs)} job{'s' * (len(packs) > 1)}, runs in each: {sizes}; "
                f"up to {max(_side_by_side(kind, packs))} side by side in a job",
            )
            for first in range(0, len(packs), limit := slurm_jobs.max_array_size()):
                count = min(limit, len(packs) - first)
                say(console, "sbatch script:")
                text = script(count, done + first, directory, sweep.name, code, kind.settings)
                # Not through rich: every byte as it will be.
                console.file.write(text + "\n")
                console.file.flush()
            done += len(packs)

    def _resources(self, plan: Plan) -> Resources:
        if plan.is_proposed and self.settings.resources:
            valid = "null, or a sweep whose runs are all planned"
            why = "which jobs proposed runs will ask for isn't known when they are queued"
            raise ConfigError("hydra.launcher.resources", self.settings.resources, valid, why)
        return Resources(plan.runs, self.settings)

    def require(self, plan: Plan) -> None:
        """Refuse to submit from a machine without SLURM, or what jobs can't be asked for.

        Raises:
            ConfigError: A command is missing, or ``resources`` can't be meant.
        """
        self._resources(plan)
        if missing := _missing():
            raise ConfigError(
                "hydra/launcher",
                "slurm",
                "local, or slurm on a login node; hydra.launcher.dry_run=true works anywhere",
                f"no {missing} on this machine",
            )

    def prepare(self, plan: Plan, sweep: Path, rollback: Rollback, console: Console) -> Work:
        """Freeze the source, and queue the runs that aren't done: some of them at least.

        Raises:
            UserError: SLURM refused the jobs.
        """
        place = str(sweep.absolute())
        if set("%\\") & set(place):
            valid = "a path without % and \\, which SLURM replaces in the names of logs"
            raise ConfigError("output_dir", place, valid)
        resources = self._resources(plan)
        output_dir, own = sweep.parent.parent.absolute(), self.elsewhere(plan)
        code = snapshot.freeze(output_dir, rollback=rollback, elsewhere=own)
        request.show_left_out(console)
        if (study := study_of(plan, sweep)) is not None:
            study.again()
        pending, more = _pending(plan, sweep), 0
        if study is not None and self.search is not None:
            if study.left and not pending:
                self.search.grow(study)
                plan = Plan.read(sweep)
                pending = _pending(plan, sweep)
            more = study.left
        searched = plan if plan.search else None
        queue = Queue(
            sweep,
            code,
            self.settings,
            lambda line: say(console, line, "yellow"),
            searched,
            resources,
            self.search is not None,
        )
        if pending:
            packs = len(queue.add(pending, rollback, more).packs)
            while queue.left == packs:  # nothing of it is on its way: all can be taken back
                time.sleep(_LOOK_EVERY_S)
                queue.again()
        return functools.partial(self._work, plan, sweep, pending, queue)

    def _work(
        self,
        plan: Plan,
        sweep: Path,
        pending: Sequence[PlannedRun],
        queue: Queue,
        console: Console,
    ) -> SweepOutcome | None:
        if not pending:
            say(console, f"{plan.name}: all {len(plan.runs)} runs are done")
        else:
            told = submissions(sweep)[-1].jobs
            ids = ", ".join(dict.fromkeys(job.split("_")[0] for job in told))
            jobs = f"{len(told)} job{'s' * (len(told) > 1)} ({ids})"
            expected = plan.expected if self.search is not None else len(plan.runs)
            left = len(pending) + expected - len(plan.runs)
            say(console, f"{plan.name}: {left} of {expected} runs in {jobs}")
            if not self.settings.wait:
                stopped = _queue_all(queue)
                if queue.left:
                    say(
                        console,
                        f"{queue.left} jobs aren't queued; to queue them: "
                        f"avatarl retry {find.spoken(sweep)}",
                    )
                    return SweepOutcome({}, stopped.exit_code, False)
                say(console, f"avatarl watch {find.spoken(sweep)}")
                return None

        policy, poll_s = self.settings.policy(), self.settings.poll_s
        patience_s = self.settings.storage_patience_s
        proposes = self._feed(queue) if self.search is not None else None
        return watch.stay(plan, sweep, policy, poll_s, console, queue, patience_s, proposes)

    def _feed(self, queue: Queue) -> watch.Feed:
        def propose(study: Study, jobs: int) -> None:
            assert self.search is not None
            queue.attend()
            feed(self.search, study, jobs * self.settings.slots())

        return propose


def _queue_all(queue: Queue) -> SignalFlag:
    """Wait until SLURM has taken all, or somebody doesn't want to wait any longer."""
    with catching() as stop:
        while queue.left and not stop():
            time.sleep(_LOOK_EVERY_S)
            queue.again()
    return stop


def _side_by_side(kind: Kind, packs: Sequence[Sequence[PlannedRun]]) -> list[int]:
    """How many runs of each pack go side by side."""
    slots = kind.settings.slots()
    return [min(len(members), slots) for members in packs]


def _pending(plan: Plan, sweep: Path) -> list[PlannedRun]:
    """Runs that jobs are wanted for: all that aren't done, but for those a search has paused."""
    study = study_of(plan, sweep)
    over = study is not None and study.over
    left = [run for run in plan.runs if status_of(run.folder).state is not RunState.DONE]
    return [run for run in left if not (over and run.rungs)]


def _missing() -> str | None:
    """The first of SLURM's commands that submitting needs and this machine lacks."""
    needed = ("sbatch", "srun")
    return next((command for command in needed if shutil.which(command) is None), None)

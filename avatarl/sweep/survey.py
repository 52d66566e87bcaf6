"""Looking at a sweep from outside: what each run is doing, by its files and one call to SLURM."""

from __future__ import annotations

import contextlib
import statistics
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from avatarl.runs import liveness, ownership, slurm_jobs
from avatarl.runs.folder import Failure, RunFolder
from avatarl.runs.liveness import SlurmJob
from avatarl.runs.progress import Progress
from avatarl.runs.state import RunState, status_of
from avatarl.search.summary import line
from avatarl.sweep.plan.planned import Plan, PlannedRun
from avatarl.sweep.plan.study import study_of
from avatarl.sweep.slurm.submission import submissions


@dataclass(frozen=True)
class Row:
    """One run as seen from outside.

    Attributes:
        state: What has become of it; ``interrupted`` also where its job ended without it.
        job: Of its SLURM jobs, if it was queued there, the one that works on it, or else that may
            still do so, or else that did last; None where SLURM doesn't know it (any more).
        job_id: That job's id.
        queued: Whether a job of it waits or lives, or one is still to be queued.
        progress: How far it has come, for runs that began and aren't done.
        node: Where it runs or ran.
        gpu: The GPU its process was given, as CUDA_VISIBLE_DEVICES names it.
        reason: Why it failed, waits, or was left.
        failed: The failure, if that is its state.
        fault: Why its files can't be seen, if that is its state.
    """

    run: PlannedRun
    state: RunState
    job: slurm_jobs.Job | None = None
    job_id: str | None = None
    queued: bool = False
    progress: Progress | None = None
    node: str = ""
    gpu: str = ""
    reason: str = ""
    failed: Failure | None = None
    fault: OSError | None = None


@dataclass(frozen=True)
class Survey:
    """A sweep at one moment.

    Attributes:
        rows: One a run, in plan order.
        reachable: Whether SLURM answered (true where it wasn't asked).
        search: Where a search across the runs is, on one line; empty where there is none.
        jobs: How many of its jobs SLURM runs.
    """

    rows: Sequence[Row]
    reachable: bool
    search: str = ""
    jobs: int = 0

    def counts(self) -> Counter[RunState]:
        """Runs by state."""
        return Counter(row.state for row in self.rows)

    @property
    def left_s(self) -> float | None:
        """Seconds until all of it is done, if as many runs go on at once; None: nobody knows."""
        running = [row for row in self.rows if row.state is RunState.RUNNING]
        paces: dict[str, list[float]] = {}
        for row in running:
            if row.progress and row.progress.rate > 0:
                paces.setdefault(row.run.structure_key, []).append(1 / row.progress.rate)
        if not paces or self.search:  # which of the runs will go how far isn't known
            return None
        usual = statistics.median(pace for some in paces.values() for pace in some)
        lengths = [row.progress.steps for row in self.rows if row.progress and row.progress.steps]
        work = longest = 0.0
        for row in self.rows:
            if row.state in (RunState.DONE, RunState.FAILED, RunState.PAUSED):
                continue
            progress = row.progress or Progress()
            asked = row.run.config.get("trainer", {}).get("steps")
            steps = progress.steps or asked or (statistics.median(lengths) if lengths else 0)
            pace = statistics.fmean(paces.get(row.run.structure_key, [usual]))
            ahead = (steps - progress.step) * pace
            work += ahead
            if row.state is RunState.RUNNING:
                longest = max(longest, ahead)
        return max(longest, work / len(running))


def look_at(plan: Plan, sweep: Path, fresh: bool = False) -> Survey:
    """Look at every run's files, and ask SLURM once about all jobs that matter.

    Args:
        plan: The sweep's plan.
        sweep: Its directory.
        fresh: Don't reuse SLURM's last answer.
    """
    folders = {run.id: run.folder for run in plan.runs}
    unfinished = {key: folder for key, folder in folders.items() if not _done(folder)}
    proposed = [run.id for run in plan.runs if run.rungs] if plan.is_proposed else []
    queued = _Queued(sweep, proposed)
    owners = {key: _owner(folder) for key, folder in unfinished.items()}
    job_ids = {job for run_id in unfinished for job in queued.jobs.get(run_id, ())}
    working = [owner.slurm for owner in owners.values() if owner and owner.slurm]
    job_ids |= {job.number or job.id for job in working}
    jobs = slurm_jobs.jobs(job_ids, fresh=fresh)
    rows = [_row(run, folders[run.id], owners.get(run.id), queued, jobs) for run in plan.runs]
    study = study_of(plan, sweep)
    active = sum(job.active for job in (jobs or {}).values())
    return Survey(rows, jobs is not None, line(study) if study is not None else "", active)


class _Queued:
    """What a sweep's submissions say of its runs.

    Attributes:
        jobs: Ids of the jobs of each run, by run id, latest last.
        waiting: Ids of runs that a client is still to queue.

    Args:
        sweep: Its folder.
        proposed: Ids of runs that no submission can name, and any job may take.
    """

    def __init__(self, sweep: Path, proposed: Sequence[str] = ()) -> None:
        self.jobs: dict[str, list[str]] = {}
        self.waiting: set[str] = set()
        for submission in submissions(sweep):
            taken = len(submission.jobs)
            for job, runs in zip(submission.jobs, submission.packs[:taken], strict=True):
                for run_id in {*runs, *proposed}:
                    self.jobs.setdefault(run_id, []).append(job)
            if submission.waits:
                self.waiting.update(*submission.packs[taken:], proposed)


def _done(folder: RunFolder) -> bool:
    with contextlib.suppress(OSError):
        return folder.result.exists()
    return False


def _owner(folder: RunFolder) -> liveness.Owner | None:
    with contextlib.suppress(OSError):  # the run's own row says so
        return ownership.current_owner(folder)
    return None


def _row(
    run: PlannedRun,
    folder: RunFolder,
    owner: liveness.Owner | None,
    queued: _Queued,
    jobs: Mapping[str, slurm_jobs.Job] | None,
) -> Row:
    def lives(job: SlurmJob) -> bool | None:
        if jobs is None:
            return None
        return slurm_jobs.among(jobs, job.id, job.restarts, job.number)

    ids = queued.jobs.get(run.id, [])
    mine = [job for job_id in ids if (job := (jobs or {}).get(job_id))]
    waits = run.id in queued.waiting or (bool(ids) if jobs is None else not _all_over(mine))
    status = status_of(folder, slurm=lives, queued=waits)
    # The owner may have changed since it was read, and is told by what was read with the state.
    owner = status.owner or owner
    job_id = _job_of(status.state, owner, ids, mine, jobs or {})
    job = (jobs or {}).get(job_id or "")
    row = Row(run, status.state, job, job_id, waits, status.progress, failed=status.failure)
    if status.state in (RunState.FAILED, RunState.UNREADABLE):
        return replace(row, reason=status.reason, fault=status.fault)
    if status.state is RunState.RUNNING:
        node = (job.node if job else "") or (owner.host if owner else "")
        return replace(row, node=node, gpu=(owner.gpu if owner else "") or "")
    if status.state is RunState.QUEUED:
        return replace(row, reason=_why_queued(job) if ids else "its job isn't queued yet")
    if job_id is not None and status.state not in (RunState.DONE, RunState.PAUSED):
        how = f"job {job_id} ended ({job.state if job else 'unknown to SLURM'})"
        return replace(row, state=RunState.INTERRUPTED, reason=how)
    return row


def _all_over(jobs: Sequence[slurm_jobs.Job]) -> bool:
    return all(job.over for job in jobs)


def _job_of(
    state: RunState,
    owner: liveness.Owner | None,
    ids: Sequence[str],
    mine: Sequence[slurm_jobs.Job],
    jobs: Mapping[str, slurm_jobs.Job],
) -> str | None:
    """The job to name with a run: of several submissions not always the latest."""
    last = owner.slurm if owner else None
    worked = None
    if last is not None:
        numbers = {job.number: job.id for job in jobs.values() if job.number}
        worked = numbers.get(last.number, last.id)
    if state is RunState.RUNNING and owner is not None:
        return worked
    alive = [job.id for job in mine if job.active] or [job.id for job in mine if not job.over]
    if alive:
        return alive[0]
    return worked if worked in ids else next(reversed(ids), None)


def _why_queued(job: slurm_jobs.Job | None) -> str:
    if job is None:
        return ""
    if job.state == "RUNNING":
        return "waits in its job"
    return job.reason.replace("None", "") if job.state == "PENDING" else job.state.lower()

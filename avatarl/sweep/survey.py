"""Looking at a sweep from outside: what each run is doing, by its files and one call to SLURM."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from avatarl.runs import ownership, slurm_jobs
from avatarl.runs.folder import Failure, RunFolder
from avatarl.runs.ownership import SlurmJob
from avatarl.runs.progress import Progress
from avatarl.runs.state import RunState, status_of
from avatarl.sweep.plan.planned import Plan, PlannedRun
from avatarl.sweep.slurm.submission import submissions
from avatarl.sweep.workers.display import duration, number

_STYLES = {
    RunState.FAILED: "bold red",
    RunState.RUNNING: "green",
    RunState.INTERRUPTED: "yellow",
    RunState.UNREADABLE: "bold yellow",
    RunState.PAUSED: "dim",
    RunState.DONE: "dim",
}
_MOST_ROWS = 30
#: Columns of the table, and how narrow each may get.
_COLUMNS = {
    "run": 12,
    "state": 7,
    "step": 9,
    "steps/s": 7,
    "left": 5,
    "loss": 7,
    "job": 6,
    "node": 5,
    "gpu": 3,
    "notes": 10,
}


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
    """

    rows: Sequence[Row]
    reachable: bool

    def counts(self) -> Counter[RunState]:
        """Runs by state."""
        return Counter(row.state for row in self.rows)


def look_at(plan: Plan, sweep: Path, fresh: bool = False) -> Survey:
    """Look at every run's files, and ask SLURM once about all jobs that matter.

    Args:
        plan: The sweep's plan.
        sweep: Its directory.
        fresh: Don't reuse SLURM's last answer.
    """
    folders = {run.id: run.folder for run in plan.runs}
    unfinished = {key: folder for key, folder in folders.items() if not _done(folder)}
    queued = _Queued(sweep)
    owners = {key: _owner(folder) for key, folder in unfinished.items()}
    job_ids = {job for run_id in unfinished for job in queued.jobs.get(run_id, ())}
    working = [owner.slurm for owner in owners.values() if owner and owner.slurm]
    job_ids |= {job.number or job.id for job in working}
    jobs = slurm_jobs.jobs(job_ids, fresh=fresh)
    rows = [_row(run, folders[run.id], owners.get(run.id), queued, jobs) for run in plan.runs]
    return Survey(rows, jobs is not None)


class _Queued:
    """What a sweep's submissions say of its runs.

    Attributes:
        jobs: Ids of the jobs of each run, by run id, latest last.
        waiting: Ids of runs that a client is still to queue.
    """

    def __init__(self, sweep: Path) -> None:
        self.jobs: dict[str, list[str]] = {}
        self.waiting: set[str] = set()
        for submission in submissions(sweep):
            taken = len(submission.jobs)
            for job, runs in zip(submission.jobs, submission.packs[:taken], strict=True):
                for run_id in runs:
                    self.jobs.setdefault(run_id, []).append(job)
            if submission.waits:
                self.waiting.update(run for runs in submission.packs[taken:] for run in runs)


def _done(folder: RunFolder) -> bool:
    with contextlib.suppress(OSError):
        return folder.result.exists()
    return False


def _owner(folder: RunFolder) -> ownership.Owner | None:
    with contextlib.suppress(OSError):  # the run's own row says so
        return ownership.current_owner(folder)
    return None


def _row(
    run: PlannedRun,
    folder: RunFolder,
    owner: ownership.Owner | None,
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
    owner: ownership.Owner | None,
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


def table(rows: Sequence[Row], most: int | None = _MOST_ROWS) -> Table:
    """Runs, most interesting first, one row each; columns that would be empty are left out."""
    order = list(RunState)
    listed = sorted(rows, key=lambda row: order.index(row.state))
    cells = [_cells(row) for row in listed[:most]]
    kept = [n for n in range(len(_COLUMNS)) if any(row[n] for row in cells)]
    shown = Table(box=None, padding=(0, 1, 0, 0), show_edge=False)
    for name, width in [list(_COLUMNS.items())[n] for n in kept]:
        # Names and notes give way where the terminal is narrow.
        gives_way = name in ("run", "notes")
        shown.add_column(name, overflow="fold", no_wrap=not gives_way, min_width=width)
    for row in cells:
        shown.add_row(*(Text(cell) if isinstance(cell := row[n], str) else cell for n in kept))
    if most is not None and len(listed) > most:
        shown.add_row(Text(f"… {len(listed) - most} more", no_wrap=True))
    return shown


def _cells(row: Row) -> tuple[str | Text, ...]:
    progress = row.progress or Progress()
    running = row.state is RunState.RUNNING
    warnings = ", ".join(progress.warnings)
    return (
        Text(row.run.label, no_wrap=True, overflow="ellipsis"),
        Text(str(row.state), style=_STYLES.get(row.state, "")),
        f"{progress.step}/{progress.steps}" if progress.steps else "",
        number(progress.rate, 1) if running else "",
        duration(progress.eta_s) if running else "",
        number(progress.loss) if row.progress else "",
        row.job_id or "",
        row.node,
        row.gpu,
        Text(row.reason or warnings, style="yellow" if not row.reason else ""),
    )


def headline(name: str, survey: Survey) -> Text:
    """One line: how many runs are in each state."""
    counts = survey.counts()
    words = ", ".join(f"{counts[s]} {s}" for s in reversed(RunState) if counts[s])
    lost = "" if survey.reachable else "  (SLURM's controller doesn't answer)"
    return Text(f"{name}: {len(survey.rows)} runs: {words}{lost}", style="bold")


def render(name: str, survey: Survey) -> RenderableType:
    """Headline and table of what isn't done."""
    rows = [row for row in survey.rows if row.state is not RunState.DONE]
    return Group(headline(name, survey), *([table(rows)] if rows else []))

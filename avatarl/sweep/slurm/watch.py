"""Looking at a sweep from outside: what each run is doing, by its files and one call to SLURM."""

from __future__ import annotations

import contextlib
import signal
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from avatarl.errors import UserError
from avatarl.runs import find, ownership, slurm_jobs
from avatarl.runs.folder import Failure, RunFolder
from avatarl.runs.ownership import SlurmJob
from avatarl.runs.progress import Progress
from avatarl.runs.state import RunState, status_of
from avatarl.sweep.failure import FailurePolicy
from avatarl.sweep.plan.planned import Plan, PlannedRun
from avatarl.sweep.plan.request import SweepOutcome
from avatarl.sweep.slurm.submission import Submission, submissions
from avatarl.sweep.workers import worker
from avatarl.sweep.workers.display import duration, number
from avatarl.sweep.workers.outcome import RunOutcome

_STYLES = {
    RunState.FAILED: "bold red",
    RunState.RUNNING: "green",
    RunState.INTERRUPTED: "yellow",
    RunState.DONE: "dim",
}
_MOST_ROWS = 30
#: The state of a job that neither squeue nor sacct knows.
_UNKNOWN = "UNKNOWN"
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
        job: Its SLURM job, if it was queued there.
        progress: How far it has come, for runs that began and aren't done.
        node: Where it runs or ran.
        gpu: The GPU its process was given, as CUDA_VISIBLE_DEVICES names it.
        reason: Why it failed, waits, or was left.
        failed: What it failed of, if that is its state.
    """

    run: PlannedRun
    state: RunState
    job: slurm_jobs.Job | None = None
    job_id: str | None = None
    progress: Progress | None = None
    node: str = ""
    gpu: str = ""
    reason: str = ""
    failed: Failure | None = None


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


def survey(plan: Plan, sweep: Path, fresh: bool = False) -> Survey:
    """Look at every run's files, and ask SLURM once about all jobs that matter.

    Args:
        plan: The sweep's plan.
        sweep: Its directory.
        fresh: Don't reuse SLURM's last answer.
    """
    folders = {run.id: run.folder for run in plan.runs}
    unfinished = {key: folder for key, folder in folders.items() if not folder.result.exists()}
    job_of = {
        run_id: job
        for submission in submissions(sweep)  # later ones override
        for job, runs in zip(submission.jobs, submission.packs, strict=True)
        for run_id in runs
    }
    owners = [ownership.current_owner(folder) for folder in unfinished.values()]
    wanted = {job_of[run_id] for run_id in unfinished if run_id in job_of}
    wanted |= {owner.slurm.id for owner in owners if owner and owner.slurm}
    jobs = slurm_jobs.jobs(wanted, fresh=fresh) if wanted else {}

    def slurm(job: SlurmJob) -> bool | None:
        if jobs is None:
            return None
        known = jobs.get(job.id)
        return known is not None and known.active and known.restarts == job.restarts

    rows = [_row(run, folders[run.id], job_of.get(run.id), jobs, slurm) for run in plan.runs]
    return Survey(rows, jobs is not None)


def _row(
    run: PlannedRun,
    folder: RunFolder,
    job_id: str | None,
    jobs: Mapping[str, slurm_jobs.Job] | None,
    slurm: ownership.SlurmLiveness,
) -> Row:
    job = (jobs or {}).get(job_id or "")
    queued = job_id is not None and (jobs is None or (job is not None and not job.over))
    status = status_of(folder, slurm=slurm, queued=queued)
    row = Row(run, status.state, job, job_id, status.progress, failed=status.failure)
    if status.state is RunState.FAILED:
        return replace(row, reason=status.reason)
    if status.state is RunState.RUNNING:
        owner = status.owner
        where = (job.node if job else "") or (owner.host if owner else "")
        return replace(row, node=where, gpu=(owner.gpu if owner else "") or "")
    if status.state is RunState.QUEUED:
        return replace(row, reason=_why_queued(job))
    if job_id is not None and status.state is not RunState.DONE:
        how = f"job {job_id} ended ({job.state if job else 'unknown to SLURM'})"
        return replace(row, state=RunState.INTERRUPTED, reason=how)
    return row


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
        shown.add_row(*(row[n] for n in kept))
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


def headline(name: str, seen: Survey) -> Text:
    """One line: how many runs are in each state."""
    counts = seen.counts()
    words = ", ".join(f"{counts[s]} {s}" for s in reversed(RunState) if counts[s])
    lost = "" if seen.reachable else "  (SLURM's controller doesn't answer)"
    return Text(f"{name}: {len(seen.rows)} runs: {words}{lost}", style="bold")


def render(name: str, seen: Survey) -> RenderableType:
    """Headline and table of what isn't done."""
    rows = [row for row in seen.rows if row.state is not RunState.DONE]
    return Group(headline(name, seen), *([table(rows)] if rows else []))


class _Detach:
    def __init__(self) -> None:
        self.asked = False

    def __call__(self, number: int, frame: object) -> None:
        self.asked = True


def stay(
    plan: Plan,
    sweep: Path,
    policy: FailurePolicy,
    poll_s: float,
    console: Console,
    again: Callable[[Sequence[PlannedRun]], Submission] | None,
) -> SweepOutcome:
    """Show a queued sweep until every run has ended.

    Runs whose job ended without them (its node died, it was killed) are queued again, at most
    ``policy.max_retries`` times each; runs whose job was cancelled are not.

    Args:
        plan: The sweep's plan.
        sweep: Its directory.
        policy: What to do when runs fail.
        poll_s: Seconds between two looks.
        console: Where to show it.
        again: Queues runs again; ``None`` only looks.
    """
    watcher = _Watcher(plan, sweep, policy, console, again)
    detach = _Detach()
    before = signal.signal(signal.SIGINT, detach)
    live = Live(console=console, auto_refresh=False, transient=True)
    with live if console.is_terminal else contextlib.nullcontext():
        try:
            while True:
                seen = survey(plan, sweep, fresh=True)
                over = watcher.look(seen)
                if console.is_terminal:
                    live.update(render(plan.name, seen), refresh=True)
                if over or detach.asked:
                    break
                _pause(poll_s, detach)
        finally:
            signal.signal(signal.SIGINT, before)
    if not over:
        name = find.spoken(sweep)
        console.print(
            f"The jobs go on. avatarl watch {name}, or avatarl cancel {name}",
            highlight=False,
            soft_wrap=True,
        )
        return SweepOutcome({}, 130, False)
    return watcher.launched(seen)


def _pause(seconds: float, detach: _Detach) -> None:
    until = time.monotonic() + seconds
    while not detach.asked and time.monotonic() < until:
        time.sleep(min(0.1, seconds))


class _Watcher:
    """Tells each end once, and decides what happens to runs that lost their job."""

    def __init__(
        self,
        plan: Plan,
        sweep: Path,
        policy: FailurePolicy,
        console: Console,
        again: Callable[[Sequence[PlannedRun]], Submission] | None,
    ) -> None:
        self.plan, self.sweep, self.policy = plan, sweep, policy
        self.console, self.again = console, again
        self.told: set[str] = set()
        self.done_before = {
            run.id for run in plan.runs if status_of(run.folder).state is RunState.DONE
        }
        self.failed_before = _failures(plan)
        self.lost_since: dict[str, int] = {}
        self.rounds: Counter[str] = Counter()

    def look(self, seen: Survey) -> bool:
        """Tell what is new; whether every run has ended."""
        for row in seen.rows:
            self._tell(row)
        ended = {row.run.id for row in seen.rows if self._ended(row)}
        failed = sum(row.state is RunState.FAILED and self._ended(row) for row in seen.rows)
        lost = [row for row in seen.rows if row.run.id not in ended and self._is_lost(row, seen)]
        if self.policy.stops_sweep(failed):
            # The jobs stop by themselves; what they leave unfinished stays so.
            working = any(row.state in (RunState.RUNNING, RunState.QUEUED) for row in seen.rows)
            return not working
        if lost:
            self._take_care(lost)
            return False
        return len(ended) == len(seen.rows)

    def launched(self, seen: Survey) -> SweepOutcome:
        """Outcomes of a sweep whose runs have all ended."""
        outcomes: dict[str, RunOutcome] = {}
        for row in seen.rows:
            if row.state is RunState.DONE:
                result = row.run.folder.read_result()
                outcomes[row.run.id] = RunOutcome("done", row.run.id in self.done_before, result)
            elif row.state is RunState.FAILED:
                outcomes[row.run.id] = RunOutcome("failed", reason=row.reason)
            else:
                outcomes[row.run.id] = RunOutcome("interrupted", reason=row.reason)
        bad = any(outcome.state != "done" for outcome in outcomes.values())
        return SweepOutcome(outcomes, int(bad), True)

    def _ended(self, row: Row) -> bool:
        # A failure from before this launch isn't its end: the run was queued again.
        old = self.failed_before.get(row.run.id)
        now = row.failed.time if row.failed else None
        stale = old is not None and now == old and self.again is not None
        return row.state is RunState.DONE or (row.state is RunState.FAILED and not stale)

    def _is_lost(self, row: Row, seen: Survey) -> bool:
        """Whether nobody works on the run and no job will; seen so on two looks in a row."""
        stale = row.state is RunState.FAILED  # and not ended: a failure from before this launch
        if not seen.reachable or row.state in (RunState.RUNNING, RunState.QUEUED):
            nobody = False
        elif stale:
            known = slurm_jobs.jobs([row.job_id]) if row.job_id else {}
            job = (known or {}).get(row.job_id or "")
            nobody = known is not None and (job is None or job.over)
        else:
            nobody = True
        self.lost_since[row.run.id] = self.lost_since.get(row.run.id, 0) + 1 if nobody else 0
        return self.lost_since[row.run.id] >= 2

    def _take_care(self, lost: Sequence[Row]) -> None:
        retry: list[PlannedRun] = []
        for row in lost:
            run, job = row.run, row.job
            ended = job.state if job is not None else self._accounted(row)
            cancelled = self._cancellation(row, ended)
            self.lost_since[run.id] = 0
            if cancelled or self.again is None or self.rounds[run.id] >= self.policy.max_retries:
                why = cancelled or f"ended as {ended} before the run did"
                words = "" if cancelled else _last_words(self.sweep, row.job_id)
                reason = f"JobLost: job {row.job_id} {why}" + (f": {words}" if words else "")
                began = time.time()
                worker.record_failure(run.to_json(), run.folder, reason, "", since=began)
                self.failed_before.pop(run.id, None)
            else:
                self.rounds[run.id] += 1
                retry.append(run)
                self._say(f"again  {run.label}: job {row.job_id} ended as {ended}", "yellow")
        if retry and self.again is not None:
            try:
                self.again(retry)
            except UserError as error:
                # The other jobs go on; these runs are found lost again, and tried again.
                self._say(f"wait   {error}", "yellow")

    def _accounted(self, row: Row) -> str:
        if row.job_id is None:
            return _UNKNOWN
        job = slurm_jobs.accounted([row.job_id]).get(row.job_id)
        return job.state if job else _UNKNOWN

    def _cancellation(self, row: Row, ended: str) -> str | None:
        if ended.startswith("CANCELLED"):
            return "was cancelled"
        for submission in submissions(self.sweep):
            if row.job_id is not None and row.job_id in submission.jobs:
                return submission.cancellation(row.job_id, forgotten=ended == _UNKNOWN)
        return None

    def _tell(self, row: Row) -> None:
        run = row.run
        if run.id in self.told or not self._ended(row):
            return
        self.told.add(run.id)
        place = f"[{len(self.told)}/{len(self.plan.runs)}]"
        if row.state is RunState.FAILED:
            self._say(f"{place} FAILED {run.label}: {row.reason}  ({run.path})", "bold red")
        elif run.id not in self.done_before:
            result: Mapping[str, Any] = run.folder.read_result() or {}
            nats, accuracy = number(result.get("val/nats")), number(result.get("val/accuracy"), 3)
            took = duration(result.get("seconds"))
            self._say(f"{place} done   {run.label}  {nats} nats  accuracy {accuracy}  {took}")

    def _say(self, line: str, style: str = "") -> None:
        self.console.print(Text(line, style=style), soft_wrap=True, highlight=False)


def _last_words(sweep: Path, job_id: str | None) -> str:
    """The last line on a job's standard error, but for srun's, which only tell the exit code."""
    for path in sweep.glob(f"slurm/*/submitit/{job_id}_*_log.err"):
        with contextlib.suppress(OSError):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            spoken = [line for line in lines if line.strip() and not line.startswith("srun: ")]
            return spoken[-1].strip() if spoken else ""
    return ""


def _failures(plan: Plan) -> dict[str, float]:
    failures = {run.id: run.folder.read_failure() for run in plan.runs}
    return {key: known.time for key, known in failures.items() if known and known.time is not None}

"""Staying with a sweep on SLURM until it has ended: telling each end, replacing lost jobs."""

from __future__ import annotations

import contextlib
import re
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from rich.console import Console

from avatarl import storage
from avatarl.errors import UserError
from avatarl.runs import find, slurm_jobs
from avatarl.runs.state import RunState, status_of
from avatarl.search.study import Study
from avatarl.signals import SignalFlag, catching
from avatarl.storage import Patience
from avatarl.sweep.failure import FailurePolicy, Retry
from avatarl.sweep.failure.faults import Fault
from avatarl.sweep.outcome import RunOutcome, SweepOutcome
from avatarl.sweep.plan.planned import Plan, PlannedRun
from avatarl.sweep.plan.study import study_of
from avatarl.sweep.screen import duration, render
from avatarl.sweep.slurm.submission import submissions
from avatarl.sweep.slurm.usage import usage_of
from avatarl.sweep.survey import Row, Survey, look_at
from avatarl.sweep.workers import worker
from avatarl.sweep.workers.display import say_done, say_failed
from avatarl.terminal import live, say

#: The state of a job that neither squeue nor sacct knows.
_UNKNOWN = "UNKNOWN"
#: A line that names an error; the last line may only go on with one.
_TELLING = re.compile(r"^[\w.]*(Error|Exception|Interrupted)\b|\berror:", re.IGNORECASE)


#: Proposes runs to a study, told how many jobs are running.
Feed = Callable[[Study, int], object]


class Queue(Protocol):
    """What has SLURM take runs."""

    @property
    def left(self) -> int:
        """Jobs that SLURM hasn't taken yet."""

    def add(self, runs: Sequence[PlannedRun]) -> object:
        """Queue runs, all of them or, where SLURM has no room, some now and the others later."""

    def again(self) -> None:
        """Try what SLURM had no room for, if it is time to."""


def stay(
    plan: Plan,
    sweep: Path,
    policy: FailurePolicy,
    poll_s: float,
    console: Console,
    queue: Queue,
    patience_s: float = 0.0,
    feed: Feed | None = None,
) -> SweepOutcome:
    """Show a queued sweep until every run has ended; Ctrl-C only stops looking.

    Args:
        plan: The sweep's plan.
        sweep: Its directory.
        policy: What to do with runs whose job ended without them (its node died, it was killed,
            it was cancelled), and when runs fail.
        poll_s: Seconds between two looks.
        console: Where to show it.
        queue: Queues runs again, and what SLURM hasn't taken yet.
        patience_s: How long files that can't be seen are waited for; nothing is decided meanwhile.
        feed: Proposes runs to a search, told how many jobs are running.
    """
    patience = Patience(patience_s, lambda line: say(console, f"wait   {line}", "yellow"))
    watcher = _Watcher(plan, sweep, policy, console, queue, feed)
    with live(console) as draw, catching(signal.SIGINT) as detach:
        while True:
            try:
                survey = watcher.look()
                over = watcher.follow(survey)
            except OSError as error:
                pause, over = patience.pause(error), False
                if pause is None or detach():
                    say(
                        console, f"The sweep's files can't be seen: {storage.told(error)}", "yellow"
                    )
                    break
                _pause(pause, detach)
                continue
            patience.over()
            draw(render(watcher.plan, survey))
            if over or detach():
                break
            _pause(poll_s, detach)
    if not over:
        name = find.spoken(sweep)
        if queue.left:
            say(console, f"{queue.left} jobs aren't queued; to queue them: avatarl retry {name}")
        if feed is not None:
            say(console, "Nothing more is proposed until the same command is started again.")
        say(console, f"The jobs go on. avatarl watch {name}, or avatarl cancel {name}")
        return SweepOutcome({}, detach.exit_code or 1, False)
    with contextlib.suppress(OSError):  # of interest, and no more
        for usage in usage_of(watcher.plan, sweep):
            for line in usage.lines():
                say(console, line)
    return watcher.outcome(survey)


def _pause(seconds: float, detach: SignalFlag) -> None:
    until = time.monotonic() + seconds
    while not detach() and time.monotonic() < until:
        time.sleep(min(0.1, seconds))


class _Watcher:
    """Tells each end once, and asks the policy about runs that lost their job."""

    def __init__(
        self,
        plan: Plan,
        sweep: Path,
        policy: FailurePolicy,
        console: Console,
        queue: Queue,
        feed: Feed | None,
    ) -> None:
        self.plan, self.sweep, self.policy = plan, sweep, policy
        self.console, self.queue, self.feed = console, queue, feed
        self.jobs, self.idle = 0, False  # how many were running at the last look; none and no more
        self.study = study_of(plan, sweep)
        self.told = ""  # what SLURM has said last
        self.announced: set[str] = set()
        # What has been there; where it isn't any more, it can't be seen.
        self.places = [place for place in (sweep, sweep / "slurm") if place.is_dir()]
        self.begun: dict[str, PlannedRun] = {}
        self.done_before = {
            run.id for run in plan.runs if status_of(run.folder).state is RunState.DONE
        }
        self.failed_before = _failures(plan)
        self.looks_without_job: Counter[str] = Counter()
        self.faults: defaultdict[str, list[Fault]] = defaultdict(list)
        self.retries: dict[str, tuple[float, PlannedRun]] = {}  # when due, by run id

    def look(self) -> Survey:
        """Look at the sweep.

        Raises:
            OSError: Something of it that was there can't be seen: nothing is to be made of that.
        """
        self._require()
        if self.feed is not None and self.study is not None:
            self.feed(self.study, self.jobs)
            if self.study.trials.keys() - {run.id for run in self.plan.runs}:
                self.plan = Plan.read(self.sweep)
        survey = look_at(self.plan, self.sweep, fresh=True)
        self._require()
        self.jobs = survey.jobs
        for row in survey.rows:
            if row.fault is not None:
                raise row.fault
            if row.run.path.is_dir():
                self.begun[row.run.id] = row.run
        return survey

    def _require(self) -> None:
        for place in self.places:
            storage.require(place)
            next(place.iterdir(), None)  # it may be there and yet not be read
        for run in self.begun.values():
            storage.require(run.path)

    def follow(self, survey: Survey) -> bool:
        """Tell what is new, and act on it; whether every run has ended."""
        if self.study is not None:
            self.study.look()
        alive = any(row.queued or row.state is RunState.RUNNING for row in survey.rows)
        self.idle = survey.reachable and not alive and not self.retries
        for row in survey.rows:
            self._announce(row)
        ended = {row.run.id for row in survey.rows if self._ended(row)}
        failed = sum(row.state is RunState.FAILED and self._ended(row) for row in survey.rows)
        lost = [
            row for row in survey.rows if row.run.id not in ended and self._is_lost(row, survey)
        ]
        if self.policy.stops_sweep(failed):
            # The jobs stop by themselves; what they leave unfinished stays so, and what SLURM
            # hasn't taken yet isn't queued any more.
            return survey.reachable and not any(
                row.state is RunState.RUNNING or (row.state is RunState.QUEUED and row.job)
                for row in survey.rows
            )
        for row in lost:
            self._decide(row)
        self._retry()
        self._queue(self.queue.again)
        asks_for_more = self.feed is not None and self.study is not None and self.study.open
        return len(ended) == len(survey.rows) and not asks_for_more

    def outcome(self, survey: Survey) -> SweepOutcome:
        """What became of a sweep whose runs have all ended."""
        outcomes: dict[str, RunOutcome] = {}
        for row in survey.rows:
            if row.state is RunState.DONE:
                result = row.run.folder.read_result()
                outcomes[row.run.id] = RunOutcome("done", row.run.id in self.done_before, result)
            elif row.state is RunState.FAILED:
                outcomes[row.run.id] = RunOutcome("failed", reason=row.reason)
            elif row.state is RunState.PAUSED:
                outcomes[row.run.id] = RunOutcome("paused")
            else:
                outcomes[row.run.id] = RunOutcome("interrupted", reason=row.reason)
        bad = any(outcome.state not in ("done", "paused") for outcome in outcomes.values())
        return SweepOutcome(outcomes, int(bad), True)

    def _ended(self, row: Row) -> bool:
        # A failure from before this launch isn't its end: the run was queued again.
        before = self.failed_before.get(row.run.id)
        stale = before is not None and row.failed is not None and row.failed.time == before
        if row.state is RunState.PAUSED:
            study = self.study  # with no job left, it goes on only if it is next itself
            return study is not None and (study.over or (self.idle and study.next != row.run.id))
        return row.state is RunState.DONE or (row.state is RunState.FAILED and not stale)

    def _is_lost(self, row: Row, survey: Survey) -> bool:
        """Whether nobody works on the run and no job will; seen so on two looks in a row."""
        if not survey.reachable or row.state in (RunState.RUNNING, RunState.QUEUED):
            nobody = False
        elif row.run.id in self.retries:
            nobody = False  # its next job is on the way
        elif row.state is RunState.PAUSED:  # it may be wanted, and no job be left to see to it
            nobody = self.study is not None and self.study.next == row.run.id and not row.queued
        elif row.state is RunState.FAILED:  # and not ended: a failure from before this launch
            nobody = not row.queued
        else:
            nobody = True
        looks = self.looks_without_job[row.run.id] + 1 if nobody else 0
        self.looks_without_job[row.run.id] = looks
        return looks >= 2

    def _decide(self, row: Row) -> None:
        """Ask the policy about a run whose job ended without it."""
        run = row.run
        self.looks_without_job[run.id] = 0
        ended = row.job.state if row.job is not None else self._accounted(row)
        cancellation = self._cancellation(row, ended)
        why = cancellation or f"ended as {ended} before the run did"
        words = "" if cancellation else _last_words(self.sweep, row.job_id)
        reason = f"JobLost: job {row.job_id} {why}" + (f": {words}" if words else "")
        fault = Fault("cancelled" if cancellation else "infrastructure", reason)
        self.faults[run.id].append(fault)
        decision = self.policy.decide(self.faults[run.id])
        if isinstance(decision, Retry):
            self.retries[run.id] = time.monotonic() + decision.after_s, run
            line = f"again  {run.label}: job {row.job_id} ended as {ended}"
            say(self.console, line, "yellow")
        else:
            now = time.time()
            worker.record_failure(run.to_json(), run.folder, decision.because, "", since=now)
            self.failed_before.pop(run.id, None)

    def _retry(self) -> None:
        now = time.monotonic()
        due = [run for when, run in self.retries.values() if when <= now]
        for run in due:
            del self.retries[run.id]
        if due:
            self._queue(lambda: self.queue.add(due))

    def _queue(self, action: Callable[[], object]) -> None:
        try:
            action()
        except UserError as error:
            # The other jobs go on; these runs are found lost again, and tried again.
            if str(error) != self.told:
                self.told = str(error)
                say(self.console, f"wait   {error}", "yellow")

    def _accounted(self, row: Row) -> str:
        if row.job_id is None:
            return _UNKNOWN
        job = slurm_jobs.accounted([row.job_id]).get(row.job_id)
        return job.state if job else _UNKNOWN

    def _cancellation(self, row: Row, ended: str) -> str | None:
        """How a job was cancelled, in words; ``None``: it wasn't."""
        if ended.startswith("CANCELLED"):
            return "was cancelled"
        for submission in submissions(self.sweep):
            if row.job_id is not None and row.job_id in submission.jobs:
                return submission.cancellation(row.job_id, forgotten=ended == _UNKNOWN)
        return None

    def _announce(self, row: Row) -> None:
        run = row.run
        if run.id in self.announced or not self._ended(row):
            return
        self.announced.add(run.id)
        place = f"[{len(self.announced)}/{self.plan.expected}]"
        if row.state is RunState.FAILED:
            say_failed(self.console, place, run, row.reason)
        elif row.state is RunState.DONE and run.id not in self.done_before:
            result: Mapping[str, Any] = run.folder.read_result() or {}
            say_done(self.console, place, run, result, duration(result.get("seconds")))


def _last_words(sweep: Path, job_id: str | None) -> str:
    """What a job's standard error says last of what went wrong; srun only tells the exit code."""
    for path in sweep.glob(f"slurm/*/submitit/{job_id}_*_log.err"):
        with contextlib.suppress(OSError):
            lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
            spoken = [line for line in lines if line.strip() and not line.startswith("srun: ")]
            telling = [line for line in spoken if _TELLING.search(line)]
            return (telling or spoken or [""])[-1].strip()
    return ""


def _failures(plan: Plan) -> dict[str, float]:
    """When runs failed that have failed already, in Unix seconds, by run id."""
    failures = {run.id: run.folder.read_failure() for run in plan.runs}
    return {key: known.time for key, known in failures.items() if known and known.time is not None}

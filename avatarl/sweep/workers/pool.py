"""Slots that work through a list of runs: one warm worker process each, refilled from the list.

The same pool serves a sweep on this machine and a pack inside a SLURM job. A slot whose process is
killed gets a fresh one, and the other slots never notice.
"""

from __future__ import annotations

import errno
import functools
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from avatarl import storage
from avatarl.runs import liveness, ownership
from avatarl.search.study import Study
from avatarl.storage import Later, Patience
from avatarl.sweep.failure import FailurePolicy, Retry, faults
from avatarl.sweep.failure.faults import Fault
from avatarl.sweep.outcome import Event, RunOutcome
from avatarl.sweep.plan.planned import PlannedRun
from avatarl.sweep.workers import worker
from avatarl.sweep.workers.process import WorkerDied, WorkerProcess
from avatarl.sweep.workers.slot import Slot
from avatarl.sweep.workers.warmup import Take

#: Seconds between two looks at heartbeats and at runs that other processes own.
_LOOK_EVERY_S = 1.0


@dataclass
class Pool:
    """Works through runs with one process a slot.

    Attributes:
        slots: One worker process each.
        policy: Retries, hang detection, when to give up.
        execute: ``module:function`` that executes one run.
        stack: Most runs of one structure that a worker is given at once, to train as one program;
            ``auto`` lets it measure. Only where ``execute`` is the project's own.
        code: Directory that workers import the project from; ``None``: as this process does.
        submission: Names this launch in ownership records.
        wait_for_owners: Wait for runs that other processes compute, instead of leaving them.
        on_event: Called with each start, end and retry, in order.
        on_tick: Called a few times a second.
        failures_elsewhere: Failed runs of the same sweep counted by other pools.
        warm: Gives a slot's process, if one was started early.
        patience_s: How long faults of storage are waited out before they count as failures. A
            worker that waits shows no sign of life, so it does for less than ``hang_after_s``.
        study: Says which of the runs that have rungs is next, and how far it goes.
        grow: Proposes another run to the study, where it wants more, or tells by what is true that
            somebody else does.
    """

    slots: Sequence[Slot]
    policy: FailurePolicy
    execute: str = worker.DEFAULT_EXECUTE
    stack: int | str = 1
    code: Path | None = None
    submission: str = ""
    wait_for_owners: bool = True
    on_event: Callable[[Event], None] = lambda event: None
    on_tick: Callable[[], None] = lambda: None
    failures_elsewhere: Callable[[], int] = lambda: 0
    warm: Take = lambda number, slot: None
    patience_s: float = 0.0
    study: Study | None = None
    grow: Callable[[Study], object] = lambda study: False
    outcomes: dict[str, RunOutcome] = field(default_factory=dict, init=False)
    _queue: deque[PlannedRun] = field(default_factory=deque, init=False)
    _owned: deque[tuple[PlannedRun, str]] = field(default_factory=deque, init=False)
    _delayed: list[tuple[float, PlannedRun]] = field(default_factory=list, init=False)
    _faults: dict[str, list[Fault]] = field(default_factory=dict, init=False)
    _attempts: dict[str, int] = field(default_factory=dict, init=False)
    _patience: dict[str, Patience] = field(default_factory=dict, init=False)
    _later: Later = field(init=False)
    _known: dict[str, PlannedRun] = field(default_factory=dict, init=False)
    _pause_at: dict[str, int | None] = field(default_factory=dict, init=False)
    _ask_at: float = field(default=0.0, init=False)
    _all_told: bool = field(default=False, init=False)

    def __post_init__(self) -> None:
        self._later = Later(Patience(self.patience_s))

    def run(
        self,
        runs: Sequence[PlannedRun],
        stop: Callable[[], bool] = lambda: False,
        kill: Callable[[], bool] = lambda: False,
    ) -> dict[str, RunOutcome]:
        """Bring every run to an end.

        Args:
            runs: Distinct runs; order of starting.
            stop: Polled; when true, running runs checkpoint at their next step and the rest isn't
                started.
            kill: Polled after ``stop``; when true, workers are killed instead of waited for.

        Returns:
            Outcomes by run id; every run has one.

        Raises:
            CannotStart: The workers can't import the code to execute.
        """
        self._known = {run.id: run for run in runs}
        self._all_told = self.study is None
        self._queue.extend(run for run in runs if self._all_told or not run.rungs)
        for run in runs:
            self._prepare(run)
        workers = [
            WorkerProcess(number, slot, self.execute, self.code, self.warm)
            for number, slot in enumerate(self.slots)
        ]
        looked = 0.0
        try:
            while True:
                stopping = stop() or self._failed_too_often()
                if not stopping:
                    self._requeue_delayed()
                    for idle in (w for w in workers if w.future is None):
                        self._ask()
                        if self._queue:
                            self._assign(idle, self._next())
                busy = [w for w in workers if w.future is not None]
                waits = self._queue or self._owned or self._delayed or not self._all_told
                if not busy and (stopping or not waits):
                    break
                pause = 0.1 if busy else 0.25
                if busy:
                    futures = [w.future for w in busy if w.future is not None]
                    wait(futures, timeout=pause, return_when=FIRST_COMPLETED)
                else:
                    time.sleep(pause)
                for process in busy:
                    if process.future is not None and process.future.done():
                        self._collect(process, stopping)
                    elif stopping and kill():
                        process.kill("killed on request")
                    elif stopping:
                        process.stop()
                if time.monotonic() - looked > _LOOK_EVERY_S:
                    looked = time.monotonic()
                    for process in workers:
                        process.kill_if_silent(self.policy.hang_after_s)
                    self._look_at_owned(stopping)
                self._later.again()
                self.on_tick()
            if self.study is not None:
                self.study.leave()
            for run in self._known.values():
                if run.id not in self.outcomes or self.outcomes[run.id].state == "paused":
                    self._conclude(run)
            if not kill():
                self._later.finish()
            return dict(self.outcomes)
        finally:
            for process in workers:
                process.close()

    def _ask(self) -> None:
        """Let the study put a run on the queue, if there is none and it was not asked just now."""
        if self.study is None or self._queue or time.monotonic() < self._ask_at:
            return
        errand, more = self.study.ask(), False
        if errand is None and self.study.open:
            more = bool(self.grow(self.study))
            errand = self.study.ask()
        for run in self.study.runs.values():
            if run.id not in self._known:  # proposed since
                assert isinstance(run, PlannedRun)
                self._known[run.id] = run
                self._prepare(run)
        if errand is not None:
            self._pause_at[errand.run] = errand.pause_at
            self._queue.append(self._known[errand.run])
            return
        left_alone = self.study.open and not more and not self.study.under_way
        self._all_told = self.study.over or left_alone or self.study.left_to_others
        self._ask_at = time.monotonic() + _LOOK_EVERY_S

    def _prepare(self, run: PlannedRun) -> None:
        # What this launch already went through before the job was requeued counts.
        self._faults[run.id] = self._remembered(run)
        self._patience[run.id] = Patience(self.patience_s, lambda line: None)

    def _conclude(self, run: PlannedRun) -> None:
        """Note what became of a run that this pool hasn't brought to an end."""
        result = run.folder.read_result() if self.study is not None else None
        if result is not None:  # others have worked on it
            ownership.close_done(run.folder)
            self.outcomes[run.id] = RunOutcome("done", True, result)
        elif self.study is not None and run.folder.read_paused() is not None:
            self.outcomes.setdefault(run.id, RunOutcome("paused"))
        elif run.id not in self.outcomes:
            self._finish(run, RunOutcome("interrupted", attempts=self._count(run)))

    def _remembered(self, run: PlannedRun) -> list[Fault]:
        try:
            past = ownership.history(run.folder)
        except OSError:
            return []
        return [
            faults.remembered(owner.reason or "")
            for owner in past
            if owner.outcome == "failed" and owner.submission == self.submission
        ]

    def _failed_too_often(self) -> bool:
        failed = sum(outcome.state == "failed" for outcome in self.outcomes.values())
        return self.policy.stops_sweep(failed + self.failures_elsewhere())

    def _count(self, run: PlannedRun) -> int:
        return self._attempts.get(run.id, 0)

    def _next(self) -> tuple[PlannedRun, ...]:
        """Take the next run off the queue, and others of its structure where they are stacked."""
        first = self._queue.popleft()
        # A run that has failed before goes alone: it may be what took its worker down.
        fresh = [run for run in self._queue if not self._count(run)]
        if self.stack == 1 or self._count(first) or self.execute != worker.DEFAULT_EXECUTE:
            return (first,)
        alike = [run for run in fresh if run.structure_key == first.structure_key]
        # No slot is left idle while another holds a stack.
        most = -(-(len(alike) + 1) // len(self.slots))
        if self.stack != "auto":
            most = min(most, int(self.stack))
        others = alike[: most - 1]
        for run in others:
            self._queue.remove(run)
        return (first, *others)

    def _assign(self, process: WorkerProcess, runs: tuple[PlannedRun, ...]) -> None:
        request = {
            "execute": self.execute,
            "stack": self.stack,
            "submission": self.submission,
            "code": str(self.code) if self.code else None,
            "patience_s": min(self.patience_s, 0.8 * self.policy.hang_after_s),
            "pause_at": self._pause_at.get(runs[0].id),
        }
        process.give(runs, request)
        for run in runs:
            self._attempts[run.id] = self._count(run) + 1
            self.on_event(Event("started", run, slot=process.number))

    def _collect(self, process: WorkerProcess, stopping: bool) -> None:
        runs, seconds = process.runs, process.seconds
        self._ask_at = 0.0
        try:
            answers = process.collect()
        except WorkerDied as death:
            answers = self._died(runs, death, stopping)
        if self.study is not None and not stopping and answers[0]["state"] == "interrupted":
            # Told to stop by somebody else, it would do no more; the study counts on the run.
            process.close()
            self._delayed.append((time.monotonic() + _LOOK_EVERY_S, runs[0]))
            return
        for run, answer in zip(runs, answers, strict=True):
            self._settle(run, answer, seconds)

    def _died(
        self, runs: Sequence[PlannedRun], death: WorkerDied, stopping: bool
    ) -> list[dict[str, Any]]:
        """Free the runs that a dead worker owned, and say what happened to them."""
        reason = str(death)
        if death.pid is not None:
            outcome = "interrupted" if stopping else "failed"
            for run in runs:
                self._later.do(
                    functools.partial(
                        ownership.release_dead, run.folder, death.pid, outcome, reason
                    )
                )
        ended = {"state": "failed", "reason": reason, "kind": "infrastructure", "traceback": ""}
        if stopping:
            ended = {"state": "interrupted"}
        return [self._done_anyway(run) or ended for run in runs]

    def _done_anyway(self, run: PlannedRun) -> dict[str, Any] | None:
        """The answer for a run that was done before its worker died, else ``None``."""
        result = run.folder.read_result()
        return {"state": "done", "cached": False, "result": dict(result)} if result else None

    def _settle(self, run: PlannedRun, answer: Mapping[str, Any], seconds: float) -> None:
        state, attempts = answer["state"], self._count(run)
        if state == "done":
            cached = bool(answer["cached"])
            result = answer["result"]
            self._finish(run, RunOutcome("done", cached, result, None, attempts, seconds))
        elif state in ("interrupted", "paused"):
            where = f"at step {self._pause_at[run.id]}" if state == "paused" else None
            self._finish(run, RunOutcome(state, False, None, where, attempts, seconds))
        elif state == "owned":
            self._attempts[run.id] = attempts - 1
            if self.wait_for_owners:
                self._owned.append((run, answer["reason"]))
                self.on_event(Event("waiting", run, reason=answer["reason"]))
            else:
                self._finish(run, RunOutcome("elsewhere", reason=answer["reason"]))
        else:
            if answer.get("passes") and self._waits_for_storage(run, answer["reason"]):
                return
            fault = Fault(answer["kind"], answer["reason"], answer.get("traceback", ""))
            self._faults[run.id].append(fault)
            decision = self.policy.decide(self._faults[run.id])
            if isinstance(decision, Retry):
                self._delayed.append((time.monotonic() + decision.after_s, run))
                self.on_event(Event("retried", run, reason=fault.reason))
                return
            self._later.do(
                functools.partial(
                    worker.record_failure,
                    run.to_json(),
                    run.folder,
                    decision.because,
                    fault.traceback,
                    since=time.time() - seconds - 1.0 if fault.traceback else time.time(),
                )
            )
            reason = decision.because
            if self.study is not None:
                self.study.failed(run.id)
            self._finish(run, RunOutcome("failed", False, None, reason, attempts, seconds))

    def _waits_for_storage(self, run: PlannedRun, reason: str) -> bool:
        """Whether a run that storage refused is tried again without this counting as a failure."""
        first = self._patience[run.id].waits is False
        pause = self._patience[run.id].pause(OSError(errno.ESTALE, reason))
        if pause is None:
            return False
        self._delayed.append((time.monotonic() + pause, run))
        if first:
            self.on_event(Event("waiting", run, reason=reason))
        return True

    def _finish(self, run: PlannedRun, outcome: RunOutcome) -> None:
        self.outcomes[run.id] = outcome
        self.on_event(Event("finished", run, outcome=outcome, reason=outcome.reason))

    def _requeue_delayed(self) -> None:
        now = time.monotonic()
        due = [run for when, run in self._delayed if when <= now]
        self._delayed = [(when, run) for when, run in self._delayed if when > now]
        self._queue.extendleft(reversed(due))

    def _look_at_owned(self, stopping: bool) -> None:
        if stopping:
            return
        for _ in range(len(self._owned)):
            run, reason = self._owned.popleft()
            if self._is_free(run):
                self._queue.append(run)
            else:
                self._owned.append((run, reason))

    def _is_free(self, run: PlannedRun) -> bool:
        """Whether nobody computes a run any more; not where that can't be seen for now."""
        try:
            storage.require(run.path)
            owner = ownership.current_owner(run.folder)
            free = (
                run.folder.result.exists() or owner is None or not liveness.alive(owner, run.folder)
            )
        except OSError as error:
            return self._patience[run.id].pause(error) is None
        self._patience[run.id].over()
        return free

"""Slots that work through a list of runs: one warm worker process each, refilled from the list.

The same pool serves a sweep on this machine and a pack inside a SLURM job. Each slot is a loky
executor of exactly one process: when that process is killed, loky says so, the slot gets a fresh
one, and the other slots never notice.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from loky.process_executor import ProcessPoolExecutor, TerminatedWorkerError

from avatarl.errors import in_short
from avatarl.runs import ownership
from avatarl.sweep.failure import FailurePolicy, Retry, faults
from avatarl.sweep.failure.faults import Fault
from avatarl.sweep.outcome import Event, RunOutcome
from avatarl.sweep.plan.planned import PlannedRun
from avatarl.sweep.workers import worker
from avatarl.sweep.workers.slot import Slot
from avatarl.sweep.workers.warmup import Take

#: Seconds between two looks at heartbeats and at runs that other processes own.
_LOOK_EVERY_S = 1.0


@dataclass
class _Worker:
    number: int
    slot: Slot
    executor: ProcessPoolExecutor | None = None
    hello: Future[int] | None = None
    future: Future[list[dict[str, Any]]] | None = None
    runs: tuple[PlannedRun, ...] = ()  # several where they are stacked
    began: float = 0.0
    sign: tuple[float, float] = (0.0, 0.0)  # (mtime seen, monotonic time of seeing it change)
    killed_because: str | None = None
    told_to_stop: bool = False

    @property
    def pid(self) -> int | None:
        if self.hello is None or not self.hello.done() or self.hello.exception() is not None:
            return None
        return self.hello.result()


class CannotStart(RuntimeError):
    """Workers can't import what they should execute."""


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
        on_event: Told of each start, end and retry, in order.
        on_tick: Called a few times a second.
        failures_elsewhere: Failed runs of the same sweep counted by other pools.
        warm: Gives a slot's process, if one was started early.
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
    outcomes: dict[str, RunOutcome] = field(default_factory=dict, init=False)
    _queue: deque[PlannedRun] = field(default_factory=deque, init=False)
    _owned: deque[tuple[PlannedRun, str]] = field(default_factory=deque, init=False)
    _delayed: list[tuple[float, PlannedRun]] = field(default_factory=list, init=False)
    _faults: dict[str, list[Fault]] = field(default_factory=dict, init=False)
    _attempts: dict[str, int] = field(default_factory=dict, init=False)

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
            RunOutcome by run id; every run has one.

        Raises:
            CannotStart: The workers can't import the code to execute.
        """
        self._queue.extend(runs)
        for run in runs:
            # What this launch already went through before the job was requeued counts.
            self._faults[run.id] = [
                faults.remembered(past.reason or "")
                for past in ownership.history(run.folder)
                if past.outcome == "failed" and past.submission == self.submission
            ]
        workers = [_Worker(number, slot) for number, slot in enumerate(self.slots)]
        looked = 0.0
        try:
            while True:
                stopping = stop() or self._failed_too_often()
                if not stopping:
                    self._requeue_delayed()
                    for idle in (w for w in workers if w.future is None):
                        if self._queue:
                            self._assign(idle, self._next())
                busy = [w for w in workers if w.future is not None]
                if not busy and (stopping or not (self._queue or self._owned or self._delayed)):
                    break
                pause = 0.1 if busy else 0.25
                if busy:
                    futures = [w.future for w in busy if w.future is not None]
                    wait(futures, timeout=pause, return_when=FIRST_COMPLETED)
                else:
                    time.sleep(pause)
                for one in busy:
                    if one.future is not None and one.future.done():
                        self._collect(one, stopping)
                    elif stopping:
                        self._stop(one, kill())
                if time.monotonic() - looked > _LOOK_EVERY_S:
                    looked = time.monotonic()
                    self._look_for_hangs(workers)
                    self._look_at_owned(stopping)
                self.on_tick()
            for run in runs:
                if run.id not in self.outcomes:
                    self._finish(run, RunOutcome("interrupted", attempts=self._count(run)))
            return dict(self.outcomes)
        finally:
            for one in workers:
                _close(one)

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

    def _assign(self, one: _Worker, runs: tuple[PlannedRun, ...]) -> None:
        with _importing_from(self.code):
            if one.executor is None:
                one.executor = self._warm(one) or ProcessPoolExecutor(
                    max_workers=1,
                    initializer=worker.prepare,
                    initargs=(os.getpid(),),
                    env=one.slot.environment(),
                )
                one.hello = one.executor.submit(worker.start, self.execute, one.slot.threads)
            request = {
                "runs": [run.to_json() for run in runs],
                "execute": self.execute,
                "stack": self.stack,
                "submission": self.submission,
                "code": str(self.code) if self.code else None,
            }
            one.future = one.executor.submit(worker.work, request)
        one.runs, one.began = runs, time.monotonic()
        one.sign = (_heartbeat(runs), time.monotonic())
        one.told_to_stop, one.killed_because = False, None
        for run in runs:
            self._attempts[run.id] = self._count(run) + 1
            self.on_event(Event("started", run, slot=one.number))

    def _warm(self, one: _Worker) -> ProcessPoolExecutor | None:
        """A process that was started early, brought to where a fresh one begins."""
        process = self.warm(one.number, one.slot)
        if process is not None:
            if self.code is not None:
                process.submit(setattr, sys, "path", list(sys.path))  # the frozen source first
            process.submit(worker.prepare, os.getpid())
        return process

    def _collect(self, one: _Worker, stopping: bool) -> None:
        runs, future = one.runs, one.future
        assert runs and future is not None
        seconds = time.monotonic() - one.began
        one.runs, one.future = (), None
        hello = one.hello.exception() if one.hello is not None and one.hello.done() else None
        error = future.exception()
        if hello is not None and not isinstance(hello, TerminatedWorkerError):
            raise CannotStart(f"{self.execute} can't be imported: {hello}") from hello
        answers = future.result() if error is None else self._died(one, runs, error, stopping)
        for run, answer in zip(runs, answers, strict=True):
            self._settle(run, answer, seconds)

    def _died(
        self, one: _Worker, runs: Sequence[PlannedRun], error: BaseException, stopping: bool
    ) -> list[dict[str, Any]]:
        """The worker is gone: replace it, free the runs it owned, say what happened."""
        pid = one.pid
        _close(one)
        if not isinstance(error, TerminatedWorkerError):
            reason = in_short(error)
        else:
            reason = one.killed_because or faults.exit_reason(parse_exitcode(str(error)))
        state = "interrupted" if stopping else "failed"
        if pid is not None:
            for run in runs:
                with contextlib.suppress(OSError):
                    ownership.release_dead(run.folder, pid, state, reason)
        if stopping:
            return [{"state": "interrupted"} for _ in runs]
        fault = {"state": "failed", "reason": reason, "kind": "infrastructure", "traceback": ""}
        return [self._done_anyway(run) or fault for run in runs]

    def _done_anyway(self, run: PlannedRun) -> dict[str, Any] | None:
        """A run of a stack may have ended before the others' worker died."""
        result = run.folder.read_result()
        return (
            None if result is None else {"state": "done", "cached": False, "result": dict(result)}
        )

    def _settle(self, run: PlannedRun, answer: Mapping[str, Any], seconds: float) -> None:
        state, attempts = answer["state"], self._count(run)
        if state == "done":
            cached = bool(answer["cached"])
            outcome = RunOutcome("done", cached, answer["result"], None, attempts, seconds)
            self._finish(run, outcome)
        elif state == "interrupted":
            self._finish(run, RunOutcome("interrupted", attempts=attempts, seconds=seconds))
        elif state == "owned":
            self._attempts[run.id] = attempts - 1
            if self.wait_for_owners:
                self._owned.append((run, answer["reason"]))
                self.on_event(Event("waiting", run, reason=answer["reason"]))
            else:
                self._finish(run, RunOutcome("elsewhere", reason=answer["reason"]))
        else:
            fault = Fault(answer["kind"], answer["reason"], answer.get("traceback", ""))
            self._faults[run.id].append(fault)
            decision = self.policy.decide(self._faults[run.id])
            if isinstance(decision, Retry):
                self._delayed.append((time.monotonic() + decision.after_s, run))
                self.on_event(Event("retried", run, reason=fault.reason))
                return
            with contextlib.suppress(OSError):
                worker.record_failure(
                    run.to_json(),
                    run.folder,
                    decision.because,
                    fault.traceback,
                    since=time.time() - seconds - 1.0 if fault.traceback else time.time(),
                )
            self._finish(
                run, RunOutcome("failed", False, None, decision.because, attempts, seconds)
            )

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
            owner = ownership.current_owner(run.folder)
            if run.folder.result.exists() or (
                owner is None or not ownership.alive(owner, run.folder)
            ):
                self._queue.append(run)
            else:
                self._owned.append((run, reason))

    def _look_for_hangs(self, workers: Sequence[_Worker]) -> None:
        now = time.monotonic()
        for one in workers:
            if not one.runs or one.future is None or one.future.done():
                continue
            seen = _heartbeat(one.runs)
            if seen != one.sign[0]:
                one.sign = (seen, now)
            elif now - one.sign[1] > self.policy.hang_after_s and one.killed_because is None:
                one.killed_because = faults.hang_reason(self.policy.hang_after_s)
                _signal(one, signal.SIGKILL)

    def _stop(self, one: _Worker, kill: bool) -> None:
        if kill and one.killed_because is None:
            one.killed_because = "killed on request"
            _signal(one, signal.SIGKILL)
        elif not one.told_to_stop and one.pid is not None:
            one.told_to_stop = True
            _signal(one, signal.SIGTERM)


def _heartbeat(runs: Sequence[PlannedRun]) -> float:
    return max(run.folder.last_sign() for run in runs)


def _signal(one: _Worker, number: signal.Signals) -> None:
    if one.pid is not None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(one.pid, number)
    elif number == signal.SIGKILL:
        _close(one)


def parse_exitcode(message: str) -> int | None:
    """Read the exit code out of loky's message: ``{SIGKILL(-9)}`` or ``{EXIT(9)}``."""
    _, _, tail = message.partition("exit codes of the workers are {")
    inside = tail.partition("}")[0].partition("(")[2].partition(")")[0]
    try:
        return int(inside)
    except ValueError:
        return None


def _close(one: _Worker) -> None:
    executor, one.executor, one.hello = one.executor, None, None
    if executor is not None:
        # Idle workers have nothing left to write, and waiting for torch to unload takes time.
        executor.shutdown(wait=True, kill_workers=True)


@contextlib.contextmanager
def _importing_from(code: Path | None) -> Iterator[None]:
    """Let processes started meanwhile import from ``code`` first (loky hands down ``sys.path``)."""
    if code is None:
        yield
        return
    before = list(sys.path)
    sys.path.insert(0, str(code))
    try:
        yield
    finally:
        sys.path[:] = before

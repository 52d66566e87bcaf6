"""One slot's worker process, as the pool sees it: started, given work, watched, ended.

It is a loky executor of exactly one process: when that process is killed, loky says so, and the
slot gets a fresh one.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loky.process_executor import (
    BrokenProcessPool,
    ProcessPoolExecutor,
    TerminatedWorkerError,
)

from avatarl.errors import in_short
from avatarl.sweep.failure import faults
from avatarl.sweep.plan.planned import PlannedRun
from avatarl.sweep.workers import worker
from avatarl.sweep.workers.slot import Slot
from avatarl.sweep.workers.warmup import Take, end

#: A process may take so long to import what it executes, however soon a silent run is killed.
_START_S = 300.0


class CannotStart(RuntimeError):
    """Workers can't import what they should execute."""


class WorkerDied(RuntimeError):
    """A worker's process is gone; the message says how it ended.

    Args:
        reason: In one line.
        pid: Its process id, if it came as far as telling.
    """

    def __init__(self, reason: str, pid: int | None) -> None:
        super().__init__(reason)
        self.pid = pid


@dataclass
class WorkerProcess:
    """A slot and the process that works in it, if one was started.

    Attributes:
        number: Of the slot.
        slot: What the process may use.
        execute: ``module:function`` that executes one run.
        code: Directory it imports the project from; ``None``: as this process does.
        warm: Gives the slot's process, if one was started early.
        runs: What it works on; several where they are stacked, none while it is idle.
        future: Answers, one a run.
    """

    number: int
    slot: Slot
    execute: str
    code: Path | None
    warm: Take
    runs: tuple[PlannedRun, ...] = ()
    future: Future[list[dict[str, Any]]] | None = None
    _executor: ProcessPoolExecutor | None = None
    _hello: Future[int] | None = None  # answers with the process id
    _began: float = 0.0
    _last_sign: float = 0.0  # modification time of the newest file of its runs
    _noticed: float = 0.0  # monotonic time at which that was seen to change
    _killed_because: str | None = None
    _told_to_stop: bool = False

    @property
    def pid(self) -> int | None:
        """Its process id, once it has told."""
        if self._hello is None or not self._hello.done() or self._hello.exception() is not None:
            return None
        return self._hello.result()

    @property
    def seconds(self) -> float:
        """Wall time since it was given its runs."""
        return time.monotonic() - self._began

    def give(self, runs: tuple[PlannedRun, ...], request: Mapping[str, Any]) -> None:
        """Let it work on ``runs``; ``request`` holds the rest of what :func:`worker.work` needs."""
        order = {"runs": [run.to_json() for run in runs], **request}
        with _importing_from(self.code):
            while self.future is None:
                try:
                    executor = self._executor or self._start()
                    self.future = executor.submit(worker.work, order)
                except BrokenProcessPool:  # it died while it was idle: no run is to blame
                    self.close()
        self.runs, self._began = runs, time.monotonic()
        self._last_sign, self._noticed = _last_sign(runs), time.monotonic()
        self._told_to_stop, self._killed_because = False, None

    def _start(self) -> ProcessPoolExecutor:
        executor = self._executor = self.warm(self.number, self.slot)
        if executor is not None:
            # Started early: it has imported nothing of the project yet, and now learns where.
            executor.submit(setattr, sys, "path", list(sys.path))
            executor.submit(worker.prepare, os.getpid())
        else:
            executor = self._executor = ProcessPoolExecutor(
                max_workers=1,
                initializer=worker.prepare,
                initargs=(os.getpid(),),
                env=self.slot.environment(),
            )
        self._hello = executor.submit(worker.start, self.execute, self.slot.threads)
        return executor

    def collect(self) -> list[dict[str, Any]]:
        """Take what it answered, one answer a run; it is idle afterwards.

        Raises:
            WorkerDied: There is no answer; another process will take its place.
            CannotStart: It couldn't import what it should execute.
        """
        assert self.future is not None
        future, self.future, self.runs = self.future, None, ()
        hello = self._hello.exception() if self._hello and self._hello.done() else None
        error = future.exception()
        if hello is not None and not isinstance(hello, TerminatedWorkerError):
            raise CannotStart(f"{self.execute} can't be imported: {hello}") from hello
        if error is None:
            return future.result()
        pid = self.pid
        self.close()
        if not isinstance(error, TerminatedWorkerError):
            raise WorkerDied(in_short(error), pid) from error
        reason = self._killed_because or faults.exit_reason(parse_exitcode(str(error)))
        raise WorkerDied(reason, pid) from error

    def kill_if_silent(self, after_s: float) -> None:
        """Kill it if its runs have given no sign of life for so long."""
        if self.future is None or self.future.done():
            return
        if self.pid is None and self.seconds <= max(after_s, _START_S):
            self._noticed = time.monotonic()  # it starts, and can't give a sign yet
            return
        sign = _last_sign(self.runs)
        if sign != self._last_sign:
            self._last_sign, self._noticed = sign, time.monotonic()
        elif time.monotonic() - self._noticed > after_s:
            self.kill(faults.hang_reason(after_s))

    def stop(self) -> None:
        """Ask it, once, to let its runs checkpoint at their next step."""
        if not self._told_to_stop and self.pid is not None:
            self._told_to_stop = True
            self._signal(signal.SIGTERM)

    def kill(self, because: str) -> None:
        """Kill it, unless that was done already."""
        if self._killed_because is not None:
            return
        self._killed_because = because
        if self.pid is None:
            self.close()
        else:
            self._signal(signal.SIGKILL)

    def close(self) -> None:
        """End the process, whatever it does."""
        executor, self._executor, self._hello = self._executor, None, None
        if executor is not None:
            end(executor)

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, number)


def _last_sign(runs: tuple[PlannedRun, ...]) -> float:
    return max(run.folder.last_sign() for run in runs)


def parse_exitcode(message: str) -> int | None:
    """Read the exit code out of loky's message: ``{SIGKILL(-9)}`` or ``{EXIT(9)}``."""
    _, _, tail = message.partition("exit codes of the workers are {")
    inside = tail.partition("}")[0].partition("(")[2].partition(")")[0]
    try:
        return int(inside)
    except ValueError:
        return None


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

"""What a SLURM job runs: a small process without torch that looks after the workers of its pack.

SLURM's signals reach this process, whose handlers only set flags. Training happens in child
processes, which are told to checkpoint at their next step boundary; only when they have, the job
is handed back to SLURM:

- SIGUSR2 (walltime nearly up, preemption with a warning): submitit's own handler is called, from
  ordinary code, and requeues the job.
- SIGTERM (preemption without a warning, ``scontrol requeue``, ``scancel``): the job ends; whether
  it runs again is SLURM's decision.
"""

from __future__ import annotations

import contextlib
import multiprocessing.resource_tracker
import os
import signal
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from loky.backend import resource_tracker

from avatarl import storage, terminal
from avatarl.files import read_checked, read_json, write_json
from avatarl.runs import liveness
from avatarl.search.study import Study
from avatarl.signals import SignalFlag
from avatarl.storage import Later, Patience
from avatarl.sweep import failure
from avatarl.sweep.outcome import Event, RunOutcome
from avatarl.sweep.plan import snapshot
from avatarl.sweep.plan.planned import Plan, PlannedRun
from avatarl.sweep.plan.study import study_of
from avatarl.sweep.slurm.submission import is_proposed_to, note_job
from avatarl.sweep.workers import machine
from avatarl.sweep.workers.pool import Pool

#: How long a job waits for its pack, which says how long to wait for anything else.
_FIRST_PATIENCE_S = 600.0
_SIGNALS = (signal.SIGUSR2, signal.SIGTERM, signal.SIGCONT)


class JobInterrupted(RuntimeError):
    """The job was told to end before its pack was finished; every run has its checkpoint."""


@dataclass(frozen=True)
class Supervise:
    """The callable that submitit stores and SLURM runs.

    Attributes:
        submission: Directory of the submission; packs are ``pack-<number>.json`` in it.
    """

    submission: str

    def __call__(self, number: int) -> dict[str, int]:
        """Work through pack ``number``.

        Returns:
            How many runs ended in each state.

        Raises:
            JobInterrupted: SIGTERM came; SLURM decides what happens to the job.
            ValueError: The pack, or the frozen source, isn't what was stored.
        """
        terminal.secure()
        directory = Path(self.submission)
        told_to_stop = _JobSignals(lambda name: note_job(directory, number, "stopping", name))
        pack = read_pack(directory, number)
        runs, study = [PlannedRun.from_json(run) for run in pack["runs"]], None
        if pack.get("searched"):
            plan = Plan.read(directory)
            runs = list(plan.runs)
            study = study_of(plan, directory.parent.parent, print, pack.get("takes"))
        note_job(directory, number, "working")
        outcomes = work_through(directory, pack, runs, told_to_stop, study)
        counts: dict[str, int] = {}
        for outcome in outcomes.values():
            counts[outcome.state] = counts.get(outcome.state, 0) + 1
        left = counts.get("interrupted") or (study is not None and not study.over)
        if left and told_to_stop():
            told_to_stop.hand_over()
        return counts

    def checkpoint(self, number: int) -> Any:
        """Tell submitit what the requeued job should do: the same, from the checkpoints."""
        from submitit.helpers import DelayedSubmission

        return DelayedSubmission(self, number)


def read_pack(directory: Path, number: int) -> dict[str, Any]:
    """Read a job's pack, and look whether the source that it is to run is as it was frozen.

    Raises:
        ValueError: One of them isn't what was stored; the job fails, and its runs can be queued
            again.
    """
    with storage.patient(_FIRST_PATIENCE_S, directory):
        pack: dict[str, Any] = storage.persist(
            lambda: read_checked(directory / f"pack-{number}.json")
        )
        code = Path(pack["code"])
        if not storage.persist(lambda: snapshot.verify(code)):
            raise ValueError(f"the frozen source {code} isn't what was stored")
    return pack


class _JobSignals:
    """What SLURM tells this job, as a flag that is polled; the first signal is noted in a file."""

    def __init__(self, note: Callable[[str], None]) -> None:
        self._flag = SignalFlag(_log)
        self._note, self._noted = note, False
        # Helper processes inherit a blocked signal; otherwise SIGUSR2, which SLURM sends to every
        # process of the job, would end them.
        signal.pthread_sigmask(signal.SIG_BLOCK, _SIGNALS)
        resource_tracker.ensure_running()
        multiprocessing.resource_tracker.ensure_running()
        self._requeue = signal.getsignal(signal.SIGUSR2)
        self._flag.install(signal.SIGUSR2, signal.SIGTERM)
        signal.signal(signal.SIGCONT, signal.SIG_DFL)  # comes with SIGTERM, and says nothing more
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _SIGNALS)

    def __call__(self) -> bool:
        """Whether the job was told to stop."""
        if self._flag() and not self._noted:
            self._noted = True
            self._note(self._names()[0])
        return self._flag()

    def hand_over(self) -> None:
        """End the job as the signal asks; doesn't return.

        Raises:
            JobInterrupted: SLURM decides what happens to the job.
        """
        if signal.SIGUSR2 in self._flag.received and callable(self._requeue):
            self._requeue(signal.SIGUSR2, None)
        raise JobInterrupted("stopped by " + ", ".join(self._names()))

    def _names(self) -> list[str]:
        return [signal.Signals(number).name for number in self._flag.received]


def _log(number: int) -> None:
    # Writing to a file descriptor is safe in a handler; the line is worth having in any case.
    os.write(2, f"avatarl: {signal.Signals(number).name}: checkpointing\n".encode())


def work_through(
    directory: Path,
    pack: Mapping[str, Any],
    runs: Sequence[PlannedRun],
    stop: Callable[[], bool],
    study: Study | None = None,
) -> dict[str, RunOutcome]:
    """Bring every run of a pack to an end, skipping those that failed before a requeue.

    Args:
        directory: The submission's directory.
        pack: ``policy``, ``execute``, ``code``, ``slots_per_gpu``, ``submission``.
        runs: The pack's runs, in order.
        stop: Whether a signal asked to stop.
        study: Says which of the runs is next, in a search.
    """
    patience_s = pack.get("storage_patience_s", 0.0)
    failed = FailedRuns(directory, patience_s)
    with storage.patient(patience_s, directory):
        given_up = storage.persist(failed.known)
    left = [run for run in runs if study is not None or run.id not in given_up]
    gpus = machine.gpus()
    most = max(len(left), study.rules.trials if study is not None else 0)
    slots = machine.share(pack["slots_per_gpu"] * max(1, len(gpus)), most, gpus)
    print(f"avatarl: {len(left)} of {len(runs)} runs, {len(slots)} slots, GPUs {gpus}", flush=True)

    orphaned = False

    def log(event: Event) -> None:
        nonlocal orphaned
        state = event.outcome.state if event.outcome else event.what
        print(f"avatarl: {state} {event.run.directory} {event.reason or ''}", flush=True)
        if event.outcome is not None and event.outcome.state == "failed":
            failed.add(event.run.id, event.reason or "")
        if state in ("elsewhere", "waiting") and liveness.requeued():
            # Its node was taken for dead, and the pack is worked through by the job's next start.
            print("avatarl: the job goes on elsewhere: leaving it the pack", flush=True)
            orphaned = True

    pool = Pool(
        slots=slots,
        policy=failure.load(**pack["policy"]),
        execute=pack["execute"],
        stack=pack.get("stack", 1),
        code=Path(pack["code"]),
        submission=pack["submission"],
        wait_for_owners=study is not None,
        on_event=log,
        failures_elsewhere=failed.elsewhere,
        patience_s=patience_s,
        on_tick=failed.later.again,
        study=study,
        grow=lambda study: is_proposed_to(directory.parent.parent),
    )
    sys.stdout.flush()
    outcomes = pool.run(left, stop=lambda: orphaned or stop())
    failed.later.finish()
    if study is None:
        outcomes |= {id: RunOutcome("failed", reason=reason) for id, reason in given_up.items()}
    return outcomes if study is not None else {run.id: outcomes[run.id] for run in runs}


class FailedRuns:
    """Runs of a submission that failed for good, shared by its jobs through small files."""

    def __init__(self, directory: Path, patience_s: float = 0.0) -> None:
        self.directory = directory / "failed"
        #: What storage has refused so far.
        self.later = Later(Patience(patience_s))
        self._of_this_job: set[str] = set()
        self._looked = -1e9
        self._elsewhere = 0

    def add(self, run_id: str, reason: str) -> None:
        """Note a failure of this job."""
        self._of_this_job.add(run_id)
        path = self.directory / f"{run_id}.json"
        self.later.do(lambda: write_json(path, {"reason": reason}))

    def known(self) -> dict[str, str]:
        """Reasons by run id, of all jobs and all their restarts."""
        storage.require(self.directory)
        return {path.stem: read_json(path)["reason"] for path in self.directory.glob("*.json")}

    def elsewhere(self) -> int:
        """How many failed in other jobs or earlier restarts; looked up every two seconds."""
        if time.monotonic() - self._looked > 2.0:
            self._looked = time.monotonic()
            with contextlib.suppress(OSError):  # as far as is known
                names = {path.stem for path in self.directory.glob("*.json")}
                self._elsewhere = len(names - self._of_this_job)
        return self._elsewhere

"""Who computes: a process, described so that any other can find out whether it still lives.

An owner is dead when that is proven:

- same host and boot: no process with that pid and start time;
- a SLURM job: SLURM no longer lists it, or lists it as waiting or in a later restart;
- another host without SLURM: nothing was written to the folder for ``SILENT_AFTER_S``.

When it can't be told (SLURM's controller doesn't answer), the owner is taken to live: a run that
waits is better than a run computed twice.
"""

from __future__ import annotations

import math
import os
import socket
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from avatarl.runs.folder import RunFolder

#: Seconds of silence after which an owner on an unreachable host is taken for dead.
SILENT_AFTER_S = 900.0


@dataclass(frozen=True)
class SlurmJob:
    """The SLURM job a process runs in.

    Attributes:
        id: ``123`` or ``123_4``.
        restarts: How often it had been requeued.
        cluster: Where that number means something.
        number: Its own number, also where it is an element of an array. All else may be what an
            outer job left in the environment.
    """

    id: str
    restarts: int
    cluster: str = ""
    number: str = ""

    def follows(self, other: SlurmJob) -> bool:
        """Whether this is the same job after it was requeued."""
        same = self.number == other.number if self.number and other.number else self.id == other.id
        return same and self.restarts > other.restarts


@dataclass(frozen=True)
class Owner:
    """A process, described so that any other process can find out whether it still lives."""

    pid: int
    started: float
    host: str
    boot: str
    namespace: str
    time: float
    submission: str
    code: str | None = None
    threads: int | None = None
    gpu: str | None = None
    slurm: SlurmJob | None = None
    released: float | None = None
    outcome: str | None = None
    reason: str | None = None
    resumed_from: int | None = None
    cpu_s: float | None = None  # of the whole process by the time of release
    peak_bytes: int | None = None  # the most memory it had taken by then

    def same_as(self, other: Owner) -> bool:
        """Whether both describe one claim by one process, however it has gone on since."""
        parts = ("pid", "started", "host", "boot", "namespace", "time")
        return all(getattr(self, part) == getattr(other, part) for part in parts)

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Owner:
        """Rebuild an owner from its JSON object.

        Raises:
            ValueError: It is none.
        """
        try:
            job = raw.get("slurm")
            slurm = SlurmJob(**_known(SlurmJob, job)) if job else None
            owner = cls(**{**_known(cls, raw), "slurm": slurm})
            math.fsum((owner.pid, owner.started, owner.time, owner.released or 0.0))
            "".join((owner.host, owner.boot, owner.namespace, owner.outcome or ""))
        except (AttributeError, TypeError) as error:
            raise ValueError(f"no owner: {error}") from error
        return owner


def _known(kind: type, raw: Mapping[str, Any]) -> dict[str, Any]:
    # A newer version may tell more; what it shares with this one is enough.
    return {one.name: raw[one.name] for one in fields(kind) if one.name in raw}


def this_process(
    submission: str = "", code: str | None = None, threads: int | None = None
) -> Owner:
    """Describe the calling process.

    Args:
        submission: Names the launch it works for.
        code: The frozen source it imports, if any.
        threads: CPU threads it may use, if that is known.
    """
    return Owner(
        pid=os.getpid(),
        started=_process_started(os.getpid()) or 0.0,
        host=socket.gethostname(),
        boot=_boot_id(),
        namespace=_pid_namespace(),
        time=time.time(),
        submission=submission,
        code=code,
        threads=threads,
        gpu=os.environ.get("CUDA_VISIBLE_DEVICES"),
        slurm=_this_slurm_job(os.environ),
    )


#: Given an owner's SLURM job: does it still run, in that restart? ``None``: can't be told.
SlurmLiveness = Callable[[SlurmJob], "bool | None"]


def lives(owner: Owner, slurm: SlurmLiveness | None = None) -> bool | None:
    """Whether ``owner`` is still at work; ``None`` where nothing here can tell."""
    if owner.released is not None:
        return False
    here = owner.host == socket.gethostname() and owner.boot == _boot_id()
    if here and owner.namespace == _pid_namespace():
        started = _process_started(owner.pid)
        return started is not None and abs(started - owner.started) < 0.02
    if owner.slurm is not None:
        mine = _this_slurm_job(os.environ)
        if mine is not None and mine.follows(owner.slurm):
            return False  # this very job, before it was requeued
        return (slurm or _ask_slurm)(owner.slurm)
    return None


def requeued() -> bool:
    """Whether SLURM has started this process's job anew: it is an orphan of a lost node."""
    mine = _this_slurm_job(os.environ)
    return mine is not None and _ask_slurm(mine) is False


def alive(owner: Owner, folder: RunFolder, slurm: SlurmLiveness | None = None) -> bool:
    """Whether ``owner`` may still be writing to ``folder``.

    Where that can't be told, a SLURM job is taken to live, and a process on another machine for as
    long as the folder isn't silent.
    """
    known = lives(owner, slurm)
    if known is None:
        silent = time.time() - folder.last_sign()
        return owner.slurm is not None or silent < SILENT_AFTER_S
    return known


def process_exists(pid: int) -> bool:
    """Whether a process of this machine, or of this container, has that number."""
    return _process_started(pid) is not None


def _process_started(pid: int) -> float | None:
    """When process ``pid`` started, on a clock of this boot; ``None`` when it doesn't run."""
    try:
        # After the command's name, which may hold anything: state first, start time 20th.
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        state, *rest = fields.rpartition(")")[2].split()
        return None if state in "ZX" else float(rest[18])
    except FileNotFoundError:
        if Path("/proc/self/stat").exists():
            return None
    except (OSError, ValueError, IndexError):
        pass
    import psutil  # where there is no /proc; not worth its import elsewhere

    try:
        process = psutil.Process(pid)
        zombie = process.status() == psutil.STATUS_ZOMBIE
        return None if zombie else float(process.create_time())
    except psutil.NoSuchProcess:
        return None


def _boot_id() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        import psutil

        return str(int(psutil.boot_time()))


def _pid_namespace() -> str:
    # Containers on one host share its name and boot, but not its process numbers.
    try:
        return str(Path("/proc/self/ns/pid").readlink())
    except OSError:
        return ""


def _this_slurm_job(environment: Mapping[str, str]) -> SlurmJob | None:
    job = environment.get("SLURM_JOB_ID")
    if not job:
        return None
    array = environment.get("SLURM_ARRAY_JOB_ID")
    name = f"{array}_{environment.get('SLURM_ARRAY_TASK_ID', '0')}" if array else job
    restarts = int(environment.get("SLURM_RESTART_COUNT", "0") or 0)
    return SlurmJob(name, restarts, environment.get("SLURM_CLUSTER_NAME", ""), job)


def _ask_slurm(job: SlurmJob) -> bool | None:
    from avatarl.runs import slurm_jobs

    return slurm_jobs.lives(job.id, job.restarts, job.number)

"""What a sweep's jobs asked SLURM for, what they used of it, and what to ask for next."""

from __future__ import annotations

import contextlib
import dataclasses
import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarl.errors import UserError
from avatarl.files import read_object
from avatarl.options import read
from avatarl.runs import ownership, slurm_jobs
from avatarl.runs.liveness import Owner
from avatarl.sweep.plan.planned import Plan
from avatarl.sweep.slurm.resources import Resources
from avatarl.sweep.slurm.settings import SlurmSettings
from avatarl.sweep.slurm.submission import NOTE

GIB = 2**30
#: What is asked for next leaves so much room, in shares of what was used.
_ROOM_TIME, _ROOM_CORES, _ROOM_MEMORY = 1.5, 1.1, 1.25
#: Less isn't worth a change.
_WORTH = 0.75


@dataclass(frozen=True)
class Used:
    """What one job used, in one of its starts.

    Attributes:
        time_s: From its first claim of a run to its last release.
        cpu_s: Processor time of its workers.
        memory: The most that its workers took, each at its own time; bytes.
    """

    time_s: float
    cpu_s: float
    memory: int


@dataclass(frozen=True)
class Usage:
    """Asked and used by jobs of one kind.

    Attributes:
        conditions: Of the kind; empty for the usual.
        settings: What they asked for.
        jobs: Each start of each.
    """

    conditions: tuple[str, ...]
    settings: SlurmSettings
    jobs: Sequence[Used]

    @property
    def cores(self) -> float:
        """Cores busy on average."""
        return sum(job.cpu_s for job in self.jobs) / max(1e-9, sum(job.time_s for job in self.jobs))

    @property
    def time_s(self) -> float:
        """Of the longest."""
        return max(job.time_s for job in self.jobs)

    @property
    def memory(self) -> int:
        """Of the largest, bytes."""
        return max(job.memory for job in self.jobs)

    @property
    def asked_memory(self) -> int | None:
        """Bytes; None where that is the site's default, or goes by GPUs."""
        if self.settings.mem_gb is not None:
            return round(self.settings.mem_gb * GIB)
        per_cpu = re.fullmatch(r"([\d.]+)([KMGT]?)B?", (self.settings.mem_per_cpu or "").upper())
        if per_cpu is None:
            return None
        return round(_bytes(*per_cpu.groups()) * (self.settings.cpus_per_task or 1))

    def suggested(self) -> dict[str, int]:
        """Settings of the launcher that would fit better; empty where what was asked for fits."""
        found: dict[str, int] = {}
        # Up to ten minutes, submitit takes every preemption for a timeout.
        minutes = max(15, 5 * math.ceil(_ROOM_TIME * self.time_s / 60 / 5))
        if minutes <= _WORTH * self.settings.timeout_min:
            found["timeout_min"] = minutes
        cores, asked = math.ceil(_ROOM_CORES * self.cores), self.settings.cpus_per_task
        if asked is not None and cores <= _WORTH * asked:
            found["cpus_per_task"] = max(1, cores)
        memory = math.ceil(_ROOM_MEMORY * self.memory / GIB)
        least = self.asked_memory
        if least is None or memory * GIB <= _WORTH * least or self.memory > 0.9 * least:
            found["mem_gb"] = memory
        return found

    def record(self) -> dict[str, Any]:
        """The same for programs."""
        return {
            "schema": 1,
            "conditions": list(self.conditions),
            "jobs": len(self.jobs),
            "asked": {
                "time_s": 60 * self.settings.timeout_min,
                "cores": self.settings.cpus_per_task,
                "memory_bytes": self.asked_memory,
            },
            "used": {
                "time_s": round(self.time_s, 1),
                "cores": round(self.cores, 3),
                "memory_bytes": self.memory,
            },
            "suggested": self.suggested(),
        }

    def lines(self) -> list[str]:
        """The same in words."""
        asked, usual = self.settings, statistics.median(job.time_s for job in self.jobs)
        next_ = self.suggested()
        whose = f" of {' and '.join(self.conditions)}" if self.conditions else ""
        memory = "the site's default" if self.asked_memory is None else _gib(self.asked_memory)
        cpus = "the site's default" if asked.cpus_per_task is None else f"{asked.cpus_per_task}"
        rows = [
            ("time", f"{asked.timeout_min} min",
             f"{_minutes(self.time_s)} at most, {_minutes(usual)} in the median", "timeout_min"),
            ("cores", cpus, f"{self.cores:.1f} on average", "cpus_per_task"),
            ("memory", memory, f"{_gib(self.memory)} at most", "mem_gb"),
        ]  # fmt: skip
        count = f"{len(self.jobs)} job{'s' * (len(self.jobs) > 1)}{whose}"
        return [
            f"asked and used by {count}",
            *(
                f"  {name:<7} {given:<19} {used:<42}"
                f"{f'next: hydra.launcher.{key}={next_[key]}' if key in next_ else 'fits'}"
                for name, given, used, key in rows
            ),
        ]


def usage_of(plan: Plan, sweep: Path) -> list[Usage]:
    """Compare what the jobs of a sweep asked for with what they used.

    Workers measure themselves and note it as they give a run back; what accounting knows, where
    there is any, counts where it is more. Jobs whose workers were all killed are missing.

    Args:
        plan: The sweep's plan.
        sweep: Its directory.
    """
    resources: dict[str, Resources | None] = {}
    kinds: dict[tuple[str, ...], SlurmSettings] = {}
    starts: dict[tuple[tuple[str, ...], str, int], list[Owner]] = {}
    for run in plan.runs:
        for owner in ownership.history(run.folder):
            name, _, number = owner.submission.partition("/")
            if owner.slurm is None or name != sweep.name or owner.cpu_s is None:
                continue
            if number not in resources:
                resources[number] = _resources(plan, sweep / "slurm" / number)
            if (known := resources[number]) is None:
                continue
            kind = known.of(run)
            kinds[kind.conditions] = kind.settings
            job = owner.slurm.number or owner.slurm.id
            starts.setdefault((kind.conditions, job, owner.slurm.restarts), []).append(owner)
    accounted = slurm_jobs.used(job for _, job, _ in starts)
    found: dict[tuple[str, ...], list[Used]] = {}
    for (conditions, job, restarts), owners in starts.items():
        used = _used(owners)
        last = max(again for _, other, again in starts if other == job)
        if job in accounted and restarts == last:  # accounting keeps the last start
            theirs = accounted[job]
            used = Used(*map(max, dataclasses.astuple(used), theirs))
        found.setdefault(conditions, []).append(used)
    return [Usage(conditions, kinds[conditions], jobs) for conditions, jobs in found.items()]


def _resources(plan: Plan, submission: Path) -> Resources | None:
    with contextlib.suppress(UserError):
        settings = read_object(submission / NOTE).get("settings") or {}
        return Resources(plan.runs, read(SlurmSettings, settings, "hydra.launcher"))
    return None  # of another version


def _used(owners: Sequence[Owner]) -> Used:
    workers: dict[tuple[Any, ...], list[Owner]] = {}
    for owner in owners:
        workers.setdefault((owner.host, owner.pid, owner.started), []).append(owner)
    # What a worker notes is of all its life: the last says it all.
    return Used(
        max(owner.released or owner.time for owner in owners) - min(one.time for one in owners),
        sum(max(one.cpu_s or 0.0 for one in mine) for mine in workers.values()),
        sum(max(one.peak_bytes or 0 for one in mine) for mine in workers.values()),
    )


def _bytes(number: str, unit: str) -> float:
    return float(number) * 1024.0 ** " KMGT".index(unit or "M")


def _minutes(seconds: float) -> str:
    return f"{seconds / 60:.0f} min" if seconds >= 600 else f"{seconds / 60:.1f} min"


def _gib(count: int) -> str:
    return f"{count / GIB:.1f} GiB"

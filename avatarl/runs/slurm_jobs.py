"""What SLURM says about jobs: one batched squeue (and, where there is accounting, sacct) call."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

#: Seconds for which an answer is reused.
_FRESH_S = 2.0
#: Seconds squeue may take before the controller counts as unreachable.
_PATIENCE_S = 30.0

#: Each element of an array on a line of its own, in whatever state and partition, hidden or not.
_SQUEUE = ("squeue", "-a", "-h", "-r", "--states=all")
#: squeue's long-form fields and widths; fixed columns, since reasons and node lists hold spaces.
_FIELDS = (
    ("JobArrayID", 40), ("State", 20), ("RestartCnt", 10), ("NodeList", 80), ("Reason", 60),
    ("JobID", 20),
)  # fmt: skip

#: States in which the job will run (again) by itself.
WAITING = frozenset(
    {
        "PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD",
        "SPECIAL_EXIT", "POWER_UP_NODE", "EXPEDITING",
    }
)  # fmt: skip
#: States in which the job has ended for good.
OVER = frozenset(
    {
        "BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL",
        "OUT_OF_MEMORY", "PREEMPTED", "RECONFIG_FAIL", "REVOKED", "TIMEOUT",
    }
)  # fmt: skip

#: What tells SLURM's commands where its controller is and who asks.
_NEEDED = frozenset({"SLURM_CONF", "SLURM_CONF_SERVER", "SLURM_CLUSTERS", "SLURM_JWT"})
#: What SLURM and submitit tell a job about itself, or a user their commands by default: not meant
#: for commands of ours, nor for jobs that they queue.
_PREFIXES = (
    "SLURM_", "SLURMD_", "SRUN_", "SBATCH_", "SALLOC_", "SQUEUE_", "SCANCEL_", "SACCT_", "SINFO_",
    "SCONTROL_", "SUBMITIT_", "PMI_", "PMIX_",
)  # fmt: skip
#: What an allocation makes visible of its own machine.
_DEVICES = frozenset(
    {
        "CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "GPU_DEVICE_ORDINAL",
        "ZE_AFFINITY_MASK",
    }
)  # fmt: skip
#: Where to run and at whose expense: a site, or a user, may say so for all that they queue.
_SITE = ("ACCOUNT", "CLUSTERS", "CONSTRAINT", "PARTITION", "QOS", "RESERVATION", "WCKEY")


def environment(
    variables: Mapping[str, str] | None = None, settled: Iterable[str] = ()
) -> dict[str, str]:
    """Return an environment as on a login node, in which nothing of an outer job is left.

    Args:
        variables: The environment; this process's by default.
        settled: Which of ``account``, ``partition`` and the like a job says itself: sbatch takes
            the environment's word before that of the script.
    """
    variables = os.environ if variables is None else variables
    said = {name.upper() for name in settled}
    kept = {*_NEEDED, *(f"SBATCH_{name}" for name in _SITE if name not in said)}
    dropped = _DEVICES if "SLURM_JOB_ID" in variables else frozenset()
    return {
        name: value
        for name, value in variables.items()
        if name in kept or not (name.startswith(_PREFIXES) or name in dropped)
    }


@dataclass(frozen=True)
class Job:
    """One job, or one element of an array.

    Attributes:
        id: ``123`` or ``123_4``.
        state: SLURM's word, for instance ``RUNNING``.
        restarts: How often it was requeued.
        node: Where it runs, or ran.
        reason: Why it waits, or how it ended.
        number: Its own number, which an array's element has as well once it has begun.
    """

    id: str
    state: str
    restarts: int
    node: str
    reason: str
    number: str = ""

    @property
    def active(self) -> bool:
        """Whether its processes may exist; so they may in a state that nobody here knows."""
        return self.state not in OVER and self.state not in WAITING

    @property
    def over(self) -> bool:
        """Whether it will never run again."""
        return self.state in OVER


_answers: dict[frozenset[str], tuple[float, dict[str, Job] | None]] = {}


def jobs(ids: Iterable[str], fresh: bool = False) -> dict[str, Job] | None:
    """Ask about jobs, all in one call.

    Args:
        ids: Job ids; an array's id asks for all its elements.
        fresh: Don't reuse an answer of the last two seconds.

    Returns:
        The jobs SLURM still knows (a few minutes beyond their end), by id; ``None`` when the
        controller can't be reached.
    """
    wanted = frozenset(job.split("_")[0] for job in ids)
    if not wanted:
        return {}
    when, answer = _answers.get(wanted, (0.0, None))
    if not fresh and time.monotonic() - when < _FRESH_S:
        return answer
    answer = _squeue(wanted)
    _answers[wanted] = (time.monotonic(), answer)
    return answer


def lives(job_id: str, restarts: int, number: str = "") -> bool | None:
    """Whether the processes of a job in its given restart may exist; ``None``: can't tell.

    Args:
        job_id: ``123`` or ``123_4``, as the job itself has it from its environment.
        restarts: How often it had been requeued by then.
        number: Its own number, if it is known.
    """
    known = jobs([number or job_id])
    return None if known is None else among(known, job_id, restarts, number)


def among(known: Mapping[str, Job], job_id: str, restarts: int, number: str = "") -> bool:
    """Tell the same from an answer of :func:`jobs`."""
    # What a job believes of itself may come from an outer job, but for its own number. Nor does one
    # that was never requeued hear of it: its count may be an outer job's, and too high.
    same = [job for job in known.values() if number and job.number == number]
    if not same and (found := known.get(number or job_id)):
        same = [found]
    return any(job.active and job.restarts <= restarts for job in same)


def accounted(ids: Iterable[str]) -> dict[str, Job]:
    """Ask accounting about jobs squeue has forgotten; empty where accounting is off."""
    wanted = sorted({job.split("_")[0] for job in ids})
    command = ["sacct", "-X", "-n", "-P", "-o", "JobID,State,NodeList,ExitCode"]
    out = _run([*command, "-j", ",".join(wanted)]) if wanted else None
    found: dict[str, Job] = {}
    if out is None or out[0] != 0:
        return found
    for line in out[1].splitlines():
        name, state, node, code = (line.split("|") + [""] * 4)[:4]
        found[name] = Job(name, (state.split() or ["UNKNOWN"])[0], 0, node, f"exit {code}")
    return found


def used(ids: Iterable[str]) -> dict[str, tuple[float, float, int]]:
    """Ask accounting what jobs have used; empty where it is off.

    Args:
        ids: The jobs' own numbers.

    Returns:
        For each job seconds since its last start, processor seconds and the most memory, in bytes.
    """
    wanted = sorted({*ids})
    command = ["sacct", "-n", "-P", "-o", "JobIDRaw,Elapsed,TotalCPU,MaxRSS"]
    out = _run([*command, "-j", ",".join(wanted)]) if wanted else None
    found: dict[str, tuple[float, float, int]] = {}
    if out is None or out[0] != 0:
        return found
    for line in out[1].splitlines():
        name, elapsed, cpu, memory = (line.split("|") + [""] * 4)[:4]
        job = name.partition(".")[0]  # its steps are lines of their own
        before = found.get(job, (0.0, 0.0, 0))
        told = (_seconds(elapsed), _seconds(cpu), _memory(memory))
        found[job] = (max(before[0], told[0]), max(before[1], told[1]), max(before[2], told[2]))
    return found


def _seconds(text: str) -> float:
    """Read ``1-02:03:04.5``, of which the front may be missing."""
    days, _, rest = text.rpartition("-")
    try:
        total = 0.0
        for part in rest.split(":"):
            total = 60 * total + float(part)
        return total + 86_400 * int(days or 0)
    except ValueError:
        return 0.0


def _memory(text: str) -> int:
    """Read ``1234K``."""
    number, unit = (text[:-1], text[-1]) if text[-1:].isalpha() else (text, " ")
    try:
        return round(float(number) * 1024.0 ** " KMGTP".index(unit.upper()))
    except ValueError:
        return 0


def cancel(ids: Iterable[str]) -> bool:
    """Cancel jobs; false when SLURM couldn't be reached."""
    wanted = sorted(set(ids))
    out = _run(["scancel", *wanted]) if wanted else (0, "", "")
    return out is not None and out[0] == 0


def writing_to(directory: Path, name: str) -> list[str] | None:
    """Find jobs by where their output goes, whatever was noted of them.

    Args:
        directory: Their output's; absolute.
        name: Of the jobs.

    Returns:
        Their ids, in order of an array's elements; ``None`` when the controller can't be reached.
    """
    layout = "JobArrayID:40,STDOUT:4096"
    out = _run([*_SQUEUE, f"--name={name}", "-O", layout])
    if out is None or out[0] != 0:
        return None
    lines = out[1].splitlines()
    place = f"{directory}{os.sep}"
    found = [line[:40].strip() for line in lines if line[40:].strip().startswith(place)]
    return sorted(found, key=lambda job: [int(part) for part in job.split("_")])


def max_array_size() -> int:
    """Most elements an array may have on this cluster (SLURM's own default where it won't say)."""
    out = _run(["scontrol", "show", "config"])
    for line in out[1].splitlines() if out else []:
        name, _, value = line.partition("=")
        if name.strip() == "MaxArraySize" and value.strip().isdigit():
            return max(1, int(value) - 1)  # the highest index is one less
    return 1000


def _squeue(ids: frozenset[str]) -> dict[str, Job] | None:
    layout = ",".join(f"{name}:{width}" for name, width in _FIELDS)
    out = _run([*_SQUEUE, f"--jobs={','.join(sorted(ids))}", "-O", layout])
    if out is None:
        return None
    code, text, errors = out
    if code != 0:
        return {} if "invalid job id" in errors.lower() else None
    return parse_squeue(text)


def parse_squeue(text: str) -> dict[str, Job]:
    """Read squeue's fixed columns."""
    found: dict[str, Job] = {}
    for line in text.splitlines():
        cells: list[str] = []
        at = 0
        for _, width in _FIELDS:
            cells.append(line[at : at + width].strip())
            at += width
        name, state, restarts, node, reason, number = cells
        if name:
            found[name] = Job(name, state, int(restarts or 0), node, reason, number)
    return found


def _run(command: list[str]) -> tuple[int, str, str] | None:
    try:
        asked = subprocess.run(
            command,
            capture_output=True,
            text=True,
            timeout=_PATIENCE_S,
            check=False,
            env=environment(),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return asked.returncode, asked.stdout, asked.stderr

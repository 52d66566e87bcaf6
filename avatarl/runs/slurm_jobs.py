"""What SLURM says about jobs: one batched squeue (and, where there is accounting, sacct) call."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterable
from dataclasses import dataclass

#: Seconds for which an answer is reused.
_FRESH_S = 2.0
#: Seconds squeue may take before the controller counts as unreachable.
_PATIENCE_S = 30.0

#: squeue's long-form fields and widths; fixed columns, since reasons and node lists hold spaces.
_FIELDS = (("JobArrayID", 40), ("State", 20), ("RestartCnt", 10), ("NodeList", 80), ("Reason", 60))

#: States in which processes of the job may exist.
ACTIVE = frozenset({"RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT"})
#: States in which the job will run (again) by itself.
WAITING = frozenset(
    {"PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD"}
)


@dataclass(frozen=True)
class Job:
    """One job, or one element of an array.

    Attributes:
        id: ``123`` or ``123_4``.
        state: SLURM's word, for instance ``RUNNING``.
        restarts: How often it was requeued.
        node: Where it runs, or ran.
        reason: Why it waits, or how it ended.
    """

    id: str
    state: str
    restarts: int
    node: str
    reason: str

    @property
    def active(self) -> bool:
        """Whether its processes may exist."""
        return self.state in ACTIVE

    @property
    def over(self) -> bool:
        """Whether it will never run again."""
        return self.state not in ACTIVE and self.state not in WAITING


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


def lives(job_id: str, restarts: int) -> bool | None:
    """Whether the processes of ``job_id`` in its given restart may exist; ``None``: can't tell."""
    known = jobs([job_id])
    if known is None:
        return None
    job = known.get(job_id)
    return job is not None and job.active and job.restarts == restarts


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


def cancel(ids: Iterable[str]) -> bool:
    """Cancel jobs; false when SLURM couldn't be reached."""
    wanted = sorted(set(ids))
    out = _run(["scancel", *wanted]) if wanted else (0, "", "")
    return out is not None and out[0] == 0


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
    out = _run(
        ["squeue", "-h", "-r", "--states=all", f"--jobs={','.join(sorted(ids))}", "-O", layout]
    )
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
        name, state, restarts, node, reason = cells
        if name:
            found[name] = Job(name, state, int(restarts or 0), node, reason)
    return found


def _run(command: list[str]) -> tuple[int, str, str] | None:
    try:
        asked = subprocess.run(
            command, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return asked.returncode, asked.stdout, asked.stderr

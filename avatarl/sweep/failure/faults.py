"""What went wrong with a run, and whose fault it was."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from typing import Literal

#: ``infrastructure``: the machine's fault, which another attempt may be spared. ``run``: the run's
#: own. ``cancelled``: somebody stopped it on purpose.
Kind = Literal["infrastructure", "run", "cancelled"]

_INFRASTRUCTURE_WORDS = (
    "cuda error",
    "cuda out of memory",
    "nccl",
    "cublas",
    "cudnn error",
    "device-side",
    "can't allocate memory",
    "cannot allocate memory",
    "stale file handle",
)
_DIED = "worker process"
_SILENT = "no sign of life"
#: Errors of the operating system that mean the request was wrong, not the machine.
_NOT_INFRASTRUCTURE = (FileNotFoundError, FileExistsError, IsADirectoryError, NotADirectoryError)


@dataclass(frozen=True)
class Fault:
    """One failed attempt at a run.

    Attributes:
        kind: Whose fault it was.
        reason: One line: ``Type: message`` or what happened to the process.
        traceback: Python's traceback, empty when the process died.
    """

    kind: Kind
    reason: str
    traceback: str = ""


def classify(error: BaseException) -> Kind:
    """Tell the machine's faults from the run's own."""
    if isinstance(error, MemoryError):
        return "infrastructure"
    if isinstance(error, OSError) and not isinstance(error, _NOT_INFRASTRUCTURE):
        return "infrastructure"
    text = f"{type(error).__name__}: {error}".lower()
    if "outofmemory" in text or any(word in text for word in _INFRASTRUCTURE_WORDS):
        return "infrastructure"
    return "run"


def remembered(reason: str) -> Fault:
    """A fault of an earlier attempt, of which only the reason was kept."""
    died = reason.startswith((_DIED, _SILENT))
    return Fault("infrastructure", reason, "" if died else reason)


def hang_reason(after_s: float) -> str:
    """Put a hung worker in words."""
    return f"{_SILENT} for {after_s:g} s, killed"


def exit_reason(exitcode: int | None) -> str:
    """Put a worker's exit code in words."""
    if exitcode is None:
        return f"{_DIED} died"
    if exitcode < 0:
        try:
            name = signal.Signals(-exitcode).name
        except ValueError:
            name = f"signal {-exitcode}"
        hint = " (out of memory?)" if name == "SIGKILL" else ""
        return f"{_DIED} was killed by {name}{hint}"
    return f"{_DIED} exited with code {exitcode}"

"""What went wrong with a run, whether trying again can help, and when a sweep gives up."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from avatarl.errors import ConfigError

#: ``infrastructure``: the machine's fault, worth another try. ``run``: the run's own, is not.
Kind = Literal["infrastructure", "run"]

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


def worth_retrying(faults: Sequence[Fault], max_retries: int) -> bool:
    """Whether a run with this history of attempts gets another.

    A fault of the run's own is final; so is an exception that came twice, word for word (a process
    that merely died says nothing about why, so its bound is ``max_retries`` alone).
    """
    last = faults[-1]
    if last.kind == "run" or len(faults) > max_retries:
        return False
    repeated = len(faults) > 1 and faults[-2].reason == last.reason
    return not (repeated and last.traceback)


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


@dataclass(frozen=True)
class FailurePolicy:
    """What a sweep does when runs fail.

    Attributes:
        max_failures: Stop the sweep once this many runs have failed; ``None``: never.
        max_retries: Further attempts a run gets after an infrastructure fault.
        hang_after_s: Seconds without a sign of life after which a worker is killed.
    """

    max_failures: int | None
    max_retries: int
    hang_after_s: float

    @classmethod
    def of(
        cls, failure: str, max_failures: int | None, max_retries: int, hang_after_s: float
    ) -> FailurePolicy:
        """Read the launcher's settings.

        Raises:
            ConfigError: Unknown policy, or numbers that contradict it.
        """
        key = "hydra.launcher"
        if failure not in ("keep_going", "fail_fast"):
            raise ConfigError(f"{key}.failure_policy", failure, "keep_going or fail_fast")
        if max_failures is not None and max_failures < 1:
            raise ConfigError(f"{key}.max_failures", max_failures, "a number >= 1, or null")
        if max_retries < 0:
            raise ConfigError(f"{key}.max_retries", max_retries, "a number >= 0")
        if not hang_after_s > 0:
            raise ConfigError(f"{key}.hang_after_s", hang_after_s, "seconds > 0")
        return cls(1 if failure == "fail_fast" else max_failures, max_retries, hang_after_s)

    def gives_up(self, failures: int) -> bool:
        """Whether ``failures`` failed runs end the sweep."""
        return self.max_failures is not None and failures >= self.max_failures

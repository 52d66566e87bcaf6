"""How far a run has come, told to whoever watches, and kept in its folder."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Progress:
    """A moment of a run.

    Attributes:
        step: Steps done.
        steps: Steps in all; 0 where a file doesn't say.
        rate: Steps a second, recently; 0 when unknown.
        eta_s: Seconds left, or None when unknown.
        loss: Latest logged loss, or None.
        nats: Latest held-out nats a character, or None.
        warnings: Names of the health alarms that are on.
        metrics: Latest value of every metric; isn't kept in the file.
        state: What the process was at: ``running``, ``interrupted`` or ``done``.
        updated: When this was, in Unix seconds.
        pid: The process.
        host: Its machine.
        device: What it computes on.
    """

    step: int = 0
    steps: int = 0
    rate: float = 0.0
    eta_s: float | None = None
    loss: float | None = None
    nats: float | None = None
    warnings: tuple[str, ...] = ()
    metrics: Mapping[str, float | None] = field(default_factory=dict)
    state: str = "running"
    updated: float = 0.0
    pid: int | None = None
    host: str = ""
    device: str = ""

    @property
    def share(self) -> float | None:
        """How much of the run is done, 0 to 1; None where nobody knows."""
        return min(1.0, self.step / self.steps) if self.steps > 0 else None

    def to_json(self) -> dict[str, Any]:
        """Return what the file holds; numbers that aren't finite become null."""
        return {
            "state": self.state,
            "step": self.step,
            "steps": self.steps,
            "rate": round(self.rate, 4),
            "eta_s": _number(self.eta_s),
            "loss": _number(self.loss),
            "nats": _number(self.nats),
            "warnings": list(self.warnings),
            "updated": self.updated,
            "pid": self.pid,
            "host": self.host,
            "device": self.device,
        }

    @classmethod
    def from_json(cls, raw: Mapping[str, Any]) -> Progress:
        """Read what a file holds; what isn't of the right type counts as unknown."""
        warnings = raw.get("warnings")
        return cls(
            step=_whole(raw.get("step")) or 0,
            steps=_whole(raw.get("steps")) or 0,
            rate=_number(raw.get("rate")) or 0.0,
            eta_s=_number(raw.get("eta_s")),
            loss=_number(raw.get("loss")),
            nats=_number(raw.get("nats")),
            warnings=tuple(map(str, warnings)) if isinstance(warnings, list) else (),
            state=str(raw.get("state") or ""),
            updated=_number(raw.get("updated")) or 0.0,
            pid=_whole(raw.get("pid")),
            host=str(raw.get("host") or ""),
            device=str(raw.get("device") or ""),
        )


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _number(value: object) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)

"""How a run ended, and what there is to tell on the way."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from avatarl.sweep.plan.planned import PlannedRun

State = Literal["done", "failed", "interrupted", "elsewhere"]


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended, as far as this launch knows.

    Attributes:
        state: ``elsewhere``: another living process is computing it.
        cached: It was done before; nothing was computed.
        result: The run's ``result.json`` when done.
        reason: One line, when failed or elsewhere.
        attempts: How often this launch started it.
        seconds: Wall time of the last attempt.
    """

    state: State
    cached: bool = False
    result: Mapping[str, Any] | None = None
    reason: str | None = None
    attempts: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Event:
    """Something to tell the user: ``started``, ``finished``, ``retried`` or ``waiting``."""

    what: Literal["started", "finished", "retried", "waiting"]
    run: PlannedRun
    slot: int | None = None
    outcome: RunOutcome | None = None
    reason: str | None = None

"""How runs and sweeps end, and the events on the way there."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from avatarl.sweep.plan.planned import PlannedRun

State = Literal["done", "paused", "failed", "interrupted", "elsewhere"]


@dataclass(frozen=True)
class RunOutcome:
    """How a run ended, as far as this launch knows.

    Attributes:
        state: ``paused``: put down at a rung, as others did better; ``elsewhere``: another living
            process is computing it.
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
class SweepOutcome:
    """What became of a launch.

    Attributes:
        outcomes: By run id.
        exit_code: 0 all done, 1 something failed, 130 (or 143) interrupted.
        complete: Every run is at its end, so the sweep can be summarised.
    """

    outcomes: Mapping[str, RunOutcome]
    exit_code: int
    complete: bool


@dataclass(frozen=True)
class Event:
    """A turn in a run's life that the user is told: an attempt began or ended, or has to wait."""

    what: Literal["started", "finished", "retried", "waiting"]
    run: PlannedRun
    slot: int | None = None
    outcome: RunOutcome | None = None
    reason: str | None = None

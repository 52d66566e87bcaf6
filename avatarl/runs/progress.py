"""How far a run has come, told to whoever watches."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Progress:
    """A moment of a run.

    Attributes:
        step: Steps done.
        steps: Steps in all.
        rate: Steps a second, recently; 0 when unknown.
        eta_s: Seconds left, or None when unknown.
        loss: Latest logged loss, or None.
        nats: Latest held-out nats a character, or None.
        warnings: Names of the health alarms that are on.
        metrics: Latest value of every metric.
    """

    step: int
    steps: int
    rate: float
    eta_s: float | None
    loss: float | None
    nats: float | None
    warnings: tuple[str, ...] = ()
    metrics: dict[str, float | None] = field(default_factory=dict)

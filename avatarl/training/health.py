"""Monitors: alarms that are raised once, and cleared once.

Each is a plain threshold on figures that are logged anyway. What follows is the loop's business.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from avatarl.config.health import Config

GRADIENT_WINDOW = 50  # steps
_EMA_DECAY = 0.98


@dataclass(frozen=True)
class Alarm:
    """An alarm that was just raised or cleared.

    Attributes:
        name: ``calibration``, ``confidence_collapse``, ``gradient_stability`` or ``clipping``.
        raised: False when it clears.
        fact: The metric that decided.
        value: Its value.
        threshold: Its limit.
    """

    name: str
    raised: bool
    fact: str
    value: float
    threshold: float

    def __str__(self) -> str:
        """One line for people."""
        verb = "raised" if self.raised else "cleared"
        relation = ">" if self.raised else "<="
        return f"{self.name} {verb}: {self.fact} {self.value:.3g} {relation} {self.threshold:g}"


@dataclass
class Health:
    """The monitors' memory; plain numbers, so that a checkpoint can hold it.

    Attributes:
        limits: Thresholds.
        lr_factor: What the learning rate is multiplied with, after cuts.
        ent_boost: What was added to the entropy bonus.
        rollbacks: How often the run went back to a checkpoint.
    """

    limits: Config
    norms: deque[float] = field(default_factory=lambda: deque(maxlen=GRADIENT_WINDOW))
    clipped: deque[float] = field(default_factory=lambda: deque(maxlen=GRADIENT_WINDOW))
    norm_ema: float | None = None
    nonfinite: int = 0
    active: dict[str, bool] = field(default_factory=dict)
    ever: list[str] = field(default_factory=list)
    lr_factor: float = 1.0
    ent_boost: float = 0.0
    rollbacks: int = 0

    def gradients(self, norms: Iterable[float], grad_clip: float) -> dict[str, float]:
        """Take in the pre-clip gradient norms of the steps since last time.

        Returns:
            Latest norm; coefficient of variation over the last 50 steps; largest ratio to the
            norm's running mean since last time; share of clipped steps; non-finite count.
        """
        ratio, norm = 0.0, math.nan
        for norm in norms:
            if not math.isfinite(norm):
                self.nonfinite += 1
                continue
            if self.norm_ema is None:
                self.norm_ema = norm
            ratio = max(ratio, norm / max(self.norm_ema, 1e-12))
            self.norm_ema = _EMA_DECAY * self.norm_ema + (1 - _EMA_DECAY) * norm
            self.norms.append(norm)
            self.clipped.append(float(norm > grad_clip))
        mean = sum(self.norms) / max(1, len(self.norms))
        variance = sum((value - mean) ** 2 for value in self.norms) / max(1, len(self.norms))
        return {
            "health/grad_norm": norm,
            "health/grad_cv": math.sqrt(variance) / max(mean, 1e-12),
            "health/grad_ratio": ratio,
            "health/grad_clipped_share": sum(self.clipped) / max(1, len(self.clipped)),
            "health/grad_nonfinite": float(self.nonfinite),
        }

    def check_gradients(self, facts: Mapping[str, float]) -> list[Alarm]:
        """Judge what :meth:`gradients` returned, once the window is full, and the clip fraction."""
        limits = self.limits
        tests = [("health/grad_nonfinite", 0.0)]
        if len(self.norms) == GRADIENT_WINDOW:
            tests += [
                ("health/grad_cv", limits.gradient_cv),
                ("health/grad_ratio", limits.gradient_ratio),
            ]
        alarms = self._check("gradient_stability", facts, tests)
        if "health/clip_fraction" in facts:
            clipping = [("health/clip_fraction", limits.clip_fraction)]
            alarms += self._check("clipping", facts, clipping)
        return alarms

    def check_evaluation(
        self, facts: Mapping[str, float], *, steering: bool | None = None
    ) -> list[Alarm]:
        """Judge calibration and confidence.

        Args:
            facts: Of an evaluation.
            steering: Judge only the alarms that can change the run (True) or can't (False).
        """
        limits = self.limits
        tests = {
            "calibration": [("val/ece", limits.calibration_error)],
            "confidence_collapse": [
                ("health/collapse_gap", limits.collapse_gap),
                ("health/entropy_gap", limits.entropy_gap),
            ],
        }
        alarms = []
        for name, limit in tests.items():
            if steering is None or steering == (limits.action(name) in ("stop", "act")):
                alarms += self._check(name, facts, limit)
        return alarms

    def _check(
        self, name: str, facts: Mapping[str, float], tests: list[tuple[str, float]]
    ) -> list[Alarm]:
        exceeded = [(fact, limit) for fact, limit in tests if facts[fact] > limit]
        raised = bool(exceeded)
        if raised == self.active.get(name, False):
            return []
        self.active[name] = raised
        if raised and name not in self.ever:
            self.ever.append(name)
        fact, limit = exceeded[0] if exceeded else tests[0]
        return [Alarm(name, raised, fact, facts[fact], limit)]

    @property
    def warnings(self) -> tuple[str, ...]:
        """Names of the alarms that are on."""
        return tuple(name for name, on in self.active.items() if on)

    def state(self) -> dict[str, Any]:
        """Everything remembered, as JSON values."""
        return {
            "norms": list(self.norms),
            "clipped": list(self.clipped),
            "norm_ema": self.norm_ema,
            "nonfinite": self.nonfinite,
            "active": dict(self.active),
            "ever": list(self.ever),
            "lr_factor": self.lr_factor,
            "ent_boost": self.ent_boost,
            "rollbacks": self.rollbacks,
        }

    @classmethod
    def from_state(cls, limits: Config, state: Mapping[str, Any]) -> Health:
        """Undo :meth:`state`."""
        return cls(
            limits=limits,
            lr_factor=state["lr_factor"],
            ent_boost=state["ent_boost"],
            rollbacks=state["rollbacks"],
            norms=deque(state["norms"], maxlen=GRADIENT_WINDOW),
            clipped=deque(state["clipped"], maxlen=GRADIENT_WINDOW),
            norm_ema=state["norm_ema"],
            nonfinite=state["nonfinite"],
            active=dict(state["active"]),
            ever=list(state["ever"]),
        )

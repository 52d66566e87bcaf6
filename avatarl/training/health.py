"""Alarms that are raised once and cleared once, and what judges them.

Each is a plain threshold on figures that are logged anyway; what follows is in ``monitors``.
"""

from __future__ import annotations

import copy
import dataclasses
import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from avatarl.config.health import Config

GRADIENT_WINDOW = 50  # steps
_EMA_DECAY = 0.98
_WINDOWS = ("norms", "clipped")


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
    """What the monitors remember and have changed, in plain numbers.

    Attributes:
        limits: Thresholds.
        norms: Gradient norms of the last steps, before clipping.
        clipped: 1.0 for each of those steps whose gradient was clipped.
        norm_ema: Running mean of the norm.
        nonfinite: Steps whose norm wasn't finite.
        active: Whether each alarm is on.
        ever: Alarms that were on at any time.
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

    def state_dict(self) -> dict[str, Any]:
        """Return everything remembered, as JSON values."""
        names = [field.name for field in dataclasses.fields(self) if field.name != "limits"]
        remembered = {name: copy.copy(getattr(self, name)) for name in names}
        return remembered | {"norms": list(self.norms), "clipped": list(self.clipped)}

    @classmethod
    def from_state_dict(cls, limits: Config, state: Mapping[str, Any]) -> Health:
        """Continue from what :meth:`state_dict` returned."""
        windows = {name: deque(state[name], maxlen=GRADIENT_WINDOW) for name in _WINDOWS}
        return cls(limits, **{**copy.deepcopy(dict(state)), **windows})

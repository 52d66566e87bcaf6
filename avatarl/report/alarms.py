"""Alarms on a run's health: their usual thresholds, and the curve each is shown on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

#: Curves of a run's health, in the order of their panels.
HEALTH = (
    "val/entropy", "reward/expected", "val/ece", "health/collapse_gap", "health/grad_norm",
    "health/clip_fraction", "train/kl",
)  # fmt: skip
#: Where an alarm is raised by default.
THRESHOLDS = {"val/ece": 0.05, "health/collapse_gap": 0.05, "health/clip_fraction": 0.3}
_CURVE_OF = {
    "calibration": "val/ece",
    "confidence_collapse": "health/collapse_gap",
    "gradient_stability": "health/grad_norm",
}


def curve_of(alarm: Mapping[str, Any], drawn: Collection[str]) -> str:
    """Return the curve that shows an alarm's event: one of ``drawn``, the first at a pinch."""
    candidates = (alarm.get("fact"), _CURVE_OF.get(str(alarm.get("alarm"))))
    return next((str(name) for name in candidates if name in drawn), next(iter(drawn), ""))

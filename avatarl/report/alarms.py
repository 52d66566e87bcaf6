"""Alarms on a run's health: their thresholds, and the curve each is shown on."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from avatarl.report.comparison import Section

#: Curves of a run's health, in the order of their panels.
HEALTH = (
    "val/entropy", "reward/expected", "val/ece", "health/collapse_gap", "health/grad_norm",
    "health/clip_fraction", "train/kl",
)  # fmt: skip
#: The key that says where a curve raises an alarm.
_THRESHOLD_OF = {
    "val/ece": "health.calibration_error",
    "health/collapse_gap": "health.collapse_gap",
    "health/clip_fraction": "health.clip_fraction",
}
_CURVE_OF = {
    "calibration": "val/ece",
    "confidence_collapse": "health/collapse_gap",
    "gradient_stability": "health/grad_norm",
}


def thresholds(section: Section) -> dict[str, float]:
    """Return where each curve raises an alarm, if all of the section's runs agree on that."""
    runs = [run for row in section.configurations for run in row.runs]
    agreed = {}
    for curve, key in _THRESHOLD_OF.items():
        values = {run.config.get(key) for run in runs}
        threshold = values.pop() if len(values) == 1 else None
        if isinstance(threshold, int | float):
            agreed[curve] = float(threshold)
    return agreed


def curve_of(alarm: Mapping[str, Any], drawn: Collection[str]) -> str:
    """Return the curve that shows an alarm's event: one of ``drawn``, the first at a pinch."""
    candidates = (alarm.get("fact"), _CURVE_OF.get(str(alarm.get("alarm"))))
    return next((str(name) for name in candidates if name in drawn), next(iter(drawn), ""))

"""The mixed reward, with the matched character's share scaled by the model's own confidence.

Where the tried character is the text's, its reward is multiplied by
clamp(1 + w · π_old(a), scale_min, scale_max). Under exact policy weighting the objective then
contains π + w·π²/2, which is convex for w > 0: confidence breeds confidence. A wrong character held
with more than ``penalty_threshold`` costs penalty · π_old(a): the overconfidence penalty.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Le
from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import (
    Coefficient,
    Hyperparameters,
    RewardInputs,
    Schedule,
    check_order,
    current,
    is_on,
)
from avatarl.reward import mixed


@dataclass(frozen=True)
class Config(mixed.Config):
    """Mixed reward and the strength of confidence scaling."""

    confidence_weight: float | Schedule  # w; 0 is the mixed reward, below 0 dampens confidence
    scale_min: Annotated[float, Ge(0)] | Schedule
    scale_max: Annotated[float, Ge(0)] | Schedule
    penalty: Coefficient  # on wrong characters held above the threshold; 0 for none
    penalty_threshold: Annotated[float, Ge(0), Le(1)] | Schedule

    def __post_init__(self) -> None:
        """Refuse an empty range."""
        check_order("scale_min", self.scale_min, "scale_max", self.scale_max)

    @property
    @override
    def costs(self) -> bool:
        return super().costs or is_on(self.penalty)

    @override
    def rewards(self, inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
        weight = current(self.confidence_weight, hparams, "confidence_weight")
        confident = 1 + weight * inputs.old_probs
        least = current(self.scale_min, hparams, "scale_min")
        confident = confident.maximum(least).minimum(current(self.scale_max, hparams, "scale_max"))
        factor = torch.lerp(torch.ones_like(weight), confident, inputs.matches)  # 1 unless it hit
        scaled = super().rewards(inputs, hparams) * factor
        if not is_on(self.penalty):
            return scaled
        held = overconfidence(inputs, current(self.penalty_threshold, hparams, "penalty_threshold"))
        return scaled - current(self.penalty, hparams, "penalty") * held


def overconfidence(inputs: RewardInputs, threshold: Tensor) -> Tensor:
    """Return π_old of the wrong actions held above ``threshold``, else 0, (B,T,K)."""
    held = (inputs.old_probs > threshold).to(inputs.matches.dtype)
    return inputs.old_probs * held * (1 - inputs.matches)

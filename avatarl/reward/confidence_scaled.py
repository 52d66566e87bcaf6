"""The mixed reward, with the matched character's share scaled by the model's own confidence.

Where the tried character is the text's, its reward is multiplied by
clamp(1 + w · π_old(a), scale_min, scale_max). Under exact policy weighting the objective then
contains π + w·π²/2, which is convex for w > 0: confidence breeds confidence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from avatarl.errors import ConfigError
from avatarl.game import Knobs, Outcome
from avatarl.reward import base, mixed


@dataclass(frozen=True)
class Config(mixed.Config):
    """Mixed reward and the strength of confidence scaling."""

    confidence_weight: float  # w; 0 is the mixed reward, below 0 dampens confidence
    scale_min: Annotated[float, Ge(0)]
    scale_max: Annotated[float, Ge(0)]

    def __post_init__(self) -> None:
        """Refuse an empty range."""
        if self.scale_min > self.scale_max:
            raise ConfigError("scale_min", self.scale_min, f"at most scale_max={self.scale_max}")


def scale(outcome: Outcome, knobs: Knobs) -> Tensor:
    """Return the factor of each action, (B,T,K): 1 unless it hit."""
    confident = 1 + knobs["confidence_weight"] * outcome.old_probs
    confident = confident.clamp(knobs["scale_min"], knobs["scale_max"])
    return 1 + outcome.hits * (confident - 1)


def build(config: Config) -> base.Reward:
    """Make the reward."""

    def rewards(outcome: Outcome, knobs: Knobs) -> Tensor:
        return mixed.mix(config, outcome, knobs) * scale(outcome, knobs)

    return rewards

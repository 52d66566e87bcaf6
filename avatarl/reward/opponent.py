"""Opponent advantage: a hit pays what the opponent left on the table, 1[a = y] · (1 − π_past(y)).

What a past self already knew is worth little, so effort goes where something is left to learn; once
everything is known, the reward fades. With ``strength`` below 1 a part of the plain match stays.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import Hyperparameters, RewardInputs, Schedule, current
from avatarl.reward import base


@dataclass(frozen=True)
class Config(base.Config):
    """How much the opponent's knowledge takes away."""

    strength: Annotated[float, Ge(0)] | Schedule  # 1: all of it; 0: the plain match

    @property
    @override
    def needs_opponent(self) -> bool:
        return True

    @override
    def rewards(self, inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
        assert inputs.past_logprobs is not None
        strength = current(self.strength, hparams, "strength")
        return inputs.matches * (1 - strength * inputs.past_logprobs.exp())

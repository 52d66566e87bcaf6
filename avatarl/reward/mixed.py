"""Hard and soft signal together: hard_weight · 1[a = y] + soft_weight · reference(a)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge
from torch import Tensor

from avatarl.game import Knobs, Outcome
from avatarl.reward import base
from avatarl.reward.reference import Signal, soft


@dataclass(frozen=True)
class Config(base.Config):
    """Weights of the two signals."""

    hard_weight: Annotated[float, Ge(0)]
    soft_weight: Annotated[float, Ge(0)]
    signal: Signal

    @property
    def needs_reference(self) -> bool:
        """Only where the soft signal counts."""
        return self.soft_weight > 0


def mix(config: Config, outcome: Outcome, knobs: Knobs) -> Tensor:
    """Return the weighted sum of both signals, (B,T,K)."""
    hard = knobs["hard_weight"] * outcome.hits
    if outcome.ref_logprobs is None:
        return hard
    return hard + knobs["soft_weight"] * soft(config.signal, outcome)


def build(config: Config) -> base.Reward:
    """Make the reward."""

    def rewards(outcome: Outcome, knobs: Knobs) -> Tensor:
        return mix(config, outcome, knobs)

    return rewards

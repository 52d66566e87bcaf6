"""Hard signal: the text alone judges."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from avatarl.interfaces import Hyperparameters, RewardInputs
from avatarl.reward import base


@dataclass(frozen=True)
class Config(base.Config):
    """One for the text's character, zero for every other."""


def rewards(inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
    """Return 1[a = y], (B,T,K)."""
    return inputs.matches


def build(config: Config, text: base.Text) -> base.Reward:
    """Make the reward."""
    return rewards

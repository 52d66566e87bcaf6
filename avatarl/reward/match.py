"""Hard signal: the text alone judges."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from avatarl.interfaces import Knobs, Outcome
from avatarl.reward import base


@dataclass(frozen=True)
class Config(base.Config):
    """One for the text's character, zero for every other."""


def rewards(outcome: Outcome, knobs: Knobs) -> Tensor:
    """Return 1[a = y], (B,T,K)."""
    return outcome.hits


def build(config: Config, text: base.Text) -> base.Reward:
    """Make the reward."""
    return rewards

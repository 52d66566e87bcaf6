"""What every reward is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from avatarl.game import Knobs, Outcome


@dataclass(frozen=True)
class Config:
    """Settings that every reward has."""

    name: str

    @property
    def needs_reference(self) -> bool:
        """Whether the reward reads the reference."""
        return False


class Reward(Protocol):
    """Maps what was tried to how right it was."""

    def __call__(self, outcome: Outcome, knobs: Knobs) -> Tensor:
        """Return rewards (B,T,K) float32; ``knobs`` holds the group's numbers."""

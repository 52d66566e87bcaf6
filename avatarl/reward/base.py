"""What every reward is asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from avatarl.interfaces import LARGEST, Hyperparameters, RewardInputs, Schedule, current, ends
from avatarl.options import Option


@dataclass(frozen=True)
class Config(Option):
    """Settings that every reward has, and what it computes from them.

    A reward overrides :meth:`rewards`; one that keeps tables of the text, :meth:`prepare`.
    """

    weight: float | Schedule  # of this reward as a whole, or within a sum

    @property
    def needs_reference(self) -> bool:
        """Whether the reward reads the reference."""
        return False

    @property
    def needs_opponent(self) -> bool:
        """Whether the reward reads the opponent."""
        return False

    @property
    def costs(self) -> bool:
        """Whether an action can be paid less than nothing, before the weight."""
        return False

    @property
    def may_be_negative(self) -> bool:
        """Whether an action can be paid less than nothing."""
        return self.costs or ends(self.weight)[0] < 0

    @property
    def reads_text(self) -> bool:
        """Whether it is made of the training text's statistics, besides what was tried."""
        return type(self).prepare is not Config.prepare

    @property
    def fixed_expectation(self) -> float | None:
        """What every policy earns alike, before the weight; None where it shows learning."""
        return None

    def build(self, text: Text) -> Reward:
        """Make the reward, times its weight, of a size that can be squared."""
        unweighted = self.prepare(text)

        def reward(inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
            weighted = current(self.weight, hparams, "weight") * unweighted(inputs, hparams)
            return weighted.clamp(-LARGEST, LARGEST)

        return reward

    def prepare(self, text: Text) -> Reward:
        """Read what the reward needs of the text, and return the reward without its weight."""
        return self.rewards

    def rewards(self, inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
        """Return the reward of each action without the weight, (B,T,K) float32.

        Args:
            inputs: What was tried and what came of it.
            hparams: The reward's numbers, as 0-d tensors.
        """
        raise NotImplementedError(f"{type(self).__module__} overrides neither rewards nor prepare")


@dataclass(frozen=True)
class Text:
    """The training text, for rewards that know how words are spelt.

    Attributes:
        characters: The V characters, by id.
        train: (N,) ids of the training text, and nothing else.
        device: Where tables are put.
    """

    characters: tuple[str, ...]
    train: npt.NDArray[np.integer[Any]]
    device: torch.device


class Reward(Protocol):
    """Maps what was tried to how right it was."""

    def __call__(self, inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
        """Return rewards (B,T,K) float32; ``hparams`` holds the reward's numbers."""

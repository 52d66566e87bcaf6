"""Rewards: how right each tried character was."""

from __future__ import annotations

import importlib

from torch import Tensor

from avatarl.interfaces import Hyperparameters, RewardInputs, current
from avatarl.reward.base import Config, Reward, Text

__all__ = ["Config", "Reward", "Text", "build"]


def build(config: Config, text: Text) -> Reward:
    """Make the reward that ``config`` describes, times its weight.

    Args:
        config: The ``Config`` of a module of this package.
        text: The training text and its characters.
    """
    inner: Reward = importlib.import_module(type(config).__module__).build(config, text)

    def rewards(inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
        return current(config.weight, hparams, "weight") * inner(inputs, hparams)

    return rewards

"""Rewards: how right each tried character was."""

from __future__ import annotations

import importlib

from avatarl.reward.base import Config, Reward

__all__ = ["Config", "Reward", "build"]


def build(config: Config) -> Reward:
    """Make the reward that ``config`` describes."""
    reward: Reward = importlib.import_module(f"avatarl.reward.{config.name}").build(config)
    return reward

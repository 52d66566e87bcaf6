"""Rewards: how right each tried character was."""

from avatarl.reward.base import Config, Reward, Text

__all__ = ["Config", "Reward", "Text"]

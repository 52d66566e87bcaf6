"""Explorers: which next characters are tried at each position, and how they count."""

from avatarl.explorer.base import Config, Decoder, Explorer, Observation, Rollouts

__all__ = ["Config", "Decoder", "Explorer", "Observation", "Rollouts"]

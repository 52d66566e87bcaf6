"""Explorers: which next characters are tried at each position, and how they count."""

from __future__ import annotations

import importlib

from avatarl.explorer.base import Config, Decoder, Explorer, Observation

__all__ = ["Config", "Decoder", "Explorer", "Observation", "build"]


def build(config: Config) -> Explorer:
    """Make the explorer that ``config`` describes."""
    explorer: Explorer = importlib.import_module(f"avatarl.explorer.{config.name}").build(config)
    return explorer

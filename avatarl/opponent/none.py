"""No opponent."""

from __future__ import annotations

from dataclasses import dataclass

from avatarl.opponent import base


@dataclass(frozen=True)
class Config(base.Config):
    """Nothing to set."""

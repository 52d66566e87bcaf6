"""Track in files alone; nothing beyond the run's directory."""

from __future__ import annotations

from dataclasses import dataclass

from avatarl.tracking import base


@dataclass(frozen=True)
class Config(base.Config):
    """No settings."""

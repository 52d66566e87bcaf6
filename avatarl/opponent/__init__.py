"""Opponents: past selves that the policy is measured against and held to."""

from __future__ import annotations

from avatarl.opponent.base import Config, League

__all__ = ["Config", "League"]

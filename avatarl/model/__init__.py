"""Policies: networks from a window of characters to scores of the next one."""

from __future__ import annotations

from torch import nn

from avatarl.model.base import Cache, Config, Policy

__all__ = ["Cache", "Config", "Policy", "parameter_count"]


def parameter_count(model: nn.Module) -> int:
    """Count the trainable numbers; the tied embedding counts once."""
    return sum(parameter.numel() for parameter in model.parameters())

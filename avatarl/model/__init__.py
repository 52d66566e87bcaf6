"""Policies: networks from a window of characters to scores of the next one."""

from __future__ import annotations

import torch

from avatarl.model.gpt import GPT, Config

__all__ = ["GPT", "Config", "parameter_count"]


def parameter_count(model: torch.nn.Module) -> int:
    """Count the trainable numbers; the tied embedding counts once."""
    return sum(parameter.numel() for parameter in model.parameters())

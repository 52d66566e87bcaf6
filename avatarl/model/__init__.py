"""Policies: networks from a window of characters to scores of the next one."""

from __future__ import annotations

import torch

from avatarl.model.gpt import GPT, Config

__all__ = ["GPT", "Config", "build", "parameter_count"]


def build(config: Config, vocab_size: int, seed: int) -> GPT:
    """Make a network with random weights that depend on ``seed`` alone (fp32, on the CPU)."""
    generator = torch.Generator().manual_seed(seed)
    return GPT(config, vocab_size, generator)


def parameter_count(model: torch.nn.Module) -> int:
    """Count the trainable numbers; the tied embedding counts once."""
    return sum(parameter.numel() for parameter in model.parameters())

"""Soft signal: what the characters so far say about the next, from counts of the text."""

from __future__ import annotations

import importlib

import numpy as np
import torch

from avatarl.reference.base import (
    MISSING,
    Config,
    CountedConfig,
    Reference,
    Reliability,
    history_windows,
    window_logprobs,
)

__all__ = [
    "MISSING",
    "Config",
    "CountedConfig",
    "Reference",
    "Reliability",
    "build",
    "history_windows",
    "window_logprobs",
]


def build(
    config: Config,
    train_ids: np.ndarray,
    vocab_size: int,
    device: torch.device | str = "cpu",
) -> Reference | None:
    """Build the reference that ``config`` describes.

    Args:
        config: The ``Config`` of a module of this package.
        train_ids: (N,) integers in [0, V): the training text and nothing else.
        vocab_size: V.
        device: Where look-ups happen.

    Returns:
        The reference; ``None`` for ``reference=none``.

    Raises:
        ConfigError: The order or vocabulary can't be had in memory or from this text.
    """
    # A config may be named after its preset; the class itself knows which module it belongs to.
    module = importlib.import_module(type(config).__module__)
    result: Reference | None = module.build(config, train_ids, vocab_size, torch.device(device))
    return result

"""Which of the scored positions are trained on.

Source: Wang et al. 2025, arXiv 2506.01939, §5 (training on the highest-entropy share).
"""

from __future__ import annotations

import torch
from torch import Tensor

from avatarl.explorer.base import Config
from avatarl.interfaces import Hyperparameters, current


def position_weights(
    config: Config, logprobs: Tensor, hparams: Hyperparameters, noise: Tensor | None
) -> Tensor | None:
    """Weigh positions by the entropy of the acting policy.

    Args:
        config: ``select`` decides how, ``select_share`` or ``select_below`` how many.
        logprobs: (B,T,V) of the acting policy.
        hparams: The explorer's numbers.
        noise: (B,T) uniform random numbers, for ``drop_random``.

    Returns:
        (B,T) weights, or None where every position counts 1.
    """
    if config.select == "all":
        return None
    at_random = config.select == "drop_random"
    spread = None
    if not at_random or config.select_below is not None:
        spread = -(logprobs.exp() * logprobs).sum(-1)  # (B,T)
    order = noise if at_random else spread
    assert order is not None
    # Rank 0 is the lowest; ranks rather than a threshold, so that the share is exact.
    rank = order.flatten().argsort().argsort().view_as(order)  # (B,T)
    if config.select_below is None:
        share = current(config.select_share, hparams, "select_share")
        dropped = 1 - share if config.select == "highest_entropy" else share
        lowest = torch.round(dropped * order.numel())
    else:
        assert spread is not None
        lowest = (spread < current(config.select_below, hparams, "select_below")).sum()
    kept = (rank >= lowest).to(logprobs.dtype)
    return kept / kept.mean().clamp_min(1e-6) if config.select == "highest_entropy" else kept

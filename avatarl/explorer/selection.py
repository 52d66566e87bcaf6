"""Which of the scored positions are trained on.

Source: Wang et al. 2025, arXiv 2506.01939, §5 (training on the highest-entropy share).
"""

from __future__ import annotations

import torch
from torch import Tensor

from avatarl.explorer.base import Config
from avatarl.interfaces import Hyperparameters


def position_weights(
    config: Config, logprobs: Tensor, hparams: Hyperparameters, noise: Tensor | None
) -> Tensor | None:
    """Weigh positions by the entropy of the acting policy.

    Args:
        config: ``select`` decides how, ``select_share`` how many.
        logprobs: (B,T,V) of the acting policy.
        hparams: The explorer's numbers.
        noise: (B,T) uniform random numbers, for ``drop_random``.

    Returns:
        (B,T) weights, or None where every position counts 1.
    """
    if config.select == "all":
        return None
    if config.select == "drop_random":
        assert noise is not None
        order = noise
    else:
        order = -(logprobs.exp() * logprobs).sum(-1)  # (B,T)
    # Rank 0 is the lowest; ranks rather than a threshold, so that the share is exact.
    rank = order.flatten().argsort().argsort().view_as(order)  # (B,T)
    share = hparams["select_share"]
    dropped = 1 - share if config.select == "highest_entropy" else share
    kept = (rank >= torch.round(dropped * order.numel())).to(logprobs.dtype)
    return kept / kept.mean().clamp_min(1e-6) if config.select == "highest_entropy" else kept

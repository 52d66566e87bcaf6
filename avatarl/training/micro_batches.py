"""Networks that read a batch in parts, so that a step's memory is that of one part.

What takes memory is what a network keeps for its backward pass. So parts are scored without a
gradient first, and the loss is computed of the whole batch: groups, selected positions, controllers
and opponents see what they always see. Once the loss's gradient in the log-probabilities is known,
each part is scored again and passes its share on to the weights. That second forward pass is the
price.

Source: Gao et al. 2021, arXiv 2101.06983, §3.2 (gradient cache).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from avatarl.training.scoring import Network


def in_parts(network: Network, weights: Sequence[Tensor], size: int | None) -> Network:
    """Let a network read a few contexts at a time.

    Args:
        network: Scores each context by itself.
        weights: What it passes gradients on to.
        size: Contexts read at once; None for all of them.
    """
    if size is None:
        return network

    def score(context: Tensor, *others: Tensor | None) -> Tensor:
        contexts = torch.split(context, size)
        columns = [
            [None] * len(contexts) if other is None else torch.split(other, size)
            for other in others
        ]
        parts = list(zip(contexts, *columns, strict=True))
        scored: Tensor = _InParts.apply(network, parts, *weights)  # type: ignore[no-untyped-call]
        return scored

    return score


class _InParts(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *given: Any) -> Tensor:
        ctx.network, ctx.parts, *weights = given
        ctx.save_for_backward(*weights)
        return torch.cat([ctx.network(*part) for part in ctx.parts])

    @staticmethod
    def backward(ctx: Any, *slopes: Tensor) -> Any:
        weights = ctx.saved_tensors
        total: list[Tensor] = []
        sizes = [len(part[0]) for part in ctx.parts]
        for part, slope in zip(ctx.parts, torch.split(slopes[0], sizes), strict=True):
            with torch.enable_grad():
                logprobs = ctx.network(*part)
            own = torch.autograd.grad(logprobs, weights, slope)
            total = [a.add_(b) for a, b in zip(total, own, strict=True)] if total else list(own)
        return None, None, *total

"""Dynamic evaluation: a policy that goes on learning from the held-out text as it reads it.

The text is read once, in order. A stretch of it is scored by the weights as they are; only then do
they take one step of gradient descent on what was scored. No character is therefore scored by
weights that have learned from it or from anything after it. The run's own weights stay as they are.

Source: Krause et al. 2018, arXiv 1709.07432, §2 (dynamic evaluation by gradient descent).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import torch
from torch import Tensor

from avatarl.training.evaluation import HeldOut, Scorer, position_facts, summarise

FIGURES = ("nats", "bits", "accuracy", "ece", "entropy")


def evaluate_while_learning(
    scorer_by: Callable[[Mapping[str, Tensor]], Scorer],
    weights: Mapping[str, Tensor],
    held_out: HeldOut,
    *,
    every: int,
    lr: float,
    device: torch.device,
) -> dict[str, float]:
    """Measure a policy that adapts, as ``adaptive/…``.

    Args:
        scorer_by: Makes what scores by given weights, with a gradient in them.
        weights: To begin with, by name.
        held_out: The text.
        every: Characters scored before each step, rounded down to whole windows, at least one.
        lr: Of the steps, on the mean nats of the characters just scored.
        device: Where to compute.
    """
    adapted = {name: value.detach().clone().requires_grad_() for name, value in weights.items()}
    score = scorer_by(adapted)
    contexts, targets = (torch.from_numpy(ids.astype(np.int64)) for ids in held_out.cut(None))
    parts: list[dict[str, Tensor]] = []
    windows = max(1, every // held_out.stride)
    for context, target in zip(
        torch.split(contexts, windows), torch.split(targets, windows), strict=True
    ):
        context, target = context.to(device), target.to(device)
        logprobs = score(context, held_out.stride)  # (W,stride,V)
        own = torch.arange(len(context), device=device)
        parts.append(position_facts(logprobs.detach(), None, own, target))
        loss = -logprobs.gather(-1, target.unsqueeze(-1)).mean()
        # Weights that this context doesn't reach have none.
        gradients = torch.autograd.grad(loss, list(adapted.values()), allow_unused=True)
        with torch.no_grad():
            for weight, gradient in zip(adapted.values(), gradients, strict=True):
                if gradient is not None:
                    weight.sub_(gradient, alpha=lr)
    facts = {key: torch.cat([part[key] for part in parts]).flatten() for key in parts[0]}
    metrics = summarise(facts).metrics
    return {f"adaptive/{figure}": metrics[f"val/{figure}"] for figure in FIGURES}

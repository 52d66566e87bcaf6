"""A population's members and their ensemble, on held-out text."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from avatarl.training.evaluation import Evaluation, Scorer, Scorers

_FIGURES = ("nats", "accuracy", "ece", "entropy")


def members_and_ensemble(scorers: Sequence[Scorer]) -> Scorers:
    """Return what scores by each member and, where there are several, by all of them together."""

    def score(context: Tensor, positions: int) -> Sequence[Tensor]:
        each = [one(context, positions) for one in scorers]
        return [*each, mean_distribution(each)] if len(each) > 1 else each

    return score


def mean_distribution(logprobs: Sequence[Tensor]) -> Tensor:
    """Return the logarithm of the mean of distributions, shaped as each of them."""
    return torch.stack(list(logprobs)).logsumexp(0) - math.log(len(logprobs))


def population_figures(found: Sequence[Evaluation]) -> Mapping[str, float]:
    """Return what :func:`members_and_ensemble` was found to be worth; nothing of a policy alone."""
    if len(found) == 1:
        return {}
    names = [*(f"population/{member}" for member in range(len(found) - 1)), "ensemble"]
    return {
        f"{name}/{figure}": one.metrics[f"val/{figure}"]
        for name, one in zip(names, found, strict=True)
        for figure in _FIGURES
    }

"""How sparse and how low in rank the updates are, matrix by matrix.

Source: Mukherjee et al. 2025, arXiv 2505.11711, §3 (share of weights that reinforcement learning
leaves alone, tolerance 1e-5); Roy & Vetterli 2007, *The effective rank*, §2 (the exponential of the
entropy of the normalised singular values).
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

TOLERANCE = 1e-5


@torch.no_grad()
def effective_rank(matrix: Tensor) -> Tensor:
    """Return exp(H(σ / Σσ)) of a matrix (m,n), between 1 and min(m,n); 0 if it is all zeros.

    The singular values are the roots of the smaller Gram matrix's eigenvalues, which is much
    cheaper than a decomposition of the matrix and precise enough for an entropy.
    """
    wide = matrix.float() if matrix.shape[0] <= matrix.shape[1] else matrix.float().T
    scale = wide.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
    scaled = wide / scale
    values = torch.linalg.eigvalsh(scaled @ scaled.T).clamp_min(0).sqrt()
    total = values.sum()
    shares = values / total.clamp_min(torch.finfo(torch.float32).tiny)
    return torch.where(total > 0, torch.special.entr(shares).sum().exp(), torch.zeros_like(total))


@torch.no_grad()
def update_facts(
    now: Mapping[str, Tensor], first: Mapping[str, Tensor], before: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    """Compare weights with the initial ones and with those of the last measurement.

    Args:
        now: By name.
        first: At initialisation.
        before: At the last measurement.

    Returns:
        0-d float32 each: ``health/update_sparsity`` (share of weights that moved by at most 1e-5
        since initialisation), ``health/update_sparsity_window`` (since the last measurement),
        ``health/update_rank`` (mean over matrices of effective rank / full rank of the update
        since initialisation); and ``sparsity/NAME``, ``rank/NAME`` (not divided) per matrix.
    """
    facts: dict[str, Tensor] = {}
    still = torch.zeros(2, device=next(iter(now.values())).device)
    count, ranks = 0, []
    for name, value in now.items():
        moved = value.detach() - first[name]
        quiet = (moved.abs() <= TOLERANCE).sum()
        recent = ((value.detach() - before[name]).abs() <= TOLERANCE).sum()
        still += torch.stack([quiet, recent])
        count += value.numel()
        if value.dim() == 2:
            rank = effective_rank(moved)
            ranks.append(rank / min(value.shape))
            facts[f"sparsity/{name}"] = quiet / value.numel()
            facts[f"rank/{name}"] = rank
    facts["health/update_sparsity"], facts["health/update_sparsity_window"] = still / count
    facts["health/update_rank"] = torch.stack(ranks).mean()
    return facts

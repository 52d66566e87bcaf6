"""A step's games against past selves or rivals: who meets which windows, and how they end."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from avatarl.interfaces import RewardInputs
from avatarl.training.scoring import Network


@torch.no_grad()
def against(
    opponents: Sequence[Network], contexts: Tensor, priors: Tensor | None, windows: int
) -> Tensor:
    """Let each opponent score its part of the windows.

    Args:
        opponents: M networks.
        contexts: (N,L), N a multiple of ``windows``.
        priors: Of each context, or None.
        windows: B; a window's rollouts meet the same opponent.

    Returns:
        (N,T,V) log-probabilities.
    """
    rows = len(contexts) // windows
    sizes = [size * rows for size in part_sizes(windows, len(opponents))]
    scored, first = [], 0
    for opponent, size in zip(opponents, sizes, strict=True):
        if size:
            part = slice(first, first + size)
            scored.append(opponent(contexts[part], None if priors is None else priors[part]))
        first += size
    return torch.cat(scored)


def part_sizes(windows: int, parts: int) -> list[int]:
    """Share windows among parts, the first ones one more where it doesn't come out even."""
    return [windows // parts + (part < windows % parts) for part in range(parts)]


@torch.no_grad()
def win_rates(inputs: RewardInputs, opponents: int) -> dict[str, Tensor]:
    """How often the policy gave the text's character more probability than each opponent did.

    Draws count half. ``opponent/win_rate_0`` is against the newest. Where only sampled rewards
    are seen, it is the rate among the matches.
    """
    assert inputs.past_logprobs is not None
    ahead = _won(inputs.old_probs, inputs.past_logprobs.exp())
    rates, first = {}, 0
    for member, size in enumerate(part_sizes(inputs.matches.shape[0], opponents)):
        part = slice(first, first + size)
        matches, first = inputs.matches[part], first + size
        rates[f"opponent/win_rate_{member}"] = _rate(ahead[part], matches)
    return rates


@torch.no_grad()
def win_share(inputs: RewardInputs, others: Tensor) -> Tensor:
    """Return a member's share of the duels over the text's characters, 0-d; draws count half.

    Args:
        inputs: The member's.
        others: (P-1,B,T,K) the other members' probabilities.
    """
    matches = inputs.matches
    own = (inputs.old_probs * matches).sum(-1)  # (B,T), 0 where none is right
    rest = (others * matches).sum(-1)  # (P-1,B,T)
    return _rate(_won(own, rest).mean(0), matches.sum(-1))


def _won(own: Tensor, other: Tensor) -> Tensor:
    return (own > other).float() + 0.5 * (own == other).float()


def _rate(won: Tensor, matches: Tensor) -> Tensor:
    # With no match at all the rate is a draw.
    return ((matches * won).sum() + 0.5e-6) / (matches.sum() + 1e-6)

"""K sampled characters a position, counted by the distribution they really came from.

An action drawn from a proposal μ counts with weight π_old/μ (over K), so the estimate of any sum
over actions under π_old stays unbiased, whatever the temperature, guidance or mixture. Where the K
samples come from different proposals, μ is their average (the balance heuristic), which is
unbiased too and never weighs an action by more than K times its share.

With ``horizon`` > 1 each sample is a rollout that reads back what it wrote. It starts from the
window's last L − H + 1 characters and grows to L, so that the keys and values of what was read stay
valid and one forward pass scores all its steps. Past its first wrong character a rollout can't be
compared with the text position by position, so from there on nothing is a hit; the reference
still judges it on its own context.

With a discount γ a step's return is its reward and γ^n of what comes n steps later. The gradient of
the discounted return from a rollout's start would count step t by γ^t besides
(``discounting=start``); as is usual, it isn't by default (``step``), so that late steps are learned
from as much as early ones.

Source: Veach & Guibas 1995, §3.2 (balance heuristic); Precup et al. 2000, §3 (per-decision
importance sampling); Thomas 2014, *Bias in natural actor-critic algorithms*, §3 (γ^t).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor
from typing_extensions import override

from avatarl.explorer import base
from avatarl.explorer.selection import position_weights
from avatarl.interfaces import LEAST_PROPOSAL, Exploration, Hyperparameters, Schedule, current


@dataclass(frozen=True)
class Config(base.Config):
    """What every sampling explorer has."""

    samples: Annotated[int, Ge(1)]  # K
    # Importance weights π_old/μ are cut here: less variance, some bias; null leaves them.
    weight_cap: Annotated[float, Ge(1)] | Schedule | None

    @property
    @override
    def actions_a_position(self) -> int | None:
        return self.samples

    @property
    def discounts_from_start(self) -> bool:
        """Whether a rollout's later steps count less themselves, not their rewards alone."""
        return False


class Sampling(ABC):
    """Samples actions, or whole rollouts, from proposals that a subclass describes."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def now(self, name: str, hparams: Hyperparameters) -> Tensor:
        """What a setting that may be a schedule is worth at this moment, 0-d."""
        return current(getattr(self.config, name), hparams, name)

    @abstractmethod
    def proposals(
        self, old_logprobs: Tensor, guide: Tensor | None, hparams: Hyperparameters
    ) -> Tensor:
        """Describe what the samples of a position are drawn from.

        Args:
            old_logprobs: (…,n,V) of the acting policy at temperature 1; n is 1, or K where each
                sample has a context of its own.
            guide: (…,n,V) log-probabilities of the reference, or None.
            hparams: The explorer's numbers.

        Returns:
            (…,m,V) probabilities; m is 1 where all samples share a proposal, else K.
        """

    def uniforms(self, windows: int, positions: int) -> tuple[int, ...]:
        """One number a sampled action: (B,T,K), or (B,H,K) for rollouts.

        Where positions are dropped at random, one more a position, after the others.
        """
        extra = 1 if self.config.select == "drop_random" else 0
        steps = self.config.steps_ahead
        return (windows, positions if steps == 1 else steps, self.config.samples + extra)

    def explore(
        self, observation: base.Observation, hparams: Hyperparameters, uniforms: Tensor | None
    ) -> Exploration:
        """Sample and ask; see :class:`avatarl.explorer.base.Explorer`."""
        assert uniforms is not None
        if self.config.steps_ahead > 1:
            return self._roll_out(observation, hparams, uniforms)
        k = self.config.samples
        old_logprobs, guide = observation.old_logprobs, observation.reference  # (B,T,V)
        assert old_logprobs is not None
        guide = None if guide is None else guide.unsqueeze(-2)  # (B,T,1,V)
        proposals = self.proposals(old_logprobs.unsqueeze(-2), guide, hparams)  # (B,T,1|K,V)
        actions = sample(proposals, uniforms[..., :k])  # (B,T,K)
        mixture = proposals.mean(-2).gather(-1, actions)  # (B,T,K)
        old_probs = old_logprobs.exp()  # (B,T,V)
        noise = uniforms[..., k] if uniforms.shape[-1] > k else None
        return Exploration(
            actions=actions,
            weights=self._importance(old_probs.gather(-1, actions), mixture, hparams) / k,
            group=torch.full_like(mixture, 1 / k),
            matches=observation.query(actions, 0),
            contexts=observation.context,
            old_logprobs=old_logprobs,
            old_probs=old_probs,
            position_weights=position_weights(self.config, old_logprobs, hparams, noise),
        )

    def _importance(self, own: Tensor, proposed: Tensor, hparams: Hyperparameters) -> Tensor:
        importance = own / proposed.clamp_min(LEAST_PROPOSAL)
        if self.config.weight_cap is None:
            return importance
        return importance.minimum(self.now("weight_cap", hparams))

    def _roll_out(
        self, observation: base.Observation, hparams: Hyperparameters, uniforms: Tensor
    ) -> Exploration:
        k, horizon = self.config.samples, self.config.steps_ahead
        rollouts = observation.rollouts
        assert rollouts is not None
        windows = observation.context.shape[0]
        prompt = observation.context[:, horizon - 1 :]  # (B,P), P + H - 1 = L
        written = prompt.repeat_interleave(k, dim=0)  # (B·K,P), later up to L
        decode = rollouts.decode(prompt, k)
        alive = torch.ones_like(uniforms[:, 0])  # (B,K)
        char: Tensor | None = None
        olds, actions, importances, matches = [], [], [], []
        for step in range(horizon):
            old_logprobs = decode(char)  # (B·K,1,V)
            olds.append(old_logprobs)
            own = old_logprobs.view(windows, 1, k, -1)  # (B,1,K,V)
            guide = None
            if rollouts.reference is not None:
                guide = rollouts.reference(written, 1).view_as(own)
            proposals = self.proposals(own, guide, hparams)  # (B,1,K,V)
            action = sample(proposals, uniforms[:, step : step + 1])  # (B,1,K)
            picked = own.exp().gather(-1, action.unsqueeze(-1)).squeeze(-1)  # (B,1,K)
            mu = proposals.gather(-1, action.unsqueeze(-1)).squeeze(-1)
            importances.append(self._importance(picked, mu, hparams))
            alive = alive * observation.query(action, step)[:, 0]
            actions.append(action)
            matches.append(alive.unsqueeze(1))
            char = action.view(windows * k, 1)
            if step + 1 < horizon:
                written = torch.cat([written, char], dim=1)
        importance = torch.cat(importances, dim=1)  # (B,H,K)
        old_logprobs = torch.cat(olds, dim=1)  # (B·K,H,V)
        # A step counts by how likely the policy was to get there and act so (per decision).
        shares = importance.cumprod(dim=1).nan_to_num(0.0).clamp_max(1 / LEAST_PROPOSAL) / k
        discount, weights = self.now("discount", hparams), shares
        if self.config.discounts_from_start:
            times = torch.arange(horizon, device=importance.device).view(1, horizon, 1)
            weights = shares * discount**times
        return Exploration(
            actions=torch.cat(actions, dim=1),  # (B,H,K)
            weights=weights,
            shares=shares,
            group=torch.full_like(importance, 1 / k),
            matches=torch.cat(matches, dim=1),
            contexts=written,  # (B·K,L)
            old_logprobs=old_logprobs,
            old_probs=old_logprobs.exp(),
            carry=discount * importance,
        )


def sample(proposals: Tensor, uniforms: Tensor) -> Tensor:
    """Draw actions by inverting the cumulative distribution.

    Args:
        proposals: (B,T,m,V), each row summing to 1; m is 1 or K.
        uniforms: (B,T,K) in [0, 1).

    Returns:
        (B,T,K) int64 actions.
    """
    cumulative = proposals.cumsum(dim=-1)
    # Rounding can leave the last sum below 1; scaling keeps every draw inside the alphabet.
    shared = proposals.shape[-2] == 1
    targets = uniforms.unsqueeze(-2 if shared else -1) * cumulative[..., -1:]  # (B,T,1,K|K,1)
    found = torch.searchsorted(cumulative, targets.contiguous(), right=True)
    return found.clamp_max(proposals.shape[-1] - 1).squeeze(-2 if shared else -1)


def mix(own: Tensor, guide: Tensor | None, guidance: Tensor) -> Tensor:
    """Mix probabilities (…,V) with the reference's log-probabilities by ``guidance``."""
    return own if guide is None else torch.lerp(own, guide.exp().expand_as(own), guidance)

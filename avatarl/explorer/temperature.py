"""K characters a position, sampled at a temperature, optionally guided by the reference.

Ratios use the distribution that was really sampled from: an action drawn from μ counts with weight
π_old/μ, so the estimate stays unbiased at any temperature and guidance.

With ``horizon`` > 1 each of the K samples is a rollout that reads back what it wrote. Past its
first wrong character a rollout can't be compared with the text position by position, so from there
on nothing is a hit; the reference still judges it on its own context.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge, Gt, Le
from torch import Tensor

from avatarl.errors import ConfigError
from avatarl.explorer import base
from avatarl.game import Exploration, Knobs


@dataclass(frozen=True)
class Config(base.Config):
    """Temperature sampling with guidance."""

    samples: Annotated[int, Ge(1)]  # K
    temperature: Annotated[float, Gt(0)]
    guidance: Annotated[float, Ge(0), Le(1)]  # share of proposals drawn from the reference
    horizon: Annotated[int, Ge(1)]  # characters each rollout writes
    discount: Annotated[float, Ge(0), Le(1)]  # of later rewards within a rollout

    def __post_init__(self) -> None:
        """Refuse rollouts that would start at every position of a window."""
        if self.horizon > 1 and self.positions == "all":
            raise ConfigError(
                "positions", "all", "last", f"rollouts of horizon {self.horizon} start at the end"
            )

    @property
    def steps_ahead(self) -> int:
        """How many characters are explored one after another."""
        return self.horizon

    @property
    def needs_reference(self) -> bool:
        """Whether proposals read the reference."""
        return self.guidance > 0


@dataclass(frozen=True)
class Temperature:
    """Samples actions, or whole rollouts."""

    config: Config

    def uniforms(self, windows: int, positions: int) -> tuple[int, ...]:
        """One number a sampled action: (B,T,K), or (H,B,1,K) for rollouts."""
        if self.config.horizon > 1:
            return (self.config.horizon, windows, 1, self.config.samples)
        return (windows, positions, self.config.samples)

    def explore(self, scene: base.Scene, knobs: Knobs, uniforms: Tensor | None) -> Exploration:
        """Sample from the guided proposal; see :class:`avatarl.explorer.base.Explorer`."""
        assert uniforms is not None
        if self.config.horizon > 1:
            return self._roll_out(scene, knobs, uniforms)
        old_logprobs = scene.old_policy(scene.context)  # (B,T,V)
        guide = scene.reference(scene.context) if scene.reference is not None else None
        proposal = propose(old_logprobs, guide, knobs)  # (B,T,V)
        actions = sample(proposal, uniforms)  # (B,T,K)
        share = 1.0 / self.config.samples
        old_probs = old_logprobs.gather(-1, actions).exp()  # (B,T,K)
        return Exploration(
            actions=actions,
            weights=share * old_probs / proposal.gather(-1, actions),
            group=torch.full_like(old_probs, share),
            hits=scene.ask(actions, 0),
            contexts=scene.context,
            old_logprobs=old_logprobs,
            last=self.config.positions == "last",
        )

    def _roll_out(self, scene: base.Scene, knobs: Knobs, uniforms: Tensor) -> Exploration:
        windows, length = scene.context.shape
        k = self.config.samples
        share = 1.0 / k
        context = scene.context.repeat_interleave(k, dim=0)  # (B·K,L)
        alive = torch.ones(windows, 1, k, device=context.device)
        contexts, olds, actions, weights, hits = [], [], [], [], []
        for step in range(self.config.horizon):
            old_logprobs = scene.old_policy(context)  # (B·K,1,V)
            guide = scene.reference(context) if scene.reference is not None else None
            proposal = propose(old_logprobs, guide, knobs)
            action = sample(proposal, uniforms[step].reshape(windows * k, 1, 1))  # (B·K,1,1)
            weight = share * (old_logprobs.exp() / proposal).gather(-1, action)  # (B·K,1,1)
            action = action.view(windows, k, 1).transpose(1, 2)  # (B,1,K)
            alive = alive * scene.ask(action, step)  # (B,1,K)
            contexts.append(context.view(windows, 1, k, length))
            olds.append(old_logprobs.view(windows, 1, k, -1))
            actions.append(action)
            weights.append(weight.view(windows, 1, k))
            hits.append(alive)
            written = action.transpose(1, 2).reshape(windows * k, 1)
            context = torch.cat([context[:, 1:], written], dim=1)  # the window slides
        all_weights = torch.cat(weights, dim=1)  # (B,H,K)
        return Exploration(
            actions=torch.cat(actions, dim=1),  # (B,H,K)
            weights=all_weights,
            group=torch.full_like(all_weights, share),
            hits=torch.cat(hits, dim=1),
            contexts=torch.cat(contexts, dim=1).flatten(0, 2),  # (B·H·K,L)
            old_logprobs=torch.cat(olds, dim=1).flatten(0, 2).unsqueeze(1),  # (B·H·K,1,V)
            last=True,
            discount=knobs["discount"],
        )


def propose(old_logprobs: Tensor, guide: Tensor | None, knobs: Knobs) -> Tensor:
    """Mix the tempered old policy with the reference.

    Args:
        old_logprobs: (…,V) of the policy at temperature 1.
        guide: (…,V) reference log-probabilities, or None.
        knobs: ``temperature``, ``guidance``.

    Returns:
        (…,V) probabilities μ that the actions are really drawn from.
    """
    tempered = (old_logprobs / knobs["temperature"]).softmax(dim=-1)
    if guide is None:
        return tempered
    return (1 - knobs["guidance"]) * tempered + knobs["guidance"] * guide.exp()


def sample(probs: Tensor, uniforms: Tensor) -> Tensor:
    """Draw actions by inverting the cumulative distribution.

    Args:
        probs: (B,T,V), each row summing to 1.
        uniforms: (B,T,K) in [0, 1).

    Returns:
        (B,T,K) int64 actions.
    """
    cumulative = probs.cumsum(dim=-1)
    # Rounding can leave the last sum below 1; scaling keeps every draw inside the alphabet.
    targets = uniforms * cumulative[..., -1:]
    found = torch.searchsorted(cumulative, targets.contiguous(), right=True)
    return found.clamp_max(probs.shape[-1] - 1)


def build(config: Config) -> Temperature:
    """Make the explorer."""
    return Temperature(config)

"""One step as pure arithmetic: parameters and a batch in, a loss and facts out.

Nothing here draws random numbers, reads a clock, or synchronises with the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from avatarl.explorer import Explorer, Scene
from avatarl.game import Exploration, Knobs, Outcome, mean_over_positions
from avatarl.objective import Control, Objective, Terms
from avatarl.reference import Reference, window_logprobs
from avatarl.reward import Reward

# (context (B,L), reference log-probs or None) → log-probs (B,T,V); the network itself.
Network = Callable[[Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class Batch:
    """Windows of the training text.

    Attributes:
        context: (B,L) int64.
        target: (B,T+H-1) int64, the characters after each scored position and, for rollouts of
            horizon H, the ones that follow. Only :func:`ask` below reads it.
        positions: (B,T) int64 index of each target in the training text.
        history: (T,) int64 how many characters of the window each scored position has read.
    """

    context: Tensor
    target: Tensor
    positions: Tensor
    history: Tensor


@dataclass(frozen=True)
class Program:
    """The parts that a step is made of; runs that share them share the step."""

    explorer: Explorer
    reward: Reward
    objective: Objective
    reference: Reference | None
    vocab_size: int
    prior: bool

    def reference_policy(self, batch: Batch) -> Callable[[Tensor], Tensor] | None:
        """Return the reference as a policy; it scores the batch's own windows by row number."""
        reference = self.reference
        if reference is None:
            return None
        known: list[Tensor] = []

        def logprobs(context: Tensor) -> Tensor:
            if context is not batch.context:
                return window_logprobs(reference, context, "last")  # (B·T·K,1,V)
            if not known:
                known.append(reference.train_logprobs(batch.positions, batch.history))
            return known[0]  # (B,T,V)

        return logprobs

    def loss(
        self,
        network: Network,
        old_network: Network | None,
        batch: Batch,
        knobs: Mapping[str, Knobs],
        control: Control,
        uniforms: Tensor | None,
    ) -> tuple[Terms, Exploration, Tensor]:
        """Explore, reward, and compute the loss.

        Args:
            network: The policy being trained.
            old_network: The policy that acts; None when it is the trained one itself.
            batch: Windows.
            knobs: Numbers of each group: ``knobs["reward"]["confidence_weight"]``.
            control: The controllers' memory.
            uniforms: Random numbers as the explorer asked for, or None.

        Returns:
            The terms, what was explored, and its rewards (B,T,K).
        """
        reference = self.reference_policy(batch)

        def policy(network: Network, context: Tensor) -> Tensor:
            prior = reference(context) if self.prior and reference is not None else None
            return network(context, prior)

        # Acting with the trained policy itself, one forward pass serves acting and learning.
        on_policy = old_network is None and self.explorer.config.steps_ahead == 1
        logprobs = policy(network, batch.context) if on_policy else None

        def old_policy(context: Tensor) -> Tensor:
            if logprobs is not None:
                return logprobs.detach()
            with torch.no_grad():
                return policy(old_network or network, context)

        def ask(actions: Tensor | None, ahead: int) -> Tensor:
            positions = batch.positions.shape[1]
            target = batch.target[:, ahead : ahead + positions]  # (B,T)
            if actions is None:
                return torch.nn.functional.one_hot(target, self.vocab_size).to(torch.float32)
            return (actions == target.unsqueeze(-1)).to(torch.float32)

        scene = Scene(batch.context, ask, old_policy, reference)
        exploration = self.explorer.explore(scene, knobs["explorer"], uniforms)
        if logprobs is None:
            logprobs = policy(network, exploration.contexts)
        ref_logprobs = reference(exploration.contexts) if reference is not None else None
        outcome = Outcome(
            actions=exploration.actions,
            hits=exploration.hits,
            old_probs=exploration.select(exploration.old_logprobs).exp(),
            ref_logprobs=None if ref_logprobs is None else exploration.select(ref_logprobs),
        )
        rewards = self.reward(outcome, knobs["reward"])  # (B,T,K)
        terms = self.objective(
            logprobs, exploration, rewards, ref_logprobs, knobs["objective"], control
        )
        return terms, exploration, rewards


@torch.no_grad()
def reward_facts(exploration: Exploration, rewards: Tensor) -> dict[str, Tensor]:
    """Describe the rewards as the policy earns them, all 0-d.

    ``reward/expected`` is E_π[r] of the acting policy. The mean over all actions of a fixed
    table would be a constant, whatever the policy does.
    """
    exhaustive = exploration.actions is None
    shares = exploration.old_logprobs.exp() if exhaustive else exploration.weights
    expected = (shares * rewards).sum(dim=-1)  # (B,T)
    spread_of = shares if exhaustive else exploration.group
    centre = (spread_of * rewards).sum(dim=-1, keepdim=True)
    within = (spread_of * (rewards - centre).square()).sum(dim=-1).clamp_min(0).sqrt()  # (B,T)
    return {
        "reward/expected": mean_over_positions(expected, exploration.position_weights),
        "reward/uniform_mean": rewards.mean(),
        "reward/spread_within": within.mean(),
        "reward/spread_across": expected.std(correction=0),
        "reward/zero_variance_share": (within < 1e-6).float().mean(),
    }

"""One step as pure arithmetic: parameters and a batch in, a loss and facts out.

Nothing here draws random numbers, reads a clock, or synchronises with the device.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from avatarl.explorer import Decoder, Explorer, Observation
from avatarl.interfaces import (
    Exploration,
    Hyperparameters,
    Regularisers,
    RewardInputs,
    mean_over_positions,
)
from avatarl.objective import ControllerState, LossOutput, Objective
from avatarl.reference import Reference, history_windows
from avatarl.reward import Reward

# (context (B,L), reference log-probs or None) → log-probs (B,T,V) of the scored positions, or of
# all L of them where the explorer rolls out; the network itself.
Network = Callable[[Tensor, Tensor | None], Tensor]


@dataclass(frozen=True)
class Batch:
    """Windows of the training text.

    Attributes:
        context: (B,L) int64.
        target: (B,T+H-1) int64, the characters after each scored position and, for rollouts of
            horizon H, the ones that follow. Only :class:`Oracle` reads it.
        positions: (B,T) int64 index of each target in the training text.
        history: (T,) int64 how many characters of the window each scored position has read.
        reach: How many of them the reference may look at; None for as many as it can use.
    """

    context: Tensor
    target: Tensor
    positions: Tensor
    history: Tensor
    reach: int | None = None


class Oracle:
    """The text, as far as an explorer may ask it: which of the tried characters were right.

    Args:
        target: (B,T+H-1) int64.
        positions: T.
        vocab_size: V.
        allowed: K, how many characters may be tried at each position; None for all of them.
    """

    def __init__(self, target: Tensor, positions: int, vocab_size: int, allowed: int | None):
        self._target, self._positions, self._vocab_size = target, positions, vocab_size
        self._allowed = allowed
        self._asked: set[int] = set()

    def __call__(self, actions: Tensor | None, ahead: int) -> Tensor:
        """Return 1.0 where an action is the text's character.

        Args:
            actions: (B,T,K) int64, or None for all V in order.
            ahead: How many characters past the scored position.

        Raises:
            PermissionError: A sampling explorer asked about more characters than it may try.
        """
        if self._allowed is not None:
            tried = self._vocab_size if actions is None else actions.shape[-1]
            if tried > self._allowed or ahead in self._asked:
                raise PermissionError(
                    f"{tried} characters asked about; only the rewards of {self._allowed} sampled "
                    "characters are to be seen, once"
                )
            self._asked.add(ahead)
        target = self._target[:, ahead : ahead + self._positions].unsqueeze(-1)  # (B,T,1)
        if actions is None:
            nowhere = torch.zeros(*target.shape[:-1], self._vocab_size, device=target.device)
            return nowhere.scatter(-1, target, 1.0)
        return (actions == target).to(torch.float32)


@dataclass(frozen=True)
class Experience:
    """A batch as it was explored and rewarded: what learning needs, without a gradient.

    Attributes:
        exploration: What was tried.
        rewards: (B,T,K).
        regularisers: Reference and opponent on ``exploration.contexts``.
        priors: What the network adds its logits to there, or None.
        facts: About the opponents, 0-d each.
    """

    exploration: Exploration
    rewards: Tensor
    regularisers: Regularisers
    priors: Tensor | None
    facts: dict[str, Tensor]


@dataclass(frozen=True)
class Program:
    """The parts that a step is made of; runs that share them share the step.

    Attributes:
        explorer: Chooses the actions.
        reward: Judges them.
        objective: Turns rewards into a loss.
        reference: The n-gram, or None.
        vocab_size: V.
        prior: Whether the network adds its logits to the reference's.
        gate: Weighs the reference per position: (batch, its log-probs (B,T,V)) → (B,T) or None.
    """

    explorer: Explorer
    reward: Reward
    objective: Objective
    reference: Reference | None
    vocab_size: int
    prior: bool
    gate: Callable[[Batch, Tensor], Tensor | None] | None = None

    def reference_policy(self, batch: Batch) -> Callable[..., Tensor] | None:
        """Return the reference as a policy: (context, positions at its end) → log-probs.

        It scores the batch's own windows by row number, at the batch's own positions.
        """
        reference = self.reference
        if reference is None:
            return None
        known: list[Tensor] = []
        reach = reference.order - 1 if batch.reach is None else batch.reach

        def logprobs(context: Tensor, positions: int = 1) -> Tensor:
            if context is not batch.context:
                read = history_windows(context, reach)[:, -positions:]
                return reference.logprobs(read)  # (N,positions,V)
            if not known:
                seen = batch.history if batch.reach is None else batch.history.clamp_max(reach)
                known.append(reference.train_logprobs(batch.positions, seen))
            return known[0]  # (B,T,V)

        return logprobs

    def collect(
        self,
        network: Network,
        old_network: Network | None,
        batch: Batch,
        hparams: Mapping[str, Hyperparameters],
        uniforms: Tensor | None,
        opponents: Sequence[Network] = (),
        writer: Callable[[Tensor, int], Decoder] | None = None,
    ) -> tuple[Experience, Tensor | None]:
        """Explore and reward.

        Args:
            network: The policy being trained.
            old_network: The policy that acts; None when it is the trained one itself.
            batch: Windows.
            hparams: Numbers of each group: ``hparams["reward"]["confidence_weight"]``.
            uniforms: Random numbers as the explorer asked for, or None.
            opponents: Past selves; each meets its part of the windows.
            writer: Starts rollouts of the acting policy with cached keys and values, or None.

        Returns:
            What was collected, and the trained policy's log-probs (with a gradient) if acting has
            computed them already.
        """
        reference = self.reference_policy(batch)
        steps = self.explorer.config.steps_ahead

        def priors_of(context: Tensor) -> Tensor | None:
            if not self.prior or reference is None:
                return None
            prior: Tensor = reference(context, context.shape[1])
            return prior

        # Acting with the trained policy itself, one forward pass serves acting and learning.
        on_policy = old_network is None and steps == 1
        shared = network(batch.context, priors_of(batch.context)) if on_policy else None
        actor = old_network or network

        def old_policy(context: Tensor) -> Tensor:
            if shared is not None and context is batch.context:
                return shared.detach()
            with torch.no_grad():
                return actor(context, priors_of(context))

        def reread(prompt: Tensor, rollouts: int) -> Decoder:
            context = prompt.repeat_interleave(rollouts, dim=0)  # (B·K,P)

            def write(char: Tensor | None) -> Tensor:
                nonlocal context
                if char is not None:
                    context = torch.cat([context, char], dim=1)
                return old_policy(context)[:, -1:]  # (B·K,1,V)

            return write

        answers = Oracle(
            batch.target,
            batch.positions.shape[1],
            self.vocab_size,
            self.explorer.config.actions_a_position,
        )
        observation = Observation(batch.context, answers, old_policy, reference, writer or reread)
        exploration = self.explorer.explore(observation, hparams["explorer"], uniforms)
        contexts, select = exploration.contexts, exploration.select
        priors = priors_of(contexts)
        ref = None if reference is None else reference(contexts, steps)
        gate = None
        if self.gate is not None and ref is not None:
            gate = self.gate(batch, ref)
        past = None
        if opponents:
            past = against(opponents, contexts, priors, exploration.matches.shape[0])
            past = past[:, -steps:] if steps > 1 else past
        inputs = RewardInputs(
            exploration=exploration,
            old_probs=select(exploration.old_probs),
            ref_logprobs=None if ref is None else select(ref),
            past_logprobs=None if past is None else select(past),
        )
        rewards = self.reward(inputs, hparams["reward"])  # (B,T,K)
        facts = {} if past is None else win_rates(inputs, len(opponents))
        return Experience(
            exploration, rewards, Regularisers(ref, past, gate), priors, facts
        ), shared

    def compute_loss(
        self,
        network: Network,
        experience: Experience,
        logprobs: Tensor | None,
        hparams: Mapping[str, Hyperparameters],
        control: ControllerState,
        *,
        with_facts: bool = True,
    ) -> LossOutput:
        """Compute the loss of a played batch.

        Args:
            network: The policy being trained.
            experience: What was collected, by whatever policy acted.
            logprobs: The policy's log-probs on what was collected, if known.
            hparams: Numbers of each group.
            control: The controllers' memory.
            with_facts: Also describe the loss, for the log.
        """
        exploration = experience.exploration
        if logprobs is None:
            logprobs = network(exploration.contexts, experience.priors)
            if self.explorer.config.steps_ahead > 1:
                logprobs = logprobs[:, -self.explorer.config.steps_ahead :]  # (B·K,H,V)
        return self.objective(
            logprobs,
            exploration,
            experience.rewards,
            experience.regularisers,
            hparams["objective"],
            control,
            with_facts=with_facts,
        )

    def loss(
        self,
        network: Network,
        old_network: Network | None,
        batch: Batch,
        hparams: Mapping[str, Hyperparameters],
        control: ControllerState,
        uniforms: Tensor | None,
        opponents: Sequence[Network] = (),
        writer: Callable[[Tensor, int], Decoder] | None = None,
        *,
        with_facts: bool = True,
    ) -> tuple[LossOutput, Exploration, Tensor]:
        """Explore, reward, and compute the loss; see :meth:`collect` and :meth:`compute_loss`.

        Returns:
            The terms, what was explored, and its rewards (B,T,K).
        """
        experience, logprobs = self.collect(
            network, old_network, batch, hparams, uniforms, opponents, writer
        )
        terms = self.compute_loss(
            network, experience, logprobs, hparams, control, with_facts=with_facts
        )
        return terms, experience.exploration, experience.rewards


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
    past = inputs.past_logprobs.exp()
    ahead = (inputs.old_probs > past).float() + 0.5 * (inputs.old_probs == past).float()
    rates, first = {}, 0
    for member, size in enumerate(part_sizes(inputs.matches.shape[0], opponents)):
        part = slice(first, first + size)
        matches, first = inputs.matches[part], first + size
        # With no hit at all the rate is a draw.
        rate = ((matches * ahead[part]).sum() + 0.5e-6) / (matches.sum() + 1e-6)
        rates[f"opponent/win_rate_{member}"] = rate
    return rates


@torch.no_grad()
def reward_facts(exploration: Exploration, rewards: Tensor) -> dict[str, Tensor]:
    """Describe the rewards as the policy earns them, all 0-d.

    ``reward/expected`` is E_π[r] of the acting policy. The mean over all actions of a fixed
    table would be a constant, whatever the policy does. ``reward/hit_probability`` is what the
    policy gives the text's character (under sampling, its unbiased estimate).
    """
    shares = exploration.policy_weights
    expected = (shares * rewards).sum(dim=-1)  # (B,T)
    if exploration.actions is None:
        group, centre = shares, expected.unsqueeze(-1)
    else:
        group = exploration.group
        centre = (group * rewards).sum(dim=-1, keepdim=True)
    within = (group * (rewards - centre).square()).sum(dim=-1).clamp_min(0).sqrt()  # (B,T)
    return {
        "reward/expected": mean_over_positions(expected, None),
        "reward/hit_probability": (shares * exploration.matches).sum(dim=-1).mean(),
        "reward/uniform_mean": rewards.mean(),
        "reward/spread_within": within.mean(),
        "reward/spread_across": expected.std(correction=0),
        "reward/zero_variance_share": (within < 1e-6).float().mean(),
    }

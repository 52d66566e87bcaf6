"""One step as pure arithmetic: networks, a complete batch and numbers in, a loss and facts out.

Nothing here draws random numbers, looks anything up, reads a clock, or waits for the device. One
run alone, compiled or recorded runs and stacks of runs all call the same :class:`Step`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from avatarl.config import RunConfig, structure_of
from avatarl.explorer import Explorer, Observation, Rollouts
from avatarl.interfaces import (
    LARGEST,
    Batch,
    Exploration,
    Hyperparameters,
    Regularisers,
    RewardInputs,
    hyperparameters_of,
)
from avatarl.model import Config as ModelConfig
from avatarl.objective import ControllerState, LossOutput, Objective
from avatarl.opponent import Config as OpponentConfig
from avatarl.reward import Reward, Text
from avatarl.training.figures import learning_facts
from avatarl.training.opponents import against, win_rates, win_share
from avatarl.training.oracle import Oracle
from avatarl.training.scoring import Network


@dataclass(frozen=True)
class Players:
    """The networks of a step.

    Attributes:
        policy: The one being trained.
        old_policy: The one that acts; None where it is the trained one itself.
        opponents: Past selves, the newest first; each meets its part of the windows.
        rollouts: What writes on and scores what was written; None where single characters are
            explored.
    """

    policy: Network
    old_policy: Network | None = None
    opponents: Sequence[Network] = ()
    rollouts: Rollouts | None = None


@dataclass(frozen=True)
class StepInputs:
    """All that a step reads.

    Attributes:
        players: Networks.
        batch: Text.
        hparams: Numbers of each group: ``hparams["reward"]["confidence_weight"]``.
        controller_state: What controllers remember.
    """

    players: Players
    batch: Batch
    hparams: Mapping[str, Hyperparameters]
    controller_state: ControllerState


def step_hyperparameters(
    config: RunConfig, device: torch.device, dynamic: Hyperparameters
) -> dict[str, Hyperparameters]:
    """Return the numbers of each group that a step reads; ``dynamic`` is shared by all of them."""
    groups = ["explorer", "reward", "objective"]
    if config.model.weighs_prior:
        groups.append("model")
    if config.opponent.rivals:
        groups.append("opponent")
    return {group: hyperparameters_of(config.raw[group], device, dynamic) for group in groups}


@dataclass(frozen=True)
class Acting:
    """A batch as the acting policy takes it, before anything is tried.

    Attributes:
        priors: What the network adds its logits to, or None.
        masks: What dropout keeps of the policy that learns, or None.
        logprobs: (B,T,V) of the trained policy, with a gradient, where it is the one that acts.
        old_logprobs: (B,T,V) of the acting policy; None where rollouts have contexts of their own.
    """

    priors: Tensor | None
    masks: Tensor | None
    logprobs: Tensor | None
    old_logprobs: Tensor | None


@dataclass(frozen=True)
class Experience:
    """A batch as it was explored and rewarded: what learning needs, without a gradient.

    Attributes:
        exploration: What was tried.
        rewards: (B,T,K).
        regularisers: Reference and opponent on ``exploration.contexts``.
        priors: What the network adds its logits to there, or None.
        masks: What dropout keeps there of the policy that learns, or None.
        facts: About the rewards and the opponents, 0-d each.
    """

    exploration: Exploration
    rewards: Tensor
    regularisers: Regularisers
    priors: Tensor | None
    masks: Tensor | None
    facts: dict[str, Tensor]


@dataclass(frozen=True)
class Step:
    """Collects experience and computes its loss.

    Attributes:
        explorer: Chooses the actions.
        reward: Judges them.
        objective: Turns rewards into a loss.
        opponent: Compares a population's members.
        vocab_size: V.
        prior: Weighs the log-probabilities that networks add their logits to; None where they add
            them to nothing.
    """

    explorer: Explorer
    reward: Reward
    objective: Objective
    opponent: OpponentConfig
    vocab_size: int
    prior: ModelConfig | None

    @classmethod
    def build(cls, config: RunConfig, text: Text) -> Step:
        """Make a run's step; its parts can't see the numbers that they read as tensors.

        Args:
            config: The run's.
            text: What it learns from.
        """
        structure = structure_of(config)
        return cls(
            explorer=structure.explorer.build(),
            reward=structure.reward.build(text),
            objective=structure.objective.build(),
            opponent=structure.opponent,
            vocab_size=len(text.characters),
            prior=config.model if config.model.prior else None,
        )

    def __call__(self, inputs: StepInputs, with_facts: bool) -> LossOutput:
        """Collect, and compute the loss of what was collected.

        Args:
            inputs: What there is to read.
            with_facts: Also describe the step in full, for the log.
        """
        experience, logprobs = self.collect(inputs)
        output = self.compute_loss(inputs, experience, logprobs, with_facts)
        return output.with_facts(self.learning_facts(inputs.batch, experience))

    def collect(self, inputs: StepInputs) -> tuple[Experience, Tensor | None]:
        """Explore and reward.

        Returns:
            What was collected, and the trained policy's log-probs on it (with a gradient) if acting
            has computed them already.
        """
        return self.explore(inputs, self.act(inputs))

    def act(self, inputs: StepInputs) -> Acting:
        """Let the acting policy read the batch."""
        players, batch = inputs.players, inputs.batch
        old_policy, rollouts = players.old_policy, players.rollouts
        prior = None
        if self.prior is not None and rollouts is None:
            added = batch.reference if batch.members is None else batch.members
            assert added is not None
            prior = self.prior.weigh(added, inputs.hparams.get("model", {}))
        masks = None if batch.masks is None else batch.masks.flatten(0, 1)  # (B·R,…)
        logprobs = old_logprobs = None
        if rollouts is None and (old_policy is not None or masks is not None):
            with torch.no_grad():  # who acts drops nothing
                old_logprobs = (old_policy or players.policy)(batch.context, prior)
        elif rollouts is None:
            # Acting with the trained policy itself, one forward pass serves acting and learning.
            logprobs = players.policy(batch.context, prior)
            old_logprobs = logprobs.detach()
        return Acting(prior, masks, logprobs, old_logprobs)

    def explore(
        self, inputs: StepInputs, acting: Acting, rivals: Sequence[Tensor] = ()
    ) -> tuple[Experience, Tensor | None]:
        """Try characters and reward them; see :meth:`collect`.

        Args:
            inputs: What there is to read.
            acting: How the acting policy takes the batch.
            rivals: (B,T,V) probabilities, of each other member of a population that acts.
        """
        players, batch, hparams = inputs.players, inputs.batch, inputs.hparams
        old_policy, rollouts = players.old_policy, players.rollouts
        horizon = self.explorer.config.steps_ahead
        prior, masks, logprobs = acting.priors, acting.masks, acting.logprobs
        oracle = Oracle(
            batch.target,
            batch.target.shape[1] - horizon + 1,
            self.vocab_size,
            self.explorer.config.actions_a_position,
        )
        observation = Observation(
            batch.context, oracle, acting.old_logprobs, batch.reference, rollouts
        )
        exploration = self.explorer.explore(observation, hparams["explorer"], batch.uniforms)
        contexts, select = exploration.contexts, exploration.select
        reference = batch.reference
        if rollouts is not None and rollouts.reference is not None:
            reference = rollouts.reference(contexts, horizon)  # (B·K,H,V)
        if rollouts is not None and rollouts.prior is not None:
            prior = rollouts.prior(contexts, contexts.shape[1])  # (B·K,L,V)
        if masks is not None:
            logprobs = self._scored(players.policy, contexts, prior, masks)
            dropped = logprobs.detach()
            if old_policy is not None:
                with torch.no_grad():
                    dropped = self._scored(old_policy, contexts, prior, masks)
            exploration = dataclasses.replace(exploration, dropped_logprobs=dropped)
        past = None
        if players.opponents:
            past = against(players.opponents, contexts, prior, len(batch.context))
            past = past[:, -horizon:] if horizon > 1 else past
        earned = RewardInputs(
            exploration=exploration,
            old_probs=select(exploration.old_probs),
            ref_logprobs=None if reference is None else select(reference),
            past_logprobs=None if past is None else select(past),
        )
        rewards = self.reward(earned, hparams["reward"])  # (B,T,K)
        facts: dict[str, Tensor] = {}
        if rivals:
            others = torch.stack([select(probs) for probs in rivals])  # (P-1,B,T,K)
            standing = self.opponent.standing(earned.old_probs, others, hparams["opponent"])
            rewards = (rewards * standing).clamp(-LARGEST, LARGEST)
            facts["opponent/win_share"] = win_share(earned, others)
        facts |= {"reward/expected": expected_reward(exploration, rewards).mean()}
        if exploration.position_weights is not None:
            facts["train/selected_share"] = exploration.position_weights.sign().mean()
        if past is not None:
            facts |= win_rates(earned, len(players.opponents))
        regularisers = Regularisers(reference, past, batch.gate)
        return Experience(exploration, rewards, regularisers, prior, masks, facts), logprobs

    def _scored(
        self, network: Network, contexts: Tensor, prior: Tensor | None, masks: Tensor | None
    ) -> Tensor:
        """Score what was explored, at the positions that are learned from."""
        horizon = self.explorer.config.steps_ahead
        dropout = () if masks is None else (masks,)
        logprobs: Tensor = network(contexts, prior, *dropout)
        return logprobs[:, -horizon:] if horizon > 1 else logprobs  # (B,T,V), or (B·K,H,V)

    def compute_loss(
        self,
        inputs: StepInputs,
        experience: Experience,
        logprobs: Tensor | None,
        with_facts: bool,
    ) -> LossOutput:
        """Compute the loss of experience, by whatever policy it was collected.

        Args:
            inputs: What there is to read.
            experience: What was collected.
            logprobs: The policy's log-probs on it, if known; else they are computed.
            with_facts: Also describe the step in full, for the log.
        """
        exploration = experience.exploration
        if logprobs is None:
            logprobs = self._scored(
                inputs.players.policy, exploration.contexts, experience.priors, experience.masks
            )
        output = self.objective(
            logprobs,
            exploration,
            experience.rewards,
            experience.regularisers,
            inputs.hparams["objective"],
            inputs.controller_state,
            with_facts=with_facts,
        )
        facts = experience.facts
        if with_facts:
            facts = facts | reward_facts(exploration, experience.rewards)
        return output.with_facts(facts)

    def learning_facts(self, batch: Batch, experience: Experience) -> dict[str, Tensor]:
        """Describe how the acting policy takes the text, for the log: this reads the target."""
        seen = experience.exploration.old_logprobs
        if self.explorer.config.steps_ahead > 1:
            # Rollouts of a window share the text as their context at the first step alone.
            seen = seen.view(len(batch.context), -1, *seen.shape[1:])[:, 0, :1]  # (B,1,V)
        return learning_facts(seen, batch.target[:, : seen.shape[1]])


def expected_reward(exploration: Exploration, rewards: Tensor) -> Tensor:
    """Return E_π[r] of the acting policy at each position, (B,T); under sampling, its estimate."""
    expected = (exploration.policy_weights * rewards).sum(dim=-1)
    return expected.clamp(-LARGEST, LARGEST)


@torch.no_grad()
def reward_facts(exploration: Exploration, rewards: Tensor) -> dict[str, Tensor]:
    """Describe the rewards as the policy earns them, all 0-d.

    ``reward/expected`` is E_π[r] of the acting policy. The mean over all actions of a fixed
    table would be a constant, whatever the policy does.
    """
    shares = exploration.policy_weights
    expected = expected_reward(exploration, rewards)  # (B,T)
    if exploration.actions is None:
        group, centre = shares, expected.unsqueeze(-1)
    else:
        group = exploration.group
        centre = (group * rewards).sum(dim=-1, keepdim=True)
    within = (group * (rewards - centre).square()).sum(dim=-1).clamp_min(0).sqrt()  # (B,T)
    return {
        "reward/expected": expected.mean(),
        "reward/uniform_mean": rewards.mean(),
        "reward/spread_within": within.mean(),
        "reward/spread_across": expected.std(correction=0),
        "reward/zero_variance_share": (within < 1e-6).float().mean(),
    }

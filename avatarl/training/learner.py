"""The learner: a run's network and text on one device, advanced step by step."""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from avatarl.config import RunConfig
from avatarl.data import Corpus
from avatarl.explorer import Rollouts
from avatarl.interfaces import Batch, dynamic_values
from avatarl.model import Policy
from avatarl.objective import LossOutput
from avatarl.optimizer import learning_rate_factor, set_learning_rate
from avatarl.reward import Text
from avatarl.training.allocator import keep_freed_memory
from avatarl.training.batches import Batches, cut_text, steps_of
from avatarl.training.checkpoint import Checkpoint
from avatarl.training.compiled import Remarks, compile_mode, evaluate_of, forward_of
from avatarl.training.cuda_graph import GraphRecorder
from avatarl.training.evaluation import HeldOut, Scorer
from avatarl.training.functional import shared_step
from avatarl.training.health import Health
from avatarl.training.micro_batches import in_parts
from avatarl.training.policy_state import PolicyState
from avatarl.training.precision import precision_of
from avatarl.training.reference_schedule import ReferenceSchedule
from avatarl.training.scoring import Scoring, forward_by
from avatarl.training.step import Players, Step, StepInputs, step_hyperparameters
from avatarl.training.train_state import TrainState


def first_policy(config: RunConfig, vocab_size: int, member: int = 0) -> Policy:
    """Make a run's network, or that of a population's member, as it is before the first step."""
    members = {"members": config.reference.parts} if config.model.gates_members else {}
    seed = config.seed
    if member:
        seed = int(np.random.SeedSequence([seed, member]).generate_state(1)[0])
    return config.model.build(vocab_size, seed, **members)


class Learner:
    """Takes a run's steps.

    Args:
        config: What to learn.
        corpus: From what.
        device: Where.

    Attributes:
        state: Everything that changes.
        batches: What is learned from.
        remarks: What the run does otherwise than it was asked to.
    """

    def __init__(self, config: RunConfig, corpus: Corpus, device: torch.device) -> None:
        self.config, self.device = config, device
        if device.type == "cpu":
            keep_freed_memory()
        self.remarks: Remarks = []
        text, development, windows = cut_text(config, corpus)
        self.steps = steps_of(config, windows)
        reference = config.reference.build(text, corpus.vocab_size, device)
        self.reference_schedule = ReferenceSchedule(
            config.reference, reference, development, config.model.context_length
        )
        self.step_function = Step.build(config, Text(corpus.characters, text, device))
        # What all groups read and every step writes, once in memory.
        self.dynamic = dynamic_values(device)
        self.hparams = step_hyperparameters(config, device, self.dynamic)
        size = 1 + config.opponent.rivals
        own, *others = (self._new_member(corpus.vocab_size, member) for member in range(size))
        self.model, self.old_model = own.model, own.old_model
        self.parameters = own.parameters
        self.state = TrainState(
            own.model,
            own.old_model,
            own.optimizers,
            own.controller_state,
            own.average,
            league=config.opponent.build(self.parameters),
            reference_schedule=self.reference_schedule,
            health=Health(config.health),
            others=others,
        )
        self._average_rate = torch.ones((), device=device)
        if config.health.sparsity_every:
            self.state.measured = self.state.copied_weights()
        explorer = self.step_function.explorer
        self.batches = Batches(
            config, text, windows, self.reference_schedule, explorer, self.model, device
        )
        self.mode = mode = compile_mode(config, device, self.remarks)
        self.forwards = [
            (forward_of(one.model, mode), one.old_model and forward_of(one.old_model, mode))
            for one in self.state.members
        ]
        precision = precision_of(config.trainer.precision, device, self.remarks)
        last = self.batches.last and config.explorer.steps_ahead == 1
        self.scoring = Scoring(last, device.type, precision)
        text_key = f"{corpus.text_sha256} {len(text)}"
        self.functional_step = shared_step(
            config, self.step_function, self.model, self.scoring, device, text_key
        )
        self._evaluate = evaluate_of(mode)
        self.recorder = GraphRecorder() if mode.recorded else None

    def _new_member(self, vocab_size: int, member: int) -> PolicyState:
        config, objective = self.config, self.step_function.objective
        model, old_model = first_policy(config, vocab_size, member).to(self.device), None
        if config.objective.old_policy_age > 1:
            old_model = first_policy(config, vocab_size, member)
            old_model.to(self.device).requires_grad_(False)
        parameters: dict[str, Tensor] = dict(model.named_parameters())
        controllers = objective.initial_controller_state(self.hparams["objective"])
        state = PolicyState(model, old_model, config.optimizer.build(parameters), controllers, {})
        if config.trainer.average == "ema":
            state.average = state.copied_weights()
        return state

    @property
    def step(self) -> int:
        """Optimiser steps done."""
        return self.state.step

    @property
    def ended(self) -> bool:
        """Whether no step is left, or the development slice has waited long enough for a gain."""
        patience = self.config.trainer.patience
        tired = patience is not None and self.state.kept.waited >= patience
        return tired or self.step >= self.steps

    @property
    def characters_seen(self) -> int:
        """Characters that have been targets so far, rollouts' later ones included."""
        a_step = self.batches.windows.targets_per_step * self.config.explorer.steps_ahead
        return self.step * a_step

    @property
    def epoch(self) -> float:
        """Characters seen, in lengths of the text that trains."""
        return self.characters_seen / len(self.batches.ids)

    @property
    def learning_rate(self) -> float:
        """Of the latest step."""
        return self.config.optimizer.lr * self._lr_factor(max(0, self.step - 1))

    def _lr_factor(self, step: int) -> float:
        factor = learning_rate_factor(self.config.optimizer, step, self.steps)
        return factor * self.state.health.lr_factor

    def train_step(self, *, with_facts: bool) -> dict[str, Tensor]:
        """Take one step.

        Args:
            with_facts: Also describe the step in full, for the log.

        Returns:
            0-d tensors on the device: ``grad_norm`` (before clipping) and the facts.
        """
        self.prepare_step()
        if self.recorder is None:
            facts = self._advance(with_facts)
        else:
            facts = self.recorder(lambda: self._advance(True), key=self.reference_schedule.reach)
        self.state.step += 1
        return facts

    @torch.no_grad()
    def prepare_step(self) -> None:
        """Bring everything up to date that follows from how many steps were taken."""
        state, step = self.state, self.step
        if self._refreshes_old_policy():
            for member in state.members:
                member.refresh_old_model()
        self.dynamic["characters_seen"].fill_(float(self.characters_seen))
        self.dynamic["progress"].fill_(step / self.steps)
        self.dynamic["reference_factor"].fill_(self.reference_schedule.factor(self.characters_seen))
        self.dynamic["ent_boost"].fill_(state.health.ent_boost)
        # A plain mean at first: what the weights were when it began doesn't count more than others.
        averaged = step - math.ceil(self.config.trainer.average_start * self.steps)
        decay = self.config.trainer.average_decay
        self._average_rate.fill_(max(1 - decay, 1 / (1 + max(0, averaged))))
        state.league.refresh(step, self.parameters)
        for member in state.members:
            set_learning_rate(member.optimizers, self._lr_factor(step))
        self.batches.place(step)

    def _refreshes_old_policy(self) -> bool:
        return self.step % self.config.objective.old_policy_age == 0

    def _advance(self, with_facts: bool) -> dict[str, Tensor]:
        """Do everything of a step that happens on the device."""
        norms: list[Tensor] = []
        facts: dict[str, Tensor] = {}
        for member, output in self._losses(self.batches.cut(), with_facts):
            weights = list(self.state.members[member].parameters.values())
            gradients = torch.autograd.grad(output.loss, weights)
            norms.append(self.update(gradients, output.controller_state, member))
            facts |= output.facts
        return {"grad_norm": functools.reduce(torch.maximum, norms), **facts}

    def _losses(self, batch: Batch, with_facts: bool) -> Iterator[tuple[int, LossOutput]]:
        """Compute each member's loss of each inner epoch; its weights are updated in between."""
        if self.mode.step:
            assert self.functional_step is not None
            # A compiled step is always described: that costs little, another program would not.
            tensors = self.weights() | self.tensors(batch)
            yield 0, LossOutput(*self._evaluate(self.functional_step, tensors, True))
            return
        step, members = self.step_function, range(len(self.state.members))
        inputs = [self.inputs(self.batches.of(member, batch), member) for member in members]
        # All act before one of them learns.
        acting = [step.act(one) for one in inputs]
        probs = []
        if len(members) > 1:
            probs = [one.old_logprobs.exp() for one in acting if one.old_logprobs is not None]
        collected = [
            step.explore(one, acts, [*probs[:member], *probs[member + 1 :]])
            for member, one, acts in zip(members, inputs, acting, strict=True)
        ]
        shown = step.learning_facts(batch, collected[0][0])
        last = self.config.objective.inner_steps - 1
        for epoch in range(last + 1):
            for member, (experience, logprobs) in enumerate(collected):
                described = with_facts and epoch == last and not member
                if epoch:
                    logprobs = None  # the weights have moved
                output = step.compute_loss(inputs[member], experience, logprobs, described)
                if member:
                    won = output.facts["opponent/win_share"]
                    output = dataclasses.replace(
                        output, facts={f"opponent/win_share_{member}": won}
                    )
                yield member, output.with_facts(shown)

    def update(
        self, gradients: Sequence[Tensor], controller_state: Mapping[str, Tensor], member: int = 0
    ) -> Tensor:
        """Move a member's weights along their gradients; see :meth:`PolicyState.update`."""
        state, clip = self.state.members[member], self.config.optimizer.grad_clip
        return state.update(gradients, controller_state, clip, self._average_rate)

    def inputs(self, batch: Batch, member: int = 0) -> StepInputs:
        """Return what a member's step on a batch reads."""
        controllers = self.state.members[member].controller_state
        return StepInputs(self.players(member), batch, self.hparams, controllers)

    def players(self, member: int = 0) -> Players:
        """Return the networks of a member's step at hand."""
        trained = list(self.state.members[member].parameters.values())
        forward, old_forward = self.forwards[member]
        policy = in_parts(self.scoring.network(forward), trained, self._rows_at_once)
        old_policy = None
        # Just refreshed, the acting policy is the trained one, and one forward pass serves both.
        if old_forward is not None and not self._refreshes_old_policy():
            old_policy = in_parts(self.scoring.network(old_forward), [], self._rows_at_once)
        opponents = [
            in_parts(self.scoring.functional(self.model, weights), [], self._rows_at_once)
            for weights in self.state.league.players()
        ]
        return Players(policy, old_policy, opponents, self._rollouts())

    @property
    def _rows_at_once(self) -> int | None:
        """How many contexts a network reads at once: windows, or all rollouts of as many."""
        windows, explorer = self.config.trainer.windows_at_once, self.config.explorer
        rollouts = (explorer.actions_a_position or 1) if explorer.steps_ahead > 1 else 1
        return None if windows is None else windows * rollouts

    def _rollouts(self) -> Rollouts | None:
        if self.config.explorer.steps_ahead == 1:
            return None
        writes, prior = self.old_model or self.model, self.prior_at(self.step)
        decode = functools.partial(self.scoring.decode, writes, prior)
        return Rollouts(decode, self.score_reference, prior)

    def weights(self) -> dict[str, Any]:
        """Return the weights that the functional step reads, by player."""
        players = {"policy": self.parameters, "opponents": self.state.league.players()}
        old = self.old_model
        return players if old is None else {**players, "old_policy": dict(old.named_parameters())}

    def tensors(self, batch: Batch) -> dict[str, Any]:
        """Return what the functional step reads besides weights."""
        controllers = self.state.controller_state
        return {"batch": batch.tensors(), "hparams": self.hparams, "controller_state": controllers}

    def score(self, context: Tensor, positions: int) -> Tensor:
        """Score contexts by the weights that evaluation looks at: (B,L) to (B,positions,V)."""
        return self.scorer_of(0)(context, positions)

    @property
    def headline(self) -> Scorer:
        """Scores by the weights that the result is of."""
        return self.headline_by(self.state.headline)

    def headline_by(self, weights: Mapping[str, Tensor]) -> Scorer:
        """Scores by weights that take the place of those."""
        return self.scorer(weights, self.state.kept.step or self.step)

    def scorer_of(self, member: int) -> Scorer:
        """Scores by the weights of a population's member that evaluation looks at."""
        return self.scorer(self.state.members[member].evaluated, self.step)

    def scorer(self, weights: Mapping[str, Tensor], step: int) -> Scorer:
        """Return what scores held-out or prompted contexts by the weights of a step."""
        prior, forward = self.prior_at(step), forward_by(self.model, weights)
        length, ends = self.config.model.context_length, self.scoring.ends
        return lambda context, positions: ends(forward, context, prior, positions, length)

    def held_out(self, ids: np.ndarray) -> HeldOut:
        """Cut a text (M,) as the policy is evaluated on it."""
        length, stride = self.config.model.context_length, self.config.trainer.eval_stride
        return HeldOut.of(ids, length, stride, self.reference_schedule.before)

    @property
    def reads(self) -> int:
        """Characters that scorers look at: the window, and what the reference reads before it."""
        return self.reference_schedule.before + self.config.model.context_length

    def prior_at(self, step: int) -> Scorer | None:
        """What networks add their logits to at a step, or None: (B,L) to (B,n,V) or (B,n,M,V)."""
        config, schedule = self.config.model, self.reference_schedule
        score = schedule.score_members if config.gates_members else schedule.score
        if not config.prior or score is None or not config.weighs_prior:
            return score if config.prior else None
        progress = torch.full((), step / self.steps, device=self.device)
        numbers = {**self.hparams["model"], "progress": progress}
        return lambda context, positions: config.weigh(score(context, positions), numbers)

    @property
    def score_reference(self) -> Scorer | None:
        """The reference as a scorer of any contexts, or None without one."""
        return self.reference_schedule.score

    def load(self, checkpoint: Checkpoint) -> None:
        """Continue from a checkpoint."""
        self.state.load_state_dict(checkpoint)
        self.moved()

    def moved(self) -> None:
        """Take note that weights or optimisers' memory are at other addresses now."""
        if self.recorder is not None:
            self.recorder.forget()

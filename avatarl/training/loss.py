"""The loss of a batch as one pure function of tensors.

This is what is compiled, what is mapped over replicas, and what a CUDA graph records: weights,
windows, looked-up references and numbers in; loss, facts and the controllers' next memory out. Runs
that differ in numbers alone share it.
"""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from avatarl.config import RunConfig, structure_key
from avatarl.model import Policy
from avatarl.reference import Reliability
from avatarl.training.step import Batch, Network, Program, reward_facts

Inputs = Mapping[str, Any]
# loss 0-d, facts 0-d each, the controllers' next memory
Outputs = tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]


def unsupported_reason(config: RunConfig) -> str | None:
    """Say what keeps a run's step from being this function, naming the setting; None if nothing."""
    if config.explorer.steps_ahead > 1:
        return f"explorer.horizon={config.explorer.steps_ahead} reads back what it wrote"
    if config.objective.inner_steps > 1:
        return f"objective.inner_epochs={config.objective.inner_steps} repeats a batch"
    return None


@dataclass
class _Known:
    """A reference that has been looked up already, at the positions of this step.

    Tables differ in shape from run to run, so that looking them up isn't part of the function.
    """

    scored: Tensor  # (B,T,V)
    order: int
    vocab_size: int

    def train_logprobs(self, positions: Tensor, history: Tensor | int | None = None) -> Tensor:
        return self.scored

    def logprobs(self, contexts: Tensor) -> Tensor:
        raise NotImplementedError("this step scores the batch's own windows alone")

    def reliability(self, contexts: Tensor) -> Reliability:
        raise NotImplementedError("this step scores the batch's own windows alone")

    def train_reliability(
        self, positions: Tensor, history: Tensor | int | None = None
    ) -> Reliability:
        raise NotImplementedError("this step scores the batch's own windows alone")

    def nbytes(self) -> int:
        return 0


@dataclass(frozen=True)
class Scoring:
    """How a network is asked for log-probabilities.

    Attributes:
        last: The last position alone is scored.
        device_type: Where.
        precision: What matrices are multiplied in; None for fp32.
    """

    last: bool
    device_type: str
    precision: torch.dtype | None

    def autocast(self) -> torch.autocast:
        """In which precision a network multiplies."""
        return torch.autocast(
            self.device_type, dtype=self.precision, enabled=self.precision is not None
        )

    def __call__(
        self, model: Callable[..., Tensor], context: Tensor, prior: Tensor | None
    ) -> Tensor:
        """Score contexts (B,L): log-probabilities (B,T,V) fp32."""
        with self.autocast():
            logits = model(context, last=self.last, prior_logprobs=prior)
        logprobs: Tensor = logits.float().log_softmax(dim=-1)
        return logprobs

    def network(self, model: nn.Module, weights: Mapping[str, Tensor]) -> Network:
        """Return the network of a model's shape that has these weights."""

        def call(context: Tensor, **options: Any) -> Tensor:
            logits: Tensor = torch.func.functional_call(model, dict(weights), (context,), options)
            return logits

        def network(context: Tensor, prior: Tensor | None) -> Tensor:
            return self(call, context, prior)

        return network


@dataclass(frozen=True)
class Loss:
    """A step up to its loss, for every run of one :func:`structure_key`.

    Attributes:
        program: Explorer, reward and objective; its own reference isn't read.
        model: The network's shape; its weights aren't read.
        history: (T,) int64, see :class:`Batch`.
        scoring: How the network is called.
    """

    program: Program
    model: Policy
    history: Tensor
    scoring: Scoring

    def __call__(self, one: Inputs, with_facts: bool) -> Outputs:
        """Compute the loss.

        Args:
            one: ``weights`` by name, ``opponents`` (such weights each), ``context``, ``target``,
                ``positions``, ``hparams``, ``control``; where the run has them ``old_weights``,
                ``uniforms``, ``reference`` (B,T,V) and ``gate`` (B,T).
            with_facts: Also describe it.
        """
        batch = Batch(one["context"], one["target"], one["positions"], self.history)
        gate = one.get("gate")
        program = dataclasses.replace(
            self.program,
            reference=_Known(one["reference"], 1, self.program.vocab_size)
            if "reference" in one
            else None,
            gate=None if gate is None else lambda batch, scored: gate,
        )
        network = self._network(one["weights"])
        old = self._network(one["old_weights"]) if "old_weights" in one else None
        experience, logprobs = program.collect(
            network,
            old,
            batch,
            one["hparams"],
            one.get("uniforms"),
            [self._network(weights) for weights in one["opponents"]],
        )
        terms = program.compute_loss(
            network, experience, logprobs, one["hparams"], one["control"], with_facts=with_facts
        )
        facts: dict[str, Tensor] = {}
        if with_facts:
            facts = terms.facts | experience.facts
            facts |= reward_facts(experience.exploration, experience.rewards)
        control = {name: value.detach() for name, value in terms.control.items()}
        return terms.loss, facts, control

    def _network(self, weights: Mapping[str, Tensor]) -> Network:
        return self.scoring.network(self.model, weights)


_shared: dict[Hashable, Loss] = {}


def shared_loss(
    config: RunConfig, program: Program, model: Policy, history: Tensor, scoring: Scoring, text: str
) -> Loss:
    """Return the one :class:`Loss` of all runs of this structure in this process.

    Args:
        config: The run's.
        program: Its parts; the first run's serve all.
        model: Its network.
        history: See :class:`Batch`.
        scoring: See :class:`Loss`.
        text: What tells training texts apart, of which rewards may keep tables.
    """
    key = structure_key(config), program.vocab_size, str(history.device), text
    if key not in _shared:
        own = dataclasses.replace(program, reference=None, gate=None)
        _shared[key] = Loss(own, copy.deepcopy(model).to("meta"), history, scoring)
    return _shared[key]


def evaluate_one(loss: Loss, inputs: Inputs, with_facts: bool) -> Outputs:
    """Compute the loss of one run."""
    return loss(inputs, with_facts)


def evaluate_all(loss: Loss, inputs: Inputs, with_facts: bool) -> Outputs:
    """Compute the losses of replicas: everything has a leading dimension R."""
    outputs: Outputs = torch.func.vmap(lambda one: loss(one, with_facts), randomness="error")(
        inputs
    )
    return outputs

"""A step as one pure function of tensors.

This is what is compiled, what is mapped over replicas, and what a CUDA graph records: weights, a
batch and numbers in; loss, facts and the controllers' next memory out. Runs that differ in numbers
alone share it.
"""

from __future__ import annotations

import copy
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from avatarl.config import RunConfig, structure_key
from avatarl.interfaces import Batch
from avatarl.model import Policy
from avatarl.training.scoring import Scoring
from avatarl.training.step import Players, Step, StepInputs

# ``policy``, ``opponents`` and perhaps ``old_policy``: weights by name; ``batch``, ``hparams``,
# ``controller_state``.
TensorInputs = Mapping[str, Any]
# loss 0-d, facts 0-d each, the controllers' next memory
TensorOutputs = tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]


def unsupported_reason(config: RunConfig) -> str | None:
    """Say what keeps a run's step from being this function, naming the setting; None if nothing."""
    if config.explorer.steps_ahead > 1:
        return f"explorer.horizon={config.explorer.steps_ahead} reads back what it wrote"
    if config.objective.inner_steps > 1:
        return f"objective.inner_epochs={config.objective.inner_steps} repeats a batch"
    if config.opponent.rivals:
        return f"opponent={config.opponent.name} has {config.opponent.rivals + 1} policies compete"
    if config.trainer.windows_at_once is not None:
        return f"trainer.micro_batch_size={config.trainer.micro_batch_size} reads a batch in parts"
    return None


@dataclass(frozen=True)
class FunctionalStep:
    """A step without weights of its own, for every run of one :func:`structure_key`.

    Attributes:
        step: Explorer, reward and objective.
        model: The network's shape; its weights aren't read.
        scoring: How the network is called.
    """

    step: Step
    model: Policy
    scoring: Scoring

    def __call__(self, tensors: TensorInputs, with_facts: bool) -> TensorOutputs:
        """Take a step up to its loss; see :class:`StepInputs`."""
        old, network = tensors.get("old_policy"), self.scoring.functional
        players = Players(
            network(self.model, tensors["policy"]),
            None if old is None else network(self.model, old),
            [network(self.model, weights) for weights in tensors["opponents"]],
        )
        batch = Batch(**tensors["batch"])
        inputs = StepInputs(players, batch, tensors["hparams"], tensors["controller_state"])
        output = self.step(inputs, with_facts)
        return output.loss, output.facts, dict(output.controller_state)


_shared: dict[Hashable, FunctionalStep] = {}


def shared_step(
    config: RunConfig, step: Step, model: Policy, scoring: Scoring, device: torch.device, text: str
) -> FunctionalStep | None:
    """Return the one function of all runs of this structure in this process; None if unsupported.

    Args:
        config: The run's.
        step: Its parts; the first run's serve all.
        model: Its network.
        scoring: How that is called.
        device: Where.
        text: What tells training texts apart, of which rewards may keep tables.
    """
    if unsupported_reason(config) is not None:
        return None
    key = structure_key(config), step.vocab_size, str(device), text
    if key not in _shared:
        _shared[key] = FunctionalStep(step, copy.deepcopy(model).to("meta"), scoring)
    return _shared[key]


def evaluate_one(step: FunctionalStep, tensors: TensorInputs, with_facts: bool) -> TensorOutputs:
    """Take the step of one run."""
    return step(tensors, with_facts)


def evaluate_all(step: FunctionalStep, tensors: TensorInputs, with_facts: bool) -> TensorOutputs:
    """Take the steps of replicas: everything has a leading dimension R."""
    outputs: TensorOutputs = torch.func.vmap(lambda one: step(one, with_facts), randomness="error")(
        tensors
    )
    return outputs

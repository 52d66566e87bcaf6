"""What every objective is given and returns."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from avatarl.interfaces import Exploration, Hyperparameters, Regularisers
from avatarl.options import Option

# What controllers remember from step to step, 0-d float32 tensors; part of a run's state.
ControllerState = Mapping[str, Tensor]


@dataclass(frozen=True)
class Config(Option, ABC):
    """Settings that every objective has, and what the rest of a run must know of them."""

    @abstractmethod
    def build(self) -> Objective:
        """Make the objective."""

    @property
    def is_control(self) -> bool:
        """Whether this is the ordinary training that others are compared with."""
        return False

    @property
    def needs_reference(self) -> bool:
        """Whether the loss reads the reference."""
        return False

    @property
    def needs_opponent(self) -> bool:
        """Whether the loss reads the opponent."""
        return False

    @property
    def uses_baseline(self) -> bool:
        """Whether something is subtracted from rewards."""
        return False

    @property
    def compares_samples(self) -> bool:
        """Whether that is made of the rewards of the position's own actions."""
        return False

    @property
    def leaves_one_out(self) -> bool:
        """Whether it is so of all samples but the one at hand."""
        return False

    @property
    def needs_every_action(self) -> bool:
        """Whether the loss is only defined with the rewards of all V characters."""
        return False

    @property
    def needs_policy_weights(self) -> bool:
        """Whether the loss is only what it says if actions count by their probability."""
        return False

    @property
    def needs_single_step(self) -> bool:
        """Whether the loss makes no sense for rollouts."""
        return False

    @property
    def weighs_entropy(self) -> bool:
        """Whether entropy is part of the loss, so that monitors can act on it."""
        return False

    @property
    def old_policy_age(self) -> int:
        """Steps between refreshes of the acting policy; 1 means it is the policy itself."""
        return 1

    @property
    def inner_steps(self) -> int:
        """Optimiser steps on each batch."""
        return 1


@dataclass(frozen=True)
class LossOutput:
    """A loss and what it was made of, all 0-d float32.

    Attributes:
        loss: To be minimised.
        facts: Named values for the log, detached.
        controller_state: The controllers' next memory, detached.
    """

    loss: Tensor
    facts: dict[str, Tensor]
    controller_state: ControllerState

    def with_facts(self, facts: Mapping[str, Tensor]) -> LossOutput:
        """Return the same with further facts."""
        return LossOutput(self.loss, {**self.facts, **facts}, self.controller_state)


class Objective(Protocol):
    """Maps one step's exploration and rewards to a loss."""

    @property
    def config(self) -> Config:
        """What it was built from."""

    def initial_controller_state(self, hparams: Hyperparameters) -> dict[str, Tensor]:
        """What controllers remember before the first step, given the group's numbers."""

    def __call__(
        self,
        logprobs: Tensor,
        exploration: Exploration,
        rewards: Tensor,
        regularisers: Regularisers,
        hparams: Hyperparameters,
        controller_state: ControllerState,
        *,
        with_facts: bool,
    ) -> LossOutput:
        """Compute the loss.

        Args:
            logprobs: (B,T,V), or (B·K,T,V) for rollouts, of the policy being trained on
                ``exploration.contexts``; the only argument that carries a gradient.
            exploration: What was tried.
            rewards: (B,T,K).
            regularisers: Whom the policy may be held to.
            hparams: The group's numbers, and ``characters_seen``, ``progress`` (0 to 1).
            controller_state: The controllers' memory.
            with_facts: Also describe the loss by what it isn't made of; ``train/…`` facts, of
                which records are means over steps, are given anyway.
        """

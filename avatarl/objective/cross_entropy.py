"""The control: ordinary next-character training of the same network, in the same loop.

loss = − log π(y). It reads the text through the same exhaustive exploration as the rewards do and
ignores reward and reference.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import Exploration, Hyperparameters, Regularisers, mean_over_positions
from avatarl.objective import base, terms


@dataclass(frozen=True)
class Config(base.Config):
    """No settings of its own."""

    @property
    @override
    def is_control(self) -> bool:
        return True

    @property
    @override
    def needs_every_action(self) -> bool:
        return True

    @override
    def build(self) -> CrossEntropy:
        return CrossEntropy(self)


class CrossEntropy:
    """Negative log-likelihood of the text."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def initial_controller_state(self, hparams: Hyperparameters) -> dict[str, Tensor]:
        """Nothing is controlled."""
        return {}

    def __call__(
        self,
        logprobs: Tensor,
        exploration: Exploration,
        rewards: Tensor,
        regularisers: Regularisers,
        hparams: Hyperparameters,
        controller_state: base.ControllerState,
        *,
        with_facts: bool,
    ) -> base.LossOutput:
        """Compute the loss; see :class:`avatarl.objective.base.Objective`."""
        picked = (exploration.matches * exploration.select(logprobs)).sum(dim=-1)  # (B,T)
        loss = -mean_over_positions(picked, exploration.position_weights)
        logprobs = logprobs.detach()
        probs = logprobs.exp()
        spread = terms.entropy(probs, logprobs).mean()
        facts = {"train/loss": loss, "train/policy": loss, "train/entropy": spread}
        if regularisers.reference is not None:
            divergence = terms.kl_divergence(probs, logprobs, regularisers.reference)
            facts["train/kl"] = divergence.mean()
        return base.LossOutput(
            loss, {name: fact.detach() for name, fact in facts.items()}, controller_state
        )

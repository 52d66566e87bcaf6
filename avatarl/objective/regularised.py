"""What the reward objectives share: KL to the reference and to a past self, and entropy.

loss = policy loss + λ · KL(π, ref) + μ · KL(π ‖ past) − β · H(π), averaged over positions.

λ may be scheduled, warmed up, and adapted until the divergence is on target; β may be a fixed
bonus, and a controller can add to it until the entropy is on a target or within a band.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor
from typing_extensions import override

from avatarl.interfaces import (
    Coefficient,
    Exploration,
    Hyperparameters,
    Regularisers,
    Schedule,
    check_order,
    current,
    is_on,
    mean_over_positions,
)
from avatarl.objective import base, terms


@dataclass(frozen=True)
class Config(base.Config):
    """Settings that all reward objectives share."""

    kl_coef: Coefficient  # λ
    kl_direction: Literal["reverse", "forward"]  # KL(π ‖ ref) or KL(ref ‖ π)
    kl_warmup_characters: Annotated[float, Ge(0)]
    kl_target: Annotated[float, Gt(0)] | Schedule | None  # nats; null keeps λ as it is
    kl_window: Annotated[float, Ge(1)] | Schedule  # steps
    past_kl_coef: Coefficient  # μ, of KL(π ‖ opponent)
    ent_coef: Coefficient  # β
    # Nats; the controller's band, or with both equal its target.
    ent_min: Annotated[float, Ge(0)] | Schedule | None
    ent_max: Annotated[float, Ge(0)] | Schedule | None
    ent_rate: Annotated[float, Ge(0)] | Schedule  # of the controller, per nat and step
    ent_limit: Annotated[float, Ge(0)] | Schedule  # largest coefficient that the controller adds
    sync_every: Annotated[int, Ge(1)]  # steps
    inner_epochs: Annotated[int, Ge(1)]  # optimiser steps on each batch

    def __post_init__(self) -> None:
        """Refuse an empty entropy band."""
        if self.ent_min is not None and self.ent_max is not None:
            check_order("ent_min", self.ent_min, "ent_max", self.ent_max)

    @property
    @override
    def needs_reference(self) -> bool:
        return is_on(self.kl_coef)

    @property
    @override
    def needs_opponent(self) -> bool:
        return is_on(self.past_kl_coef)

    @property
    def controls_entropy(self) -> bool:
        """Whether the entropy has a target or a band."""
        return self.ent_min is not None or self.ent_max is not None

    @property
    @override
    def weighs_entropy(self) -> bool:
        return is_on(self.ent_coef) or self.controls_entropy

    @property
    @override
    def old_policy_age(self) -> int:
        return self.sync_every

    @property
    @override
    def inner_steps(self) -> int:
        return self.inner_epochs


class Regularised(ABC):
    """The shared terms around a policy loss that a subclass computes."""

    def __init__(self, config: Config) -> None:
        self.config = config

    def now(self, name: str, hparams: Hyperparameters) -> Tensor:
        """What a setting that may be a schedule is worth at this moment, 0-d."""
        return current(getattr(self.config, name), hparams, name)

    @abstractmethod
    def policy_loss(
        self,
        logprobs: Tensor,
        exploration: Exploration,
        rewards: Tensor,
        hparams: Hyperparameters,
        facts: dict[str, Tensor] | None,
    ) -> Tensor:
        """Return the loss of each position, (B,T); may add to ``facts`` unless that is None."""

    def initial_controller_state(self, hparams: Hyperparameters) -> dict[str, Tensor]:
        """The KL factor starts at 1, the divergence on its target, no extra entropy bonus."""
        controller_state: dict[str, Tensor] = {}
        if self.config.kl_target is not None:
            target = self.now("kl_target", hparams)
            controller_state |= {"kl_scale": torch.ones_like(target), "kl_mean": target.clone()}
        if self.config.controls_entropy:
            controller_state["ent_extra"] = torch.zeros_like(hparams["ent_boost"])
        return controller_state

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
        config, weights = self.config, exploration.position_weights
        facts: dict[str, Tensor] = {}
        remembered = dict(controller_state)
        value = self.policy_loss(
            logprobs, exploration, rewards, hparams, facts if with_facts else None
        )
        loss = policy = mean_over_positions(value, weights)
        probs = logprobs.exp()
        if config.weighs_entropy:
            spread = terms.entropy(probs, logprobs)  # (B,T), or (B·K,T)
            coefficient = self.now("ent_coef", hparams) + hparams["ent_boost"]
            if config.controls_entropy:
                coefficient = coefficient + controller_state["ent_extra"]
                least, most = (
                    None if getattr(config, name) is None else self.now(name, hparams)
                    for name in ("ent_min", "ent_max")
                )
                rate, limit = (self.now(name, hparams) for name in ("ent_rate", "ent_limit"))
                remembered |= terms.banded_entropy(
                    controller_state, spread.mean(), least, most, rate, limit
                )
            loss = loss - coefficient * mean_over_positions(spread, weights)
            facts |= {"train/entropy": spread.mean(), "train/ent_coef": coefficient}
        if is_on(config.kl_coef):
            assert regularisers.reference is not None
            if config.kl_direction == "forward":
                reference = regularisers.reference
                divergence = terms.kl_divergence(reference.exp(), reference, logprobs)
            else:
                divergence = terms.kl_divergence(probs, logprobs, regularisers.reference)
            coefficient = self.now("kl_coef", hparams) * hparams["reference_factor"]
            coefficient = coefficient * terms.warmed_up(
                hparams["characters_seen"], hparams["kl_warmup_characters"]
            )
            if config.kl_target is not None:
                coefficient = coefficient * controller_state["kl_scale"]
                target, window = (self.now(name, hparams) for name in ("kl_target", "kl_window"))
                remembered |= terms.adapted_kl(controller_state, divergence.mean(), target, window)
            held = divergence if regularisers.gate is None else divergence * regularisers.gate
            loss = loss + coefficient * mean_over_positions(held, weights)
            facts |= {"train/kl": divergence.mean(), "train/kl_coef": coefficient}
        if is_on(config.past_kl_coef):
            assert regularisers.past is not None
            drift = terms.kl_divergence(probs, logprobs, regularisers.past)
            coefficient = self.now("past_kl_coef", hparams)
            loss = loss + coefficient * mean_over_positions(drift, weights)
            facts["train/kl_past"] = drift.mean()
        facts |= {"train/loss": loss, "train/policy": policy}
        with torch.no_grad():
            if "train/entropy" not in facts:
                facts["train/entropy"] = terms.entropy(probs, logprobs).mean()
            if regularisers.reference is not None and "train/kl" not in facts:
                divergence = terms.kl_divergence(probs, logprobs, regularisers.reference)
                facts["train/kl"] = divergence.mean()
            if with_facts:
                old = exploration.compared_logprobs
                facts["health/kl_old"] = terms.kl_divergence(old.exp(), old, logprobs).mean()
        return base.LossOutput(
            loss, {key: fact.detach() for key, fact in facts.items()}, remembered
        )

"""Settings that are valid one by one and impossible together, each refused with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avatarl.errors import ConfigError

if TYPE_CHECKING:
    from avatarl.config.schema import RunConfig


def check_combination(config: RunConfig) -> None:
    """Refuse the first impossible combination.

    Raises:
        ConfigError: Names the key to change, what would be valid, and why.
    """
    for rule in RULES:
        rule(config)


def _reference_is_there(config: RunConfig) -> None:
    if config.reference.name != "none":
        return
    for key, needed in {
        f"reward={config.reward.name}": config.reward.needs_reference,
        f"objective={config.objective.name} with kl_coef > 0": config.objective.needs_reference,
        f"explorer={config.explorer.name} with guidance": config.explorer.needs_reference,
        "model.prior=true": config.model.prior,
    }.items():
        if needed:
            raise ConfigError(
                "reference", "none", "any other reference (bigram, ngram4, …)", f"{key} reads it"
            )


def _weights_or_baseline(config: RunConfig) -> None:
    # With uniform weights a uniform baseline makes the objective linear in the logits: it has no
    # optimum and the logits diverge. A policy-weighted mean under uniform weights biases as well.
    if config.explorer.weighting == "uniform" and config.objective.uses_baseline:
        raise ConfigError(
            "objective.baseline",
            config.raw["objective"]["baseline"],
            "none, or explorer.action_weighting=policy",
            "uniform weights and a baseline together leave the objective without an optimum",
        )


def _truth_is_visible(config: RunConfig) -> None:
    if config.objective.needs_every_action and config.explorer.name != "exhaustive":
        raise ConfigError(
            "explorer",
            config.explorer.name,
            "exhaustive",
            f"objective={config.objective.name} needs the reward of every character",
        )


RULES = [_reference_is_there, _weights_or_baseline, _truth_is_visible]

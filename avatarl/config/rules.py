"""Settings that are valid one by one and impossible together, each refused with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

from avatarl.errors import ConfigError
from avatarl.runs.flatten import flatten

if TYPE_CHECKING:
    from avatarl.config.schema import RunConfig


#: Sizes of numbers that a step computes with: products of a few of them stay finite.
_SMALLEST, _LARGEST = 1e-20, 1e9


def check_combination(config: RunConfig) -> None:
    """Refuse the first impossible combination.

    Raises:
        ConfigError: Names the key to change, what would be valid, and why.
    """
    for rule in RULES:
        rule(config)


def _reference_is_there(config: RunConfig) -> None:
    if config.reference.available:
        return
    for key, needed in {
        f"reward={config.reward.name}": config.reward.needs_reference,
        f"objective={config.objective.name} with kl_coef > 0": config.objective.needs_reference,
        f"explorer={config.explorer.name} with guidance": config.explorer.needs_reference,
        "model.prior=true": config.model.prior,
    }.items():
        if needed:
            raise ConfigError(
                "reference",
                "none",
                "any other reference (bigram, ngram4, …)",
                f"{key} reads it",
            )


def _opponent_is_there(config: RunConfig) -> None:
    if config.opponent.members:
        return
    for key, needed in {
        f"reward={config.reward.name}": config.reward.needs_opponent,
        f"objective={config.objective.name} with past_kl_coef > 0": config.objective.needs_opponent,
    }.items():
        if needed:
            raise ConfigError("opponent", config.opponent.name, "past or league", f"{key} reads it")


def _weights_or_baseline(config: RunConfig) -> None:
    # With uniform weights a uniform baseline makes the objective linear in the logits: it has no
    # optimum and the logits diverge. A policy-weighted mean under uniform weights biases as well.
    if config.explorer.weighting == "uniform" and config.objective.uses_baseline:
        raise ConfigError(
            "objective.baseline",
            getattr(config.objective, "baseline", True),
            "none, or explorer.action_weighting=policy",
            "uniform weights and a baseline together leave the objective without an optimum",
        )


def _uniform_weights_fit_the_objective(config: RunConfig) -> None:
    if config.explorer.weighting == "uniform" and config.objective.needs_policy_weights:
        raise ConfigError(
            "explorer.action_weighting",
            "uniform",
            "policy",
            f"objective={config.objective.name} sums over actions by their probability",
        )


def _uniform_weights_fit_the_reward(config: RunConfig) -> None:
    # Raw rewards of every character under uniform weights push each logit up by what it earns: that
    # has an optimum (the normalised reward) only where no reward is negative.
    if config.explorer.weighting == "uniform" and config.reward.may_be_negative:
        raise ConfigError(
            "explorer.action_weighting",
            "uniform",
            "policy",
            f"reward={config.reward.name} can be negative; uniform weights would then drive "
            "logits to minus infinity",
        )


def _groups_have_members(config: RunConfig) -> None:
    # The mean of a group of one is its only reward: every advantage would be 0.
    if config.explorer.actions_a_position == 1 and config.objective.compares_samples:
        raise ConfigError(
            "explorer.samples",
            1,
            "2 or more, or objective.baseline=none or constant",
            "minus its own mean, a single sample's reward is always 0",
        )


def _others_can_be_left_alone(config: RunConfig) -> None:
    # The other samples' mean must not depend on which proposal the one at hand came from: weighed
    # by all proposals together, single samples' gradients aren't 0 on average, only their sum is.
    if not config.objective.leaves_one_out:
        return
    why = None
    if config.explorer.actions_a_position is None:
        why = f"explorer={config.explorer.name} tries every character: there are no samples"
    elif config.explorer.weighs_samples_together:
        why = f"the proposals of explorer={config.explorer.name} differ: it would be biased"
    if why is not None:
        valid = "group_mean, constant or none, or explorer=temperature or bandit"
        raise ConfigError("objective.baseline", "leave_one_out", valid, why)


def _rollouts_fit_the_objective(config: RunConfig) -> None:
    if config.explorer.steps_ahead > 1 and config.objective.needs_single_step:
        raise ConfigError(
            "explorer.horizon",
            config.explorer.steps_ahead,
            "1, or objective=grpo, dr_grpo or expected",
            f"objective={config.objective.name} scores single characters",
        )


def _rollouts_fit_the_schedule(config: RunConfig) -> None:
    if config.explorer.steps_ahead > 1 and config.reference.gates:
        raise ConfigError(
            "explorer.horizon",
            config.explorer.steps_ahead,
            "1, or another reference.schedule",
            "a gated reference is weighed at positions of the text, not of rollouts",
        )


def _rollouts_fit_the_history(config: RunConfig) -> None:
    if config.explorer.steps_ahead > 1 and config.reference.reads_before_window:
        raise ConfigError(
            "reference.history",
            "text",
            "window, or explorer.horizon=1",
            "rollouts hold a window and nothing of the text before it",
        )


def _rollouts_fit_the_context(config: RunConfig) -> None:
    length = config.model.context_length
    if config.explorer.steps_ahead > length:
        raise ConfigError(
            "explorer.horizon",
            config.explorer.steps_ahead,
            f"1 to model.context_length={length}",
            "a rollout and what it started from share the window",
        )


def _truth_is_visible(config: RunConfig) -> None:
    if config.objective.needs_every_action and config.explorer.actions_a_position is not None:
        raise ConfigError(
            "explorer",
            config.explorer.name,
            "exhaustive",
            f"objective={config.objective.name} needs the reward of every character",
        )


def _monitors_can_act(config: RunConfig) -> None:
    for key in ("on_calibration", "on_confidence_collapse"):
        if getattr(config.health, key) == "act" and not config.objective.weighs_entropy:
            raise ConfigError(
                f"health.{key}",
                "act",
                "log, warn or stop; or objective.ent_coef > 0",
                "acting raises the entropy bonus, which this objective doesn't have",
            )


def _kept_weights_find_their_prior(config: RunConfig) -> None:
    climbs = getattr(getattr(config.reference, "schedule", None), "kind", "") == "ladder"
    if config.trainer.keep_best and config.model.prior and climbs:
        raise ConfigError(
            "trainer.keep_best",
            True,
            "false, or another reference.schedule, or model.prior=false",
            "the prior climbs on after the weights that are kept, and they would be scored with it",
        )


def _members_can_be_compared(config: RunConfig) -> None:
    rivals, valid = config.opponent.rivals, "or another opponent, or opponent.size=1"
    if rivals and config.explorer.steps_ahead > 1:
        raise ConfigError(
            "explorer.horizon",
            config.explorer.steps_ahead,
            f"1, {valid}",
            "rollouts have contexts of their own, and members are compared on shared ones",
        )
    if rivals and config.trainer.keep_best:
        raise ConfigError(
            "trainer.keep_best",
            True,
            f"false, {valid}",
            "a population's members are at their best at steps of their own",
        )


def _stride_fits(config: RunConfig) -> None:
    stride, length = config.trainer.eval_stride, config.model.context_length
    if stride is not None and stride > length:
        raise ConfigError("trainer.eval_stride", stride, f"1 to model.context_length={length}")


def _numbers_fit_fp32(config: RunConfig) -> None:
    for group in ("explorer", "reward", "objective"):
        for key, number in flatten(config.raw[group], f"{group}.").items():
            size = abs(number) if isinstance(number, float) else 0.0
            if size and not _SMALLEST <= size <= _LARGEST:
                valid = f"0, or a number of a size from {_SMALLEST:g} to {_LARGEST:g}"
                raise ConfigError(key, number, valid, "steps compute in single precision")


RULES = [
    _numbers_fit_fp32,
    _stride_fits,
    _members_can_be_compared,
    _kept_weights_find_their_prior,
    _monitors_can_act,
    _truth_is_visible,
    _reference_is_there,
    _opponent_is_there,
    _weights_or_baseline,
    _uniform_weights_fit_the_objective,
    _uniform_weights_fit_the_reward,
    _groups_have_members,
    _others_can_be_left_alone,
    _rollouts_fit_the_objective,
    _rollouts_fit_the_schedule,
    _rollouts_fit_the_history,
    _rollouts_fit_the_context,
]

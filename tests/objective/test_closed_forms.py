"""Each objective's gradient against the formula worked out by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from avatarl.training.tabular import Tabular

Make = Callable[..., Tabular]

PLAIN = ["objective.kl_coef=0", "objective.ent_coef=0"]


def assert_close(actual: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-6)


def expected_reward_gradient(probs: torch.Tensor, rewards: torch.Tensor) -> torch.Tensor:
    """π_k (r_k − E_π[r]), averaged over contexts of equal weight."""
    mean = (probs * rewards).sum(-1, keepdim=True)
    return probs * (rewards - mean) / len(probs)


@pytest.mark.parametrize("baseline", ["group_mean", "none"])
def test_policy_weighting_climbs_the_expected_reward_with_or_without_a_baseline(
    tabular: Make, truth: torch.Tensor, logits: torch.Tensor, baseline: str
) -> None:
    game = tabular("objective=dr_grpo", "reward=match", f"objective.baseline={baseline}", *PLAIN)
    expected = -expected_reward_gradient(logits.softmax(-1), truth)
    assert_close(game.gradient(logits), expected)


def test_uniform_weighting_of_the_raw_match_is_cross_entropy(
    tabular: Make, truth: torch.Tensor, logits: torch.Tensor
) -> None:
    uniform = tabular(
        "objective=dr_grpo",
        "reward=match",
        "explorer.action_weighting=uniform",
        "objective.baseline=none",
        *PLAIN,
    )
    control = tabular("objective=cross_entropy", "reward=match")
    expected = (logits.softmax(-1) - truth) / 3
    assert_close(control.gradient(logits), expected)
    assert_close(uniform.gradient(logits), expected)


def test_cross_entropy_is_the_mean_negative_log_likelihood(
    tabular: Make, truth: torch.Tensor, logits: torch.Tensor
) -> None:
    terms, _, _ = tabular("objective=cross_entropy", "reward=match").loss(logits)
    expected = -(truth * logits.log_softmax(-1)).sum(-1).mean()
    assert_close(terms.loss, expected)


def test_the_group_std_turns_a_match_into_twice_the_arcsine(
    tabular: Make, logits: torch.Tensor
) -> None:
    """On one-hot rewards GRPO climbs 2·arcsin√π(y), not π(y)."""
    counts = torch.eye(3, 5, dtype=torch.int64)
    game = tabular("objective=grpo", "reward=match", *PLAIN, counts=counts)
    table = logits.clone().requires_grad_()
    right = table.softmax(-1).diagonal()
    (2 * right.sqrt().arcsin()).mean().backward()
    assert table.grad is not None
    assert_close(game.gradient(logits), -table.grad)


def test_the_group_std_cancels_the_size_of_a_one_hot_reward(
    tabular: Make, logits: torch.Tensor
) -> None:
    counts = torch.eye(3, 5, dtype=torch.int64)
    mixed = ["reward=mixed", "reward.soft_weight=0"]
    for weight in (1.0, 3.0):
        grpo = tabular("objective=grpo", *mixed, f"reward.hard_weight={weight}", *PLAIN)
        assert_close(
            tabular("objective=grpo", *mixed, "reward.hard_weight=1", *PLAIN).gradient(logits),
            grpo.gradient(logits),
        )
    plain = tabular("objective=dr_grpo", *mixed, *PLAIN, counts=counts)
    tripled = tabular("objective=dr_grpo", *mixed, "reward.hard_weight=3", *PLAIN, counts=counts)
    assert_close(3 * plain.gradient(logits), tripled.gradient(logits))


def test_under_uniform_weights_the_hit_stands_out_by_a_constant(
    tabular: Make, logits: torch.Tensor
) -> None:
    """(1 − 1/V) over the std √(V−1)/V is √(V−1), whatever the policy believes."""
    from avatarl.objective import terms

    matches = torch.eye(5).unsqueeze(0)
    group = torch.full_like(matches, 0.2)
    advantage = (matches - terms.group_mean(matches, group)) / terms.group_std(matches, group)
    assert_close(advantage.diagonal(dim1=1, dim2=2), torch.full((1, 5), math.sqrt(4)))
    scaled = 7 * matches
    again = (scaled - terms.group_mean(scaled, group)) / terms.group_std(scaled, group)
    assert_close(advantage, again)


def test_confidence_scaling_climbs_a_convex_function(
    tabular: Make, truth: torch.Tensor, logits: torch.Tensor
) -> None:
    """r·(1 + w·π) has the objective p·(π + w·π²/2): the rich get richer."""
    game = tabular(
        "objective=dr_grpo",
        "reward=confidence_scaled",
        "reward.soft_weight=0",
        "reward.confidence_weight=0.8",
        *PLAIN,
    )
    table = logits.clone().requires_grad_()
    probs = table.softmax(-1)
    (truth * (probs + 0.8 * probs.square() / 2)).sum(-1).mean().backward()
    assert table.grad is not None
    assert_close(game.gradient(logits), -table.grad)


@pytest.mark.parametrize("ratio", [0.5, 1.0, 2.0])
def test_clipping_stops_the_gradient_where_it_would_help_itself(
    tabular: Make, ratio: float
) -> None:
    """At ρ outside the clip range, only moves back into it have a gradient."""
    from avatarl.objective import terms

    for sign in (1.0, -1.0):
        rho = torch.tensor([[[ratio]]], requires_grad=True)
        surrogate, share = terms.clipped_surrogate(
            rho, torch.full((1, 1, 1), sign), torch.tensor(0.2), torch.tensor(0.2)
        )
        surrogate.sum().backward()
        stopped = (ratio > 1.2 and sign > 0) or (ratio < 0.8 and sign < 0)
        assert rho.grad is not None
        assert rho.grad.item() == (0.0 if stopped else sign)
        assert share.item() == float(stopped)


def test_kl_and_entropy_enter_with_their_coefficients(
    tabular: Make, truth: torch.Tensor, logits: torch.Tensor
) -> None:
    ref = torch.tensor([[0.4, 0.3, 0.1, 0.1, 0.1]] * 3)
    game = tabular(
        "objective=dr_grpo",
        "reward=match",
        "objective.kl_coef=0.7",
        "objective.ent_coef=0.2",
        reference=ref,
    )
    table = logits.clone().requires_grad_()
    logprobs = table.log_softmax(-1)
    probs = logprobs.exp()
    value = (truth * probs).sum(-1)
    divergence = (probs * (logprobs - ref.log())).sum(-1)
    entropy = -(probs * logprobs).sum(-1)
    (-value + 0.7 * divergence - 0.2 * entropy).mean().backward()
    assert table.grad is not None
    assert_close(game.gradient(logits), table.grad)


def test_with_kl_and_entropy_the_optimum_is_the_tilted_reference(
    tabular: Make, truth: torch.Tensor, logits: torch.Tensor
) -> None:
    """π* ∝ ref^{λ/(λ+β)} · exp(r̄/(λ+β)), reached by ascent."""
    ref = torch.tensor([[0.4, 0.3, 0.1, 0.1, 0.1], [0.2] * 5, [0.05, 0.05, 0.1, 0.2, 0.6]])
    kl, entropy = 0.3, 0.1
    game = tabular(
        "objective=dr_grpo",
        "reward=match",
        f"objective.kl_coef={kl}",
        f"objective.ent_coef={entropy}",
        reference=ref,
    )
    reached = game.ascend(logits, 1500, 0.03).softmax(-1)
    tilted = (kl * ref.log() + truth) / (kl + entropy)
    torch.testing.assert_close(reached, tilted.softmax(-1), rtol=0, atol=2e-3)


def test_the_log_ratio_to_the_reference_is_calibrated_at_full_kl(
    tabular: Make, truth: torch.Tensor, logits: torch.Tensor
) -> None:
    """r = log(p/ref) with λ = 1 has the optimum p itself; r̄ is given here as the soft signal."""
    smooth = (truth + 0.02) / (truth + 0.02).sum(-1, keepdim=True)
    ref = torch.full((3, 5), 0.2)
    game = tabular(
        "objective=dr_grpo",
        "reward=reference",
        "reward.signal=logprob",
        "objective.kl_coef=0",
        "objective.ent_coef=1",
        reference=smooth,
    )
    # log p is log(p/ref) up to a constant, and entropy is the KL to the uniform reference.
    reached = game.ascend(logits, 1500, 0.03).softmax(-1)
    torch.testing.assert_close(reached, smooth, rtol=0, atol=2e-3)
    assert not torch.allclose(reached, ref, atol=0.05)


def test_the_adaptive_kl_coefficient_compounds() -> None:
    from avatarl.objective import terms

    target, window = torch.tensor(0.02), torch.tensor(10.0)
    control = {"kl_scale": torch.tensor(1.0), "kl_mean": torch.tensor(1.0)}
    for _ in range(20):
        control = terms.adapted_kl(control, torch.tensor(1.0), target, window)
    assert control["kl_scale"].item() == pytest.approx(1.02**20, rel=1e-4)
    for _ in range(2000):
        control = terms.adapted_kl(control, torch.tensor(1.0), target, window)
    assert math.isfinite(control["kl_scale"].item())


@pytest.mark.parametrize("alpha", [0.25, 0.5, 0.75])
def test_between_accuracy_and_likelihood_the_optimum_is_sharper_by_a_temperature(
    tabular: Make, truth: torch.Tensor, logits: torch.Tensor, alpha: float
) -> None:
    """Σ p·π^(1−α)/(1−α) is highest at π ∝ p^(1/α)."""
    game = tabular("objective=expected", "reward=propensity", f"reward.alpha={alpha}", *PLAIN)
    reached = game.ascend(logits, 1500, 0.03).softmax(-1)
    sharp = truth ** (1 / alpha)
    sharp = sharp / sharp.sum(-1, keepdim=True)
    torch.testing.assert_close(reached, sharp, rtol=0, atol=5e-3)


@pytest.mark.parametrize(
    "overrides",
    [
        ["objective=brier", "reward=match"],
        ["objective=expected", "reward=propensity"],
        ["objective=dr_grpo", "reward=propensity"],
        ["objective=cross_entropy", "reward=match"],
    ],
)
def test_proper_objectives_end_at_the_truth(
    tabular: Make, truth: torch.Tensor, logits: torch.Tensor, overrides: list[str]
) -> None:
    plain = [] if "objective=cross_entropy" in overrides else PLAIN
    game = tabular(*overrides, *plain)
    reached = game.ascend(logits, 3000, 0.03).softmax(-1)
    torch.testing.assert_close(reached, truth, rtol=0, atol=6e-3)


@pytest.mark.parametrize(
    "overrides",
    [["objective=expected", "reward=match"], ["objective=dr_grpo", "reward=match"]],
)
def test_expected_accuracy_ends_at_the_most_probable_character(
    tabular: Make, truth: torch.Tensor, logits: torch.Tensor, overrides: list[str]
) -> None:
    reached = tabular(*overrides, *PLAIN).ascend(0.1 * logits, 1500, 0.1).softmax(-1)
    for context in (0, 1):  # the third has no most probable character
        assert reached[context, truth[context].argmax()] > 0.98


def test_brier_has_the_gradient_of_half_the_squared_distance(
    tabular: Make, truth: torch.Tensor, logits: torch.Tensor
) -> None:
    table = logits.clone().requires_grad_()
    probs = table.softmax(-1)
    distance = 0.5 * (probs.square().sum(-1) - 2 * (truth * probs).sum(-1))
    distance.mean().backward()
    assert table.grad is not None
    game = tabular("objective=brier", "reward=match", *PLAIN)
    assert_close(game.gradient(logits), table.grad)


def test_arcsin_has_the_gradient_of_twice_the_arcsine(
    tabular: Make, truth: torch.Tensor, logits: torch.Tensor
) -> None:
    table = logits.clone().requires_grad_()
    (-(truth * 2 * table.softmax(-1).sqrt().arcsin()).sum(-1)).mean().backward()
    assert table.grad is not None
    game = tabular("objective=arcsin", "reward=match", *PLAIN)
    assert_close(game.gradient(logits), table.grad)
    certain = 200 * torch.eye(3, 5)
    assert bool(game.gradient(certain).isfinite().all())


def test_more_confidence_weight_ends_more_confident(tabular: Make, logits: torch.Tensor) -> None:
    """With an entropy bonus that stops collapse, w tilts the optimum towards certainty."""
    sharpness = []
    for weight in (-0.5, 0.0, 1.0, 2.0):
        game = tabular(
            "objective=dr_grpo",
            "reward=confidence_scaled",
            "reward.soft_weight=0",
            f"reward.confidence_weight={weight}",
            "reward.scale_max=4",
            "reward.scale_min=0",
            "objective.kl_coef=0",
            "objective.ent_coef=0.3",
        )
        reached = game.ascend(0.1 * logits, 800, 0.03).softmax(-1)
        sharpness.append(reached[:2].max(-1).values.mean().item())
    assert sharpness == sorted(sharpness)
    assert sharpness[-1] > sharpness[0] + 0.1


def test_grpo_with_std_collapses_and_the_entropy_band_holds(
    tabular: Make, logits: torch.Tensor
) -> None:
    likely = torch.tensor([[7, 3, 0, 0, 0], [0, 8, 1, 0, 1], [0, 1, 0, 0, 9]])

    def entropy(*overrides: str) -> torch.Tensor:
        game = tabular("objective=grpo", "reward=match", *PLAIN, *overrides, counts=likely)
        reached = game.ascend(logits, 1500, 0.05).log_softmax(-1)
        return -(reached.exp() * reached).sum(-1).mean()

    assert entropy() < 0.1
    held = entropy("objective.ent_min=0.4", "objective.ent_max=0.6", "objective.ent_rate=0.1")
    assert 0.3 < held < 0.7


@pytest.mark.parametrize("target", [0.4, 1.2])
def test_an_entropy_target_is_met_from_either_side(
    tabular: Make, logits: torch.Tensor, target: float
) -> None:
    game = tabular(
        "objective=expected",
        "reward=propensity",
        "objective.kl_coef=0",
        "objective.ent_coef=0",
        f"objective.ent_min={target}",
        f"objective.ent_max={target}",
        "objective.ent_rate=0.05",
        "objective.ent_limit=3",
    )
    reached = game.ascend(logits, 1500, 0.03).log_softmax(-1)
    spread = -(reached.exp() * reached).sum(-1).mean().item()
    assert spread == pytest.approx(target, abs=0.05)


def test_forward_and_reverse_kl_pull_differently_and_both_hold(
    tabular: Make, logits: torch.Tensor
) -> None:
    ref = torch.tensor([[0.4, 0.3, 0.1, 0.1, 0.1], [0.2] * 5, [0.05, 0.05, 0.1, 0.2, 0.6]])
    common = ["objective=expected", "reward=match", "reward.weight=0", "objective.ent_coef=0"]
    for direction in ("reverse", "forward"):
        game = tabular(
            *common, "objective.kl_coef=1", f"objective.kl_direction={direction}", reference=ref
        )
        table = logits.clone().requires_grad_()
        logprobs = table.log_softmax(-1)
        if direction == "reverse":
            (logprobs.exp() * (logprobs - ref.log())).sum(-1).mean().backward()
        else:
            (ref * (ref.log() - logprobs)).sum(-1).mean().backward()
        assert table.grad is not None
        assert_close(game.gradient(logits), table.grad)
        reached = game.ascend(logits, 800, 0.05).softmax(-1)
        torch.testing.assert_close(reached, ref, rtol=0, atol=5e-3)


def test_the_adaptive_kl_reaches_its_target(tabular: Make, logits: torch.Tensor) -> None:
    ref = torch.tensor([[0.4, 0.3, 0.1, 0.1, 0.1], [0.2] * 5, [0.05, 0.05, 0.1, 0.2, 0.6]])
    game = tabular(
        "objective=expected",
        "reward=match",
        "objective.kl_coef=0.3",
        "objective.kl_target=0.2",
        "objective.ent_coef=0",
        reference=ref,
    )
    reached = game.ascend(logits, 1000, 0.1).log_softmax(-1)
    kl = (reached.exp() * (reached - ref.log())).sum(-1).mean().item()
    assert kl == pytest.approx(0.2, abs=0.03)


def test_clip_higher_widens_the_upper_side_alone() -> None:
    from avatarl.objective import terms

    ratio = torch.tensor([[[1.3, 1.3, 0.7, 0.7]]])
    advantage = torch.tensor([[[1.0, -1.0, 1.0, -1.0]]])
    low, high = torch.tensor(0.2), torch.tensor(0.4)
    _, same = terms.clipped_surrogate(ratio, advantage, low, low)
    _, wider = terms.clipped_surrogate(ratio, advantage, low, high)
    assert same.tolist() == [[[1, 0, 0, 1]]]
    assert wider.tolist() == [[[0, 0, 0, 1]]]


@pytest.mark.parametrize("dual", [None, 1.5])
def test_the_surrogate_is_the_pessimistic_one_action_by_action(dual: float | None) -> None:
    """As PPO writes it, min(ρA, clip(ρ)A), one number at a time; a clipped one has no gradient."""
    from avatarl.objective import terms

    generator = torch.Generator().manual_seed(0)
    ratio = torch.randn(4, 5, 65, generator=generator).exp().requires_grad_()
    advantage = torch.randn(4, 5, 65, generator=generator)
    low, high = torch.tensor(0.3), torch.tensor(0.6)
    bound = None if dual is None else torch.tensor(dual)
    value, active = terms.clipped_surrogate(ratio, advantage, low, high, bound)
    (gradient,) = torch.autograd.grad(value.sum(), ratio)
    seen = [t.flatten().tolist() for t in (ratio, advantage, value, active, gradient)]
    for rho, a, surrogate, clip, slope in zip(*seen, strict=True):
        worst = min(rho * a, min(max(rho, 0.7), 1.6) * a)
        if dual is not None and a < 0:
            worst = max(worst, dual * a)
        assert surrogate == pytest.approx(worst, rel=1e-5, abs=1e-6)
        assert clip == float(abs(worst - rho * a) > 1e-7)
        assert slope == (0 if clip else a)
    assert 0.1 < active.mean() < 0.9


def test_dual_clip_bounds_what_a_bad_action_can_cost() -> None:
    from avatarl.objective import terms

    ratio = torch.tensor([[[10.0, 2.0, 10.0]]])
    advantage = torch.tensor([[[-1.0, -1.0, 1.0]]])
    wide = torch.tensor(100.0)
    value, active = terms.clipped_surrogate(ratio, advantage, wide, wide, torch.tensor(3.0))
    assert value.tolist() == [[[-3.0, -2.0, 10.0]]]
    assert active.tolist() == [[[1, 0, 0]]]


def test_covariance_finds_what_drives_entropy_down() -> None:
    """The mean over all actions is Cov(log π, A), whose sign is that of the entropy's fall."""
    from avatarl.objective import terms

    probs = torch.tensor([[[0.7, 0.2, 0.1]]])
    advantage = torch.tensor([[[0.3, -0.7, -0.7]]])
    shares = terms.covariance(probs.log(), advantage, probs)
    assert shares.sum() > 0
    assert terms.largest(shares, torch.tensor(1 / 3)).sum() == 1
    log_mean = (probs * probs.log()).sum()
    expected = (probs * (probs.log() - log_mean) * advantage).sum()
    torch.testing.assert_close(shares.sum(), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale", [-0.25, 0.0, 1.0])
def test_the_doubt_of_rank_aware_hits_tempers_the_odds(tabular: Make, scale: float) -> None:
    """Of two characters, p(1−π)^β/π = (1−p)π^β/(1−π): the odds are those of p to 1/(1+β)."""
    counts = torch.tensor([[7, 3], [9, 1]])
    game = tabular(
        "objective=expected", "reward=rank_aware", f"reward.scale={scale}", "reward.rest=0",
        *PLAIN, counts=counts,
    )  # fmt: skip
    reached = game.ascend(torch.zeros(2, 2), 1500, 0.03).softmax(-1)
    odds = torch.tensor([7 / 3, 9.0]) ** (1 / (1 + scale))
    torch.testing.assert_close(reached[:, 0], odds / (1 + odds), rtol=1e-3, atol=1e-3)


def test_what_rank_aware_takes_from_misses_cuts_the_tail(tabular: Make) -> None:
    """With a pay λ for every miss, p/π + (1−p)·λ is one number for all characters."""
    counts = torch.tensor([[5, 3, 1, 1]])
    game = tabular(
        "objective=expected", "reward=rank_aware", "reward.scale=0", "reward.top_k=4",
        "reward.top=-0.2", *PLAIN, counts=counts,
    )  # fmt: skip
    reached = game.ascend(torch.zeros(1, 4), 2000, 0.03).softmax(-1)[0]
    truth = counts[0] / 10
    level = truth / reached - 0.2 * (1 - truth)
    torch.testing.assert_close(level, level.mean().expand(4), rtol=1e-3, atol=1e-3)
    assert reached[0] > truth[0] and reached[3] < truth[3]


def test_gain_ends_where_match_does_once_the_past_has_caught_up(
    tabular: Make, logits: torch.Tensor
) -> None:
    bonus = ["objective=expected", "objective.kl_coef=0", "objective.ent_coef=0.3"]
    plain = tabular("reward=match", *bonus).ascend(logits, 1500, 0.03)
    game = tabular("reward=gain", "opponent=past", "opponent.decay=0.9", *bonus)
    torch.testing.assert_close(
        game.ascend(logits, 1500, 0.03).softmax(-1), plain.softmax(-1), rtol=1e-2, atol=1e-3
    )

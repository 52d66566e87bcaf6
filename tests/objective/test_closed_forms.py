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
    terms, _, _ = tabular("objective=cross_entropy", "reward=match").play(logits)
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

    hits = torch.eye(5).unsqueeze(0)
    group = torch.full_like(hits, 0.2)
    advantage = (hits - terms.group_mean(hits, group)) / terms.group_std(hits, group)
    assert_close(advantage.diagonal(dim1=1, dim2=2), torch.full((1, 5), math.sqrt(4)))
    scaled = 7 * hits
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

    knobs = {"kl_target": torch.tensor(0.02), "kl_window": torch.tensor(10.0)}
    control = {"kl_scale": torch.tensor(1.0), "kl_mean": torch.tensor(1.0)}
    for _ in range(20):
        control = terms.adapted_kl(control, torch.tensor(1.0), knobs)
    assert control["kl_scale"].item() == pytest.approx(1.1**20, rel=1e-4)
    for _ in range(2000):
        control = terms.adapted_kl(control, torch.tensor(1.0), knobs)
    assert math.isfinite(control["kl_scale"].item())

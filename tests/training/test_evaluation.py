from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from avatarl.training.evaluation import HeldOut, evaluate, reliability_curve, summarise

CPU = torch.device("cpu")


def table_policy(table: Tensor):
    """Score by the last character alone: table (V,V) of log-probabilities."""

    def score(context: Tensor, positions: int) -> Tensor:
        return table[context][:, -positions:]

    return score


@pytest.fixture
def text() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 5, 700).astype(np.uint8)


@pytest.mark.parametrize("stride", [1, 3, 6])
def test_figures_agree_with_a_loop_over_positions(text: np.ndarray, stride: int) -> None:
    table = torch.randn(5, 5, generator=torch.Generator().manual_seed(1)).log_softmax(-1)
    length = 6
    found = evaluate(table_policy(table), HeldOut(text, length, stride), device=CPU).metrics
    last = (len(text) - length - 1) // stride * stride + length
    nll, matches, brier, entropy, rank, margin = [], [], [], [], [], []
    for position in range(length - stride + 1, last + 1):
        row = table[int(text[position - 1])]
        target = int(text[position])
        nll.append(-row[target].item())
        matches.append(row.argmax().item() == target)
        onehot = torch.nn.functional.one_hot(torch.tensor(target), 5)
        brier.append((row.exp() - onehot).square().sum().item())
        entropy.append(-(row.exp() * row).sum().item())
        others = [value for char, value in enumerate(row.tolist()) if char != target]
        rank.append(1 + sum(value > row[target].item() for value in others))
        margin.append(row[target].item() - max(others))
    assert found["val/nats"] == pytest.approx(np.mean(nll), abs=1e-6)
    assert found["val/accuracy"] == pytest.approx(np.mean(matches), abs=1e-9)
    assert found["val/brier"] == pytest.approx(np.mean(brier), abs=1e-6)
    assert found["val/entropy"] == pytest.approx(np.mean(entropy), abs=1e-6)
    assert found["val/rank"] == pytest.approx(np.mean(rank), abs=1e-6)
    assert found["val/margin"] == pytest.approx(np.mean(margin), abs=1e-6)


def test_a_perfect_policy_has_no_loss_and_a_uniform_one_log_v(text: np.ndarray) -> None:
    cyclic = (np.arange(700) % 5).astype(np.uint8)
    sure = torch.full((5, 5), -1e4)
    sure[torch.arange(5), (torch.arange(5) + 1) % 5] = 0.0
    perfect = evaluate(table_policy(sure), HeldOut(cyclic, 4, 1), device=CPU).metrics
    assert perfect["val/nats"] == 0.0
    assert perfect["val/accuracy"] == 1.0
    assert perfect["val/ece"] == 0.0
    flat = torch.full((5, 5), -math.log(5))
    uniform = evaluate(table_policy(flat), HeldOut(text, 4, 1), device=CPU).metrics
    assert uniform["val/nats"] == pytest.approx(math.log(5), rel=1e-6)
    assert uniform["val/entropy"] == pytest.approx(math.log(5), rel=1e-6)


def test_divergences_from_a_reference(text: np.ndarray) -> None:
    generator = torch.Generator().manual_seed(2)
    policy, other = (torch.randn(5, 5, generator=generator).log_softmax(-1) for _ in range(2))
    found = evaluate(
        table_policy(policy), HeldOut(text, 4, 1), device=CPU, reference=table_policy(other)
    ).metrics
    rows = torch.from_numpy(text[3:-1].astype(np.int64))
    forward = (policy.exp() * (policy - other)).sum(-1)[rows].mean().item()
    backward = (other.exp() * (other - policy)).sum(-1)[rows].mean().item()
    assert found["val/kl_ref"] == pytest.approx(forward, abs=1e-6)
    assert found["val/kl_from_ref"] == pytest.approx(backward, abs=1e-6)


def test_a_limit_looks_at_evenly_spread_positions() -> None:
    held_out = HeldOut(np.zeros(10_000, np.uint8), 8, 1)
    starts = held_out.starts(100)
    assert len(starts) == 100
    assert starts[0] == 0
    assert starts[-1] == 10_000 - 9
    assert np.ptp(np.diff(starts)) <= 1
    assert len(held_out.starts(None)) == 10_000 - 8


def test_bins_have_equal_mass_and_sum_to_one() -> None:
    confidence = torch.rand(1000, generator=torch.Generator().manual_seed(0))
    curve = reliability_curve(confidence, torch.ones(1000))
    assert len(curve["weight"]) == 15
    assert sum(curve["weight"]) == pytest.approx(1)
    assert {round(weight * 1000) for weight in curve["weight"]} == {66, 67}
    assert curve["confidence"] == sorted(curve["confidence"])


def test_calibration_error_of_a_policy_that_is_always_too_sure() -> None:
    n = 3000
    correct = (torch.arange(n) % 10 < 6).float()
    facts = {
        "nll": torch.ones(n),
        "entropy": torch.ones(n),
        "confidence": torch.full((n,), 0.9),
        "correct": correct,
        "brier": torch.ones(n),
    }
    found = summarise(facts).metrics
    assert found["val/ece"] == pytest.approx(0.3, abs=1e-6)
    assert found["health/collapse_gap"] == pytest.approx(0.3, abs=1e-6)

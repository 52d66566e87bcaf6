"""The monitors on cases whose verdict is known."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from avatarl import composition
from avatarl.training.evaluation import Evaluation, summarise
from avatarl.training.health import Health

VOCAB = 12
LIMITS = composition.compose(["data=folio"]).health


@pytest.fixture(scope="module")
def source() -> tuple[torch.Tensor, torch.Tensor]:
    """A bigram source: its log-probabilities (C,V) and 40,000 (context, next) pairs (2,N)."""
    rng = np.random.default_rng(3)
    probs = rng.dirichlet(np.full(VOCAB, 0.3), size=VOCAB)
    contexts = rng.integers(VOCAB, size=40_000)
    cumulative = probs.cumsum(1)[contexts]
    following = (cumulative < rng.random((40_000, 1))).sum(1).clip(max=VOCAB - 1)
    pairs = torch.tensor(np.stack([contexts, following]))
    return torch.tensor(np.log(probs + 1e-12)).float(), pairs


def judge(logprobs: torch.Tensor, pairs: torch.Tensor) -> Evaluation:
    rows = logprobs[pairs[0]]
    probs = rows.exp()
    confidence, choice = probs.max(-1)
    right = rows.gather(-1, pairs[1].unsqueeze(-1)).squeeze(-1)
    return summarise(
        {
            "nll": -right,
            "entropy": -(probs * rows).sum(-1),
            "confidence": confidence,
            "correct": (choice == pairs[1]).float(),
            "brier": probs.square().sum(-1) - 2 * right.exp() + 1,
        }
    )


def test_a_calibrated_ngram_policy_raises_nothing(
    source: tuple[torch.Tensor, torch.Tensor],
) -> None:
    logprobs, pairs = source
    evaluation = judge(logprobs, pairs)
    assert Health(LIMITS).check_evaluation(evaluation.metrics) == []
    assert evaluation.metrics["val/ece"] < 0.02


def test_the_same_logits_at_half_the_temperature_raise_calibration_and_collapse(
    source: tuple[torch.Tensor, torch.Tensor],
) -> None:
    logprobs, pairs = source
    health = Health(LIMITS)
    sharp = judge((logprobs / 0.5).log_softmax(-1), pairs)
    raised = health.check_evaluation(sharp.metrics)
    assert {alarm.name for alarm in raised} == {"calibration", "confidence_collapse"}
    assert all(alarm.raised for alarm in raised)
    assert set(health.warnings) == {"calibration", "confidence_collapse"}
    cleared = health.check_evaluation(judge(logprobs, pairs).metrics)
    assert {alarm.name for alarm in cleared if not alarm.raised} == set(health.ever)
    assert health.warnings == ()


def test_an_underconfident_policy_raises_calibration_alone(
    source: tuple[torch.Tensor, torch.Tensor],
) -> None:
    logprobs, pairs = source
    flat = judge((logprobs / 3).log_softmax(-1), pairs)
    assert [alarm.name for alarm in Health(LIMITS).check_evaluation(flat.metrics)] == [
        "calibration"
    ]


def test_steady_gradients_raise_nothing() -> None:
    health = Health(LIMITS)
    facts = health.gradients([1.0 + 0.1 * math.sin(step) for step in range(200)], 10.0)
    assert health.check_gradients(facts) == []
    assert facts["health/grad_cv"] == pytest.approx(0.1 / math.sqrt(2), rel=0.1)
    assert facts["health/grad_clipped_share"] == 0.0


@pytest.mark.parametrize(
    ("norms", "fact"),
    [
        ([1.0] * 99 + [3.5], "health/grad_ratio"),
        ([0.01] * 45 + [9.0] * 2 + [0.01] * 45, "health/grad_cv"),
        ([1.0] * 60 + [math.nan] + [1.0], "health/grad_nonfinite"),
        ([math.inf], "health/grad_nonfinite"),
    ],
)
def test_unsteady_gradients_raise_their_alarm(norms: list[float], fact: str) -> None:
    health = Health(LIMITS)
    facts = health.gradients(norms, 1.0)
    (alarm,) = health.check_gradients(facts)
    assert alarm.name == "gradient_stability"
    assert facts[fact] > 0


def test_a_first_wild_window_is_not_judged() -> None:
    health = Health(LIMITS)
    assert health.check_gradients(health.gradients([0.1, 5.0, 0.1], 1.0)) == []


def test_the_memory_survives_a_checkpoint() -> None:
    health = Health(LIMITS)
    health.gradients([1.0, 2.0, math.inf], 1.5)
    health.check_evaluation({"val/ece": 0.3, "health/collapse_gap": 0.0, "health/entropy_gap": 0.0})
    again = Health.from_state_dict(LIMITS, json.loads(json.dumps(health.state_dict())))
    assert again == health
    assert again.gradients([3.0], 1.5) == health.gradients([3.0], 1.5)


def test_much_clipping_raises_its_alarm() -> None:
    health = Health(LIMITS)
    facts = health.gradients([1.0], 1.0)
    assert health.check_gradients({**facts, "health/clip_fraction": 0.2}) == []
    (alarm,) = health.check_gradients({**facts, "health/clip_fraction": 0.4})
    assert (alarm.name, alarm.value, alarm.threshold) == ("clipping", 0.4, 0.3)


def test_limits_come_from_the_settings() -> None:
    strict = composition.compose(["data=folio", "health.calibration_error=0.001"]).health
    facts = {"val/ece": 0.01, "health/collapse_gap": 0.0, "health/entropy_gap": 0.0}
    assert Health(LIMITS).check_evaluation(facts) == []
    (alarm,) = Health(strict).check_evaluation(facts)
    assert alarm.threshold == 0.001

"""``health/clip_fraction`` is the share of the acting policy's mass on which the clip acts."""

from __future__ import annotations

import functools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarl import composition
from avatarl.config import RunConfig
from avatarl.interfaces import Exploration, dynamic_values, hyperparameters_of
from avatarl.objective.grpo import ClippedObjective

LOW, HIGH, DUAL = 0.2, 0.3, 2.5
CPU = torch.device("cpu")
NUMBERS = st.lists(
    st.integers(-300, 300).map(lambda hundredths: hundredths / 100), min_size=4, max_size=4
)


@functools.cache
def composed(*words: str) -> RunConfig:
    return composition.compose(["data=folio", "tracking=files", *words])


def surrogate(ratio: float, advantage: float, dual: bool) -> float:
    pessimistic = min(ratio * advantage, max(1 - LOW, min(1 + HIGH, ratio)) * advantage)
    return max(pessimistic, DUAL * advantage) if dual and advantage < 0 else pessimistic


def acts(ratio: float, advantage: float, dual: bool) -> bool:
    """Whether moving the policy a little further would no longer change the surrogate."""
    sides = [surrogate(ratio * (1 + by), advantage, dual) for by in (-1e-4, 1e-4)]
    return advantage != 0 and abs(sides[1] - sides[0]) < 1e-6 * ratio * abs(advantage)


@pytest.mark.parametrize("dual", [False, True])
@settings(deadline=None)
@given(old=NUMBERS, new=NUMBERS, rewards=NUMBERS)
def test_it_is_the_mass_whose_surrogate_no_longer_moves(
    dual: bool, old: list[float], new: list[float], rewards: list[float]
) -> None:
    words = ["objective=dr_grpo", "objective.baseline=none", f"objective.clip_coef={LOW}",
             f"objective.clip_coef_high={HIGH}", "objective.sync_every=2"]  # fmt: skip
    words += [f"objective.dual_clip={DUAL}"] if dual else []
    config = composed(*words)
    objective = config.objective.build()
    assert isinstance(objective, ClippedObjective)
    hparams = hyperparameters_of(config.raw["objective"], CPU, dynamic_values(CPU))
    old_logprobs, logprobs = (
        torch.tensor(logits).log_softmax(-1).view(1, 1, 4) for logits in (old, new)
    )
    paid = torch.tensor(rewards).view(1, 1, 4)
    probs = old_logprobs.exp()
    exploration = Exploration(
        actions=None, weights=probs, group=probs, matches=torch.zeros(1, 1, 4),
        contexts=torch.zeros(1, 1, dtype=torch.int64), old_logprobs=old_logprobs, old_probs=probs,
    )  # fmt: skip
    facts: dict[str, torch.Tensor] = {}
    objective.policy_loss(logprobs, exploration, paid, hparams, facts)
    ratios = (logprobs - old_logprobs).exp().flatten().tolist()
    edges = (1 - LOW, 1 + HIGH, DUAL)
    if any(abs(ratio - edge) < 1e-3 for ratio in ratios for edge in edges):
        return  # at an edge the slow derivative straddles it
    found = [acts(*pair, dual) for pair in zip(ratios, rewards, strict=True)]
    for sign, name in ((0, ""), (1, "_positive"), (-1, "_negative")):
        mass = sum(
            weight
            for weight, on, reward in zip(probs.flatten().tolist(), found, rewards, strict=True)
            if on and sign * reward >= 0
        )
        assert facts[f"health/clip_fraction{name}"].item() == pytest.approx(mass, abs=1e-5)

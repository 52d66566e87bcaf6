"""What the theory says of networks, on a small source whose probabilities are known."""

from __future__ import annotations

import functools

import numpy as np
import pytest
import torch

from avatarl import composition
from avatarl.config import RunConfig
from avatarl.data import Corpus
from avatarl.data.base import RawText
from avatarl.training.evaluation import HeldOut, evaluate
from avatarl.training.health import Health
from avatarl.training.learner import Learner

# Each row has a likely next character, and none is certain: confidence can be right or wrong.
TABLE = np.array([[0.60, 0.25, 0.15], [0.15, 0.70, 0.15], [0.20, 0.15, 0.65]])


@functools.cache
def source() -> Corpus:
    rng = np.random.default_rng(0)
    state, letters = 0, []
    for draw in rng.random(60_000):
        state = min(2, int((TABLE[state].cumsum() < draw).sum()))
        letters.append("abc"[state])
    raw = RawText(name="markov", text="".join(letters))
    return Corpus.from_text(raw, train_fraction=0.7, unseen="error")


def learn(*overrides: str) -> tuple[dict[str, float], RunConfig]:
    torch.set_num_threads(1)
    common = ["data=folio", "model=gpt2_tiny", "tracking=files", "reference=bigram",
              "reference.cross_fit=null", "trainer.steps=200", "trainer.batch_size=64",
              "optimizer.lr=0.01"]  # fmt: skip
    config = composition.compose([*common, *overrides])
    learner = Learner(config, source(), torch.device("cpu"))
    while learner.step < learner.steps:
        learner.train_step(with_facts=False)
    held_out = HeldOut(source().heldout, 8, 1)
    return evaluate(learner.score, held_out, device=torch.device("cpu")).metrics, config


@pytest.mark.parametrize(
    "overrides",
    [
        ["objective=brier", "reward=match"],
        ["objective=expected", "reward=propensity"],
        ["objective=expected", "reward=propensity", "explorer=bandit"],
    ],
)
def test_calibrated_objectives_end_calibrated(overrides: list[str]) -> None:
    metrics, config = learn(*overrides)
    assert metrics["val/ece"] < 0.02
    assert Health(config.health).check_evaluation(metrics) == []


def test_confidence_scaling_ends_more_confident() -> None:
    scaled = ["objective=dr_grpo", "reward=confidence_scaled", "reward.soft_weight=0",
              "reward.scale_max=4", "objective.kl_coef=0.3", "objective.ent_coef=0"]  # fmt: skip
    plain, _ = learn(*scaled, "reward.confidence_weight=0")
    strong, _ = learn(*scaled, "reward.confidence_weight=2")
    assert strong["val/entropy"] < plain["val/entropy"] - 0.03
    assert strong["val/ece"] > plain["val/ece"] + 0.02


def test_naive_grpo_collapses_the_monitors_say_so_and_the_band_prevents_it() -> None:
    naive = ["objective=grpo", "reward=mixed", "objective.kl_coef=0", "objective.ent_coef=0.01"]
    collapsed, config = learn(*naive)
    assert collapsed["val/entropy"] < 0.1
    names = {alarm.name for alarm in Health(config.health).check_evaluation(collapsed)}
    assert names == {"calibration", "confidence_collapse"}
    held, _ = learn(*naive, "objective.ent_min=0.6", "objective.ent_max=0.9",
                    "objective.ent_rate=0.05", "objective.ent_limit=3")  # fmt: skip
    assert held["val/entropy"] > 0.4

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from avatarl.config import RunConfig
from avatarl.data import load
from avatarl.errors import ConfigError
from avatarl.training import Interrupted, execute
from avatarl.training.learner import Learner

Tiny = Callable[..., RunConfig]
CPU = torch.device("cpu")


def events(directory: Path, kind: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if line.get("event") == kind]


def learner_of(config: RunConfig) -> Learner:
    return Learner(config, load(config.data), CPU)


def test_a_ladder_climbs_when_the_development_loss_stalls(tiny: Tiny) -> None:
    config = tiny(
        "reference=ngram4",
        "reference/schedule=ladder",
        "reference.schedule.rungs=[1,2,4]",
        "reference.schedule.patience=1",
        "reference.schedule.least=100",
        "trainer.eval_every=4",
    )
    result = execute(config)
    promotions = events(result.directory, "promotion")
    assert [(event["from"], event["to"]) for event in promotions] == [
        ("order 1", "order 2"),
        ("order 2", "order 4"),
    ]
    assert promotions[0]["step"] < promotions[1]["step"]


def test_a_rung_limits_what_the_reference_sees(tiny: Tiny) -> None:
    ladder = ("reference/schedule=ladder", "reference.schedule.rungs=[2,4]")
    learner = learner_of(tiny("reference=ngram4", *ladder))
    bigram = learner_of(tiny("reference=bigram", "data.dev_fraction=0.05"))
    context = torch.randint(65, (5, 8), generator=torch.Generator().manual_seed(0))
    climbing = learner.score_reference(context, 1)
    # The ladder's counts leave out the development slice, so only the shape of the context tells.
    other = context.clone()
    other[:, :-1] = (other[:, :-1] + 1) % 65
    torch.testing.assert_close(climbing, learner.score_reference(other, 1))
    assert not torch.allclose(climbing, bigram.score_reference(context, 1))


def test_handing_over_drops_the_reference_for_good(tiny: Tiny) -> None:
    config = tiny(
        "reference=unigram",
        "reference/schedule=hand_over",
        "reference.schedule.decay=0.0",
        "trainer.steps=150",
        "trainer.eval_every=5",
        "optimizer.lr=0.01",
    )
    result = execute(config)
    (promotion,) = events(result.directory, "promotion")
    assert promotion["to"] == "text"
    lines = [json.loads(line) for line in (result.directory / "metrics.jsonl").open()]
    # A record is the mean of the steps since the last one: of those after the promotion alone.
    first = promotion["step"] + config.trainer.log_every
    later = [
        line["train/kl_coef"] for line in lines if "train/kl_coef" in line and line["step"] >= first
    ]
    assert later
    assert set(later) == {0.0}


def test_annealing_follows_the_characters(tiny: Tiny) -> None:
    learner = learner_of(tiny("reference/schedule=annealed", "reference.schedule.characters=2560"))
    factors = []
    for _ in range(24):
        learner.train_step(with_facts=False)
        factors.append(learner.hparams["objective"]["reference_factor"].item())
    assert factors[0] == 1.0
    assert factors[10] == pytest.approx(0.5)
    assert factors[-1] == 0.0


@pytest.mark.parametrize("by", ["count", "entropy"])
def test_gated_positions_count_by_what_the_reference_knows(tiny: Tiny, by: str) -> None:
    learner = learner_of(tiny("reference/schedule=gated", f"reference.schedule.by={by}"))
    batch = learner.batches.at(0)
    gate = batch.gate
    assert gate is not None
    assert gate.shape == batch.positions.shape
    assert bool(((gate >= 0) & (gate <= 1)).all())
    assert gate.std() > 0
    learner.train_step(with_facts=False)


def test_an_interrupted_ladder_ends_like_an_undisturbed_one(tiny: Tiny) -> None:
    words = (
        "reference=trigram",
        "reference/schedule=ladder",
        "reference.schedule.rungs=[1,2,3]",
        "reference.schedule.patience=1",
        "reference.schedule.least=100",
        "trainer.eval_every=4",
    )
    undisturbed = execute(tiny(*words))
    polls = iter([False] * 14 + [True])
    with pytest.raises(Interrupted):
        execute(tiny(*words, folder="cut"), stop=lambda: next(polls))
    resumed = execute(tiny(*words, folder="cut"))
    assert resumed["val/nats"] == undisturbed["val/nats"]
    shown = [
        [(event["step"], event["to"]) for event in events(result.directory, "promotion")]
        for result in (undisturbed, resumed)
    ]
    assert shown[0] == shown[1]


@pytest.mark.parametrize("side", ["start", "end"])
def test_the_development_slice_is_set_aside_only_where_it_is_needed(tiny: Tiny, side: str) -> None:
    config = tiny(
        f"data.dev_from={side}",
        "reference=trigram",
        "reference/schedule=ladder",
        "reference.schedule.rungs=[1,3]",
        "data.dev_fraction=0.1",
    )
    corpus = load(config.data)
    learner = learner_of(config)
    size = len(corpus.train) // 10
    assert len(learner.batches.ids) == len(corpus.train) - size
    assert learner.reference_schedule.slice is not None
    cut = corpus.train[:size] if side == "start" else corpus.train[-size:]
    np.testing.assert_array_equal(learner.reference_schedule.slice.ids, cut)
    constant = learner_of(tiny("data.dev_fraction=0.1"))
    assert len(constant.batches.ids) == len(corpus.train)
    assert constant.reference_schedule.slice is None


def test_a_slice_too_small_is_refused(tiny: Tiny) -> None:
    config = tiny("reference/schedule=hand_over", "data.dev_fraction=0")
    with pytest.raises(ConfigError, match=r"data\.dev_fraction"):
        learner_of(config)


def test_with_a_prior_the_first_policy_is_the_reference(tiny: Tiny) -> None:
    learner = learner_of(tiny("reference=trigram", "model.prior=true"))
    # Silence the network itself: what is left is gate · log reference, with the gate at one.
    with torch.no_grad():
        for name, weight in learner.parameters.items():
            if name != "prior_gate":
                weight.zero_()
    context = torch.randint(65, (7, 8), generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(
        learner.score(context, 1), learner.score_reference(context, 1), atol=1e-5, rtol=1e-5
    )


def test_a_prior_learns_its_gate(tiny: Tiny) -> None:
    learner = learner_of(tiny("reference=trigram", "model.prior=true"))
    for _ in range(5):
        learner.train_step(with_facts=False)
    assert learner.parameters["prior_gate"].item() != 1.0

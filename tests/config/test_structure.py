"""What makes runs one program, and what doesn't."""

from __future__ import annotations

import pytest

from avatarl import composition
from avatarl.config import parse, structure_key
from tests import tiny

TINY = [*tiny.TEXT_AND_MODEL, "tracking=files"]


def key(*overrides: str) -> str:
    return structure_key(composition.compose([*TINY, *overrides]))


@pytest.mark.parametrize(
    "same",
    [
        "seed=5",
        "optimizer.lr=0.5",
        "optimizer=adamw",
        "reward.confidence_weight=0",
        "reward.soft_weight=0",
        "objective.kl_coef=0.7",
        "reference=bigram",
        "reference=kneser_ney",
        "trainer.steps=99",
        "output_dir=elsewhere",
    ],
)
def test_numbers_of_the_step_and_what_is_each_runs_own_keep_it(same: str) -> None:
    assert key(same) == key()


def test_how_much_a_past_self_keeps_is_each_runs_own() -> None:
    assert key("opponent=past", "opponent.decay=0.5") == key("opponent=past")


@pytest.mark.parametrize(
    "other",
    [
        "model.n_layer=3",
        "objective=grpo",
        "objective.kl_coef=0",
        "objective.kl_target=0.1",
        "objective.kl_coef={shape: linear, start: 0, end: 1, begin: 0, until: 1}",
        "objective.sync_every=3",
        "reward.penalty=0.1",
        "reward.signal=logprob",
        "explorer=bandit",
        "opponent=past",
        "trainer.batch_size=16",
        "trainer.precision=bf16",
        "data.seed=9",
        "reference/schedule=gated",
    ],
)
def test_what_changes_the_program_changes_it(other: str) -> None:
    assert key(other) != key()


def test_a_schedule_of_another_shape_is_another_program_and_of_other_numbers_is_not() -> None:
    ramp = "reward.weight={{shape: {}, start: {}, end: 1, begin: 0, until: 1}}"
    assert key(ramp.format("linear", 0)) == key(ramp.format("linear", 0.5))
    assert key(ramp.format("linear", 0)) != key(ramp.format("cosine", 0))


def test_it_is_that_of_the_configuration_as_stored() -> None:
    config = composition.compose(TINY)
    assert structure_key(parse(config.raw)) == structure_key(config)

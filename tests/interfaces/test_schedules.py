"""Numbers that move as a run goes on, wherever a number may."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from avatarl import composition
from avatarl.config import parse
from avatarl.data import load
from avatarl.errors import ConfigError
from avatarl.interfaces import Schedule, current, hyperparameters_of, over_a_run
from avatarl.options import field_types
from avatarl.training.learner import Learner
from tests import tiny

ROLLOUTS = ["explorer.horizon=2", "explorer.positions=last"]
SETTINGS = {
    "exhaustive": ["explorer.select=drop_lowest", "objective=grpo", "objective.dual_clip=3",
                   "objective.clip_coef_high=0.3", "objective.sync_every=2",
                   "objective.covariance=kl", "objective.ent_min=1", "objective.ent_max=3",
                   "objective.kl_target=0.02"],
    "threshold": ["explorer.select=drop_random", "explorer.select_below=3.9"],
    "temperature": ["explorer=temperature", "explorer.guidance=0.3", "explorer.weight_cap=2",
                    "explorer.discount=0.9", *ROLLOUTS],
    "swarm": ["explorer=swarm", "explorer.guidance=0.2"],
    "bandit": ["explorer=bandit", "objective=expected", "reward=propensity", "reward.alpha=0.5",
               "reward.cap=40"],
    "confidence": ["reward.penalty=0.1", "reward.penalty_threshold=0.01"],
    "improvement": ["reward=improvement"],
    "gain": ["reward=gain", "opponent=past", "opponent.every=1"],
    "experts": ["reward=product_of_experts"],
    "rank": ["reward=rank_aware", "reward.cap=60"],
    "origin": ["reward=origin", "reward.penalty=0.1", "reward.penalty_threshold=0.01"],
    "population": ["opponent=population", "opponent.size=2"],
}  # fmt: skip


def raw_of(name: str) -> dict[str, Any]:
    words = [*tiny.TINY, "tracking=files", "trainer.steps=4", *SETTINGS[name]]
    return copy.deepcopy(composition.compose(words).raw)


def scheduled(raw: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """Every number of a step's groups in whose place a schedule may stand."""
    config = parse(raw)
    for group in ("explorer", "reward", "objective", "opponent"):
        declaration: Any = type(getattr(config, group))
        for name, hint in field_types(declaration).items():
            if "Schedule" in str(hint) and isinstance(raw[group][name], float):
                yield raw[group], name


@pytest.mark.parametrize("name", SETTINGS)
def test_a_schedule_that_stays_where_it_is_is_the_number(name: str) -> None:
    plain, still = raw_of(name), raw_of(name)
    places = list(scheduled(still))
    assert len(places) > 3
    for holder, key in places:
        value = holder[key]
        # Whether a term is on at all is another program's matter.
        if value:
            holder[key] = {"shape": "linear", "start": value, "end": value, "begin": 0, "until": 1}
    corpus = load(parse(plain).data)
    one, other = (Learner(parse(raw), corpus, torch.device("cpu")) for raw in (plain, still))
    for _ in range(3):
        facts, found = (learner.train_step(with_facts=True) for learner in (one, other))
        assert facts.keys() == found.keys()
        assert all(torch.equal(found[fact], value) for fact, value in facts.items())


@settings(deadline=None)
@given(
    st.sampled_from(["linear", "cosine"]),
    st.floats(-5, 5),
    st.floats(-5, 5),
    st.floats(0, 0.4),
    st.floats(0.6, 1),
)
def test_what_is_checked_beforehand_is_what_steps_will_read(
    shape: Any, start: float, end: float, begin: float, until: float
) -> None:
    schedule = Schedule(shape, start, end, begin, until)
    worth = over_a_run(schedule)
    assert len(worth) == 101
    hparams = hyperparameters_of({"it": vars(schedule)}, torch.device("cpu"))
    for percent in (0, 37, 50, 100):
        hparams["progress"].fill_(percent / 100)
        assert current(schedule, hparams, "it").item() == pytest.approx(worth[percent], abs=1e-4)
    assert min(start, end) - 1e-9 <= min(worth) <= max(worth) <= max(start, end) + 1e-9


def ramp(start: float, end: float) -> str:
    return f"{{shape: linear, start: {start}, end: {end}, begin: 0, until: 1}}"


@pytest.mark.parametrize(
    ("words", "key"),
    [
        (["explorer=temperature", f"explorer.temperature={ramp(0, 1)}"],
         "explorer.temperature.start"),
        (["explorer=temperature", f"explorer.guidance={ramp(0, 1.5)}"], "explorer.guidance.end"),
        ([f"explorer.select_share={ramp(0, 1)}"], "explorer.select_share.end"),
        ([f"objective.clip_coef={ramp(0.5, 0)}"], "objective.clip_coef.end"),
        ([f"objective.dual_clip={ramp(3, 1)}"], "objective.dual_clip.end"),
        ([f"objective.kl_coef={ramp(1, -1)}"], "objective.kl_coef.end"),
        ([f"objective.kl_window={ramp(10, 0.5)}"], "objective.kl_window.end"),
        ([f"objective.ent_limit={ramp(1, -1)}"], "objective.ent_limit.end"),
        ([f"reward.penalty_threshold={ramp(0.5, 1.5)}"], "reward.penalty_threshold.end"),
        (["reward=propensity", f"reward.cap={ramp(0, 9)}"], "reward.cap.start"),
        (["reward=product_of_experts", f"reward.softening={ramp(0.5, 0)}"],
         "reward.softening.end"),
        (["opponent=population", f"opponent.strength={ramp(0, 1.5)}"], "opponent.strength.end"),
    ],
)  # fmt: skip
def test_both_ends_are_held_to_the_numbers_own_bounds(words: list[str], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        composition.compose([*tiny.TINY, *words])
    assert caught.value.key == key


@pytest.mark.parametrize(
    ("words", "told"),
    [
        ([f"objective.ent_min={ramp(3, 1)}", f"objective.ent_max={ramp(4, 0.5)}"],
         ["objective.ent_min=1.66", "after 67 % of the run", "at most ent_max=1.655"]),
        (["explorer=swarm", f"explorer.temperature_min={ramp(0.5, 3)}"],
         ["explorer.temperature_min=2.025", "after 61 %", "at most temperature_max=2"]),
        ([f"reward.scale_min={ramp(0, 3)}"],
         ["reward.scale_min=2.01", "after 67 %", "at most scale_max=2"]),
        (["reward=improvement", f"reward.high={ramp(2, -2)}"],
         ["reward.low=-1", "after 76 %", "at most high=-1.04"]),
        (["explorer=bandit", f"explorer.reference_share={ramp(0.5, 1)}"],
         ["explorer.reference_share=0.955", "at most 0.95", "uniform_share=0.05"]),
    ],
)  # fmt: skip
def test_two_numbers_must_go_together_at_every_moment(words: list[str], told: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        composition.compose([*tiny.TINY, *words])
    assert [part for part in told if part not in str(caught.value)] == [], caught.value
    fitting = [f"objective.ent_min={ramp(3, 1)}", f"objective.ent_max={ramp(4, 1.5)}"]
    composition.compose([*tiny.TINY, *fitting])

"""Numbers at the edge: for finite inputs no loss, gradient or figure is NaN or infinite."""

from __future__ import annotations

import dataclasses
import functools
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from avatarl import composition
from avatarl.errors import ConfigError
from avatarl.explorer import Decoder, Rollouts
from avatarl.interfaces import Batch
from avatarl.training import execute
from avatarl.training.scoring import Network
from avatarl.training.step import Players, StepInputs
from avatarl.training.tabular import Tabular
from tests import tiny
from tests.test_combinations import EXPLORERS, OBJECTIVES, REWARDS, combine

# What pushes an option to its edge; every number is one that is accepted.
EDGES: dict[str, dict[str, Any]] = {
    "confidence_scaled": {"reward__confidence_weight": 1e9, "reward__scale_max": 1e9},
    "mixed": {"reward__signal": "log_ratio", "reward__soft_weight": 1e9},
    "improvement": {"reward__gain": 1e9, "reward__high": 1e9, "reward__low": -1e9},
    "origin": {"reward__scale": 1e9, "reward__bonus": 1e9, "reward__scale_max": 1e9},
    "opponent": {"reward__strength": 1e9, "objective__past_kl_coef": 1e9},
    "product_of_experts": {"reward__softening": 1e-20, "reward__reality": 1e9},
    "curriculum": {"reward__words": 1e9},
    "gain": {"reward__gain": 1e9, "reward__base": 1e9},
    "rank_aware": {"reward__scale": -1e9, "reward__rest": -1e9},
    "grpo": {"objective__std_floor": 1e-20, "objective__covariance": "kl"},
    "dr_grpo": {"objective__dual_clip": 1.0000001, "objective__covariance": "clip"},
    "temperature": {"explorer__temperature": 1e-20, "explorer__guidance": 0.5},
    "swarm": {"explorer__temperature_min": 1e-20, "explorer__temperature_max": 1e9},
    "bandit": {"explorer__uniform_share": 0.0, "explorer__reference_share": 1.0},
    "optimal": {
        "explorer__proposal": "optimal",
        "explorer__stand_in": "reference",
        "explorer__uniform_share": 0.0,
    },
    "tempered": {"explorer__proposal": "tempered", "explorer__policy_temperature": 1e-20},
    "exhaustive": {"explorer__action_weighting": "uniform", "objective__baseline": "none"},
}
V, CONTEXTS = 5, 3
COUNTS = torch.tensor([[5, 3, 1, 1, 0], [0, 8, 1, 0, 1], [2, 2, 2, 2, 2]])


def tables() -> st.SearchStrategy[torch.Tensor]:
    """(C,V) logits up to ±100, with the edges often."""
    number = st.sampled_from([-100.0, -90.0, -45.0, 0.0, 45.0, 90.0, 100.0]) | st.floats(
        -100, 100, width=32
    )
    rows = st.lists(number, min_size=V * CONTEXTS, max_size=V * CONTEXTS)
    return rows.map(lambda row: torch.tensor(row).view(CONTEXTS, V))


@functools.cache
def game(
    reward: str, explorer: str, objective: str, weight: float, age: int, at: tuple[str, ...]
) -> Tabular | None:
    changes = {key: value for name in at for key, value in EDGES.get(name, {}).items()}
    changes |= {"reward__weight": weight, "objective__sync_every": age}
    try:
        config = combine(reward, explorer, objective, **changes)
    except ConfigError as refusal:
        assert "single precision" not in str(refusal)
        return None  # impossible together
    # As finite as references are: no probability is 0.
    soft = (COUNTS + 1e-30) / (COUNTS + 1e-30).sum(-1, keepdim=True)
    return Tabular(config, COUNTS, soft)


def everything_of(game: Tabular, draw: st.DataObject) -> dict[str, torch.Tensor]:
    """Loss, gradient, rewards and figures of one step by drawn policies."""
    table = draw.draw(tables(), "policy").requires_grad_()
    old, past = draw.draw(tables(), "old policy"), draw.draw(tables(), "past policy")

    def network(logits: torch.Tensor) -> Network:
        return lambda context, prior: logits[context[:, -1:]].log_softmax(-1)  # (B,1,V)

    batch, shape = game.batch, game.step.explorer.uniforms(len(game.batch.context), 1)
    if shape:
        edges = torch.tensor([0.0, 1 - 2**-24, 0.5])
        drawn = torch.randint(3, shape, generator=torch.Generator().manual_seed(3))
        batch = dataclasses.replace(batch, uniforms=edges[drawn])
    acts = network(old) if game.step.objective.config.old_policy_age > 1 else None
    players = Players(network(table), acts, [network(past)])
    inputs = StepInputs(players, batch, game.hparams, game.controller_state)
    experience, logprobs = game.step.collect(inputs)
    output = game.step.compute_loss(inputs, experience, logprobs, with_facts=True)
    (gradient,) = torch.autograd.grad(output.loss, table)
    rewards = {"rewards": experience.rewards, "gradient": gradient, "loss": output.loss}
    return {**output.facts, **output.controller_state, **rewards}


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("explorer", EXPLORERS)
@pytest.mark.parametrize("reward", REWARDS)
@settings(max_examples=10, deadline=None, phases=[Phase.generate])
@given(draw=st.data())
def test_whatever_the_policies_are_every_number_is_finite(
    reward: str, explorer: str, objective: str, draw: st.DataObject
) -> None:
    weight, age = draw.draw(st.sampled_from([1.0, -1e9, 1e9])), draw.draw(st.sampled_from([1, 2]))
    at = [name for name in (reward, explorer, objective) if draw.draw(st.booleans())]
    if explorer == "bandit":
        at.append(draw.draw(st.sampled_from(["as shipped", "optimal", "tempered"])))
    played = game(reward, explorer, objective, weight, age, tuple(at))
    if played is None:
        return
    for name, value in everything_of(played, draw).items():
        assert value.isfinite().all(), (name, value)


HORIZON, SAMPLES = 5, 3


@pytest.mark.parametrize("objective", ["grpo", "dr_grpo", "expected"])
@settings(max_examples=20, deadline=None, phases=[Phase.generate])
@given(draw=st.data())
def test_rollouts_multiply_importance_step_by_step_and_stay_finite(
    objective: str, draw: st.DataObject
) -> None:
    changes = {"explorer__horizon": HORIZON, "explorer__positions": "last"}
    changes |= {"objective__kl_coef": 0.0}
    hot = {"explorer__temperature": 1e9, "explorer__samples": SAMPLES, "objective__sync_every": 2}
    config = combine("propensity", "temperature", objective, **changes, **hot)
    played = Tabular(config, COUNTS)
    table = draw.draw(tables(), "policy").repeat(2, 1)[:V].requires_grad_()
    old = draw.draw(tables(), "old policy").repeat(2, 1)[:V]

    def decode(prompt: torch.Tensor, rollouts: int) -> Decoder:
        first = prompt[:, -1:].repeat_interleave(rollouts, dim=0)
        return lambda char: old[first if char is None else char].log_softmax(-1)

    def score(context: torch.Tensor, prior: torch.Tensor | None) -> torch.Tensor:
        return table[context].log_softmax(-1)

    target = torch.arange(4 * HORIZON).view(4, HORIZON) % V
    random = torch.Generator().manual_seed(draw.draw(st.integers(0, 99)))
    batch = Batch(
        context=(target + 1) % V,
        target=target,
        positions=target[:, :1],
        uniforms=torch.rand(4, HORIZON, SAMPLES, generator=random),
    )
    players = Players(score, None, (), Rollouts(decode, None))
    inputs = StepInputs(players, batch, played.hparams, played.controller_state)
    experience, logprobs = played.step.collect(inputs)
    output = played.step.compute_loss(inputs, experience, logprobs, with_facts=True)
    (gradient,) = torch.autograd.grad(output.loss, table)
    numbers = {**output.facts, "gradient": gradient, "weights": experience.exploration.weights}
    for name, value in numbers.items():
        assert value.isfinite().all(), (name, value)


@pytest.mark.parametrize("key", ["reward.weight", "objective.kl_coef", "objective.dual_clip"])
@pytest.mark.parametrize("number", ["1e20", "1e-30"])
def test_numbers_that_steps_could_not_multiply_are_refused(key: str, number: str) -> None:
    with pytest.raises(ConfigError, match=f"{key}=.*can't be used.*valid: ") as refusal:
        composition.compose(["data=folio", "tracking=files", f"{key}={number}"])
    assert refusal.value.key == key


QUICK = [
    *tiny.TINY[2:], "tracking=files",
    "trainer.steps=4", "trainer.log_every=1", "trainer.eval_every=2",
    "trainer.eval_positions=64", "trainer.sample_characters=5",
]  # fmt: skip


def trained(place: Path, *words: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    result = execute(composition.compose([*QUICK, f"output_dir={place}", *words]))
    lines = (result.directory / "metrics.jsonl").read_text().splitlines()
    return json.loads((result.directory / "result.json").read_text()), list(map(json.loads, lines))


def test_a_text_of_one_character_ends_with_what_is_infinite_null_and_told_why(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.txt").write_text("a" * 4000)
    words = ["data=text", f"data.path={tmp_path / 'a.txt'}"]
    result, records = trained(tmp_path, *words)
    assert (result["val/nats"], result["val/margin"]) == (0.0, None)
    why = "inf: a text of one character has no other to be ahead of"
    assert result["undefined"] == dict.fromkeys(["train/margin", "val/margin"], why)
    assert [record["val/margin"] for record in records if "val/nats" in record] == [None] * 3


def test_weights_at_their_limit_train_and_end_with_a_result(tmp_path: Path) -> None:
    words = ["data=folio", "objective.dual_clip=1.0000001", "reward.weight=1e9"]
    result, _ = trained(tmp_path, *words)
    assert "undefined" not in result
    assert math.isfinite(result["reward/spread_within"])

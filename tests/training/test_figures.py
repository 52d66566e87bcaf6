"""What shows learning in every run, whatever its reward is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from avatarl.config import RunConfig
from avatarl.data import load
from avatarl.training import execute
from avatarl.training.figures import AVERAGED, Means, learning_facts
from avatarl.training.learner import Learner

Tiny = Callable[..., RunConfig]
COMMON = {"train/nats", "train/accuracy", "train/rank", "train/margin", "reward/hit_probability"}


def test_the_figures_are_what_a_plain_loop_over_positions_finds() -> None:
    generator = torch.Generator().manual_seed(0)
    logprobs = torch.randn(5, 3, 7, generator=generator).log_softmax(-1)
    target = torch.randint(7, (5, 3), generator=generator)
    found = {key: value.item() for key, value in learning_facts(logprobs, target).items()}
    rows = [
        (row.tolist(), wanted)
        for row, wanted in zip(logprobs.flatten(0, 1), target.flatten().tolist(), strict=True)
    ]
    others = [max(v for a, v in enumerate(row) if a != y) for row, y in rows]
    mean = {
        "train/nats": [-row[y] for row, y in rows],
        "train/accuracy": [row.index(max(row)) == y for row, y in rows],
        "train/rank": [sorted(row, reverse=True).index(row[y]) + 1 for row, y in rows],
        "train/margin": [row[y] - best for (row, y), best in zip(rows, others, strict=True)],
        "reward/hit_probability": [2.718281828459045 ** row[y] for row, y in rows],
    }
    assert found == pytest.approx({k: sum(v) / len(v) for k, v in mean.items()}, rel=1e-5)


@pytest.mark.parametrize(
    "overrides",
    [
        [],
        ["reward=origin", "objective=grpo", "objective.sync_every=4"],
        ["objective=cross_entropy"],
        ["explorer=bandit", "reward=propensity", "objective=expected"],
        ["explorer=temperature", "explorer.horizon=3", "explorer.positions=last"],
    ],
)
def test_every_run_has_them_whatever_its_reward(tiny: Tiny, overrides: list[str]) -> None:
    config = tiny(*overrides)
    learner = Learner(config, load(config.data), torch.device("cpu"))
    facts = learner.train_step(with_facts=False)
    assert facts.keys() >= COMMON
    untrained = 1 / learner.step_function.vocab_size
    assert facts["reward/hit_probability"].item() == pytest.approx(untrained, rel=0.2)


def test_under_exhaustive_exploration_they_are_of_the_policy_that_acts(tiny: Tiny) -> None:
    config = tiny("objective=cross_entropy")
    learner = Learner(config, load(config.data), torch.device("cpu"))
    for _ in range(3):
        facts = learner.train_step(with_facts=False)
        assert facts["train/nats"].item() == pytest.approx(facts["train/loss"].item(), rel=1e-6)


def journal(directory: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [line for line in lines if "train/nats" in line]


def test_a_record_is_the_mean_of_all_steps_since_the_last_one(tiny: Tiny) -> None:
    each = journal(execute(tiny("trainer.log_every=1", folder="each")).directory)
    every = journal(execute(tiny("trainer.log_every=10", folder="every")).directory)
    assert [record["step"] for record in every] == [10, 20, 24]
    averaged = [k for k in every[0] if k.startswith(AVERAGED) and k != "train/lr"]
    assert {"train/loss", "train/entropy", "train/kl", *COMMON} <= set(averaged)
    for begin, record in zip((0, 10, 20), every, strict=True):
        steps = each[begin : record["step"]]
        for name in averaged:
            mean = sum(one[name] for one in steps) / len(steps)
            assert record[name] == pytest.approx(mean, rel=1e-12), name
        # Any other figure describes the latest batch.
        assert record["health/kl_old"] == steps[-1]["health/kl_old"]


def test_means_go_on_from_where_they_were_left() -> None:
    facts = [
        {"train/a": torch.tensor(0.1 * step), "health/b": torch.tensor(1.0)} for step in range(7)
    ]
    straight, cut = Means(), Means()
    for step, one in enumerate(facts):
        straight.add(one)
        cut.add(one)
        if step == 3:
            stored = json.loads(json.dumps(cut.state_dict()))
            cut = Means.from_state_dict(stored, torch.device("cpu"))
    (name, value), *_ = straight.take().items()
    assert name == "train/a"
    assert torch.equal(value, cut.take()["train/a"])
    assert straight.take() == cut.take() == {}


def test_an_epoch_is_as_many_characters_as_the_training_text_has(tiny: Tiny) -> None:
    result = execute(tiny("explorer=temperature", "explorer.horizon=3", "explorer.positions=last"))
    assert result["characters_seen"] == 24 * 16 * 3
    assert result["epoch"] == pytest.approx(24 * 16 * 3 / 18_000, abs=1e-6)
    assert journal(result.directory)[-1]["epoch"] == result["epoch"]

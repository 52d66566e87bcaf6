from __future__ import annotations

import copy
import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from avatarl.config import RunConfig, structure_key
from avatarl.data import load
from avatarl.errors import ConfigError
from avatarl.training import Interrupted, execute
from avatarl.training.endings import Diverged
from avatarl.training.functional import unsupported_reason
from avatarl.training.learner import Learner
from avatarl.training.stack import Stack
from avatarl.training.stack_size import check_stack, choose_stack
from avatarl.training.stacked import execute_stacked
from tests.steps import leeway

Tiny = Callable[..., RunConfig]

# What replicas of one program may differ in: seed, learning rate, reward, reference, length.
APART = [
    ["seed=1", "optimizer.lr=0.003", "reward.confidence_weight=0.5"],
    ["seed=2", "optimizer.lr=0.001", "reward.confidence_weight=2.0", "reference=trigram"],
    [
        "seed=3",
        "optimizer.lr=0.002",
        "reward.confidence_weight=-0.5",
        "optimizer.schedule=constant",
    ],
]

ADAM = ["optimizer=adamw"]


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def raws(configs: list[RunConfig]) -> list[dict[str, Any]]:
    return [config.raw for config in configs]


def records(directory: Path) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in (directory / "metrics.jsonl").read_text().splitlines()]
    return [{k: v for k, v in line.items() if not k.startswith("time/")} for line in lines]


def folder(config: RunConfig, result: Any) -> Path:
    return Path(config.output_dir) / "runs" / f"{config.name}-{result['run_id']}"


def replicas(configs: list[RunConfig]) -> tuple[list[Learner], Stack]:
    """Learners of these runs, and a stack of others like them."""
    device, corpus = torch.device("cpu"), load(configs[0].data)
    assert len({structure_key(config) for config in configs}) == 1
    alone = [Learner(config, corpus, device) for config in configs]
    return alone, Stack([Learner(config, corpus, device) for config in configs])


def test_metrics_stay_equal_over_two_hundred_steps(tiny: Tiny) -> None:
    slow = [["optimizer.lr=0.001"], ["optimizer.lr=0.0003"], ["optimizer.lr=0.0005"]]
    configs = [
        tiny(*ADAM, *own, *rate, "trainer.steps=200") for own, rate in zip(APART, slow, strict=True)
    ]
    alone, stack = replicas(configs)
    for step in range(200):
        logs = step % 20 == 19
        together = stack.train_step(with_facts=logs)
        singles = [learner.train_step(with_facts=logs) for learner in alone]
        if logs:
            assert_equal(together, singles)
    probe = alone[0].batches.ids[: alone[0].config.model.context_length].unsqueeze(0)
    for learner, replica in zip(alone, stack.learners, strict=True):
        assert replica.step == 200
        torch.testing.assert_close(
            replica.score(probe, 1), learner.score(probe, 1), rtol=1e-4, atol=1e-4
        )


@pytest.mark.parametrize(
    "overrides",
    [
        ["objective=grpo", "explorer.positions=last"],
        ["explorer=bandit", "objective=expected"],
        [
            "objective=grpo",
            "objective.sync_every=5",
            "opponent=league",
            "opponent.every=4",
            "model.prior=true",
        ],
        ["objective.ent_min=1.0", "objective.ent_max=2.0", "objective.kl_target=0.1"],
        ["explorer.select=drop_random", "reference/schedule=gated"],
        ["objective=cross_entropy"],
        ["optimizer=muon"],
        ["model.dropout=0.2", "model.position=rotary", "objective.sync_every=5"],
        [
            "model.prior=true",
            "model.prior_gate=context",
            "model.prior_weight={shape: linear, start: 1, end: 0, begin: 0, until: 1}",
        ],
    ],
    ids=[
        *["last", "bandit", "selves", "controllers", "gated", "control", "muon"],
        *["dropout", "fading"],
    ],
)
def test_every_step_is_what_it_is_alone(tiny: Tiny, overrides: list[str]) -> None:
    # From one state: drawn actions and rounded updates turn a last bit into another future.
    configs = [tiny(*ADAM, *overrides, *own, "trainer.steps=60") for own in APART]
    alone, stack = replicas(configs)
    for _ in range(30):
        together = stack.train_step(with_facts=True)
        assert_equal(together, [learner.train_step(with_facts=True) for learner in alone])
        for learner, replica in zip(alone, stack.learners, strict=True):
            replica.load(copy.deepcopy(learner.state.state_dict()))


def assert_equal(
    together: list[dict[str, torch.Tensor]], singles: list[dict[str, torch.Tensor]]
) -> None:
    for facts, expected in zip(together, singles, strict=True):
        assert facts.keys() == expected.keys()
        for name, value in expected.items():
            atol = leeway(name, 1e-6)
            torch.testing.assert_close(facts[name], value, rtol=1e-4, atol=atol, msg=name)


def test_stacked_runs_leave_what_single_runs_leave(tiny: Tiny) -> None:
    configs = [tiny(*ADAM, *own, folder="stacked") for own in APART]
    singles = [execute(tiny(*ADAM, *own, folder="single")) for own in APART]
    results = execute_stacked(raws(configs), stack=3)
    for config, result, single in zip(configs, results, singles, strict=True):
        assert isinstance(result, dict)
        assert result["run_id"] == single["run_id"]
        assert result["val/nats"] == pytest.approx(single["val/nats"], rel=1e-4)
        directory = folder(config, result)
        ours, theirs = records(directory), records(single.directory)
        assert len(ours) == len(theirs)
        for one, other in zip(ours, theirs, strict=True):
            assert one.keys() == other.keys()
            for name, value in other.items():
                if isinstance(value, float):
                    assert one[name] == pytest.approx(value, rel=1e-3, abs=1e-4), name
                else:
                    assert one[name] == value, name
        names = {path.name for path in directory.iterdir()}
        assert names == {path.name for path in single.directory.iterdir()}
        log = (directory / "run.log").read_text()
        assert "3 runs are trained as one program" in log


def test_a_diverging_replica_leaves_the_others_alone(tiny: Tiny) -> None:
    wild = ["optimizer=adamw", "optimizer.lr=1e30", "optimizer.grad_clip=1e30", "seed=9"]
    configs = [
        tiny("optimizer=adamw", "seed=1", folder="stacked"),
        tiny(*wild, folder="stacked"),
        tiny("optimizer=adamw", "seed=2", "trainer.steps=12", folder="stacked"),
    ]
    first, diverged, short = execute_stacked(raws(configs), stack=3)
    assert isinstance(diverged, Diverged)
    assert isinstance(first, dict)
    assert isinstance(short, dict)
    assert (first["steps"], short["steps"]) == (24, 12)
    single = execute(tiny("optimizer=adamw", "seed=1", folder="single"))
    assert first["val/nats"] == pytest.approx(single["val/nats"], rel=1e-4)
    assert not (folder(configs[0], first) / "failure.json").exists()
    failures = list((Path(configs[1].output_dir) / "runs").glob("*/failure.json"))
    assert [json.loads(path.read_text())["error"].split(":")[0] for path in failures] == [
        "Diverged"
    ]


def test_interrupted_stacks_go_on_where_they_stopped(tiny: Tiny) -> None:
    configs = [tiny(*ADAM, *own, folder="stopped") for own in APART]
    polls = 0

    def stop() -> bool:
        nonlocal polls
        polls += 1
        return polls > 10

    outcomes = execute_stacked(raws(configs), stop=stop, stack=3)
    assert [type(outcome) for outcome in outcomes] == [Interrupted] * 3
    # Later the runs may go on in other company, or alone.
    resumed = [*execute_stacked(raws(configs[:2]), stack=2), execute(configs[2])]
    for own, result in zip(APART, resumed, strict=True):
        assert not isinstance(result, Exception)
        single = execute(tiny(*ADAM, *own, folder="single"))
        assert result["val/nats"] == pytest.approx(single["val/nats"], rel=1e-4)


def test_what_cannot_be_stacked_runs_alone_and_says_why(
    tiny: Tiny, caplog: pytest.LogCaptureFixture
) -> None:
    rollouts = [
        "explorer=temperature",
        "explorer.positions=last",
        "explorer.horizon=3",
        "trainer.steps=4",
    ]
    configs = [tiny(*rollouts, f"seed={seed}") for seed in (1, 2)]
    configs.append(tiny("trainer.steps=4", "objective.inner_epochs=2"))
    with caplog.at_level(logging.WARNING, logger="avatarl"):
        results = execute_stacked(raws(configs), stack=3)
    assert all(isinstance(result, dict) for result in results)
    told = [record.getMessage() for record in caplog.records if "alone" in record.getMessage()]
    assert len(told) == 3
    assert "explorer.horizon=3" in told[0]
    assert "objective.inner_epochs=2" in told[2]
    assert unsupported_reason(configs[0]) is not None


def test_what_changes_the_program_keeps_runs_apart(tiny: Tiny) -> None:
    plain = structure_key(tiny())
    assert structure_key(tiny("objective.ent_coef=0.05")) == plain
    assert structure_key(tiny("optimizer.lr=0.1", "trainer.steps=3", "seed=5")) == plain
    for other in (
        "objective.ent_coef=0.0",
        "objective=cross_entropy",
        "trainer.batch_size=8",
        "model.n_embd=64",
        "reference=none",
    ):
        rest = ["objective.kl_coef=0.0", "reward=match"] if other == "reference=none" else []
        assert structure_key(tiny(other, *rest)) != plain


def test_auto_measures_and_stays_within_what_there_is(
    tiny: Tiny, caplog: pytest.LogCaptureFixture
) -> None:
    short = [tiny(f"seed={seed}") for seed in range(3)]
    assert choose_stack(short) == 1
    long = [tiny(f"seed={seed}", "trainer.steps=2000") for seed in range(3)]
    with caplog.at_level(logging.INFO, logger="avatarl"):
        chosen = choose_stack(long)
    assert 1 <= chosen <= 3
    assert "of the time one by one" in caplog.text
    caplog.clear()
    assert choose_stack(long) == chosen  # the verdict is kept
    assert not caplog.text


@pytest.mark.parametrize("stack", ["many", "0", 0, -1])
def test_a_senseless_stack_is_refused(stack: int | str) -> None:
    with pytest.raises(ConfigError, match="stack"):
        check_stack(stack)

"""A seeded sample of combinations from all groups: finite, resumed bit for bit, stacked alike."""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from avatarl import composition
from avatarl.config import RunConfig, parse
from avatarl.data import load
from avatarl.errors import UserError
from avatarl.training import Interrupted, execute
from avatarl.training.functional import unsupported_reason
from avatarl.training.learner import Learner
from avatarl.training.stacked import execute_stacked

SEED = 0
PARTS = 10  # so that processes can share the work
SAMPLES = 20  # of each part
FIXED = [
    "data=folio",
    "data.characters=6000",
    "model=gpt2_tiny",
    "model.n_layer=1",
    "model.n_embd=16",
    "tracking=files",
    "trainer.device=cpu",
    "trainer.batch_size=6",
    "trainer.steps=5",
    "trainer.log_every=1",
    "trainer.eval_every=2",
    "trainer.eval_positions=64",
    "trainer.sample_characters=4",
]
RAMP = "{shape: linear, start: 1.0, end: 0.1, begin: 0.0, until: 1.0}"


def names(group: str) -> list[str]:
    return sorted(path.stem for path in (composition.CONF / group).glob("*.yaml"))


# What is drawn, a word of each line; the empty word leaves the shipped value.
CHOICES: list[list[str]] = [
    [f"reward={name}" for name in names("reward")],
    [f"explorer={name}" for name in names("explorer")],
    [f"objective={name}" for name in names("objective")],
    [f"opponent={name}" for name in names("opponent")],
    [f"optimizer={name}" for name in names("optimizer")],
    [f"reference={name}" for name in ("none", "bigram", "trigram", "kneser_ney", "ensemble")],
    [f"reference/schedule={name}" for name in names("reference/schedule")],
    ["", "reference.history=text"],
    ["model.context_length=4", "model.context_length=8", "model.context_length=24"],
    ["", "model.prior=true"],
    ["", "", "model.prior_gate=context", f"model.prior_weight={RAMP}"],
    ["", "model.position=rotary"],
    ["", "model.dropout=0.2"],
    ["", "explorer.positions=last"],
    ["", "", "explorer.horizon=3", "explorer.samples=1"],
    ["", "", "explorer.select=drop_lowest", "explorer.select=highest_entropy"],
    ["", "", "objective.sync_every=2", "objective.inner_epochs=2"],
    ["", "objective.kl_coef=0.1", f"objective.kl_coef={RAMP}"],
    ["", "objective.ent_coef=0.01", "objective.kl_direction=forward"],
    ["", "", "trainer.micro_batch_size=2"],
    ["", "", "trainer.average=ema"],
    ["", "", "trainer.keep_best=true"],
    ["", "trainer.eval_stride=1"],
    ["", "trainer.precision=bf16"],
    ["", "", "", "trainer.evaluation=dynamic"],
]


def sample(number: int, folder: Path) -> tuple[list[str], RunConfig] | None:
    """Draw a combination; None where it is refused, as many are, with a reason."""
    draws = random.Random(SEED * 100_000 + number)
    words = [word for choices in CHOICES if (word := draws.choice(choices))]
    try:
        config = composition.compose([*FIXED, *words, f"output_dir={folder}"])
        Learner(config, load(config.data), torch.device("cpu"))
    except UserError as refusal:
        assert "valid: " in str(refusal), words
        return None
    return words, config


def figures(result: Mapping[str, Any]) -> dict[str, Any]:
    """What a run computed, without times and places."""
    computed = ("val/", "train/", "reward/", "best/", "opponent/", "population/", "ensemble/",
                "adaptive/", "health/", "reliability")  # fmt: skip
    return {key: value for key, value in result.items() if key.startswith(computed)}


def stop_after(polls: int) -> Callable[[], bool]:
    left = iter(range(polls))
    return lambda: next(left, None) is None


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_a_seeded_sample_of_combinations_trains_resumes_and_stacks(
    part: int, tmp_path: Path
) -> None:
    torch.set_num_threads(1)
    tried = played = stacked = 0
    while played < SAMPLES:
        tried += 1
        assert tried < 60 * SAMPLES
        drawn = sample(PARTS * tried + part, tmp_path / "whole")
        if drawn is None:
            continue
        words, config = drawn
        played += 1
        whole = figures(execute(config))
        numbers = [value for value in whole.values() if isinstance(value, float)]
        assert numbers, words
        assert all(map(math.isfinite, numbers)), words
        cut = parse({**config.raw, "output_dir": str(tmp_path / "cut")})
        with pytest.raises(Interrupted):
            execute(cut, stop=stop_after(3))
        assert figures(execute(cut)) == whole, words
        if unsupported_reason(config) is None:
            stacked += 1
            both = {**config.raw, "output_dir": str(tmp_path / "stack")}
            first, second = execute_stacked([{**both, "seed": seed} for seed in (0, 1)], stack=2)
            assert not isinstance(first, Exception), (words, first)
            assert not isinstance(second, Exception), (words, second)
            if config.trainer.precision == "fp32":  # in bf16 rounding may draw another character
                assert first["val/nats"] == pytest.approx(whole["val/nats"], abs=1e-3), words
    print(f"seed {SEED}, part {part}: {played} played of {tried} drawn, {stacked} stacked too")

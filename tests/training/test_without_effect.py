"""A key that another key switches off changes neither what is computed nor the run's id."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from avatarl.config import RunConfig, run_id
from avatarl.runs import identity
from avatarl.runs.folder import RunFolder
from avatarl.training import execute

Tiny = Callable[..., RunConfig]

# Of each key: another value, and what switches it off.
OFF: dict[str, tuple[str, list[str]]] = {
    "data.dev_fraction": ("0.2", ["health.on_calibration=warn"]),
    "data.dev_from": ("end", ["health.on_calibration=warn"]),
    "trainer.epochs": ("7", ["trainer.steps=5"]),
    "trainer.adapt_every": ("8", ["trainer.evaluation=fixed"]),
    "trainer.adapt_lr": ("0.5", ["trainer.evaluation=fixed"]),
    "model.prior_gate": ("context", ["model.prior=false"]),
    "model.prior_weight": ("0.5", ["model.prior=false"]),
    "trainer.average_decay": ("0.5", ["trainer.average=none"]),
    "trainer.average_start": ("0.5", ["trainer.average=none"]),
    "explorer.select_share": ("0.7", ["explorer.select=all"]),
    "explorer.select_below": ("0.7", ["explorer.select=all"]),
    "explorer.discount": ("0.5", ["explorer=temperature"]),
    "explorer.policy_temperature": ("3", ["explorer=bandit", "explorer.proposal=policy"]),
    "explorer.stand_in": ("reference", ["explorer=bandit", "explorer.proposal=tempered"]),
    "objective.baseline_value": ("3", ["objective.baseline=group_mean"]),
    "explorer.discounting": ("start", ["explorer=temperature", "explorer.discount=0.5"]),
    "opponent.measure": ("win_share", ["opponent=population", "opponent.size=1"]),
    "opponent.strength": ("0.1", ["opponent=population", "opponent.size=1"]),
    "optimizer.final_fraction": ("0.5", ["optimizer.schedule=constant"]),
    "objective.covariance_share": ("0.5", ["objective.covariance=none"]),
    "objective.covariance_kl_coef": ("0.5", ["objective.covariance=clip"]),
    "objective.kl_window": ("3", ["objective.kl_target=null"]),
    "objective.ent_rate": ("0.5", ["objective.ent_min=null"]),
    "objective.ent_limit": ("0.5", ["objective.ent_max=null"]),
    "health.ent_boost": ("0.5", ["health.calibration_error=0.0001"]),
    "health.lr_cut": ("0.9", ["health.gradient_ratio=1.0001"]),
    "health.max_rollbacks": ("0", ["health.on_nonfinite=stop"]),
}
# What would change the run, were the key not switched off.
ON = {
    "data.dev_fraction": ["reference=ngram4", "reference/schedule=hand_over"],
    "data.dev_from": ["reference=ngram4", "reference/schedule=hand_over"],
    "trainer.epochs": ["trainer.steps=null"],
    "trainer.adapt_every": ["trainer.evaluation=dynamic"],
    "trainer.adapt_lr": ["trainer.evaluation=dynamic"],
    "model.prior_gate": ["model.prior=true"],
    "model.prior_weight": ["model.prior=true"],
    "trainer.average_decay": ["trainer.average=ema"],
    "trainer.average_start": ["trainer.average=ema"],
    "explorer.select_share": ["explorer.select=drop_lowest"],
    "explorer.select_below": ["explorer.select=drop_lowest"],
    "explorer.discount": ["explorer=temperature", "explorer.horizon=2", "explorer.positions=last"],
    "explorer.policy_temperature": ["explorer=bandit", "explorer.proposal=tempered"],
    "explorer.stand_in": ["explorer=bandit", "explorer.proposal=optimal"],
    "objective.baseline_value": ["objective.baseline=constant"],
    "explorer.discounting": [
        "explorer=temperature",
        "explorer.horizon=2",
        "explorer.positions=last",
    ],
    "opponent.measure": ["opponent=population"],
    "opponent.strength": ["opponent=population"],
    "optimizer.final_fraction": ["optimizer.schedule=cosine"],
    "objective.covariance_share": ["objective.covariance=clip"],
    "objective.covariance_kl_coef": ["objective.covariance=kl", "objective.sync_every=2"],
    "objective.kl_window": ["objective.kl_target=0.1"],
    "objective.ent_rate": ["objective.ent_min=1"],
    "objective.ent_limit": ["objective.ent_max=2"],
    "health.ent_boost": ["health.on_calibration=act"],
    "health.lr_cut": ["health.on_nonfinite=act"],
    "health.max_rollbacks": ["health.on_nonfinite=act"],
}
# What switches these off keeps another key on.
APART = ["objective.covariance_share", "explorer.policy_temperature", "explorer.stand_in",
         "explorer.discounting"]  # fmt: skip
TEXT = "0" * 64


def test_each_key_that_is_left_out_of_ids_is_tried() -> None:
    assert set(OFF) == set(ON) == set(identity._SWITCHED_OFF)


@pytest.mark.parametrize("key", OFF)
def test_a_key_counts_only_where_it_is_on(tiny: Tiny, key: str) -> None:
    value, off = OFF[key]
    assert run_id(tiny(*off).raw, TEXT) == run_id(tiny(*off, f"{key}={value}").raw, TEXT)
    on = ON[key]
    assert run_id(tiny(*on).raw, TEXT) != run_id(tiny(*on, f"{key}={value}").raw, TEXT)


def _trained(config: RunConfig) -> tuple[dict[str, torch.Tensor], list[Any]]:
    folder = RunFolder(execute(config).directory)
    tensors = load_file(folder.checkpoint(folder.checkpoint_steps()[-1])[0])
    lines = [json.loads(line) for line in Path(folder.journal).read_text().splitlines()[1:]]
    told = [
        {name: value for name, value in line.items() if not name.startswith("time/")}
        for line in lines
    ]
    return tensors, told


@pytest.mark.parametrize(
    "keys", [[key for key in OFF if key not in APART], *([key] for key in APART)]
)
def test_what_is_computed_is_the_same(tiny: Tiny, keys: list[str]) -> None:
    words = ["trainer.log_every=1", "trainer.eval_every=2"]
    words += [word for key in keys for word in OFF[key][1]]
    others = [f"{key}={OFF[key][0]}" for key in keys]
    tensors, told = _trained(tiny(*words, folder="one"))
    changed, also_told = _trained(tiny(*words, *others, folder="two"))
    assert told == also_told
    assert tensors.keys() == changed.keys()
    assert all(torch.equal(tensors[name], changed[name]) for name in tensors)

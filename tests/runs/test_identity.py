from __future__ import annotations

import copy
import random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from avatarl import composition
from avatarl.config import parse, run_id

TEXT = "0" * 64


def shuffled(value: Any, order: random.Random) -> Any:
    if not isinstance(value, dict):
        return value
    keys = list(value)
    order.shuffle(keys)
    return {key: shuffled(value[key], order) for key in keys}


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=25)
@given(seed=st.integers(0, 2**32))
def test_order_of_keys_does_not_matter(raw: dict[str, Any], seed: int) -> None:
    assert run_id(shuffled(raw, random.Random(seed)), TEXT) == run_id(raw, TEXT)


def test_order_of_overrides_does_not_matter() -> None:
    base = ["data=folio", "tracking=files"]
    one = composition.compose([*base, "reward.confidence_weight=1", "reference=trigram"])
    two = composition.compose([*base, "reference=trigram", "reward.confidence_weight=1.0"])
    assert run_id(one.raw, TEXT) == run_id(two.raw, TEXT)


def test_it_is_sixteen_hex_digits(raw: dict[str, Any]) -> None:
    identity = run_id(raw, TEXT)
    assert len(identity) == 16
    assert set(identity) <= set("0123456789abcdef")


def test_what_cannot_change_the_result_does_not_change_it(raw: dict[str, Any]) -> None:
    expected = run_id(raw, TEXT)
    other = copy.deepcopy(raw)
    other["name"] = "another"
    other["output_dir"] = "/elsewhere"
    other["tracking"] = {"name": "wandb", "mode": "offline"}
    other["trainer"]["device"] = "cuda"
    other["trainer"]["threads"] = 7
    other["trainer"]["checkpoint_every_s"] = 1.0
    assert run_id(other, TEXT) == expected


def test_every_other_setting_changes_it(raw: dict[str, Any]) -> None:
    seen = {run_id(raw, TEXT)}
    for group, key, value in [
        ("reward", "confidence_weight", 0.75),
        ("optimizer", "lr", 0.002),
        ("objective", "kl_coef", 0.31),
        ("model", "n_layer", 2),
        ("trainer", "batch_size", 64),
        ("trainer", "precision", "bf16"),
        ("reference", "order", 3),
    ]:
        other = copy.deepcopy(raw)
        assert other[group][key] != value
        other[group][key] = value
        seen.add(run_id(other, TEXT))
    seen.add(run_id({**raw, "seed": 1}, TEXT))
    seen.add(run_id(raw, "1" * 64))
    assert len(seen) == 10


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("optimizer.lr=1e-3", "optimizer.lr=0.001"),
        ("optimizer.weight_decay=0", "optimizer.weight_decay=-0.0"),
        ("objective.kl_coef=1", "objective.kl_coef=1.0"),
        ("objective.kl_coef=0", "objective.kl_coef=-0.0"),
        ("seed=1000", "seed=1_000"),
        ("objective.kl_warmup_characters=5e4", "objective.kl_warmup_characters=50000"),
        (
            "objective.ent_coef={shape: linear, start: 1, end: 0, begin: 0, until: 1}",
            "objective.ent_coef={until: 1.0, begin: -0.0, shape: linear, start: 1.0, end: 0e0}",
        ),
    ],
)
def test_a_number_is_the_same_however_it_is_written(one: str, other: str) -> None:
    base = ["data=folio", "tracking=files"]
    ids = [run_id(composition.compose([*base, word]).raw, TEXT) for word in (one, other)]
    assert ids[0] == ids[1]
    assert ids[0] != run_id(composition.compose([*base, f"{one.split('=')[0]}=2"]).raw, TEXT)


def test_the_stored_configuration_gives_the_same_id(raw: dict[str, Any]) -> None:
    assert run_id(parse(raw).raw, TEXT) == run_id(raw, TEXT)

from __future__ import annotations

import copy
from typing import Any

import pytest

from avatarl import composition
from avatarl.config import GROUPS, parse, run_id
from avatarl.errors import ConfigError
from avatarl.runs import identity
from avatarl.runs.flatten import flatten


def changed(raw: dict[str, Any], key: str, value: Any) -> dict[str, Any]:
    """Return a copy with one dotted key replaced."""
    result = copy.deepcopy(raw)
    place = result
    *path, last = key.split(".")
    for part in path:
        place = place[part]
    place[last] = value
    return result


def test_every_group_becomes_its_own_type(raw: dict[str, Any]) -> None:
    config = parse(raw)
    for group, package in GROUPS.items():
        assert type(getattr(config, group)).__module__.startswith(package)
    assert config.raw == raw


def test_parsing_what_was_parsed_changes_nothing(raw: dict[str, Any]) -> None:
    assert parse(parse(raw).raw) == parse(raw)


def test_whole_numbers_of_float_keys_become_floats(raw: dict[str, Any]) -> None:
    config = parse(changed(raw, "reward.confidence_weight", 1))
    assert config.raw["reward"]["confidence_weight"] == 1.0
    assert isinstance(config.raw["reward"]["confidence_weight"], float)


@pytest.mark.parametrize(
    ("key", "value", "named"),
    [
        ("reward.confidence_weight", "much", "number"),
        ("reward.confidence_weight", float("nan"), "finite"),
        ("reward.confidence_weight", float("inf"), "finite"),
        ("reward.confidence_weight", True, "number"),
        ("reward.hard_weight", -1.0, "greater than or equal to 0"),
        ("reward.signal", "logits", "'probability'"),
        ("optimizer.lr", 0.0, "greater than 0"),
        ("trainer.steps", 1.5, "integer"),
        ("trainer.steps", -3, "greater than or equal to 1"),
        ("trainer.device", "tpu", "cuda"),
        ("explorer.horizon", 2, "explorer=temperature"),
        ("model.n_head", 5, "multiple of n_head"),
        ("seed", -1, "from 0"),
        ("seed", "one", "integer"),
        ("name", "../escape", "letters"),
        ("name", "", "letters"),
        ("reward.kind", "no_such_module", "avatarl.reward"),
    ],
)
def test_bad_values_name_key_value_and_what_is_valid(
    raw: dict[str, Any], key: str, value: Any, named: str
) -> None:
    broken = changed(raw, key, value)
    with pytest.raises(ConfigError) as caught:
        parse(broken)
    if key != "model.n_head":
        assert caught.value.key == key
        assert caught.value.value == value or value != value
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)


RAMP = {"shape": "linear", "start": 0.0, "end": 1.0, "begin": 0.0, "until": 1.0}


@pytest.mark.parametrize(
    ("options", "key", "value", "named"),
    [
        ([], "reward.weight", {**RAMP, "begin": 1.0, "until": 0.5}, "at most until=0.5"),
        ([], "reward.weight", {**RAMP, "more": 2}, "no such key"),
        ([], "reward.weight", {**RAMP, "shape": "round"}, "'cosine'"),
        ([], "reward.weight", [1.0, 2.0], "number, or {shape, start, end, begin, until}"),
        ([], "reference.schedule", {"kind": "cosntant"}, "did you mean 'constant'"),
        ([], "reference.schedule", {"kind": "constant", "final": 1}, "no such key"),
        (["reference/schedule=ladder"], "reference.schedule.rungs", [3, 2], "rising"),
        (["reference/schedule=ladder"], "reference.schedule.rungs", [99], "up to 4"),
        (["reward=sum"], "reward.components.match.weight", "x", "number"),
        (["reward=sum"], "reward.components.match", {"name": "mtach"}, "did you mean 'match'"),
        (["reward=sum"], "reward.components.match", 3, "conf/reward/"),
        (["reference=ensemble"], "reference.members.short.order", 99, "less than or equal to 12"),
        (["reference=ensemble"], "reference.members.short.kind", "none", "kneser_ney"),
        (["tracking=wandb"], "tracking.tags", ["a", 1], "string"),
    ],
)
def test_what_is_wrong_within_settings_is_named_by_its_whole_key(
    options: list[str], key: str, value: Any, named: str
) -> None:
    raw = composition.compose(["data=folio", "tracking=files", *options]).raw
    with pytest.raises(ConfigError) as caught:
        parse(changed(raw, key, value))
    assert caught.value.key.startswith(key)
    assert caught.value.key.count(key.split(".")[0] + ".") == 1
    assert named in str(caught.value)


def test_a_misspelt_key_is_refused_with_the_nearest_name(raw: dict[str, Any]) -> None:
    raw["reward"]["confidence_wieght"] = 1.0
    with pytest.raises(ConfigError, match="did you mean 'confidence_weight'") as caught:
        parse(raw)
    assert caught.value.key == "reward.confidence_wieght"


def test_a_missing_key_and_a_missing_group_are_named(raw: dict[str, Any]) -> None:
    without_key = copy.deepcopy(raw)
    del without_key["optimizer"]["lr"]
    with pytest.raises(ConfigError, match=r"optimizer\.lr"):
        parse(without_key)
    del raw["optimizer"]
    with pytest.raises(ConfigError, match="optimizer"):
        parse(raw)


def test_a_configuration_of_before_a_key_is_read_and_keeps_its_id(raw: dict[str, Any]) -> None:
    """A default may have changed since, too, of what nothing in this configuration reads."""
    before, now = copy.deepcopy(raw), copy.deepcopy(raw)
    unread = identity.without_effect(flatten(raw))
    for key, value in identity._LATER.items():
        group, name = key.split(".")
        if before[group].pop(name, value) != value:
            assert key in unread, f"{key} is left out of ids at another value than its default"
            now[group][name] = value
    assert parse(before) == parse(now)
    assert run_id(before, "0" * 64) == run_id(raw, "0" * 64)


def test_an_unknown_group_is_refused(raw: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="did you mean 'reward'"):
        parse({**raw, "rewards": {}})

from __future__ import annotations

import copy

import pytest

from avatarl.report.identity import configuration_key, differing_keys, matters, short_names
from avatarl.runs.flatten import flatten

from .conftest import config


def test_what_makes_a_configuration_is_what_makes_a_runs_id() -> None:
    """Each key either changes the id and the configuration, or neither (the seed aside)."""
    from avatarl.runs.identity import run_id

    raw = config()
    raw["trainer"] |= {"threads": 1, "checkpoint_every_s": 60, "keep_checkpoints": 2}
    raw["reference"] |= {"cache_dir": None}
    raw["data"] |= {"kind": "text"}
    for key in flatten(raw):
        changed = copy.deepcopy(raw)
        place = changed
        *groups, last = key.split(".")
        for group in groups:
            place = place[group]
        place[last] = "something else"
        if key == "seed":
            continue
        assert (run_id(changed, "c") != run_id(raw, "c")) is matters(key), key
        same = configuration_key(flatten(changed)) == configuration_key(flatten(raw))
        assert same is not matters(key), key


def test_seeds_names_and_places_make_no_difference() -> None:
    left, right = config(seed=0), config(seed=5)
    right |= {"name": "other", "output_dir": "/elsewhere", "tracking": {"name": "wandb"}}
    assert configuration_key(flatten(left)) == configuration_key(flatten(right))
    assert differing_keys([flatten(left), flatten(right)]) == []


def test_keys_that_follow_from_the_option_are_left_out_unless_swept() -> None:
    configs = [flatten(config(reference)) for reference in ("bigram", "ngram4")]
    assert differing_keys(configs) == ["reference.name"]
    assert differing_keys(configs, ["reference.order"]) == ["reference.order", "reference.name"]


def test_a_schedules_keys_follow_from_its_kind() -> None:
    constant, ladder = flatten(config("ngram4")), flatten(config("ngram4"))
    constant |= {"reference.schedule.kind": "constant"}
    ladder |= {"reference.schedule.kind": "ladder", "reference.schedule.patience": 2}
    assert differing_keys([constant, ladder]) == ["reference.schedule.kind"]


def test_a_key_that_varies_within_an_option_stays() -> None:
    configs = [
        flatten(config("bigram", reference__alpha=1.0)),
        flatten(config("bigram", reference__alpha=0.1)),
        flatten(config("ngram4", reference__alpha=0.1)),
    ]
    assert set(differing_keys(configs)) == {"reference.name", "reference.alpha"}


def test_swept_keys_come_first_and_a_group_means_its_option() -> None:
    configs = [flatten(config(r, w)) for r in ("bigram", "ngram4") for w in (0.0, 0.5)]
    assert differing_keys(configs, ["reward.confidence_weight", "reference"]) == [
        "reward.confidence_weight",
        "reference.name",
    ]


@pytest.mark.parametrize(
    ("keys", "short"),
    [
        (["reference.name", "reward.w"], ["reference", "w"]),
        (["reward.w", "objective.w"], ["reward.w", "objective.w"]),
        (["reference.name", "a.reference"], ["reference.name", "a.reference"]),
        (["data.seed", "data.characters"], ["data.seed", "data.characters"]),
        (["reference.name", "reference.schedule.kind"], ["reference", "schedule"]),
    ],
)
def test_headings_are_short_but_never_alike(keys: list[str], short: list[str]) -> None:
    assert list(short_names(keys).values()) == short

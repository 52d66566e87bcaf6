from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarl.errors import UserError
from avatarl.sweep.plan.planned import Candidate, Plan, make_plan, swept_keys
from avatarl.sweep.slurm.packs import make_packs

BASE = {
    "name": "x",
    "seed": 0,
    "output_dir": "outputs",
    "data": {"name": "folio"},
    "model": {"name": "tiny", "n_layer": 2},
    "reference": {"name": "bigram", "alpha": 0.1},
    "reward": {"name": "match", "scale": 1.0},
    "objective": {"name": "grpo", "kl_coef": 0.3},
    "optimizer": {"name": "adamw", "lr": 1e-3},
    "trainer": {"batch_size": 8, "steps": 10},
}


def config(**changes):
    made = copy.deepcopy(BASE)
    for dotted, value in changes.items():
        *groups, key = dotted.split("__")
        place: Any = made
        for group in groups:
            place = place[group]
        place[key] = value
    return made


def candidate(number, **changes):
    made = config(seed=number, **changes)
    overrides = (f"seed={number}", "data=folio")
    return Candidate(overrides, made, f"{number:016x}", f"{made['model']['n_layer']} layers")


def test_equal_ids_are_one_run_and_positions_point_to_it():
    plan = make_plan("s", [candidate(1), candidate(2), candidate(1)], corpus={})
    assert [run.id[-1] for run in plan.runs] == ["1", "2"]
    assert plan.positions == (0, 1, 0)
    assert [run.label for run in plan.runs] == ["seed=1", "seed=2"]


def test_a_label_shows_values_and_no_control_characters():
    one, two = candidate(1), candidate(2)
    one = replace(one, overrides=("trainer.steps=${seed}", "tracking.run_name=a\x1b[31m"))
    labels = [run.label for run in make_plan("s", [one, two], corpus={}).runs]
    steps = one.config["trainer"]["steps"]
    assert labels[0] == f"trainer.steps={steps} tracking.run_name=a\\x1b[31m"


def test_each_matched_setting_gets_one_control():
    def control(run):
        made = {**run.config, "name": "control"}
        return replace(run, config=made, id=f"{made['seed'] + 100:016x}")

    both = [
        candidate(1),
        Candidate(("seed=1", "reward=x"), config(seed=1, reward__scale=2.0), "b" * 16, ""),
    ]
    plan = make_plan("s", both, corpus={}, control=control)
    assert [run.is_control for run in plan.runs] == [False, False, True]
    assert plan.runs[-1].directory == f"runs/control-{101:016x}"
    assert plan.runs[-1].overrides == ("seed=1", "data=folio", "objective=cross_entropy")


def test_a_control_asked_for_by_name_is_an_ordinary_run():
    def control(run):
        return replace(run, id=f"{1:016x}")

    plan = make_plan("s", [candidate(1), candidate(2)], corpus={}, control=control)
    assert [run.is_control for run in plan.runs] == [False, False]


def test_later_batches_keep_the_runs_of_earlier_ones(tmp_path):
    first = make_plan("s", [candidate(1)], corpus={})
    second = make_plan("s", [candidate(2)], corpus={}, before=first)
    assert [run.id[-1] for run in second.runs] == ["1", "2"]
    assert second.positions == (1,)


def test_a_plan_survives_its_file(tmp_path):
    plan = make_plan(
        "s", [candidate(1), candidate(2)], corpus={"name": "folio"}, command=["python"]
    )
    plan.write(tmp_path)
    read = Plan.read(tmp_path)
    assert read.runs == plan.runs
    assert read.keys == plan.keys == ("seed",)
    raw = json.loads((tmp_path / "plan.json").read_text())
    assert set(raw["runs"][0]) >= {"id", "name", "directory", "overrides", "config", "is_control"}


def test_a_plan_with_another_number_in_it_is_refused(tmp_path):
    path = make_plan("s", [candidate(0, optimizer__lr=0.25)], corpus={}).write(tmp_path)
    path.write_text(path.read_text().replace("0.25", "0.75"))
    with pytest.raises(UserError, match=r"plan\.json can't be read .*isn't what was stored"):
        Plan.read(tmp_path)


def test_swept_keys_of_a_swapped_group_are_its_name_alone():
    one = config()
    other = config(reference={"name": "ngram4", "order": 4})
    assert swept_keys([one, other]) == ("reference.name",)
    third = config(reference={"name": "ngram4", "order": 3})
    assert set(swept_keys([one, other, third])) == {"reference.name", "reference.order"}


@given(sizes=st.lists(st.integers(1, 30), min_size=1, max_size=5), runs_per_job=st.integers(1, 12))
def test_packs_hold_every_run_once_in_order_and_one_structure_each(sizes, runs_per_job):
    runs = []
    for group, size in enumerate(sizes):
        for member in range(size):
            number = group * 100 + member
            [run] = make_plan("s", [candidate(number, model__n_layer=group)], corpus={}).runs
            runs.append(run)
    packs = make_packs(runs, runs_per_job)
    assert sorted(run.id for pack in packs for run in pack) == sorted(run.id for run in runs)
    for pack in packs:
        assert 1 <= len(pack) <= runs_per_job
        assert len({run.structure_key for run in pack}) == 1
        assert [run.id for run in pack] == sorted(run.id for run in pack)
    for key in {run.structure_key for run in runs}:
        lengths = [len(pack) for pack in packs if pack[0].structure_key == key]
        assert max(lengths) - min(lengths) <= 1

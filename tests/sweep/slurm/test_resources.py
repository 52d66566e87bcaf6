"""Runs of one sweep that ask for different things, by conditions."""

from __future__ import annotations

import io
import re

import pytest
from rich.console import Console

from avatarl.errors import UserError
from avatarl.sweep.slurm.backend import SlurmBackend
from avatarl.sweep.slurm.queueing import Queue
from avatarl.sweep.slurm.resources import Resources
from avatarl.sweep.slurm.submission import submissions
from tests.sweep.shipped import shipped
from tests.sweep.shipped import slurm as settings

WIDTHS = [{"model": {"name": "gpt", "n_embd": width}} for width in (128, 512, 128, 1024, 512)]
LARGE = {"model.n_embd >= 512": {"gres": "gpu:1", "timeout_min": 480}}


@pytest.fixture
def plan(plan_of):
    return plan_of(WIDTHS, name="widths")


def split(plan, **changes):
    groups = Resources(plan.runs, settings(**changes)).split(plan.runs)
    return [(kind, [run.config["seed"] for run in runs]) for kind, runs in groups]


def test_without_conditions_all_ask_for_the_same(plan):
    [(kind, seeds)] = split(plan)
    assert (kind.settings, kind.conditions, seeds) == (settings(), (), [0, 1, 2, 3, 4])


@pytest.mark.parametrize(
    "resources", [LARGE, [{"where": key, **asked} for key, asked in LARGE.items()]]
)
def test_runs_that_a_condition_holds_for_ask_for_what_it_says(plan, resources):
    (usual, small), (kind, large) = split(plan, resources=resources)
    assert (small, large) == ([0, 2], [1, 3, 4])
    assert (usual.settings.gres, usual.settings.timeout_min) == (None, 240)
    assert (kind.settings.gres, kind.settings.timeout_min) == ("gpu:1", 480)
    assert kind.settings.cpus_per_task == usual.settings.cpus_per_task


def test_conditions_that_hold_together_add_up_and_equal_wishes_are_one_kind(plan):
    more = {"n_embd>=1024": {"mem_gb": 64}, "seed==4": {"mem_gb": 64}, "seed==2": {"qos": "low"}}
    found = split(plan, resources={**LARGE, **more, "seed == 0": {"qos": "low"}})
    assert [seeds for _, seeds in found] == [[0, 2], [1], [3, 4]]
    last = found[-1][0].settings
    assert (last.gres, last.mem_gb, last.timeout_min) == ("gpu:1", 64, 480)


@pytest.mark.parametrize(
    ("resources", "words"),
    [
        ({"model.n_emdb>1": {"gres": "gpu:1"}}, ["no run has the key 'model.n_emdb'", "n_embd"]),
        ({"model.n_embd >": {"gres": "gpu:1"}}, ["ends too early"]),
        ({"seed>0": {"gers": "gpu:1"}}, ["'seed>0'.gers", "did you mean 'gres'"]),
        ({"seed>0": {"wait": False}}, ["'seed>0'.wait", "the whole sweep's"]),
        ({"seed>0": {"max_retries": 1}}, ["'seed>0'.max_retries", "the whole sweep's"]),
        ({"seed>0": {"timeout_min": "soon"}}, ["'seed>0'.timeout_min='soon'", "integer"]),
        ({"seed>9": {"timeout_min": 5}}, ["'seed>9'.timeout_min=5", "more than 10"]),
        ({"seed>0": {}}, ["'seed>0'", "ask for instead"]),
        ({"seed>0": 3}, ["resources"]),
        ([{"gres": "gpu:1"}], ["resources.0.where", "missing"]),
        (
            {"seed>0": {"gres": "gpu:1"}, "seed>2": {"gres": "gpu:2"}},
            ["resources.gres='gpu:2'", "both hold for seed=3", "'seed>0' says 'gpu:1'"],
        ),
    ],
)
def test_what_cannot_be_meant_is_refused_in_one_line(plan, resources, words):
    with pytest.raises(UserError) as caught:
        split(plan, resources=resources)
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


def test_each_kind_is_an_array_of_its_own(plan, slurm, tmp_path):
    sweep = tmp_path / "outputs" / "sweeps" / "widths"
    plan.write(sweep)
    wanted = settings(runs_per_job=1, resources=LARGE)
    queue = Queue(sweep, tmp_path, wanted, print, resources=Resources(plan.runs, wanted))
    submission = queue.add(plan.runs)
    assert slurm.arrays() == [2, 3]
    assert submission.jobs == ("1_0", "1_1", "2_0", "2_1", "2_2")
    seeds = {run.id: run.config["seed"] for run in plan.runs}
    assert [seeds[run] for [run] in submission.packs] == [0, 2, 1, 3, 4]
    small, large = (
        (submission.directory / "submitit" / f"{first}_submission.sh").read_text()
        for first in (0, 2)
    )
    assert ("--gres=gpu:1" in small, "--gres=gpu:1" in large) == (False, True)
    assert [re.search(r"--time=(\d+)", text).group(1) for text in (small, large)] == ["240", "480"]
    assert "$((2 + SLURM_ARRAY_TASK_ID))" in large
    # What was lost is queued as what it is, though the condition names no key of it alone.
    again = queue.add([plan.runs[3]])
    text = (again.directory / "submitit" / "0_submission.sh").read_text()
    assert "--gres=gpu:1" in text


def test_where_slurm_has_little_room_an_array_still_holds_one_kind(
    plan, slurm, tmp_path, monkeypatch
):
    sweep = tmp_path / "outputs" / "sweeps" / "widths"
    plan.write(sweep)
    wanted = settings(runs_per_job=1, resources=LARGE)
    queue = Queue(sweep, tmp_path, wanted, lambda line: None, None, Resources(plan.runs, wanted))
    slurm.room(3)
    slurm.says("sbatch: error: QOSMaxSubmitJobPerUserLimit")
    queue.add(plan.runs)
    assert (slurm.arrays(), queue.left) == ([2, 0], 2)
    slurm.room(9)
    monkeypatch.setattr(queue, "_due", 0.0)
    queue.again()
    assert (slurm.arrays(), queue.left) == ([2, 0, 2], 0)
    [submission] = submissions(sweep)
    assert submission.jobs == ("1_0", "1_1", "2", "3_0", "3_1")


def test_a_dry_run_shows_each_kind_with_its_script(plan, tmp_path):
    shown = io.StringIO()
    console = Console(width=300, file=shown)
    backend = SlurmBackend({**shipped("slurm"), "resources": LARGE, "runs_per_job": 2})
    backend.preview(plan, tmp_path / "outputs" / "sweeps" / "widths", console)
    assert "1 job, runs in each: 2; up to 1 side by side in a job" in shown.getvalue()
    told = "model.n_embd >= 512 (gres=gpu:1 timeout_min=480): 2 jobs, runs in each: 2, 1"
    assert told in shown.getvalue()
    assert shown.getvalue().count("sbatch script:") == 2

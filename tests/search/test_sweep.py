"""Searches of real runs, as a user asks for them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from avatarl.runs.outputs import Outputs
from avatarl.runs.state import RunState, status_of
from avatarl.sweep import reproduce
from avatarl.sweep.plan.planned import Plan
from tests import tiny
from tests.search.replay import check_sweep

ROOT = Path(__file__).parents[2]
SWEEP = [
    *tiny.TINY, "tracking=files", "optimizer.lr=.001,.003,.01", "seed=0,1", "sweep_name=s",
    "trainer.steps=90", "trainer.eval_every=10", "trainer.eval_positions=64",
    "trainer.sample_characters=5", "trainer.threads=1", "hydra.launcher.workers=1",
    "trainer.eval_dev=true",  # as a search has it
]  # fmt: skip


RESOURCES = 'hydra.launcher.resources=[{where: "seed == 1", timeout_min: 33}]'


def avatarl(*words, code=0, error=True):
    done = subprocess.run(
        [sys.executable, "-m", "avatarl", *words], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr * error


@pytest.fixture(scope="module")
def grid(tmp_path_factory):
    """The runs of the sweep, each to its end."""
    outputs = tmp_path_factory.mktemp("grid")
    avatarl("run", "-m", *SWEEP, f"output_dir={outputs}", "hydra.launcher.control=false")
    return Outputs(outputs)


def states(outputs):
    return {one.path.name: status_of(one).state for one in outputs.run_folders()}


def test_a_search_ends_with_runs_as_in_the_grid_and_so_do_the_paused_ones(grid, tmp_path):
    search = [*SWEEP, f"output_dir={tmp_path}", "search=asha"]
    said = avatarl("run", "-m", *search)
    found, sweep = Outputs(tmp_path), tmp_path / "sweeps" / "s"
    check_sweep(sweep)
    plan = Plan.read(sweep)
    controls = [run for run in plan.runs if run.is_control]
    assert len(controls) == 1
    ended = {one.path.name for one in grid.run_folders()} & {
        name for name, state in states(found).items() if state is RunState.DONE
    }
    rest = {name for name, state in states(found).items() if state is RunState.PAUSED}
    assert ended and rest and len(ended | rest) == 6
    for name in ended:
        assert reproduce.compare(grid.runs / name, found.runs / name) == []
    assert "paused" in said
    assert "search: best " in said
    assert " % saved)" in said.replace("\n", " ")
    assert "search: best" in avatarl("status", "s", "--output-dir", str(tmp_path))
    # The same command again has nothing to do, and paused runs are in no mean.
    before = (sweep / "decisions.jsonl").read_text()
    again = avatarl("run", "-m", *search)
    assert (sweep / "decisions.jsonl").read_text() == before
    assert states(found)[next(iter(rest))] is RunState.PAUSED
    told = json.loads(avatarl("compare", str(sweep), "--json"))
    assert "paused" in again
    assert told

    avatarl("retry", "--paused", "s", "--output-dir", str(tmp_path))
    assert set(states(found).values()) == {RunState.DONE}
    for one in grid.run_folders():
        assert reproduce.compare(one.path, found.runs / one.path.name) == []
    check_sweep(sweep)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["search=asha", "search.eta=1"], "search.eta=1 can't be used; valid: greater than 1"),
        (
            ["search=asha", "search.rungs=4"],
            "of its own for each: 10, 10, 10, 30, 90); valid: fewer or other",
        ),
        (["search=asha", "search.rungs=[0.3,1.5]"], "search.rungs.1"),
        (["search=asha", "search.rungs=[0.3,0.2]"], "ascending"),
        (["search=asha", "search.brackets=4"], "search.brackets=4 can't be used; valid: 1 to 3"),
        (["search=asha", "search.metric=dev/nat"], "did you mean"),
        (
            ["search=asha", "search.eta=2,3"],
            "search.eta='2,3' can't be used; valid: one value for all runs",
        ),
        (["search=ash"], "none; did you mean 'asha'"),
        (
            ["hydra/sweeper=search", "hydra/launcher=slurm", RESOURCES],
            "which jobs proposed runs will ask for isn't known",
        ),
        (
            ["search=asha", "search.speed=3"],
            "search.speed='3' can't be used (no such key); valid: name, metric, insist",
        ),
    ],
)
def test_what_cannot_be_searched_is_refused_in_one_line(words, told, tmp_path):
    outputs = tmp_path / "outputs"
    on_slurm = "hydra/launcher=slurm" in words
    sweep = [word for word in SWEEP if not (on_slurm and "launcher" in word)]
    said = avatarl("run", "-m", *sweep, f"output_dir={outputs}", *words, code=2)
    assert told in said
    assert not outputs.exists()

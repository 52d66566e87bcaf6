"""``hydra/sweeper=search`` as a user types it."""

from __future__ import annotations

import json
from dataclasses import replace

import optuna
import optuna.storages.journal
import pytest

from avatarl.runs.outputs import SweepFolder
from avatarl.sweep.plan.planned import Plan
from tests import tiny
from tests.search.test_sweep import avatarl

FIXED = [
    *tiny.TINY, "tracking=files", "reference=bigram", "hydra/sweeper=search", "sweep_name=s",
    "trainer.steps=9", "trainer.eval_every=1", "trainer.eval_positions=64",
    "trainer.sample_characters=5", "trainer.threads=1", "hydra.launcher.workers=1",
]  # fmt: skip
SPACE = ["optimizer.lr=tag(log,interval(1e-4,1e-1))", "model.n_head=choice(1,2,3)"]


def test_a_search_is_begun_enlarged_and_looked_at_and_keeps_its_space(tmp_path):
    words = [*FIXED, *SPACE, f"output_dir={tmp_path}", "hydra.sweeper.sampler=random"]
    said = avatarl("run", "-m", *words, "hydra.sweeper.n_trials=3")
    assert "dev/nats steers" in said
    assert "Best of 3 trials" in said
    assert "held out, as the best of 3" in said
    sweep = tmp_path / "sweeps" / "s"
    first = Plan.read(sweep)
    assert sum(run.is_control for run in first.runs) == 1
    assert all(run.config["trainer"]["eval_dev"] for run in first.runs)

    replace(first, search={**first.search, "trials": 4}).write(sweep)
    said = avatarl("retry", "s", "--output-dir", str(tmp_path))  # proposes nothing, and ends
    assert "1 run yet to be proposed, which the search's own command does" in said

    # The ledger alone is enough: plan and view are copies.
    (sweep / "optuna.log").unlink()
    said = avatarl(
        "run", "-m", *words, "search=asha", "search.rungs=[0.3]", "hydra.sweeper.n_trials=5"
    )
    assert "Best of 5 trials" in said
    second = Plan.read(sweep)
    searched = [run for run in second.runs if not run.is_control]
    assert [run.id for run in searched][:3] == [run.id for run in first.runs if not run.is_control]
    assert len(searched) == 5
    file = optuna.storages.journal.JournalFileBackend(str(SweepFolder(sweep).optuna))
    study = optuna.load_study(study_name="s", storage=optuna.storages.JournalStorage(file))
    assert [trial.user_attrs["run"] for trial in study.trials] == [run.id for run in searched]
    done = {run.id: run.folder.read_result() for run in searched}
    for trial in study.trials:
        ended = bool(done[trial.user_attrs["run"]])
        assert (trial.state is optuna.trial.TrialState.COMPLETE) == ended
    events = [json.loads(line) for line in (sweep / "decisions.jsonl").open()]
    assert sum(event["event"] == "propose" for event in events) == 4  # the plan's first is planned

    other = [*FIXED, SPACE[1], "optimizer.lr=interval(0,1)", f"output_dir={tmp_path}"]
    told = avatarl("run", "-m", *other, code=2)
    assert "a search has one space" in told
    assert Plan.read(sweep) == second

    count = sum(done[run.id] is not None for run in searched)
    elsewhere = [word.replace("sweep_name=s", "sweep_name=t") for word in words]
    said = avatarl("run", "-m", *elsewhere, "hydra.sweeper.n_trials=1")
    assert f"{count} runs of earlier sweeps are taken in as known" in said
    assert not {run.id for run in Plan.read(tmp_path / "sweeps" / "t").runs} & {*done}


def test_a_small_space_is_searched_once_however_many_runs_are_asked_for(tmp_path):
    fixed = [*FIXED, f"output_dir={tmp_path}", "hydra.launcher.control=false"]
    words = [*fixed, "model.n_head=1,2"]
    assert "s: 2 runs" in avatarl("run", "-m", *words)
    assert len(Plan.read(tmp_path / "sweeps" / "s").runs) == 2
    again = [*words, "sweep_name=t"]
    told = avatarl("run", "-m", *again, code=2)
    assert "earlier sweeps have 2 of it, 0 can't be run); valid: a larger space" in told
    assert not (tmp_path / "sweeps" / "t").exists()
    said = avatarl("run", "-m", *again, "hydra.sweeper.known=false")
    assert "t: 2 runs" in said
    larger = [*fixed, "model.n_head=1,2,3,4", "sweep_name=u", "hydra.launcher.dry_run=json"]
    planned = json.loads(avatarl("run", "-m", *larger, error=False))
    # 3 heads can't share 32 channels.
    assert [run["label"] for run in planned["runs"]] == ["model.n_head=4"]


def test_a_search_proposes_where_a_configuration_has_no_such_group(tmp_path):
    words = [*FIXED, *SPACE, "~search", f"output_dir={tmp_path}", "hydra.launcher.dry_run=json"]
    (run,) = json.loads(avatarl("run", "-m", *words, error=False))["runs"]
    assert not run["is_control"]  # which only the winner gets


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["optimizer.lr=interval(1)"], "valid: interval(low,high)"),
        (["optimizer.lr=interval(0.1,1)", "optimizer.lr=1,2"], "one value or space a key"),
        (["seed=1"], "no key has more than one value"),
        ([*SPACE, "hydra.sweeper.sampler=tpi"], "did you mean 'tpe'"),
        ([*SPACE, "search.metric=val/nats"], "valid: dev/nats"),
        ([*SPACE, "hydra.sweeper.trials=3"], "valid: n_trials, sampler"),
        (
            [*SPACE, "hydra/launcher=slurm", "hydra.launcher.wait=false"],
            "proposes as runs end, and has to be there); valid: true",
        ),
    ],
)
def test_what_cannot_be_proposed_is_refused_in_one_line(words, told, tmp_path):
    on_slurm = "hydra/launcher=slurm" in words
    fixed = [word for word in FIXED if not (on_slurm and "launcher" in word)]
    said = avatarl("run", "-m", *fixed, *words, f"output_dir={tmp_path / 'o'}", code=2)
    assert told in said
    assert len(said.strip().splitlines()) == 1
    assert not (tmp_path / "o").exists()

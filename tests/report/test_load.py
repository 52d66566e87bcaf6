from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from avatarl.errors import UserError
from avatarl.report.load import load_runs

from .conftest import CORPUS, Outputs, config


def test_table_and_curves_say_what_the_files_say(demo_sweep: Path, outputs: Outputs) -> None:
    runs = load_runs("demo", output_dir=outputs.root)
    table = runs.table
    assert table.height == 21
    assert table["state"].value_counts(sort=True).to_dicts()[0] == {"state": "done", "count": 18}
    done = table.filter((table["reference.name"] == "ngram4") & (table["seed"] == 1))
    assert sorted(done["val/nats"].to_list()) == pytest.approx([1.854, 1.904])
    curves = runs.curves
    # 81 records each of the 18 finished, and half-way two more; the queued one has none.
    assert curves["run_id"].n_unique() == 20
    one = curves.filter(curves["run_id"] == done["run_id"][0])
    assert one.height == 81
    assert one["val/nats"].drop_nulls().to_list()[-1] == pytest.approx(done["val/nats"][0])
    assert one["characters_seen"].to_list()[-1] == 400 * 2048
    events = runs.events
    assert set(events["event"]) == {"alarm", "promotion", "final"}


def test_states(outputs: Outputs) -> None:
    for seed, state in enumerate(("done", "running", "silent", "interrupted", "failed", "new")):
        outputs.run(config(seed=seed), state=state)
    bare = outputs.run(config(seed=9), state="running")
    (bare / "progress.json").unlink()
    outputs.sweep()
    runs = load_runs("demo", output_dir=outputs.root)
    states = {run.seed: run.state for run in runs}
    assert states == {
        0: "done", 1: "running", 2: "interrupted", 3: "interrupted", 4: "failed", 5: "new",
        9: "interrupted",
    }  # fmt: skip
    told = {run.seed: run.describe_state() for run in runs}
    assert told[1] == "running at 45 %"
    assert told[9] == "interrupted at 45 %"
    assert next(run for run in runs if run.seed == 4).reason == "RuntimeError: loss is nan"


def test_a_retried_run_is_running_again_and_done_once_done(outputs: Outputs) -> None:
    directory = outputs.run(config(), state="failed")
    failure = json.loads((directory / "failure.json").read_text())
    for file in directory.iterdir():
        file.unlink()
    directory.rmdir()
    outputs.run(config(), state="running")
    (directory / "failure.json").write_text(json.dumps({**failure, "time": failure["time"] - 60}))
    assert [run.state for run in load_runs(directory)] == ["running"]


def test_filters_keep_and_name_the_facts(demo_sweep: Path, outputs: Outputs) -> None:
    def count(*where: str) -> int:
        return len(load_runs("demo", where=list(where), output_dir=outputs.root))

    assert count('reward.confidence_weight>0 and reference.name=="ngram4"') == 3
    assert count("state == 'failed'") == 1
    assert count("is_control") == 3
    assert count("val/nats < 1.75") == 3
    assert count("not is_control", "seed == 0", "val/nats < 2") == 3


def test_a_broken_filter_is_told_and_the_others_hold(demo_sweep: Path, outputs: Outputs) -> None:
    runs = load_runs("demo", where=["is_control", "seed ="], output_dir=outputs.root)
    assert len(runs) == 3
    assert len(runs.errors) == 1
    assert "shown without this filter" in runs.errors[0]


def test_nothing_found_is_an_error(outputs: Outputs, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"no sweep or run is called 'nope'.*valid:"):
        load_runs("nope", output_dir=outputs.root)
    with pytest.raises(UserError, match="holds no run"):
        (tmp_path / "outputs").mkdir()
        load_runs(output_dir=tmp_path / "outputs")


def test_a_filter_that_keeps_nothing_is_told(demo_sweep: Path, outputs: Outputs) -> None:
    runs = load_runs("demo", where="seed == 77", output_dir=outputs.root)
    assert len(runs) == 0
    assert "no run is left of 21" in runs.errors[0]


@pytest.mark.parametrize("name", ["result.json", "config.json", "provenance.json"])
@pytest.mark.parametrize("text", ["", "{", "[]", "\x00", "3"])
def test_a_broken_file_is_told_and_the_others_still_shown(
    demo_sweep: Path, outputs: Outputs, name: str, text: str
) -> None:
    victim = next(run for run in load_runs("demo", output_dir=outputs.root) if run.done)
    (victim.directory / name).write_text(text)
    runs = load_runs("demo", output_dir=outputs.root)
    assert len(runs) == 21
    if name != "provenance.json":
        assert any(str(victim.directory / name) in problem for problem in runs.problems)
    if name == "result.json":
        assert not next(run for run in runs if run.run_id == victim.run_id).done


def test_mixed_schemas_are_shown_and_told(outputs: Outputs) -> None:
    outputs.run(config(seed=0))
    outputs.run(config(seed=1), schema=None)
    outputs.run(config(seed=2), schema=7)
    runs = load_runs(outputs.root)
    assert sum(run.done for run in runs) == 3
    # Each has two such files: its result and its journal.
    assert len([p for p in runs.problems if "older version" in p]) == 2
    assert len([p for p in runs.problems if "newer version" in p]) == 2


def test_one_id_in_two_places_is_one_run(outputs: Outputs) -> None:
    directory = outputs.run(config())
    import shutil

    shutil.copytree(directory, directory.with_name("copy-" + directory.name.rpartition("-")[2]))
    assert len(load_runs(outputs.root)) == 1


def test_an_unfinished_run_takes_the_track_of_its_explorer(outputs: Outputs) -> None:
    bandit: dict[str, Any] = {"explorer__name": "bandit"}
    for seed, state in enumerate(("done", "running", "new")):
        outputs.run(config("bigram", seed=seed), state=state)
        outputs.run(config(seed=seed, **bandit), state=state, track="bandit")
    for weight in (0.1, 0.2, 0.3):
        outputs.run(config("trigram", weight), state="new")
    outputs.run(config("trigram", explorer__name="other"), state="new")
    runs = load_runs(outputs.sweep())
    tracks = {(run.config["explorer.name"], run.track) for run in runs}
    assert tracks == {("exhaustive", "label_revealing"), ("bandit", "bandit"), ("other", "")}
    assert {run.code for run in runs} == {"c0de" + "0" * 60}


def test_columns_of_unlike_types_lose_nothing(outputs: Outputs) -> None:
    outputs.run(config(seed=0, reward__cap=None))
    outputs.run(config(seed=1, reward__cap=2))
    outputs.run(config(seed=2, reward__cap="none"))
    outputs.run(config(seed=3, reward__cap=[1, 2]))
    table = load_runs(outputs.root).table
    assert set(table["reward.cap"].to_list()) == {None, "2", "none", "[1, 2]"}


def test_a_config_missing_altogether_does_not_hide_the_run(outputs: Outputs) -> None:
    directory = outputs.run(config(seed=0), plan=False)
    (directory / "config.json").unlink()
    runs = load_runs(directory)
    assert [run.state for run in runs] == ["done"]
    assert "config.json is missing" in runs.problems[0]
    assert json.loads((directory / "result.json").read_text())["run_id"] == runs.runs[0].run_id


def test_a_run_that_says_no_name_of_its_text_yet_has_that_of_the_stored_one(
    outputs: Outputs,
) -> None:
    directory = outputs.run(config(), state="running", plan=False)
    assert load_runs(directory).runs[0].corpus == ""
    corpora = outputs.root / "corpora"
    corpora.mkdir()
    (corpora / f"{CORPUS['sha256']}-tiny-shakespeare.json").write_text("{}")
    assert load_runs(directory).runs[0].corpus == "tiny-shakespeare"

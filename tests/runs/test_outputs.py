"""One run, one folder, whatever it is called and whoever asks."""

from __future__ import annotations

import json
import multiprocessing
import os
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest

from avatarl.files import write_json
from avatarl.runs import identity
from avatarl.runs.outputs import Outputs, SweepFolder

ID = "0123456789abcdef"


@pytest.fixture
def outputs(tmp_path: Path) -> Outputs:
    return Outputs(tmp_path / "outputs")


def test_a_run_is_found_under_whatever_name_it_was_made(outputs: Outputs) -> None:
    assert outputs.find_run(ID) is None
    assert outputs.run(ID, "match-none").path == outputs.runs / f"match-none-{ID}"
    made = outputs.make_run(ID, "match-none")
    for name in ("control", "match-none", "anything"):
        assert outputs.run(ID, name).path == made.path
        assert outputs.make_run(ID, name).path == made.path
    assert [folder.path for folder in outputs.run_folders()] == [made.path]


@pytest.mark.parametrize("name", ["best", f"keep-{ID}", "a-b-c", "0123456789abcdee"])
@pytest.mark.parametrize("file", ["metrics.jsonl", "result.json"])
def test_a_folder_renamed_by_hand_is_still_the_run(outputs: Outputs, name: str, file: str) -> None:
    made = outputs.make_run(ID, "control")
    (made.path / file).write_text(json.dumps({"schema": 1, "run_id": ID}) + "\n")
    made.path.rename(outputs.runs / name)
    assert outputs.make_run(ID, "control").path == outputs.runs / name


def test_of_two_copies_the_finished_one_counts(outputs: Outputs) -> None:
    first = outputs.make_run(ID, "a")
    second = outputs.runs / f"b-{ID}"
    second.mkdir()
    assert outputs.run(ID, "c").path == first.path
    write_json(second / "result.json", {"val/nats": 1.0})
    assert outputs.run(ID, "c").path == second


def test_a_folder_that_was_deleted_is_made_again(outputs: Outputs) -> None:
    made = outputs.make_run(ID, "a")
    made.path.rmdir()
    assert outputs.find_run(ID) is None
    again = outputs.make_run(ID, "b")
    assert again.path.is_dir()
    assert outputs.run(ID, "c").path == again.path


def _make(root: str, name: str, ready: Any, found: Any) -> None:
    outputs = Outputs(root)
    for number in range(40):
        ready.wait()
        found.put((number, str(outputs.make_run(f"{number:016x}", name).path)))


def test_two_processes_that_ask_under_two_names_at_once_get_one_folder(outputs: Outputs) -> None:
    context = multiprocessing.get_context("fork")
    ready, found = context.Barrier(4), context.Queue()
    names = ("match-none", "control", "mine", "other")
    processes = [
        context.Process(target=_make, args=(str(outputs.root), name, ready, found))
        for name in names
    ]
    for process in processes:
        process.start()
    told = [found.get(timeout=60) for _ in range(40 * len(names))]
    for process in processes:
        process.join(60)
    assert len({path for _, path in told}) == 40
    assert len(outputs.run_folders()) == 40


def test_a_run_of_an_earlier_schema_keeps_its_id(outputs: Outputs) -> None:
    raw: dict[str, Any] = {"seed": 0, "trainer": {"steps": 3, "epochs": 1.0}}
    new, old = identity.run_ids(raw, "0" * 64)
    assert (identity.id_schema(), new != old) == (2, True)
    assert old == sha256(identity.canonical(raw, "0" * 64).encode()).hexdigest()[:16]
    assert outputs.identify(raw, "0" * 64) == new
    outputs.make_run(old, "before")
    assert outputs.identify(raw, "0" * 64) == old
    outputs.make_run(new, "after")
    assert outputs.identify(raw, "0" * 64) == new


def test_a_sweeps_runs_are_where_it_lies_also_when_both_were_moved(tmp_path: Path) -> None:
    first = tmp_path / "first"
    sweep = SweepFolder(first / "sweeps" / "s")
    (first / "runs").mkdir(parents=True)
    sweep.path.mkdir(parents=True)
    assert sweep.outputs("../..", str(first)).root == first
    first.rename(tmp_path / "second")
    moved = SweepFolder(tmp_path / "second" / "sweeps" / "s")
    assert moved.outputs("../..", str(first)).root == tmp_path / "second"
    assert moved.outputs(None, str(first)).root == tmp_path / "second"  # an older plan


def test_a_sweep_kept_elsewhere_knows_its_outputs(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    (outputs / "runs").mkdir(parents=True)
    sweep = SweepFolder(tmp_path / "mine" / "s")
    relative = os.path.relpath(outputs, sweep.path)
    assert sweep.outputs(relative, str(outputs)).root == outputs
    assert sweep.outputs(None, str(outputs)).root == outputs

"""One function from a run's folder to its state."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import time
from pathlib import Path
from typing import Any

import pytest

from avatarl.files import write_json
from avatarl.runs import liveness, ownership
from avatarl.runs.folder import RunFolder
from avatarl.runs.state import RunState, status_of


@pytest.fixture
def folder(tmp_path: Path) -> RunFolder:
    (tmp_path / "run").mkdir()
    return RunFolder(tmp_path / "run")


def state(folder: RunFolder, **options: Any) -> RunState:
    return status_of(folder, **options).state


def progress(folder: RunFolder, word: str = "running", ago: float = 1.0, **extra: Any) -> None:
    content = {"state": word, "step": 3, "steps": 9, "updated": time.time() - ago, **extra}
    write_json(folder.progress, content)


def test_states_follow_the_files(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path / "run")
    assert state(folder) is RunState.NEW
    write_json(folder.owner, {})
    assert state(folder) is RunState.NEW
    write_json(folder.checkpoint(1)[1], {})
    assert state(folder) is RunState.INTERRUPTED
    write_json(folder.failure, {"error": "ValueError: no good", "time": 100.0})
    assert state(folder) is RunState.FAILED
    progress(folder)
    assert state(folder) is RunState.RUNNING
    write_json(folder.result, {"val/nats": 1.0})
    assert state(folder) is RunState.DONE


def test_a_failure_ends_a_run_whose_last_word_was_that_it_runs(folder: RunFolder) -> None:
    progress(folder, pid=os.getpid(), host=socket.gethostname())
    folder.write_failure("id", "name", "Diverged: step 8: loss nan")
    status = status_of(folder)
    assert status.state is RunState.FAILED
    assert status.reason == "Diverged: step 8: loss nan"
    assert status.failure is not None and status.failure.step == 3


def test_nobody_runs_what_a_dead_process_was_at(folder: RunFolder) -> None:
    progress(folder, pid=2**22 + 1, host=socket.gethostname())
    assert state(folder) is RunState.INTERRUPTED
    progress(folder, pid=1, host="elsewhere")
    assert state(folder) is RunState.RUNNING
    progress(folder, ago=liveness.SILENT_AFTER_S + 1, pid=1, host="elsewhere")
    assert state(folder) is RunState.INTERRUPTED


def test_who_claimed_a_run_decides_whether_it_runs(folder: RunFolder) -> None:
    progress(folder, pid=1, host="elsewhere")
    claim = ownership.claim(folder)
    assert state(folder) is RunState.RUNNING
    claim.release("interrupted")
    assert state(folder) is RunState.INTERRUPTED
    assert state(folder, queued=True) is RunState.QUEUED


def test_a_claim_after_a_failure_is_another_attempt(folder: RunFolder) -> None:
    write_json(folder.failure, {"error": "ValueError: no good", "time": time.time() - 5})
    first = ownership.claim(folder)
    assert state(folder) is RunState.RUNNING
    folder.write_failure("id", "name", "ValueError: again")
    assert state(folder) is RunState.FAILED
    first.release("failed")
    assert state(folder, queued=True) is RunState.FAILED
    ownership.claim(folder).release("interrupted")
    progress(folder, "interrupted")
    assert state(folder) is RunState.INTERRUPTED


@pytest.mark.parametrize(("answer", "expected"), [(True, "running"), (False, "interrupted")])
def test_slurm_tells_whether_a_job_still_works(
    folder: RunFolder, answer: bool, expected: str
) -> None:
    owner = dataclasses.replace(
        liveness.this_process(), host="elsewhere", slurm=liveness.SlurmJob("7_1", 0)
    )
    ownership.claim(folder, owner)
    progress(folder)
    assert state(folder, slurm=lambda job: answer) == expected


def test_where_slurm_is_mute_a_silent_job_is_not_shown_as_running(folder: RunFolder) -> None:
    owner = dataclasses.replace(
        liveness.this_process(), host="elsewhere", slurm=liveness.SlurmJob("7_1", 0)
    )
    ownership.claim(folder, owner)
    progress(folder)
    assert state(folder, slurm=lambda job: None) is RunState.RUNNING
    old = time.time() - liveness.SILENT_AFTER_S - 1
    for path in (folder.progress, folder.owner):
        os.utime(path, (old, old))
    assert state(folder, slurm=lambda job: None) is RunState.INTERRUPTED
    # Yet it is not taken over: it may still write.
    with pytest.raises(ownership.Owned):
        ownership.claim(folder, slurm=lambda job: None)


@pytest.mark.parametrize("name", ["result.json", "failure.json", "progress.json", "owner.json"])
@pytest.mark.parametrize("content", ["", "{", "[]", "3", "null", "{}", "\x00", "[" * 100_000])
def test_a_damaged_file_is_told_and_ends_nothing(
    folder: RunFolder, name: str, content: str
) -> None:
    folder.journal.write_text("{}\n")
    (folder.path / name).write_text(content)
    problems: list[str] = []
    assert status_of(folder, problems=problems).state is RunState.INTERRUPTED
    told = name != "owner.json" and content != "{}"
    assert len(problems) == told, problems
    if told:
        assert f"{folder.path / name}" in problems[0]
        assert "valid: a JSON object" in problems[0]


def test_progress_of_other_types_counts_as_unknown(folder: RunFolder) -> None:
    folder.progress.write_text(json.dumps({"step": "3", "steps": None, "warnings": 7, "loss": []}))
    status = status_of(folder)
    assert status.progress is not None
    assert (status.progress.step, status.progress.share, status.progress.loss) == (0, None, None)


def test_a_paused_run_is_paused_until_somebody_goes_on_with_it(folder: RunFolder) -> None:
    first = ownership.claim(folder)
    first.folder.write_paused(20)
    first.release("paused")
    assert state(folder) is RunState.PAUSED
    gone = dataclasses.replace(liveness.this_process(), pid=2**22 + 1)
    ownership.claim(folder, gone)  # and killed before it had done anything
    assert (state(folder), folder.read_paused()) == (RunState.PAUSED, 20)
    third = ownership.claim(folder)
    assert state(folder) is RunState.RUNNING
    third.begin(20)
    third.release("interrupted")
    assert folder.read_paused() is None

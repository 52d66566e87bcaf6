"""What a failed run leaves behind, whoever notices it."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

from avatarl import composition
from avatarl.runs.folder import RunFolder
from avatarl.runs.state import RunState, status_of
from avatarl.sweep.workers import worker
from avatarl.training import recording
from tests.tiny import TINY


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """The directory of a run whose training failed by itself, outside any sweep."""
    try:
        raise ValueError("no good\nmore")
    except ValueError as error:
        recording.write_failure(RunFolder(tmp_path), composition.compose(TINY), "abc", error)
    return tmp_path


def test_training_tells_when_and_why(told: Path) -> None:
    failure = RunFolder(told).read_failure()
    assert failure is not None and failure.time is not None
    assert abs(failure.time - time.time()) < 60
    assert failure.reason == "ValueError: no good"
    content = json.loads((told / "failure.json").read_text())
    assert content["run_id"] == "abc"
    assert "Traceback" in content["traceback"]


def test_a_run_that_training_gave_up_runs_again_once_started_again(told: Path) -> None:
    assert status_of(RunFolder(told)).state is RunState.FAILED
    later = {"state": "running", "updated": time.time() + 5}
    (told / "progress.json").write_text(json.dumps(later))
    assert status_of(RunFolder(told)).state is RunState.RUNNING


def test_what_training_told_of_this_attempt_stays_and_of_an_earlier_one_does_not(
    told: Path,
) -> None:
    before = (told / "failure.json").read_text()
    run = {"id": "abc", "name": "alone"}
    worker.record_failure(run, RunFolder(told), "JobLost: later", "", since=time.time() - 60)
    assert (told / "failure.json").read_text() == before
    worker.record_failure(run, RunFolder(told), "JobLost: later", "", since=time.time() + 60)
    failure = RunFolder(told).read_failure()
    assert failure is not None and failure.reason == "JobLost: later"


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"time": null, "error": ""}'])
def test_what_cannot_be_read_tells_neither_when_nor_why(
    tmp_path: Path, content: str | None
) -> None:
    if content is not None:
        (tmp_path / "failure.json").write_text(content)
    failure = RunFolder(tmp_path).read_failure()
    assert failure is None or (failure.time is None and failure.reason == "")

"""One run is computed once, by whatever route it is asked for, and told alike everywhere."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from avatarl import cli
from avatarl.runs import ownership
from avatarl.runs.outputs import Outputs, SweepFolder
from avatarl.runs.state import RunState, status_of
from tests import tiny
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
TINY = [
    *tiny.TEXT_AND_MODEL,
    "trainer.steps=6",
    "trainer.batch_size=8",
    "trainer.eval_positions=256",
    "trainer.sample_characters=5",
    "trainer.log_every=1",
    "tracking=files",
]
# What a sweep over ``reward=match`` has as its control.
CONTROL = ["objective=cross_entropy", "reference=none", "reward=match"]
SWEEP = ["-m", "reward=match", "reference=bigram", "sweep_name=s", "hydra.launcher.workers=1"]


ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def command(outputs: Path, words: tuple[str, ...]) -> list[str]:
    flags = [word for word in words if word.startswith("-")]
    overrides = [*TINY, *(word for word in words if word not in flags), f"output_dir={outputs}"]
    return [sys.executable, str(ROOT / "run.py"), *flags, *overrides]


def started(outputs: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(outputs, words), capture_output=True, text=True, env=ENVIRONMENT, timeout=PATIENCE_S
    )


def ids(outputs: Path) -> list[str]:
    """The id of every folder that holds a result."""
    found = []
    for folder in Outputs(outputs).run_folders():
        result = folder.read_result()
        assert result is not None, folder
        found.append(result["run_id"])
    return found


def test_a_run_by_hand_is_not_computed_again_as_a_sweeps_control(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    alone = started(outputs, *CONTROL)
    assert alone.returncode == 0, alone.stderr
    [by_hand] = ids(outputs)
    [folder] = Outputs(outputs).run_folders()
    renamed = folder.path.rename(outputs / "runs" / "my favourite")
    swept = started(outputs, *SWEEP)
    assert swept.returncode == 0, swept.stderr
    assert swept.stdout.count("already done") == 1
    assert sorted(ids(outputs)) == sorted({by_hand, *ids(outputs)})
    assert len(ids(outputs)) == 2
    # And the other way round, under a third name.
    again = started(outputs, *CONTROL, "name=another")
    assert again.returncode == 0, again.stderr
    assert len(ids(outputs)) == 2
    assert f"files:    {renamed}" in again.stdout


def launched(outputs: Path, *words: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        command(outputs, words),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=ENVIRONMENT,
        text=True,
    )


@contextlib.contextmanager
def running(outputs: Path, *words: str) -> Iterator[subprocess.Popen[str]]:
    """A run that has begun to compute; it is killed in the end, if it's still there."""
    with launched(outputs, *words) as process:
        try:
            deadline = time.monotonic() + 300
            while not [run for run in Outputs(outputs).run_folders() if run.journal.exists()]:
                assert process.poll() is None, process.communicate()[0]
                assert time.monotonic() < deadline
                time.sleep(0.05)
            yield process
        finally:
            process.kill()


LONG = ["trainer.steps=400", "trainer.eval_every=200", "trainer.log_every=10"]


def test_typed_in_two_terminals_a_run_is_computed_once(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    with running(outputs, *LONG) as first:
        first.send_signal(signal.SIGSTOP)  # so that it is at work for as long as the others need
        refused = started(outputs, *LONG, "name=mine", "trainer.if_running=fail")
        assert refused.returncode == 2
        assert "trainer.if_running='fail' can't be used (being computed by process" in (
            refused.stderr
        )
        second = launched(outputs, *LONG, "name=mine")
        assert second.stdout is not None
        lines = []
        for line in second.stdout:
            lines.append(line)
            if "waiting for its result" in line:
                first.send_signal(signal.SIGCONT)
        assert second.wait() == 0, lines
        told = first.communicate()[0]
        assert first.returncode == 0, told
    # The one who waited ends with the other's result, and the journal is of one computation.
    ending = [line for line in told.splitlines() if line.startswith("held out:")]
    assert ending == [line.rstrip() for line in lines if line.startswith("held out:")]
    [folder] = Outputs(outputs).run_folders()
    records = [json.loads(line) for line in folder.journal.read_text().splitlines()[1:]]
    steps = [record["step"] for record in records if "train/loss" in record]
    assert steps == list(range(10, 401, 10))
    assert [owner.outcome for owner in ownership.history(folder)] == ["done"]


def test_a_run_whose_process_was_killed_is_taken_over(tmp_path: Path) -> None:
    outputs = tmp_path / "outputs"
    with running(outputs, *LONG) as first:
        first.kill()
    [folder] = Outputs(outputs).run_folders()
    assert status_of(folder).state is RunState.INTERRUPTED
    again = started(outputs, *LONG)
    assert again.returncode == 0, again.stdout + again.stderr
    assert [owner.outcome for owner in ownership.history(folder)] == [None, "done"]
    assert status_of(folder).state is RunState.DONE


def test_a_moved_sweep_is_read_and_continued_where_it_lies(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = tmp_path / "outputs"
    swept = started(outputs, *SWEEP)
    assert swept.returncode == 0, swept.stderr
    moved = outputs.rename(tmp_path / "elsewhere")
    assert cli.main(["status", "s", "--output-dir", str(moved)]) == 0
    assert "1 run + 1 control: 2 done" in capsys.readouterr().out
    victim = Outputs(moved).run_folders()[0]
    victim.result.unlink()
    assert cli.main(["retry", "s", "--output-dir", str(moved)]) == 0
    assert "1 run + 1 control" in capsys.readouterr().out
    assert not outputs.exists()
    assert len(ids(moved)) == 2


def test_a_diverged_run_is_failed_in_log_table_comparison_and_status(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    outputs = tmp_path / "outputs"
    words = ["-m", "optimizer.lr=1e30,0.001", "sweep_name=s", "hydra.launcher.workers=1"]
    swept = started(outputs, *words, "hydra.launcher.control=false")
    assert swept.returncode == 1
    assert "FAILED optimizer.lr=1e+30" in swept.stdout
    assert "running at" not in swept.stdout
    sweep = SweepFolder(outputs / "sweeps" / "s")
    table = sweep.comparison("txt").read_text(encoding="utf-8")
    assert "failed at" in table
    assert "running" not in table
    assert cli.main(["status", "s", "--output-dir", str(outputs), "--json"]) == 1
    rows = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert sorted(row["state"] for row in rows) == ["done", "failed"]
    states = [status_of(folder).state for folder in Outputs(outputs).run_folders()]
    assert sorted(states) == [RunState.DONE, RunState.FAILED]

"""Sweeps by launchers of others (Hydra's basic one stands for them all) are sweeps."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from avatarl import cli
from avatarl.sweep.plan.planned import Plan
from tests.tiny import TINY
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).resolve().parents[2]
SHORT = [*TINY, "tracking=files", "trainer.steps=4", "trainer.eval_positions=64"]
SHORT += ["trainer.sample_characters=0", "hydra/launcher=basic", "sweep_name=theirs"]


def sweep(cwd: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "-m", *SHORT, *words],
        cwd=cwd,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )


def test_they_are_found_and_compared_with_the_control_where_asked(tmp_path, capsys, monkeypatch):
    control = "hydra.sweeper.control=true"
    done = sweep(tmp_path, "reward.confidence_weight=0,1", "reference=bigram", control)
    assert done.returncode == 0, done.stderr
    monkeypatch.chdir(tmp_path)
    plan = Plan.read(tmp_path / "outputs" / "sweeps" / "theirs")
    assert [run.is_control for run in plan.runs] == [False, False, True]
    assert plan.keys == ("reward.confidence_weight",)
    assert all(run.folder.read_result() for run in plan.runs)
    assert cli.main(["status", "theirs"]) == 0
    assert "3 done" in capsys.readouterr().out
    assert cli.main(["compare", "theirs", "--format", "csv"]) == 0
    assert "control" in capsys.readouterr().out


def test_a_combination_that_cannot_run_refuses_the_sweep_and_leaves_nothing(tmp_path):
    done = sweep(tmp_path, "seed=0,-1")
    assert done.returncode == 2
    assert "seed=-1" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_control_that_cannot_be_typed_is_refused(tmp_path):
    (tmp_path / "kept.yaml").write_text(
        "defaults: [config, _self_]\nreward: {confidence_weight: 0.2}\nsweep_name: theirs\n"
    )
    words = ["hydra.sweeper.control=true", "seed=0,1"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "run.py"), "-m", "-cd", ".", "-cn", "kept", *SHORT, *words],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
    )
    assert done.returncode == 2, done.stderr
    assert "hydra.sweeper.control" in done.stderr

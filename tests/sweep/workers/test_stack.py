"""A sweep whose runs are trained as one program, from the command to the files."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from avatarl.errors import ConfigError
from avatarl.options import read
from avatarl.sweep.workers.local import LocalSettings

ROOT = Path(__file__).resolve().parents[3]
SWEEP = [
    "data=folio",
    "data.characters=20000",
    "model=gpt2_tiny",
    "reference=bigram",
    "optimizer=adamw",
    "tracking=files",
    "trainer.steps=12",
    "trainer.batch_size=16",
    "trainer.log_every=4",
    "trainer.eval_positions=128",
    "trainer.sample_characters=5",
    "hydra.launcher.workers=1",
    "hydra.launcher.freeze=false",
    "hydra.launcher.control=false",
]


def sweep(folder: Path, *words: str) -> str:
    done = subprocess.run(
        [sys.executable, "run.py", "-m", *SWEEP, f"output_dir={folder}", *words],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_a_stacked_sweep_leaves_what_a_plain_one_leaves(tmp_path: Path) -> None:
    sweep(tmp_path / "stacked", "seed=1,2,3", "hydra.launcher.stack=2")
    sweep(tmp_path / "plain", "seed=1,2,3")
    stacked = sorted((tmp_path / "stacked" / "runs").iterdir())
    assert [run.name for run in stacked] == sorted(
        run.name for run in (tmp_path / "plain" / "runs").iterdir()
    )
    together = [
        "2 runs are trained as one program" in (run / "run.log").read_text() for run in stacked
    ]
    assert sum(together) == 2
    for run in stacked:
        ours = json.loads((run / "result.json").read_text())
        theirs = json.loads((tmp_path / "plain" / "runs" / run.name / "result.json").read_text())
        assert ours["val/nats"] == pytest.approx(theirs["val/nats"], rel=1e-4)
        assert json.loads((run / "owner.json").read_text())


@pytest.mark.parametrize("stack", ["all", 0, -2])
def test_a_senseless_stack_is_refused_before_anything_starts(stack: int | str) -> None:
    raw = yaml.safe_load((ROOT / "conf" / "hydra" / "launcher" / "local.yaml").read_text())
    shipped = {key: raw[key] for key in LocalSettings.__dataclass_fields__}
    with pytest.raises(ConfigError, match=r"hydra\.launcher\.stack"):
        read(LocalSettings, {**shipped, "stack": stack}, "hydra.launcher")

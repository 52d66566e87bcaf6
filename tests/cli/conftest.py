from __future__ import annotations

from pathlib import Path

import pytest

from avatarl import composition
from avatarl.training import Result, execute
from tests import tiny
from tests.report.conftest import demo_sweep, outputs
from tests.sweep.conftest import plan_of, trace_of
from tests.tracking.wandb_standin import server

__all__ = ["demo_sweep", "outputs", "plan_of", "server", "trace_of"]

QUICK = [
    *tiny.TINY,
    "tracking=files",
    "trainer.steps=8",
    "trainer.log_every=4",
    "trainer.eval_positions=64",
    "trainer.sample_characters=5",
]


def train(folder: Path) -> Result:
    return execute(composition.compose([*QUICK, f"output_dir={folder}"]))


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A run that a module's tests only read."""
    return train(tmp_path_factory.mktemp("trained"))


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Result:
    """A run of its own, where nobody is logged in to wandb."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return train(tmp_path / "out")

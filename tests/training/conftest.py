from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from avatarl import composition
from avatarl.config import RunConfig
from tests.tiny import TINY as SMALL

TINY = [
    *SMALL,
    "tracking=files",
    "trainer.steps=24",
    "trainer.log_every=4",
    "trainer.eval_every=8",
    "trainer.eval_positions=256",
    "trainer.sample_characters=20",
]


@pytest.fixture
def tiny(tmp_path: Path) -> Callable[..., RunConfig]:
    """Compose a run of a second; further overrides as arguments."""

    def make(*overrides: str, folder: str = "out") -> RunConfig:
        place = f"output_dir={tmp_path / folder}"
        return composition.compose([*TINY, place, *overrides])

    return make

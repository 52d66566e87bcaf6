from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from avatarl import composition
from avatarl.config import RunConfig
from tests import tiny
from tests.tracking.wandb_standin import server

__all__ = ["server"]

Quick = Callable[..., RunConfig]


@pytest.fixture
def quick(tmp_path: Path) -> Quick:
    """Makes configurations of small runs."""

    def make(*overrides: str) -> RunConfig:
        return composition.compose(
            [
                *tiny.TINY,
                "trainer.steps=12",
                "trainer.log_every=4",
                "trainer.eval_every=4",
                "trainer.eval_positions=256",
                "trainer.sample_characters=10",
                f"output_dir={tmp_path / 'out'}",
                *overrides,
            ]
        )

    return make

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from avatarl import composition
from avatarl.config import RunConfig

sys.path.insert(0, str(Path(__file__).parent))
from wandb_standin import server

__all__ = ["server"]

Quick = Callable[..., RunConfig]


@pytest.fixture
def quick(tmp_path: Path) -> Quick:
    """Makes configurations of small runs."""

    def make(*overrides: str) -> RunConfig:
        return composition.compose(
            [
                "data=folio",
                "data.characters=20000",
                "model=gpt2_tiny",
                "reference=bigram",
                "trainer.batch_size=16",
                "trainer.steps=12",
                "trainer.log_every=4",
                "trainer.eval_every=4",
                "trainer.eval_positions=256",
                "trainer.sample_characters=10",
                "trainer.device=cpu",
                f"output_dir={tmp_path / 'out'}",
                *overrides,
            ]
        )

    return make

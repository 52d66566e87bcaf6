from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from avatarl.errors import UserError
from avatarl.report import summarise_sweep

from .conftest import Outputs, config


def test_it_prints_the_table_and_leaves_three_files(demo_sweep: Path) -> None:
    out = io.StringIO()
    summarise_sweep(demo_sweep, Console(file=out, width=200))
    assert "RuntimeError: loss is nan" in out.getvalue()
    assert "1.8540 ±0.0099" in (demo_sweep / "comparison.txt").read_text()
    assert "run_ids" in (demo_sweep / "comparison.csv").read_text().splitlines()[0]
    assert (demo_sweep / "comparison.png").read_bytes().startswith(b"\x89PNG")


def test_a_sweep_whose_runs_all_failed_is_still_told(outputs: Outputs) -> None:
    for seed in range(2):
        outputs.run(config(seed=seed), state="failed", share=0.0)
    outputs.run(config(seed=3), state="new")
    sweep = outputs.sweep()
    out = io.StringIO()
    summarise_sweep(sweep, Console(file=out, width=200))
    assert "seeds 0, 1 failed at 0 %: RuntimeError: loss is nan" in out.getvalue()
    assert "seed 3 new" in out.getvalue()


def test_a_folder_without_a_plan_is_no_sweep(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="is no sweep"):
        summarise_sweep(tmp_path)

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from avatarl.config import RunConfig
from avatarl.training import execute, precision

CPU = torch.device("cpu")


@pytest.mark.parametrize(("factor", "lines"), [(79.0, 1), (1.1, 0), (0.2, 0)])
def test_a_precision_that_costs_time_is_told_in_the_runs_log(
    tiny: Callable[..., RunConfig],
    factor: float,
    lines: int,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(precision, "slowdown", lambda device: factor)
    execute(tiny("trainer.precision=bf16", "trainer.steps=1"))
    (log,) = tmp_path.glob("out/runs/*/run.log")
    told = "WARNING trainer.precision=bf16: products take 79.0 times as long as in fp32"
    assert log.read_text().count(told) == lines


def test_full_precision_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(precision, "slowdown")
    remarks: list[tuple[int, str]] = []
    assert precision.precision_of("fp32", CPU, remarks) is None
    assert remarks == []


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN")
def test_a_processor_without_bf16_is_found_out() -> None:
    """oneDNN held to AVX2 multiplies bf16 the way an older processor does."""
    command = (
        "import torch; torch.set_num_threads(1); from avatarl.bf16 import slowdown; "
        "print(slowdown(torch.device('cpu')))"
    )
    done = subprocess.run(
        [sys.executable, "-c", command],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert float(done.stdout) > 5

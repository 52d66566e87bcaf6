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


@pytest.mark.parametrize(
    ("factor", "told", "computed_in"),
    [
        (79.0, "products take 79.0 times as long as in fp32 on this processor: fp32 instead", None),
        (3.0, "products take 3.0 times as long as in fp32 on this processor", torch.bfloat16),
        (1.1, None, torch.bfloat16),
        (0.2, None, torch.bfloat16),
    ],
)
def test_what_a_processor_lacks_or_is_slow_at_is_told_in_the_runs_log(
    tiny: Callable[..., RunConfig],
    factor: float,
    told: str | None,
    computed_in: torch.dtype | None,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.setattr(precision, "slowdown", lambda device: factor)
    execute(tiny("trainer.precision=bf16", "trainer.steps=1"))
    (log,) = tmp_path.glob("out/runs/*/run.log")
    lines = [line for line in log.read_text().splitlines() if "trainer.precision" in line]
    assert [line.partition("WARNING ")[2] for line in lines] == (
        [f"trainer.precision=bf16: {told}"] if told else []
    )
    assert precision.precision_of("bf16", CPU, []) == computed_in


def test_full_precision_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(precision, "slowdown")
    remarks: list[tuple[int, str]] = []
    assert precision.precision_of("fp32", CPU, remarks) is None
    assert remarks == []


@pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="needs oneDNN")
@pytest.mark.parametrize("busy", [0, 3], ids=["quiet", "busy"])
def test_a_processor_without_bf16_is_found_out(busy: int) -> None:
    """oneDNN held to AVX2 multiplies bf16 the way an older processor does."""
    command = (
        "import torch; from avatarl.bf16 import slowdown; print('ready', flush=True); input(); "
        "print(slowdown(torch.device('cpu')), torch.get_num_threads())"
    )
    threads = torch.get_num_threads()
    asked = subprocess.Popen(
        [sys.executable, "-c", command],
        env=os.environ | {"ONEDNN_MAX_CPU_ISA": "AVX2", "OMP_NUM_THREADS": str(threads)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert asked.stdout is not None
    assert asked.stdout.readline() == "ready\n"
    # As many loops as make every thread of a product wait for its core.
    loops = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range(busy * (os.cpu_count() or 1))
    ]
    try:
        said, _ = asked.communicate("go\n")
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()
    factor, left = said.split()
    assert float(factor) > 5
    assert int(left) == threads

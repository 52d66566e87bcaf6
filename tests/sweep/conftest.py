from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from avatarl.sweep.plan.planned import Candidate, make_plan

HERE = str(Path(__file__).parent)
if HERE not in sys.path:  # worker processes inherit it
    sys.path.insert(0, HERE)


@pytest.fixture
def plan_of(tmp_path):
    """Make a plan of runs for the stand-in executor: one dict of extra settings a run."""

    def make(settings, name="test"):
        candidates = []
        for seed, extra in enumerate(settings):
            identity = f"{seed:016x}"
            config = {
                "name": "t",
                "seed": seed,
                "output_dir": str(tmp_path / "outputs"),
                "test_directory": f"runs/t-{identity}",
                **extra,
            }
            candidates.append(Candidate((f"seed={seed}",), config, identity, "one program"))
        (tmp_path / "outputs").mkdir(exist_ok=True)
        return make_plan(name, candidates, corpus={})

    return make


@pytest.fixture
def trace_of(tmp_path):
    """What the stand-in executor did: ``(seed, word, pid, time)`` in order."""

    def read():
        path = tmp_path / "outputs" / "trace.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [tuple(json.loads(line)) for line in lines]

    return read

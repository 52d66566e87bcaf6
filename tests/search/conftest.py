from __future__ import annotations

import sys
from pathlib import Path

import pytest

from avatarl.sweep.plan.planned import Candidate, make_plan

HERE = str(Path(__file__).parent)
if HERE not in sys.path:  # worker processes inherit it
    sys.path.insert(0, HERE)

RULES = {
    "name": "asha", "metric": "dev/nats", "minimise": True, "eta": 3.0, "rungs": 2, "brackets": 1,
    "synchronous": False, "paused_checkpoints": None,
}  # fmt: skip


@pytest.fixture
def study_plan(tmp_path):
    """Make a plan of runs for the stand-in executor, written down; and its sweep's folder."""

    def make(values, extra=None, **rules):
        candidates = []
        rungs = {**RULES, **rules}["rungs"]
        for seed, value in enumerate(values):
            identity = f"{seed:016x}"
            config = {
                "name": "t",
                "seed": seed,
                "output_dir": str(tmp_path / "outputs"),
                "values": value if isinstance(value, list) else [value] * (rungs + 1),
                **(extra or {}).get(seed, {}),
            }
            steps = tuple(10 * (rung + 1) for rung in range(rungs + 1))
            candidates.append(Candidate((f"seed={seed}",), config, identity, "program", steps))
        (tmp_path / "outputs").mkdir(exist_ok=True)
        plan = make_plan("s", candidates, corpus={}, search={**RULES, **rules})
        sweep = tmp_path / "outputs" / "sweeps" / "s"
        plan.write(sweep)
        return plan, sweep

    return make

"""A sweep that is killed again and again ends like one that was left alone.

``AVATARL_KILLS`` sets how often, and ``AVATARL_FUZZ_SEED`` when and whom.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import pytest

from avatarl.runs import journal, liveness, ownership
from avatarl.runs.folder import RunFolder
from avatarl.runs.outputs import Outputs
from avatarl.sweep import reproduce
from tests import tiny
from tests.waiting import PATIENCE_S

ROOT = Path(__file__).parents[2]
KILLS = int(os.environ.get("AVATARL_KILLS", "20"))
SEED = int(os.environ.get("AVATARL_FUZZ_SEED", str(random.randrange(10**6))))
RUNS, STEPS, LOG_EVERY = 2, 1000, 10
SWEEP = [
    *tiny.TINY, "tracking=files", "seed=range(0,2)", "sweep_name=s", f"trainer.steps={STEPS}",
    f"trainer.log_every={LOG_EVERY}", "trainer.eval_every=100", "trainer.eval_positions=64",
    "trainer.sample_characters=5", "trainer.threads=1", "trainer.checkpoint_every_s=0",
    "hydra.launcher.workers=2", "hydra.launcher.control=false", "hydra.launcher.compare=false",
    "hydra.launcher.failure_policy=tests.hostile.impatient",
]  # fmt: skip


def client(outputs: Path, log: IO[str]) -> subprocess.Popen[str]:
    command = [sys.executable, str(ROOT / "run.py"), "-m", *SWEEP, f"output_dir={outputs}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen(
        command, stdout=log, stderr=subprocess.STDOUT, text=True, env=environment
    )


def steps_done(outputs: Path) -> int:
    latest = (journal.latest(one.journal) for one in Outputs(outputs).run_folders())
    return sum(int(record.get("step", 0)) for record in latest)


def workers(outputs: Path) -> list[int]:
    """The processes that compute runs just now."""
    owners = (ownership.current_owner(one) for one in Outputs(outputs).run_folders())
    return [owner.pid for owner in owners if owner is not None and liveness.lives(owner)]


def kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it ended this instant
        os.kill(pid, signal.SIGKILL)


@pytest.mark.hostile
def test_a_sweep_that_is_killed_again_and_again_ends_like_one_that_was_left_alone(
    tmp_path: Path,
) -> None:
    print(f"AVATARL_KILLS={KILLS} AVATARL_FUZZ_SEED={SEED}")
    draw = random.Random(SEED)
    alone, outputs = tmp_path / "alone", tmp_path / "killed"
    log = (tmp_path / "log").open("w+")
    assert client(alone, log).wait(PATIENCE_S) == 0
    moments = sorted(draw.uniform(0, 0.9 * RUNS * STEPS) for _ in range(KILLS))
    killed: list[str] = []
    process = client(outputs, log)
    try:
        deadline = time.monotonic() + 2 * PATIENCE_S
        while process.poll() is None and moments:
            assert time.monotonic() < deadline, f"{len(killed)} kills: {killed}"
            busy = workers(outputs)
            if not busy or steps_done(outputs) < moments[0]:
                time.sleep(0.02)
                continue
            moments.pop(0)
            who = draw.choice([*["worker"] * 4, "client", "all"])
            killed.append(who)
            if who != "worker":
                process.kill()
                process.wait()
            for pid in {"worker": [draw.choice(busy)], "client": [], "all": busy}[who]:
                kill(pid)
            if who != "worker":
                process = client(outputs, log)
        assert process.wait(PATIENCE_S) == 0, (tmp_path / "log").read_text()
    finally:
        process.kill()
        process.wait()
        log.close()
    print(f"killed: {killed}")
    assert len(killed) >= KILLS / 2, "the sweep was over before it was killed"
    undisturbed = Outputs(alone).run_folders()
    assert [one.path.name for one in Outputs(outputs).run_folders()] == [
        one.path.name for one in undisturbed
    ]
    for before in undisturbed:
        after = RunFolder(outputs / "runs" / before.path.name)
        assert reproduce.compare(before.path, after.path) == []
        assert [owner.outcome for owner in ownership.history(after)].count("done") == 1
        records = [json.loads(line) for line in after.journal.read_text().splitlines()[1:]]
        logged = [record["step"] for record in records if "train/loss" in record]
        assert logged == list(range(LOG_EVERY, STEPS + 1, LOG_EVERY))

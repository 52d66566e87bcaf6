"""Clients of a sweep that are refused, ended, cancelled, or jobs themselves."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys

import pytest
from conftest import ROOT, slurm

from avatarl.sweep.slurm.sbatch import Refused, sbatch

#: A run takes longer than another client needs to compose the sweep, on a busy machine too.
SLOWLY = {"AVATARL_TEST_PAUSE_S": "0.4"}


def avatarl(sweep, *words):
    command = [sys.executable, "-m", "avatarl", *words, "--output-dir", sweep.directory]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_a_cancellation_finds_jobs_whose_client_ended_before_it_noted_them(sweep, check):
    code, out = sweep.finish(sweep.start("hydra.launcher.wait=false", environment=SLOWLY))
    assert code == 0, out
    note = sweep.sweep / "slurm" / "1" / "submission.json"
    noted = json.loads(note.read_text())
    note.write_text(json.dumps({**noted, "jobs": []}))  # as it was before sbatch was called
    sweep.wait_for_step(0)
    rows = [json.loads(line) for line in avatarl(sweep, "status", "s", "--json").stdout.split("\n")
            if line]  # fmt: skip
    jobs = dict(zip((run for [run, *_] in noted["packs"]), noted["jobs"], strict=True))
    shown = {row["id"]: row["job"] for row in rows}
    assert jobs.items() <= shown.items()
    assert "cancelled 2 jobs" in avatarl(sweep, "cancel", "s").stdout
    sweep.wait_for(lambda: not slurm("squeue", "-h"), what="empty queue")
    assert avatarl(sweep, "watch", "s").returncode == 1
    assert avatarl(sweep, "retry", "s").returncode == 0
    check()
    assert avatarl(sweep, "watch", "s").returncode == 0


@pytest.mark.parametrize("cancelled", ["first", "second"])
def test_of_two_arrays_for_one_sweep_one_is_cancelled(sweep, check, cancelled):
    first = sweep.start(environment=SLOWLY)
    sweep.wait_for_step(0)
    second = sweep.start(environment=SLOWLY)
    sweep.wait_for(lambda: len(sweep.jobs()) == 4, what="both arrays")
    arrays = list(dict.fromkeys(job.split("_")[0] for job in sweep.jobs()))
    slurm("scancel", arrays[cancelled == "second"])
    for client in (first, second):
        code, out = sweep.finish(client)
        assert code == 0, out
        assert "FAILED" not in out
    check()


def test_a_refused_client_leaves_the_sweep_of_another(sweep, check):
    client = sweep.start(environment=SLOWLY)
    sweep.wait_for_step(0)
    before = {name: (sweep.sweep / name).read_bytes() for name in ("plan.json", "launch.json")}
    code, out = sweep.finish(sweep.start("hydra.launcher.partition=none-such"))
    assert code == 2, out
    assert "Invalid partition" in out
    assert before == {name: (sweep.sweep / name).read_bytes() for name in before}
    code, out = sweep.finish(client)
    assert code == 0, out
    check()


@pytest.mark.parametrize("array", ["", "--array=3"])
def test_a_sweep_that_is_launched_within_a_job(sweep, check, array, tmp_path):
    """It asks for other things than the outer job has, whose variables say otherwise."""
    leaks = {
        "SRUN_CPUS_PER_TASK": "7", "SLURM_MEM_PER_CPU": "9000000", "SBATCH_EXPORT": "NONE",
        "SBATCH_TIMELIMIT": "0:01", "SBATCH_ARRAY_INX": "5-9", "SLURM_RESTART_COUNT": "3",
        "SQUEUE_PARTITION": "urgent", "CUDA_VISIBLE_DEVICES": "9",
    }  # fmt: skip
    exports = [f"export {name}={value}" for name, value in leaks.items()]
    command = shlex.join(map(str, sweep.command("hydra.launcher.mem_gb=1")))
    lines = ["#!/bin/bash", *exports, f"cd {ROOT}", command]
    sweep.directory.mkdir()
    (tmp_path / "outer.sh").write_text("\n".join(lines) + "\n")
    log = tmp_path / "outer.log"
    options = ["-W", "--mem=300", "--gres=gpu:2", "-o", log, *([array] if array else [])]
    outer = subprocess.run(
        ["sbatch", *options, tmp_path / "outer.sh"],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
    )
    assert outer.returncode == 0, log.read_text() + sweep.tail()
    check()
    assert [sweep.starts(seed) for seed in range(3)] == [1, 1, 1]
    [out] = [path for path in sweep.sweep.glob("slurm/1/submitit/*_log.out") if "1_0_" in path.name]
    assert "GPUs ['0']" in out.read_text()


@pytest.fixture
def small_cluster(cluster):
    """A controller that keeps few jobs."""
    cluster.stop_controller()
    cluster.write_configuration(most_jobs=4)
    cluster.start_controller(clean=True)
    cluster.wait_until_idle()
    yield cluster
    cluster.stop_controller()
    cluster.write_configuration()
    cluster.start_controller(clean=True)
    cluster.wait_until_idle()


def test_more_jobs_than_the_cluster_has_room_for_are_told_and_queued_in_parts(
    small_cluster, sweep, check
):
    sweep.seeds = 8
    client = sweep.start("hydra.launcher.runs_per_job=1")
    code, out = sweep.finish(client)
    assert code == 0, out
    assert "SLURM has no room for 8 jobs (" in out
    assert "SLURM has taken all jobs" in out
    assert len(list(sweep.sweep.glob("slurm/1/submitit/*_submission.sh"))) > 1
    assert len(sweep.jobs()) == 8
    check()


def test_a_client_that_is_ended_while_it_waits_for_room_leaves_nothing(
    small_cluster, sweep, tmp_path
):
    held = tmp_path / "held.sh"
    held.write_text("#!/bin/bash\n#SBATCH --hold --output=/dev/null\n")
    try:
        with pytest.raises(Refused) as refused:
            while True:
                sbatch(held)
        assert refused.value.full
        client = sweep.start()
        assert client.stdout is not None
        told = ""
        while "SLURM has no room" not in told:
            told += (line := client.stdout.readline())
            assert line, told
        client.send_signal(signal.SIGTERM)
        code, out = sweep.finish(client)
        assert code == 143, told + out
        assert not list(sweep.directory.rglob("*"))
    finally:
        slurm("scancel", "--me")

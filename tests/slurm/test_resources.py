"""Runs of one sweep that ask for different things."""

from __future__ import annotations

import json
import subprocess
import sys

from conftest import ROOT, slurm


def test_each_condition_gets_an_array_that_asks_for_what_it_says(sweep, check):
    asked = 'hydra.launcher.resources=[{where: "seed >= 1", timeout_min: 33, runs_per_job: 1}]'
    code, out = sweep.finish(sweep.start(asked, "hydra.launcher.timeout_min=22"))
    assert code == 0, out
    first, *others = jobs = sweep.jobs()
    assert (first.partition("_")[1], len(jobs)) == ("", 3)
    [array] = {job.split("_")[0] for job in others}
    assert array != first
    limits = [
        slurm("scontrol", "show", "job", job).split("TimeLimit=")[1].split()[0] for job in jobs
    ]
    assert limits == ["00:22:00", "00:33:00", "00:33:00"]
    check()
    # In the end it is told what was asked for and used, by kind; status tells the same later.
    assert "asked and used by 1 job\n" in out
    assert "asked and used by 2 jobs of seed >= 1\n" in out
    command = [sys.executable, "-m", "avatarl", "status", "s", "--usage", "--json"]
    command += ["--output-dir", str(sweep.directory)]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    usual, later = sorted(map(json.loads, told.splitlines()), key=lambda one: one["jobs"])
    assert (usual["asked"]["time_s"], later["asked"]["time_s"]) == (22 * 60, 33 * 60)
    for one in (usual, later):
        assert 0 < one["used"]["cores"] < 2
        assert 0 < one["used"]["time_s"] < 22 * 60
        # torch alone takes some 200 MiB.
        assert 2e8 < one["used"]["memory_bytes"] < 4e9
        assert one["suggested"]["mem_gb"] >= 1

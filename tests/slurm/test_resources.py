"""Runs of one sweep that ask for different things."""

from __future__ import annotations

from conftest import slurm


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

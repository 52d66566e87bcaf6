from __future__ import annotations

import pytest

from avatarl.runs import slurm_jobs
from avatarl.sweep.slurm.sbatch import Refused, sbatch


@pytest.fixture
def script(tmp_path):
    path = tmp_path / "script.sh"
    path.write_text("#!/bin/bash\n#SBATCH --output=x\n")
    return path


def test_the_number_of_the_job_is_told(slurm, script):
    assert [sbatch(script), sbatch(script)] == ["1", "2"]


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        ("sbatch: error: Invalid partition name specified", "Invalid partition name specified"),
        (
            "sbatch: unrecognized option '--foo=1'\nTry \"sbatch --help\" for more information",
            "unrecognized option '--foo=1'",
        ),
        ("Unknown parameters\nfoo", "foo"),
    ],
)
def test_what_sbatch_complains_of_is_told(slurm, script, said, expected):
    slurm.room(0)
    slurm.says(said)
    with pytest.raises(Refused) as refused:
        sbatch(script)
    assert refused.value.complaint == expected
    assert not (refused.value.full or refused.value.maybe)


@pytest.mark.parametrize(
    "said",
    [
        "sbatch: error: Slurm temporarily unable to accept job, sleeping and retrying",
        "sbatch: error: Slurm job queue full, sleeping and retrying",
        "sbatch: error: Batch job submission failed: Resource temporarily unavailable",
        "sbatch: error: QOSMaxSubmitJobPerUserLimit\n"
        "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job "
        "submit limit, user's size and/or time limits)",
        "sbatch: error: AssocMaxSubmitJobLimit\nsbatch: error: Batch job submission failed: no",
    ],
)
def test_a_limit_of_jobs_is_told_from_other_refusals_and_at_once(slurm, script, said):
    slurm.room(0)
    slurm.says(said)  # "retrying": and then it sleeps for an hour
    with pytest.raises(Refused) as refused:
        sbatch(script)
    assert refused.value.full
    assert refused.value.complaint in said


def test_a_policy_that_is_not_named_may_be_a_limit_of_jobs(slurm, script):
    slurm.room(0)
    slurm.says(
        "sbatch: error: Batch job submission failed: Job violates accounting/QOS policy (job "
        "submit limit, user's size and/or time limits)"
    )
    with pytest.raises(Refused) as refused:
        sbatch(script)
    assert (refused.value.full, refused.value.maybe) == (False, True)


def test_a_machine_that_has_lost_its_commands_refuses(script, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(Refused, match="sbatch can't be started"):
        sbatch(script)


OUTER = {
    "SLURM_ARRAY_JOB_ID": "1", "SLURM_ARRAY_TASK_ID": "3", "SLURM_ARRAY_TASK_COUNT": "9",
    "SLURM_JOB_ID": "2", "SLURM_RESTART_COUNT": "4", "SLURM_MEM_PER_NODE": "64",
    "SLURM_MEM_PER_CPU": "64", "SLURM_MEM_PER_GPU": "64", "SLURM_CPUS_PER_TASK": "64",
    "SRUN_CPUS_PER_TASK": "64", "SLURM_NTASKS": "9", "SLURM_EXPORT_ENV": "NONE",
    "SLURM_TRES_PER_TASK": "cpu:9", "SLURM_GPUS_PER_NODE": "8", "SLURM_DISTRIBUTION": "block",
    "SBATCH_EXPORT": "NONE", "SBATCH_TIMELIMIT": "1", "SBATCH_ARRAY_INX": "0-9",
    "SBATCH_MEM_PER_NODE": "1", "SBATCH_WAIT": "1", "SBATCH_GRES": "gpu:9", "SALLOC_X": "1",
    "SQUEUE_PARTITION": "other", "SQUEUE_STATES": "PD", "SCANCEL_INTERACTIVE": "1",
    "SUBMITIT_EXECUTOR": "slurm", "PMIX_RANK": "0", "CUDA_VISIBLE_DEVICES": "7",
}  # fmt: skip
OURS = {
    "SLURM_CONF": "/etc/slurm.conf", "SLURM_CLUSTERS": "big", "WANDB_API_KEY": "k", "SLURMY": "x",
}  # fmt: skip


def test_nothing_of_an_outer_job_reaches_slurms_commands_or_the_jobs(slurm, script, monkeypatch):
    for name, value in {**OUTER, **OURS}.items():
        monkeypatch.setenv(name, value)
    sbatch(script)
    slurm_jobs.jobs(["1"], fresh=True)
    slurm_jobs.cancel(["1"])
    for command in ("sbatch", "squeue", "scancel"):
        [(_, seen)] = slurm.calls(command)
        assert not OUTER.keys() & seen.keys()
        assert OURS.items() <= seen.items()


def test_outside_an_allocation_devices_are_left_as_they_are():
    assert slurm_jobs.environment({"CUDA_VISIBLE_DEVICES": "1"}) == {"CUDA_VISIBLE_DEVICES": "1"}


def test_a_site_says_where_and_at_whose_expense_unless_the_settings_do():
    site = {"SBATCH_ACCOUNT": "a", "SBATCH_PARTITION": "p", "SBATCH_RESERVATION": "r"}
    assert slurm_jobs.environment(site) == site
    left = slurm_jobs.environment(site, settled=["partition", "reservation"])
    assert left == {"SBATCH_ACCOUNT": "a"}

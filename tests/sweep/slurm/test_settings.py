from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from avatarl.errors import ConfigError
from avatarl.runs import slurm_jobs
from avatarl.sweep.plan import request
from avatarl.sweep.slurm.executor import complaint, script
from avatarl.sweep.slurm.settings import SlurmSettings
from avatarl.sweep.workers import machine
from avatarl.sweep.workers.local import LocalSettings

CONF = Path(__file__).parents[3] / "conf" / "hydra" / "launcher"


def shipped(name):
    raw = yaml.safe_load((CONF / f"{name}.yaml").read_text())
    return {
        key: value for key, value in raw.items() if key not in ("_target_", "control", "compare")
    }


def slurm(**changes):
    return request.settings(SlurmSettings, {**shipped("slurm"), **changes})


def test_shipped_settings_are_complete_and_valid():
    slurm().check()
    request.settings(LocalSettings, shipped("local")).check()


@pytest.mark.parametrize(
    ("key", "value", "valid"),
    [
        ("timeout_min", "soon", "integer"),
        ("timeout_mni", 3, "did you mean 'timeout_min'"),
        ("gres", 3, "string"),
        ("additional_parameters", "x", "an object"),
        ("wait", "perhaps", "boolean"),
        ("poll_s", float("inf"), "finite"),
    ],
)
def test_a_wrong_setting_is_named_with_what_is_valid(key, value, valid):
    with pytest.raises(ConfigError) as caught:
        slurm(**{key: value})
    assert caught.value.key == f"hydra.launcher.{key}"
    assert valid in str(caught.value)


@pytest.mark.parametrize(
    ("changes", "key", "why"),
    [
        ({"timeout_min": 10}, "timeout_min", "every preemption for a timeout"),
        ({"timeout_min": 60, "signal_delay_s": 800}, "signal_delay_s", "every timeout for a preem"),
        ({"timeout_min": 60, "signal_delay_s": 3600}, "signal_delay_s", "as it starts"),
        ({"timeout_min": 0}, "timeout_min", ">= 1"),
        ({"runs_per_job": 0}, "runs_per_job", ">= 1"),
        ({"slots_per_gpu": 0}, "slots_per_gpu", ">= 1"),
        ({"nodes": 2}, "nodes", "never spans nodes"),
        ({"max_num_timeout": -1}, "max_num_timeout", ">= 0"),
        ({"poll_s": 0.0}, "poll_s", "> 0"),
    ],
)
def test_times_that_submitit_would_misjudge_are_refused_with_the_reason(changes, key, why):
    with pytest.raises(ConfigError) as caught:
        slurm(**changes).check()
    assert caught.value.key == f"hydra.launcher.{key}"
    assert why in str(caught.value)


def test_what_is_refused_is_what_submitit_misjudges():
    """The rule of submitit's own handler, against ours."""
    from submitit.core.job_environment import SignalHandler
    from submitit.core.utils import DelayedSubmission

    def says_timeout(minutes, elapsed_s):
        delayed = DelayedSubmission(print)
        delayed.set_timeout(minutes, 3)
        handler = SignalHandler(None, None, delayed)
        handler._start_time -= elapsed_s
        return handler.has_timed_out()

    assert says_timeout(10, 1)  # a preemption after a second
    assert not says_timeout(11, 1)
    assert not says_timeout(60, 3600 - 800)  # the signal before the end of the walltime
    assert says_timeout(60, 3600 - 700)


def test_short_walltimes_are_fine_when_nothing_is_counted():
    slurm(timeout_min=1, signal_delay_s=25, max_num_timeout=None).check()


@pytest.mark.parametrize(
    ("changes", "count"),
    [
        ({}, 0),
        ({"gres": "gpu"}, 1),
        ({"gres": "gpu:2"}, 2),
        ({"gres": "gpu:a100"}, 1),
        ({"gres": "shard:8,gpu:a100:4"}, 4),
        ({"gpus_per_node": 3}, 3),
    ],
)
def test_gpus_asked_for_are_counted(changes, count):
    assert slurm(**changes).gpus() == count


def test_the_step_gets_all_cores_of_its_job(tmp_path):
    text = script(1, tmp_path, "s", tmp_path, slurm(cpus_per_task=6, srun_args=["--label"]))
    [step] = [line for line in text.splitlines() if line.startswith("srun ")]
    assert "--cpus-per-task=6 --label" in step
    assert "--cpus-per-task" not in script(1, tmp_path, "s", tmp_path, slurm(cpus_per_task=None))


def test_further_options_are_flags_or_have_values(tmp_path):
    def lines(**further):
        settings = slurm(additional_parameters=further)
        return script(1, tmp_path, "s", tmp_path, settings).splitlines()

    assert "#SBATCH --requeue" in lines()
    assert not any("requeue" in line for line in lines(requeue=False))
    assert "#SBATCH --no-requeue" in lines(**{"requeue": False, "no-requeue": True})
    assert "#SBATCH --reservation=friday" in lines(reservation="friday")


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
def test_what_sbatch_complains_of_is_told(said, expected):
    assert complaint(RuntimeError(said)) == expected


def test_squeue_columns_are_read():
    widths = [width for _, width in slurm_jobs._FIELDS]
    rows = [
        ("12_0", "RUNNING", "2", "node[1-3]", "None"),
        ("12_1", "PENDING", "0", "", "ReqNodeNotAvail, UnavailableNodes:node2"),
    ]
    text = "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )
    found = slurm_jobs.parse_squeue(text)
    assert found["12_0"] == slurm_jobs.Job("12_0", "RUNNING", 2, "node[1-3]", "None")
    assert found["12_1"].reason == "ReqNodeNotAvail, UnavailableNodes:node2"
    assert [job.active for job in found.values()] == [True, False]
    assert not any(job.over for job in found.values())


def test_where_there_is_no_slurm_nothing_is_claimed_about_jobs(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert slurm_jobs.jobs(["1"], fresh=True) is None
    assert slurm_jobs.lives("1", 0) is None
    assert slurm_jobs.accounted(["1"]) == {}
    assert slurm_jobs.max_array_size() == 1000


@pytest.mark.parametrize(
    ("visible", "found"), [("0,1", ["0", "1"]), ("", []), ("-1", []), ("GPU-a", ["GPU-a"])]
)
def test_visible_gpus(visible, found):
    assert machine.gpus({"CUDA_VISIBLE_DEVICES": visible}) == found


def test_slots_share_out_gpus_and_cores(monkeypatch):
    monkeypatch.setenv("SLURM_CPUS_PER_TASK", "8")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "4,7")
    assert [(slot.gpu, slot.threads) for slot in machine.slots("auto", 10)] == [("4", 4), ("7", 4)]
    assert [slot.gpu for slot in machine.slots(4, 10)] == ["4", "7", "4", "7"]
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert [(slot.gpu, slot.threads) for slot in machine.slots(16, 3)] == [(None, 2)] * 3
    assert len(machine.slots("auto", 100)) == 8
    with pytest.raises(ConfigError, match="workers"):
        machine.slots("many", 3)

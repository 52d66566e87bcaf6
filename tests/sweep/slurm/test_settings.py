from __future__ import annotations

import pytest

from avatarl.errors import ConfigError
from avatarl.options import read
from avatarl.sweep.workers.local import LocalSettings
from tests.sweep.shipped import shipped, slurm


def test_shipped_settings_are_complete_and_valid():
    slurm().check()
    read(LocalSettings, shipped("local"), "hydra.launcher").check()


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


WORDS = [
    "partition", "account", "qos", "gres", "mem_per_cpu", "mem_per_gpu", "constraint", "nodelist",
    "exclude", "exclusive", "dependency", "comment", "mail_type", "mail_user", "wckey", "python",
]  # fmt: skip


@pytest.mark.parametrize(
    "changes",
    [
        *({word: "a\n#SBATCH --wrap=x"} for word in WORDS),
        {"comment": "a\x1b[31m"},
        {"srun_args": ["--x", "a\nb"]},
        {"additional_parameters": {"reservation": "a\nb"}},
        {"additional_parameters": {"a\nb": 1}},
    ],
)
def test_nothing_adds_a_line_to_the_script(changes):
    (key,) = changes
    with pytest.raises(ConfigError) as caught:
        slurm(**changes).check()
    assert caught.value.key.startswith(f"hydra.launcher.{key}")
    assert str(caught.value).isprintable()


def test_setup_may_have_lines_of_its_own():
    slurm(setup=["if true; then\n  module load cuda\nfi"], comment="words of a sentence").check()

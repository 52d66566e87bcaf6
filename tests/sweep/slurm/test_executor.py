from __future__ import annotations

import pytest

from avatarl.sweep.slurm.executor import complaint, script
from tests.sweep.shipped import slurm


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

from __future__ import annotations

import os
import subprocess

from avatarl.sweep.slurm.executor import make_executor, pickle_of, script, write_pickle
from avatarl.sweep.slurm.supervisor import Supervise
from tests.sweep.shipped import slurm


def test_the_step_gets_all_cores_of_its_job(tmp_path):
    text = script(1, 0, tmp_path, "s", tmp_path, slurm(cpus_per_task=6, srun_args=["--label"]))
    [step] = [line for line in text.splitlines() if line.startswith("srun ")]
    assert "--cpus-per-task=6 --label" in step
    assert "--cpus-per-task" not in script(1, 0, tmp_path, "s", tmp_path, slurm(cpus_per_task=None))


def test_further_options_are_flags_or_have_values(tmp_path):
    def lines(**further):
        settings = slurm(additional_parameters=further)
        return script(1, 0, tmp_path, "s", tmp_path, settings).splitlines()

    assert "#SBATCH --requeue" in lines()
    assert not any("requeue" in line for line in lines(requeue=False))
    assert "#SBATCH --no-requeue" in lines(**{"requeue": False, "no-requeue": True})
    assert "#SBATCH --reservation=friday" in lines(reservation="friday")


def test_a_job_finds_what_it_is_to_do_whatever_has_become_of_its_client(tmp_path):
    """The script's own lines, in a shell: as an array's element, alone, and started again."""
    folder = tmp_path / "it's here" / "submitit"
    folder.mkdir(parents=True)
    for number in range(5):
        pickle_of(folder, number).write_text(f"pack {number}")

    def start(packs, first, **job):
        text = script(packs, first, folder.parent, "s", tmp_path, slurm())
        lines = [line for line in text.splitlines() if "pickle" in line]
        command = ["bash", "-euc", "\n".join(lines)]
        subprocess.run(command, check=True, env={"PATH": os.environ["PATH"], **job})

    element = {"SLURM_JOB_ID": "9", "SLURM_ARRAY_JOB_ID": "7", "SLURM_ARRAY_TASK_ID": "1"}
    start(3, 2, **element)
    start(1, 4, **element)  # left in the environment by an outer job: not for a job alone
    found = {path.name: path.read_text() for path in folder.glob("*_submitted.pkl")}
    assert found == {"7_1_submitted.pkl": "pack 3", "9_submitted.pkl": "pack 4"}
    (folder / "7_1_submitted.pkl").write_text("as submitit left it when the walltime was up")
    start(3, 2, **element)
    assert "submitit" in (folder / "7_1_submitted.pkl").read_text()
    assert not list(folder.glob("*.pkl.*"))


def test_what_is_written_for_a_job_is_what_submitit_reads_there(tmp_path):
    from submitit.core.utils import DelayedSubmission

    (tmp_path / "submitit").mkdir()
    executor = make_executor(tmp_path, "s", tmp_path, slurm(timeout_min=90, max_num_timeout=3))
    write_pickle(executor, 2)
    read = DelayedSubmission.load(pickle_of(tmp_path / "submitit", 2))
    assert (read.function, read.args) == (Supervise(str(tmp_path)), (2,))
    assert (read._timeout_min, read._timeout_countdown) == (90, 3)


def test_a_step_sees_the_environment_of_its_job(tmp_path):
    [step] = [line for line in script(1, 0, tmp_path, "s", tmp_path, slurm()).splitlines()
              if line.startswith("srun ")]  # fmt: skip
    assert " --export=ALL " in step

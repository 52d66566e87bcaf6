"""What submitit makes of a pack: its job's sbatch script, which imports the frozen source."""

from __future__ import annotations

import dataclasses
import shlex
import sys
import warnings
from pathlib import Path
from typing import Any

from avatarl.errors import UserError
from avatarl.sweep.launch import LauncherSettings
from avatarl.sweep.slurm.settings import SlurmSettings
from avatarl.sweep.slurm.submission import job_name
from avatarl.sweep.slurm.supervisor import Supervise

#: Settings that are ours; all others are handed to submitit as they are, when set.
_OURS = {field.name for field in dataclasses.fields(LauncherSettings)} | {
    "wait",
    "poll_s",
    "runs_per_job",
    "slots_per_gpu",
    "max_num_timeout",
    "python",
    "additional_parameters",
    "setup",
    "resources",
}
#: What submitit calls them in its ``slurm_*`` parameters, where that differs.
_RENAMED = {"timeout_min": "time", "mem_gb": "mem"}


def script(
    packs: int, first: int, directory: Path, sweep_name: str, code: Path, settings: SlurmSettings
) -> str:
    """The sbatch script of packs, byte for byte as it is handed to SLURM.

    Args:
        packs: How many; several become an array.
        first: Number of the first of them.
        directory: The submission's.
        sweep_name: The sweep's.
        code: The frozen source.
        settings: The launcher's.
    """
    executor = make_executor(directory, sweep_name, code, settings)
    if packs > 1:  # as submitit does for an array
        executor.parameters["map_count"] = packs
    executor.parameters["setup"] += _take_pickle(executor.folder, packs, first)
    text: str = executor._make_submission_file_text(executor._submitit_command_str, "")
    return text


def write_pickle(executor: Any, number: int) -> None:
    """Write what submitit reads in the job of a pack, under the pack's number."""
    from submitit.core.utils import DelayedSubmission

    delayed = DelayedSubmission(Supervise(str(executor.folder.parent)), number)
    delayed.set_timeout(executor.parameters["time"], executor.max_num_timeout)
    delayed.dump(pickle_of(executor.folder, number))


def pickle_of(folder: Path, number: int | str) -> Path:
    """Where :func:`write_pickle` writes to."""
    return folder / f"pack-{number}.pkl"


def _take_pickle(folder: Path, packs: int, first: int) -> list[str]:
    """Shell that gives a pickle the name by which submitit looks for it in a job.

    submitit's client renames it once it knows the job's number. A client that ends before would
    leave jobs without anything to do; here they need it no more from the moment SLURM takes them.
    """
    number, job = str(first), "${SLURM_JOB_ID}"
    if packs > 1:
        number = f"$(({first} + SLURM_ARRAY_TASK_ID))"
        job = "${SLURM_ARRAY_JOB_ID}_${SLURM_ARRAY_TASK_ID}"
    place = shlex.quote(str(folder))
    return [
        f'pickle={place}/"{job}_submitted.pkl"',
        f'[ -e "$pickle" ] || {{ cp {place}/"pack-{number}.pkl" "$pickle.$$" '
        '&& mv "$pickle.$$" "$pickle"; }',
    ]


def make_executor(directory: Path, sweep_name: str, code: Path, settings: SlurmSettings) -> Any:
    """Make a submitit executor that has all parameters.

    Raises:
        UserError: submitit refuses one of them.
    """
    from submitit import SlurmExecutor

    class Executor(SlurmExecutor):
        """Writes scripts; it is not submitit that queues them."""

        @classmethod
        def affinity(cls) -> int:
            # Writing a script needs no SLURM; whether jobs can be queued is asked before they are.
            return 2

    timeouts = sys.maxsize if settings.max_num_timeout is None else settings.max_num_timeout
    folder = directory / "submitit"
    executor = Executor(folder, max_num_timeout=timeouts, python=settings.python)
    names = [field.name for field in dataclasses.fields(settings) if field.name not in _OURS]
    parameters = {
        _RENAMED.get(name, name): value
        for name in names
        if (value := getattr(settings, name)) is not None and value is not False
    }
    parameters |= {"use_srun": settings.use_srun, "wckey": settings.wckey}
    # A step sees its job's environment, also where jobs are queued with none of the user's.
    srun_args = ["--export=ALL"]
    if settings.cpus_per_task is not None:
        # From 22.05 on srun doesn't take it from the job, and would bind the step to fewer cores.
        srun_args.append(f"--cpus-per-task={settings.cpus_per_task}")
    parameters["srun_args"] = [*srun_args, *(settings.srun_args or [])]
    # The default, yet said: a client in an allocation would hand down its own task count.
    parameters["ntasks_per_node"] = 1
    if "mem" in parameters:
        parameters["mem"] = f"{round(parameters['mem'] * 1024)}M"
    # The job imports the frozen source: Python puts the working directory first on its path, then
    # PYTHONPATH (which worker processes started elsewhere still see).
    quoted = str(code).replace("'", "'\\''")
    parameters["setup"] = [
        *(settings.setup or []),
        f"export PYTHONPATH='{quoted}'${{PYTHONPATH:+:$PYTHONPATH}}",
        f"cd '{quoted}'",
    ]
    # Requeueing is what the whole design rests on; a site may have it off by default.
    further = {"requeue": True, **settings.additional_parameters}
    # sbatch's flags are there or not; `--flag=False` is refused.
    parameters["additional_parameters"] = {k: v for k, v in further.items() if v is not False}
    parameters["job_name"] = job_name(sweep_name)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            executor.update_parameters(**parameters)
    except (ValueError, TypeError) as error:
        why = (str(error).strip().splitlines() or [type(error).__name__])[-1]
        raise UserError(f"hydra.launcher: {why}") from error
    return executor

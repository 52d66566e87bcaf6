"""Queueing packs through submitit: each job's sbatch script, which imports the frozen source."""

from __future__ import annotations

import dataclasses
import sys
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from avatarl.errors import UserError
from avatarl.files import write_json
from avatarl.runs import slurm_jobs
from avatarl.sweep import failure
from avatarl.sweep.launch import LauncherSettings
from avatarl.sweep.plan.planned import PlannedRun
from avatarl.sweep.plan.rollback import Rollback
from avatarl.sweep.slurm.packs import make_packs
from avatarl.sweep.slurm.settings import SlurmSettings
from avatarl.sweep.slurm.submission import Submission, new_directory
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
}
#: What submitit calls them in its ``slurm_*`` parameters, where that differs.
_RENAMED = {"timeout_min": "time", "mem_gb": "mem"}


def submit(
    runs: Sequence[PlannedRun], sweep: Path, code: Path, settings: SlurmSettings
) -> Submission:
    """Queue runs as one array of packs (several, beyond the cluster's MaxArraySize).

    Raises:
        UserError: SLURM refused; its message is told, and nothing stays queued or written.
    """
    with Rollback() as rollback:
        directory = new_directory(sweep)
        rollback.directory(directory)
        packs = make_packs(runs, settings.runs_per_job)
        _write_packs(packs, directory, code, settings)
        created = time.time()
        jobs: list[str] = []
        rollback.call(lambda: slurm_jobs.cancel(jobs))
        supervise = Supervise(str(directory))
        for first in range(0, len(packs), limit := slurm_jobs.max_array_size()):
            executor = make_executor(directory, sweep.name, code, settings)
            try:
                with executor.batch():
                    queued = [
                        executor.submit(supervise, number)
                        for number in range(first, min(first + limit, len(packs)))
                    ]
            except Exception as error:
                raise UserError(f"SLURM refused the jobs: {complaint(error)}") from error
            jobs += [str(job.job_id) for job in queued]
        write_json(
            directory / "submission.json",
            {
                "schema": 1,
                "created": created,
                "jobs": jobs,
                "packs": [[run.id for run in members] for members in packs],
                "code": str(code),
                "settings": dataclasses.asdict(settings),
            },
        )
    return Submission.read(directory)


def _write_packs(
    packs: Sequence[Sequence[PlannedRun]], directory: Path, code: Path, settings: SlurmSettings
) -> None:
    shared = {
        "schema": 1,
        "submission": f"{directory.parent.parent.name}/{directory.name}",
        "policy": {name: getattr(settings, name) for name in failure.SETTINGS},
        "execute": settings.execute,
        "code": str(code),
        "slots_per_gpu": settings.slots_per_gpu,
        "stack": settings.stack,
        "storage_patience_s": settings.storage_patience_s,
    }
    for number, members in enumerate(packs):
        content = {**shared, "runs": [run.to_json() for run in members]}
        write_json(directory / f"pack-{number}.json", content)


def script(
    packs: int, directory: Path, sweep_name: str, code: Path, settings: SlurmSettings
) -> str:
    """The sbatch script of a submission, byte for byte as it is handed to SLURM."""
    executor = make_executor(directory, sweep_name, code, settings)
    if packs > 1:  # as submitit does for an array
        executor.parameters["map_count"] = packs
    text: str = executor._make_submission_file_text(executor._submitit_command_str, "")
    return text


def make_executor(directory: Path, sweep_name: str, code: Path, settings: SlurmSettings) -> Any:
    """Make a submitit executor that has all parameters.

    Raises:
        UserError: submitit refuses one of them.
    """
    from submitit import SlurmExecutor

    class Executor(SlurmExecutor):
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
    if settings.cpus_per_task is not None:
        # From 22.05 on srun doesn't take it from the job, and would bind the step to fewer cores.
        srun_args = [f"--cpus-per-task={settings.cpus_per_task}", *(settings.srun_args or [])]
        parameters["srun_args"] = srun_args
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
    parameters["job_name"] = f"avatarl-{sweep_name}"
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            executor.update_parameters(**parameters)
    except (ValueError, TypeError) as error:
        raise UserError(f"hydra.launcher: {complaint(error)}") from error
    return executor


def complaint(error: BaseException) -> str:
    """The line of an error that says what is wrong: the last one of sbatch's own, if it spoke."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    spoken = [line for line in lines if line.startswith("sbatch: ")]
    return (spoken or lines)[-1].removeprefix("sbatch: ").removeprefix("error: ")

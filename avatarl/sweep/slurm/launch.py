"""A sweep on SLURM: one array of packs through submitit, watched for as long as wanted."""

from __future__ import annotations

import dataclasses
import shutil
import sys
import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from avatarl.errors import ConfigError, UserError
from avatarl.files import write_json
from avatarl.runs import find, slurm_jobs
from avatarl.runs.state import RunState, status_of
from avatarl.sweep import failure
from avatarl.sweep.failure import FailurePolicy
from avatarl.sweep.plan import request as launch
from avatarl.sweep.plan import snapshot
from avatarl.sweep.plan.planned import Plan, PlannedRun
from avatarl.sweep.plan.request import SweepOutcome, SweepRequest
from avatarl.sweep.plan.rollback import Rollback
from avatarl.sweep.slurm import packs as pack
from avatarl.sweep.slurm import watch
from avatarl.sweep.slurm.submission import Submission

#: Settings that are ours; all others are handed to submitit as they are, when set.
_OURS = frozenset(
    {
        "dry_run",
        "wait",
        "poll_s",
        "runs_per_job",
        "slots_per_gpu",
        "stack",
        "failure_policy",
        "max_failures",
        "max_retries",
        "hang_after_s",
        "max_num_timeout",
        "python",
        "additional_parameters",
        "setup",
        "execute",
    }
)
#: What submitit calls them in its ``slurm_*`` parameters, where that differs.
_RENAMED = {"timeout_min": "time", "mem_gb": "mem"}


@dataclass(frozen=True)
class SlurmSettings:
    """``hydra/launcher=slurm``; conf/hydra/launcher/slurm.yaml says what each means."""

    dry_run: bool
    wait: bool
    poll_s: float
    runs_per_job: int
    slots_per_gpu: int
    stack: int | str
    failure_policy: str
    max_failures: int | None
    max_retries: int
    hang_after_s: float
    partition: str | None
    account: str | None
    qos: str | None
    timeout_min: int
    signal_delay_s: int
    max_num_timeout: int | None
    nodes: int
    cpus_per_task: int | None
    gpus_per_node: int | None
    gres: str | None
    mem_gb: float | None
    mem_per_cpu: str | None
    mem_per_gpu: str | None
    constraint: str | None
    nodelist: str | None
    exclude: str | None
    exclusive: bool | str | None
    dependency: str | None
    comment: str | None
    mail_type: str | None
    mail_user: str | None
    wckey: str | None
    array_parallelism: int
    use_srun: bool
    srun_args: list[str] | None
    setup: list[str] | None
    teardown: list[str] | None
    python: str | None
    stderr_to_stdout: bool
    additional_parameters: dict[str, str | int | float | bool]
    execute: str

    def policy(self) -> FailurePolicy:
        """What to do when runs fail.

        Raises:
            ConfigError: A setting that can't be used.
        """
        return failure.load(
            self.failure_policy, self.max_failures, self.max_retries, self.hang_after_s
        )

    def gpus(self) -> int:
        """GPUs a job asks for, as far as ``gpus_per_node`` and ``gres`` tell."""
        if self.gpus_per_node is not None:
            return self.gpus_per_node
        parts = [part.split(":") for part in (self.gres or "").split(",")]
        counts = [words[-1] for words in parts if words[0] == "gpu"]
        return sum(int(count) if count.isdigit() else 1 for count in counts)

    def check(self) -> None:
        """Refuse numbers that can't be meant, and times that submitit would misjudge.

        submitit tells a timeout from a preemption by the time elapsed: beyond
        min(0.8 walltime, walltime - 10 min) it is a timeout, of which ``max_num_timeout`` are
        allowed.

        Raises:
            ConfigError: Names the setting, and what would be right.
        """
        key = "hydra.launcher"
        least = {"runs_per_job": 1, "slots_per_gpu": 1, "timeout_min": 1, "signal_delay_s": 1}
        least |= {"array_parallelism": 1, "nodes": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{key}.{name}", getattr(self, name), f"a number >= {bound}")
        launch.check_stack(self.stack)
        if self.nodes != 1:
            raise ConfigError(f"{key}.nodes", self.nodes, "1", "a run never spans nodes")
        if not self.poll_s > 0:
            raise ConfigError(f"{key}.poll_s", self.poll_s, "seconds > 0")
        walltime = self.timeout_min * 60
        if self.signal_delay_s >= walltime:
            raise ConfigError(
                f"{key}.signal_delay_s",
                self.signal_delay_s,
                f"less than the walltime of {walltime} s",
                "the job would be told to stop as it starts",
            )
        if self.max_num_timeout is None:
            return  # timeouts and preemptions are treated alike: nothing to misjudge
        if self.max_num_timeout < 0:
            raise ConfigError(
                f"{key}.max_num_timeout", self.max_num_timeout, "a number >= 0, or null"
            )
        if self.timeout_min <= 10:
            raise ConfigError(
                f"{key}.timeout_min",
                self.timeout_min,
                f"more than 10, or {key}.max_num_timeout=null",
                "with so short a walltime submitit takes every preemption for a timeout and ends "
                f"the job after {self.max_num_timeout} of them",
            )
        if self.signal_delay_s > max(0.2 * walltime, 600):
            raise ConfigError(
                f"{key}.signal_delay_s",
                self.signal_delay_s,
                f"at most {max(0.2 * walltime, 600):g}, or {key}.max_num_timeout=null",
                "with so early a signal submitit takes every timeout for a preemption and never "
                "counts it",
            )


def start(
    plan: Plan, request: SweepRequest, raw_settings: Mapping[str, Any], console: Console
) -> SweepOutcome | None:
    """Write everything down, freeze it, queue it, and stay with it if wanted.

    Returns:
        ``None`` after a dry run, or when the jobs were left to run on their own.

    Raises:
        ConfigError: A launcher setting can't be used, or nothing can be written.
        UserError: SLURM isn't there, or refused the jobs.
    """
    settings = launch.settings(SlurmSettings, raw_settings)
    settings.policy()
    settings.check()
    if settings.dry_run:
        _dry_run(plan, request.directory, settings, console)
        return None
    _require_slurm()
    with Rollback() as rollback:
        plan = launch.write_down(plan, request, rollback)
        launch.record(request.directory, "slurm", raw_settings)
        queued = _queue(plan, request.directory, settings, rollback)
    return _stay(plan, request.directory, settings, console, queued)


def submit_and_stay(
    plan: Plan, sweep: Path, settings: SlurmSettings, console: Console
) -> SweepOutcome | None:
    """Queue what isn't done of a plan that is written down; see :func:`start`."""
    _require_slurm()
    with Rollback() as rollback:
        queued = _queue(plan, sweep, settings, rollback)
    return _stay(plan, sweep, settings, console, queued)


@dataclass(frozen=True)
class _Queued:
    """What was queued: the frozen source, runs, and jobs (none when all runs are done)."""

    code: Path
    runs: Sequence[PlannedRun]
    jobs: tuple[str, ...]


def _queue(plan: Plan, sweep: Path, settings: SlurmSettings, rollback: Rollback) -> _Queued:
    code = snapshot.freeze(sweep.parent.parent.absolute(), rollback=rollback)
    pending = [run for run in plan.runs if status_of(run.folder).state is not RunState.DONE]
    jobs = submit(pending, sweep, code, settings).jobs if pending else ()
    return _Queued(code, pending, jobs)


def _stay(
    plan: Plan, sweep: Path, settings: SlurmSettings, console: Console, queued: _Queued
) -> SweepOutcome | None:
    if queued.runs:
        jobs = ", ".join(dict.fromkeys(job.split("_")[0] for job in queued.jobs))
        count = len(queued.jobs)
        console.print(
            f"{plan.name}: {len(queued.runs)} of {len(plan.runs)} runs in {count} job"
            f"{'s' * (count > 1)} ({jobs})",
            highlight=False,
            soft_wrap=True,
        )
    else:
        console.print(f"{plan.name}: all {len(plan.runs)} runs are done", soft_wrap=True)
    if not settings.wait and queued.runs:
        console.print(f"avatarl watch {find.spoken(sweep)}", highlight=False, soft_wrap=True)
        return None

    def again(runs: Sequence[PlannedRun]) -> Submission:
        return submit(runs, sweep, queued.code, settings)

    return watch.stay(plan, sweep, settings.policy(), settings.poll_s, console, again)


def submit(
    runs: Sequence[PlannedRun], sweep: Path, code: Path, settings: SlurmSettings
) -> Submission:
    """Queue runs as one array of packs (several, beyond the cluster's MaxArraySize).

    Raises:
        UserError: SLURM refused; its message is told, and nothing stays queued or written.
    """
    with Rollback() as rollback:
        directory = _new_directory(sweep)
        rollback.directory(directory)
        return _submit(runs, directory, code, settings, rollback)


def _submit(
    runs: Sequence[PlannedRun],
    directory: Path,
    code: Path,
    settings: SlurmSettings,
    rollback: Rollback,
) -> Submission:
    sweep = directory.parent.parent
    packs = pack.make_packs(runs, settings.runs_per_job)
    created = time.time()
    name = f"{sweep.name}/{directory.name}"
    for number, members in enumerate(packs):
        write_json(
            directory / f"pack-{number}.json",
            {
                "schema": 1,
                "submission": name,
                "policy": {name: getattr(settings, name) for name in failure.SETTINGS},
                "execute": settings.execute,
                "code": str(code),
                "slots_per_gpu": settings.slots_per_gpu,
                "stack": settings.stack,
                "runs": [run.to_json() for run in members],
            },
        )
    from avatarl.sweep.slurm.supervisor import Supervise

    supervise = Supervise(str(directory))
    jobs: list[str] = []
    rollback.call(lambda: slurm_jobs.cancel(jobs))
    for first in range(0, len(packs), limit := slurm_jobs.max_array_size()):
        executor = _executor(directory, sweep.name, code, settings)
        try:
            with executor.batch():
                queued = [
                    executor.submit(supervise, number)
                    for number in range(first, min(first + limit, len(packs)))
                ]
        except Exception as error:
            raise UserError(f"SLURM refused the jobs: {_complaint(error)}") from error
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


def script(
    packs: int, directory: Path, sweep_name: str, code: Path, settings: SlurmSettings
) -> str:
    """The sbatch script of a submission, byte for byte as :func:`submit` hands it to SLURM."""
    executor = _executor(directory, sweep_name, code, settings)
    if packs > 1:  # as submitit does for an array
        executor.parameters["map_count"] = packs
    text: str = executor._make_submission_file_text(executor._submitit_command_str, "")
    return text


def _missing() -> str | None:
    """The first of SLURM's commands that submitting needs and this machine lacks."""
    needed = ("sbatch", "srun")
    return next((command for command in needed if shutil.which(command) is None), None)


def _require_slurm() -> None:
    """Refuse to submit from a machine without SLURM, before anything is written.

    Raises:
        ConfigError: A command is missing.
    """
    if missing := _missing():
        raise ConfigError(
            "hydra/launcher",
            "slurm",
            "local, or slurm on a login node; hydra.launcher.dry_run=true works anywhere",
            f"no {missing} on this machine",
        )


def _dry_run(plan: Plan, sweep: Path, settings: SlurmSettings, console: Console) -> None:
    output_dir = sweep.parent.parent.absolute()
    pending = [run for run in plan.runs if status_of(run.folder).state is not RunState.DONE]
    packs = pack.make_packs(pending, settings.runs_per_job)
    slots = settings.slots_per_gpu * max(1, settings.gpus())
    workers = [min(len(members), slots) for members in packs]
    launch.show_plan(plan, console, workers=sum(workers[: settings.array_parallelism]))
    if not packs:
        return
    sizes = ", ".join(str(len(members)) for members in packs)
    console.print(
        f"{len(packs)} job{'s' * (len(packs) > 1)}, runs in each: {sizes}; "
        f"up to {max(workers)} side by side in a job",
        highlight=False,
        soft_wrap=True,
    )
    if missing := _missing():
        console.print(
            f"No {missing} on this machine: shown is what a login node would submit, arrays of at "
            "most 1,000 jobs, with the paths and the Python of this machine",
            highlight=False,
            soft_wrap=True,
        )
    code = snapshot.location(output_dir)
    target = sweep.absolute() / "slurm" / str(_next_number(sweep))
    for first in range(0, len(packs), limit := slurm_jobs.max_array_size()):
        count = min(limit, len(packs) - first)
        console.print("sbatch script:", highlight=False)
        # Not through rich: every byte as it will be.
        console.file.write(script(count, target, sweep.name, code, settings) + "\n")
        console.file.flush()


def _executor(directory: Path, sweep_name: str, code: Path, settings: SlurmSettings) -> Any:
    """A submitit executor with all parameters; raises ConfigError for those it refuses."""
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
    # Said even so: a client that itself runs in an allocation hands its own task count down.
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
        raise UserError(f"hydra.launcher: {_complaint(error)}") from error
    return executor


def _new_directory(sweep: Path) -> Path:
    """The next free ``slurm/<number>``, readable by the user alone."""
    parent = sweep.absolute() / "slurm"
    parent.mkdir(parents=True, exist_ok=True)
    number = _next_number(sweep)
    while True:
        try:
            (parent / str(number)).mkdir(mode=0o700)
        except FileExistsError:
            number += 1
            continue
        directory = parent / str(number)
        (directory / "submitit").mkdir(mode=0o700)
        (directory / "failed").mkdir(mode=0o700)
        return directory


def _next_number(sweep: Path) -> int:
    taken = [int(path.name) for path in (sweep / "slurm").glob("*") if path.name.isdigit()]
    return max(taken, default=0) + 1


def _complaint(error: BaseException) -> str:
    """The line of an error that says what is wrong: the last one of sbatch's own, if it spoke."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    spoken = [line for line in lines if line.startswith("sbatch: ")]
    return (spoken or lines)[-1].removeprefix("sbatch: ").removeprefix("error: ")

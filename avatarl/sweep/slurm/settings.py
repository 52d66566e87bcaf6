"""Settings of ``hydra/launcher=slurm``, and which of them can't be meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any

from avatarl.errors import ConfigError
from avatarl.names import check_words
from avatarl.options import Later
from avatarl.sweep.launch import LauncherSettings

#: What jobs ask for instead; in a list with its condition as ``where``.
Asked = dict[str, Any]


@dataclass(frozen=True)
class SlurmSettings(LauncherSettings):
    """``hydra/launcher=slurm``; conf/hydra/launcher/slurm.yaml says what each means."""

    wait: bool
    poll_s: float
    runs_per_job: int
    slots_per_gpu: int
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
    resources: Annotated[dict[str, Asked] | list[Asked] | None, Later(None)]

    def gpus(self) -> int:
        """GPUs a job asks for, as far as ``gpus_per_node`` and ``gres`` tell."""
        if self.gpus_per_node is not None:
            return self.gpus_per_node
        parts = [part.split(":") for part in (self.gres or "").split(",")]
        counts = [words[-1] for words in parts if words[0] == "gpu"]
        return sum(int(count) if count.isdigit() else 1 for count in counts)

    def slots(self) -> int:
        """Workers that a job has, if it has as many runs."""
        return self.slots_per_gpu * max(1, self.gpus())

    def _check_words(self) -> None:
        # Each becomes part of a line of the job's script; setup and teardown are lines themselves.
        texts = [
            (f"{name}.{at}" if isinstance(value, list | dict) else name, str(text))
            for name, value in vars(self).items()
            if name not in ("setup", "teardown", "resources")
            for at, text in (
                value.items()
                if isinstance(value, dict)
                else enumerate(value if isinstance(value, list) else [value])
            )
        ]
        texts += [("additional_parameters", name) for name in self.additional_parameters]
        for name, text in texts:
            check_words(f"hydra.launcher.{name}", text, 4_000, least=0)

    def check(self) -> None:
        """Refuse numbers that can't be meant, and times that submitit would misjudge.

        submitit tells a timeout from a preemption by the time elapsed: beyond
        min(0.8 walltime, walltime - 10 min) it is a timeout, of which ``max_num_timeout`` are
        allowed.

        Raises:
            ConfigError: Names the setting, and what would be right.
        """
        super().check()
        key = "hydra.launcher"
        self._check_words()
        least = {"runs_per_job": 1, "slots_per_gpu": 1, "timeout_min": 1, "signal_delay_s": 1}
        least |= {"array_parallelism": 1, "nodes": 1}
        for name, bound in least.items():
            if getattr(self, name) < bound:
                raise ConfigError(f"{key}.{name}", getattr(self, name), f"a number >= {bound}")
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

"""Launcher plugins ``hydra/launcher=local`` and ``hydra/launcher=slurm``.

Hydra imports this file at each start, whichever launcher is used: everything heavy is imported
inside functions.
"""

from __future__ import annotations

import math
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import JobReturn, JobStatus
from hydra.errors import HydraException
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, RunMode, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

if TYPE_CHECKING:
    from rich.console import Console

    from avatarl.data import Corpus
    from avatarl.sweep.plan.planned import Candidate, Plan, PlannedRun
    from avatarl.sweep.plan.request import SweepOutcome, SweepRequest

#: Sweepers that only list combinations, and would stop at the first failed run.
_GRID_SWEEPERS = (
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    "hydra_plugins.avatarl_launcher.sweeper.CheckedOnceSweeper",
)


class RunFailed(RuntimeError):
    """The return value of a run that failed; the message is its reason."""


class AvatarlLauncher(Launcher):
    """Composes and validates everything first, then hands a plan to :mod:`avatarl.sweep`.

    Args:
        control: Add the matched cross-entropy runs.
        compare: End with the comparison.
        settings: See conf/hydra/launcher/.
    """

    def __init__(self, control: bool = True, compare: bool = True, **settings: Any) -> None:
        self.control, self.compare, self.settings = control, compare, settings
        self.config: DictConfig
        self.hydra_context: HydraContext

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Remember the context; ``task_function`` isn't used, runs execute in workers."""
        self.hydra_context, self.config = hydra_context, config

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Plan all combinations, run them, and return the held-out nats of each.

        Raises:
            UserError: Some combination is invalid; nothing was written or submitted.
            SystemExit: Something failed or was interrupted, under Hydra's basic sweeper.
        """
        from rich.console import Console

        from avatarl.sweep.plan import request as launch

        composer = Composer(self.hydra_context, self.config)
        request = self._compose(composer, job_overrides, later_batch=initial_job_idx > 0)
        plan = launch.plan_sweep(request)
        console = Console()
        outcome = self.start(plan, request, console)
        if outcome is None:
            _forget_unless_planned(request.directory)
            raise SystemExit(0)
        if outcome.complete and self.compare:
            launch.summarise(request.directory, console)
        basic = self.config.hydra.sweeper.get("_target_") in _GRID_SWEEPERS
        if outcome.exit_code and (basic or not outcome.complete):
            raise SystemExit(outcome.exit_code)
        return [
            # Hydra's own sweeper looks at the status alone; composing again takes its time.
            job_return(
                None if basic else composer.compose(overrides),
                overrides,
                plan.runs[position],
                outcome,
            )
            for overrides, position in zip(job_overrides, plan.positions, strict=True)
        ]

    def start(self, plan: Plan, request: SweepRequest, console: Console) -> SweepOutcome | None:
        """Run the plan; ``None`` when it was only to be shown, or left to run on its own."""
        raise NotImplementedError

    def _compose(
        self, composer: Composer, job_overrides: Sequence[Sequence[str]], *, later_batch: bool
    ) -> SweepRequest:
        from avatarl import composition
        from avatarl.errors import UserError
        from avatarl.sweep.plan.planned import Candidate, data_key, shared_words
        from avatarl.sweep.plan.request import SweepRequest

        candidates: list[Candidate] = []
        wrong: list[str] = []
        corpora: dict[str, Corpus] = {}
        shared = shared_words(job_overrides)
        for overrides in job_overrides:
            try:
                run_config = composition.resolve(composer.compose(overrides))
                identity, corpus = composition.identify(run_config)
            except (UserError, HydraException, OmegaConfBaseException) as error:
                where = " ".join(word for word in overrides if word not in shared)
                wrong.append(f"{where or 'each'}: {composition.describe_error(error)}")
                continue
            corpora.setdefault(data_key(run_config.raw), corpus)
            candidates.append(Candidate(tuple(overrides), run_config.raw, identity))
        if wrong:
            raise UserError(refusal(wrong, len(job_overrides)))
        first = next(iter(corpora.values()))
        return SweepRequest(
            directory=Path(str(self.config.hydra.sweep.dir)),
            candidates=candidates,
            corpus={
                "name": first.name,
                "sha256": first.text_sha256,
                "fallback_reason": first.fallback_reason,
            },
            corpora=corpora,
            control=matched_control if self.control else None,
            later_batch=later_batch,
        )


def _forget_unless_planned(directory: Path) -> None:
    """Remove what Hydra wrote before a dry run: a sweep that was only shown leaves nothing."""
    if [path.name for path in directory.iterdir()] != ["multirun.yaml"]:
        return
    (directory / "multirun.yaml").unlink()
    for folder in (directory, directory.parent, directory.parent.parent):
        if any(folder.iterdir()):
            return
        folder.rmdir()


class Composer:
    """Composes the configurations of a sweep, each choice of group options only once.

    Hydra reads and merges all YAML files for every job. Jobs that choose the same options differ
    in values alone, which are laid over a copy of the first one's configuration; the result is
    what Hydra would compose.
    """

    def __init__(self, hydra_context: HydraContext, config: DictConfig) -> None:
        self._loader = hydra_context.config_loader
        self._config = config
        self._parser = OverridesParser.create(config_loader=self._loader)
        self._bases: dict[tuple[str, ...], bytes] = {}
        self._is_group: dict[str, bool] = {}
        self._parsed: dict[str, Override] = {}

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """Compose one job.

        Raises:
            HydraException: An override can't be used.
        """
        parsed = [self._parse(override) for override in overrides]
        groups = tuple(o.input_line for o in parsed if o.input_line and self._chooses(o))
        if groups not in self._bases:
            self._bases[groups] = pickle.dumps(self._load(groups))
        config: DictConfig = pickle.loads(self._bases[groups])
        values = [o for o in parsed if not self._chooses(o)]
        ConfigLoaderImpl._apply_overrides_to_config(values, config)
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.overrides.task = list(overrides)
        return config

    def _parse(self, override: str) -> Override:
        if override not in self._parsed:
            [self._parsed[override]] = self._parser.parse_overrides([override])
        return self._parsed[override]

    def _chooses(self, override: Override) -> bool:
        """Whether an override picks an option of a group, rather than a value."""
        group = override.key_or_group
        if group not in self._is_group:
            self._is_group[group] = bool(self._loader.get_group_options(group))
        return self._is_group[group]

    def _load(self, overrides: Sequence[str]) -> DictConfig:
        config = self._loader.load_sweep_config(self._config, list(overrides))
        # A job's own overrides would name another sweep, and Hydra composes it as a single run.
        with read_write(config.hydra), open_dict(config.hydra):
            config.hydra.sweep.dir = str(self._config.hydra.sweep.dir)
            config.hydra.mode = RunMode.MULTIRUN
        return config


def job_return(
    config: DictConfig | None, overrides: Sequence[str], run: PlannedRun, outcome: SweepOutcome
) -> JobReturn:
    """What Hydra's sweepers want to know about a job; its value is the held-out nats."""
    ended = outcome.outcomes[run.id]
    done = ended.state == "done"
    value = (ended.result or {}).get("val/nats")
    hydra_cfg = None
    if config is not None:
        with open_dict(config):
            hydra_cfg = OmegaConf.create({"hydra": config.pop("hydra")})
    return JobReturn(
        overrides=list(overrides),
        cfg=config,
        hydra_cfg=hydra_cfg,
        working_dir=str(run.path),
        task_name=run.name,
        status=JobStatus.COMPLETED if done else JobStatus.FAILED,
        _return_value=(math.nan if value is None else float(value))
        if done
        else RunFailed(ended.reason or ended.state),
    )


class LocalLauncher(AvatarlLauncher):
    """``hydra/launcher=local``: worker processes on this machine."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Let workers start while this process composes, then do as all launchers do."""
        from avatarl.sweep.workers import local

        with local.warm_up(self.settings, len(job_overrides) + self.control) as self._warm:
            return super().launch(job_overrides, initial_job_idx)

    def start(self, plan: Plan, request: SweepRequest, console: Console) -> SweepOutcome | None:
        """Run the plan here and now."""
        from avatarl.sweep.workers import local

        return local.start(plan, request, self.settings, console, self._warm)


class SlurmLauncher(AvatarlLauncher):
    """``hydra/launcher=slurm``: one array of packs, through submitit."""

    def start(self, plan: Plan, request: SweepRequest, console: Console) -> SweepOutcome | None:
        """Queue the plan, and stay with it if wanted."""
        from avatarl.sweep.slurm import launch as slurm

        plain = {
            key: OmegaConf.to_container(value, resolve=True)
            if OmegaConf.is_config(value)
            else value
            for key, value in self.settings.items()
        }
        return slurm.start(plan, request, plain, console)


def matched_control(raw: Mapping[str, Any]) -> tuple[Mapping[str, Any], str]:
    """The matched cross-entropy control of a configuration, with its id."""
    from avatarl import composition
    from avatarl.config import parse

    control = composition.control_of(parse(raw))
    return control.raw, composition.identify(control)[0]


def refusal(wrong: Sequence[str], total: int) -> str:
    """One line for one bad combination; for several, a list."""
    if len(wrong) == 1:
        return wrong[0]
    shown = wrong[:20]
    more = [f"  … and {len(wrong) - len(shown)} more"] if len(wrong) > len(shown) else []
    head = f"{len(wrong)} of {total} combinations can't be run; nothing was started:"
    return "\n".join([head, *(f"  {line}" for line in shown), *more])

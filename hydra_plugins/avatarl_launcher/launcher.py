"""Launcher plugins ``hydra/launcher=local`` and ``hydra/launcher=slurm``.

Hydra imports this file at each start, whichever launcher is used: everything heavy is imported
inside functions.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

if TYPE_CHECKING:
    from avatarl.composition.proposed import Search
    from avatarl.search.proposals import Settings
    from avatarl.search.space import Space
    from avatarl.sweep.launch import Backend


class AvatarlLauncher(Launcher):
    """Composes and validates everything first, then hands a plan to :mod:`avatarl.sweep`.

    Args:
        control: Add the matched cross-entropy runs.
        compare: End with the comparison.
        settings: See conf/hydra/launcher/.

    Attributes:
        keeps_command: Write ``multirun.yaml``, once all is checked; Hydra's own sweepers do before.
    """

    keeps_command = False

    def __init__(self, control: bool = True, compare: bool = True, **settings: Any) -> None:
        from avatarl.options import read
        from avatarl.sweep.launch import Around

        own = read(Around, {"control": control, "compare": compare}, "hydra.launcher")
        self.control, self.compare, self.settings = own.control, own.compare, settings
        self.config: DictConfig
        self.hydra_context: HydraContext
        self._searching: Search | None = None

    def setup(
        self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig
    ) -> None:
        """Remember the context; ``task_function`` isn't used, runs execute in workers."""
        self.hydra_context, self.config = hydra_context, config

    def search(self, fixed: Sequence[str], space: Space, settings: Settings) -> None:
        """Propose runs and run them, until there are as many as were asked for.

        Raises:
            UserError: Nothing of the space can be run, or it can't be used.
            SystemExit: Something failed or was interrupted.
        """
        from avatarl.composition.proposed import Search
        from avatarl.composition.sweep import Composer
        from avatarl.terminal import console

        directory = Path(str(self.config.hydra.sweep.dir))
        composer = Composer(self.hydra_context, self.config)
        out = console(stderr=self.settings.get("dry_run") == "json")
        self._searching = Search(composer, directory, fixed, space, settings, out)
        self.launch([self._searching.first()], 0)

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Plan all combinations, run them, and return of each what steers the sweep.

        Raises:
            UserError: Some combination is invalid; nothing was written or submitted.
            SystemExit: Something failed or was interrupted, under Hydra's basic sweeper.
        """
        from avatarl.composition import in_words, steering, sweep
        from avatarl.composition.steering import GRID_SWEEPERS
        from avatarl.search import winner
        from avatarl.sweep.launch import launch, summarise
        from avatarl.sweep.plan.request import plan_sweep
        from avatarl.sweep.plan.study import study_of
        from avatarl.terminal import console as make_console
        from avatarl.terminal import say

        composer = sweep.Composer(self.hydra_context, self.config)
        request = sweep.compose_all(
            composer,
            job_overrides,
            Path(str(self.config.hydra.sweep.dir)),
            control=self.control,
            later_batch=initial_job_idx > 0 or self._searching is not None,
            shared=self._searching.fixed if self._searching is not None else (),
            multirun=OmegaConf.to_yaml(self.config) if self.keeps_command else "",
        )
        if self._searching is not None:
            request = self._searching.bounded(request)
        aim = steering(composer.compose(job_overrides[0]))
        plan = plan_sweep(request)
        console = make_console()
        if aim is not None and not initial_job_idx and self.settings.get("dry_run") != "json":
            console.print(in_words(aim))
        typed, distinct = len(plan.positions), len(set(plan.positions))
        if distinct < typed and self.settings.get("dry_run") != "json":
            console.print(f"{typed} typed, {distinct} distinct: what is equal is computed once")
        backend = self.backend()
        backend.search = self._searching
        outcome = launch(backend, plan, request.directory, console, request)
        study = None if outcome is None else study_of(plan, request.directory)
        if study is not None and self._searching is not None:
            self._searching.finish(study)
        if study is not None and outcome is not None and outcome.complete:
            if line := winner.told(study):
                say(console, line)
            plan = plan_sweep(request)
            if not outcome.outcomes.keys() >= {run.id for run in plan.runs}:  # the winner's control
                outcome = launch(self.backend(), plan, request.directory, console, request)
        if outcome is None:
            if not self.keeps_command:
                sweep.forget_unless_planned(request.directory, sys.argv[1:])
            raise SystemExit(0)
        if outcome.complete and self.compare:
            summarise(request.directory, console)
        grid = self.config.hydra.sweeper.get("_target_") in GRID_SWEEPERS
        if outcome.exit_code and (grid or not outcome.complete):
            raise SystemExit(outcome.exit_code)
        return [
            # Hydra's own sweeper looks at the status alone; composing again takes its time.
            sweep.job_return(
                None if grid else composer.compose(overrides),
                overrides,
                plan.runs[position],
                outcome,
                aim,
            )
            for overrides, position in zip(job_overrides, plan.positions, strict=True)
        ]

    def backend(self) -> Backend:
        """Where the runs are to be computed.

        Raises:
            ConfigError: A setting can't be used.
        """
        raise NotImplementedError


class LocalLauncher(AvatarlLauncher):
    """``hydra/launcher=local``: worker processes on this machine."""

    def launch(
        self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        """Let workers start while this process composes, then do as all launchers do."""
        from avatarl.sweep.workers import local, machine
        from avatarl.terminal import console, say

        for problem in machine.gpu_problems():
            say(console(stderr=True), f"note: {problem}", "yellow")
        runs = self._searching.settings.n_trials if self._searching else len(job_overrides)
        with local.warm_up(self.settings, runs + self.control) as self._warm:
            return super().launch(job_overrides, initial_job_idx)

    def backend(self) -> Backend:
        """This machine, with the workers that have been started."""
        from avatarl.sweep.workers.local import LocalBackend

        return LocalBackend(self.settings, self._warm)


class SlurmLauncher(AvatarlLauncher):
    """``hydra/launcher=slurm``: one array of packs, through submitit."""

    def backend(self) -> Backend:
        """The cluster of this login node."""
        from avatarl.sweep.slurm.backend import SlurmBackend

        plain = {
            key: OmegaConf.to_container(value, resolve=True)
            if OmegaConf.is_config(value)
            else value
            for key, value in self.settings.items()
        }
        return SlurmBackend(plain)

"""Launching a plan: what is the same wherever its runs are computed."""

from __future__ import annotations

import json
import signal
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Protocol

from annotated_types import Ge
from rich.console import Console

from avatarl.errors import in_short, unwritable
from avatarl.runs.outputs import Outputs
from avatarl.search.study import Study
from avatarl.search.summary import correlations, line
from avatarl.signals import leaving
from avatarl.source import is_elsewhere, modules_elsewhere
from avatarl.sweep import failure
from avatarl.sweep.failure import FailurePolicy
from avatarl.sweep.outcome import SweepOutcome
from avatarl.sweep.plan.launches import LaunchRecord, names_text
from avatarl.sweep.plan.planned import Plan
from avatarl.sweep.plan.request import SweepRequest, plan_record
from avatarl.sweep.plan.rollback import Mark, Rollback, mark_of, remove_empty, remove_unused
from avatarl.sweep.plan.study import study_of
from avatarl.terminal import say

#: Sees a launched sweep through; ``None``: the jobs were left to run on their own.
Work = Callable[[Console], "SweepOutcome | None"]


@dataclass(frozen=True)
class Around:
    """What a launcher does around the runs that were asked for."""

    control: bool
    compare: bool


@dataclass(frozen=True)
class Batches:
    """How the sweeper hands combinations on, and whether it adds controls for others' launchers."""

    control: bool
    max_batch_size: Annotated[int, Ge(1)] | None


@dataclass(frozen=True)
class LauncherSettings:
    """Settings that all launchers have; conf/hydra/launcher/ says what each means."""

    dry_run: bool | Literal["json"]
    stack: Annotated[int, Ge(1)] | Literal["auto"]
    failure_policy: str
    max_failures: int | None
    max_retries: int
    hang_after_s: float
    storage_patience_s: Annotated[float, Ge(0)]
    execute: str

    def policy(self) -> FailurePolicy:
        """What to do when runs fail.

        Raises:
            ConfigError: A setting that can't be used.
        """
        return failure.load(**{name: getattr(self, name) for name in failure.SETTINGS})

    def check(self) -> None:
        """Refuse values that can't be meant.

        Raises:
            ConfigError: Names the setting, and what would be right.
        """
        self.policy()


class Proposes(Protocol):
    """What proposes the runs of a search, one by one."""

    def grow(self, study: Study) -> object:
        """Propose another run to a study, if there is one."""


class Backend(ABC):
    """Where the runs of a sweep are computed.

    Attributes:
        name: As in ``hydra/launcher=NAME``.
        raw: The launcher's settings as given.
        settings: The same, checked.
        search: Proposes further runs; None: all are planned.
    """

    name: ClassVar[str]
    raw: Mapping[str, Any]
    settings: LauncherSettings
    search: Proposes | None = None

    def elsewhere(self, plan: Plan) -> set[str]:
        """Modules of others that the runs, and whoever sees to them, import."""
        policy = self.settings.failure_policy
        named = {module for run in plan.runs for module in modules_elsewhere(run.config)}
        return named | ({policy} if is_elsewhere(policy) else set())

    @abstractmethod
    def preview(self, plan: Plan, sweep: Path, console: Console) -> None:
        """Show what a launch would do; nothing is written."""

    def require(self, plan: Plan) -> None:  # noqa: B027  most have nothing to ask for
        """Refuse to launch a plan from this machine, before anything is written.

        Raises:
            ConfigError: Something that launching needs isn't there.
        """

    @abstractmethod
    def prepare(self, plan: Plan, sweep: Path, rollback: Rollback, console: Console) -> Work:
        """Freeze the source, and queue what is to be queued.

        Args:
            plan: Written down.
            sweep: Directory of the sweep.
            rollback: Where all that is written is registered.
            console: Where to say what has to be waited for.

        Returns:
            What remains to be done.

        Raises:
            UserError: It was refused.
        """


def launch(
    backend: Backend,
    plan: Plan,
    sweep: Path,
    console: Console,
    request: SweepRequest | None = None,
) -> SweepOutcome | None:
    """Write everything down, and bring the plan to its end; or only show it.

    Args:
        backend: Where the runs are computed.
        plan: All runs.
        sweep: Directory of the sweep.
        console: Where progress is shown.
        request: What the plan was made of; ``None``: it is written down already.

    Returns:
        ``None`` after a dry run, or when jobs were left to run on their own.

    Raises:
        ConfigError: Nothing can be launched from here, or nothing can be written.
        UserError: The launch was refused; all that was written is removed again.
    """
    if backend.settings.dry_run == "json":
        console.file.write(json.dumps(plan_record(plan), allow_nan=False) + "\n")
        return None
    if backend.settings.dry_run:
        backend.preview(plan, sweep, console)
        return None
    backend.require(plan)
    if plan.search and backend.settings.stack != 1:
        say(console, "hydra.launcher.stack is off: in a search each run is put down by itself")
    with Rollback() as rollback, leaving(signal.SIGINT, signal.SIGTERM):
        plan, record = _write_down(backend, plan, sweep, request, rollback)
        work = backend.prepare(plan, sweep, rollback, console)
        record.settle()
    return work(console)


def _write_down(
    backend: Backend, plan: Plan, sweep: Path, request: SweepRequest | None, rollback: Rollback
) -> tuple[Plan, LaunchRecord]:
    """Store the texts, then the plan that names them, before anything starts."""
    outputs = Outputs(plan.runs[0].config["output_dir"] if plan.runs else sweep.parent.parent)
    store = outputs.corpora
    texts: dict[Path, Mark] = {}

    def forget_texts() -> None:
        # Once the plan is taken back: what another sweep's plan names stays.
        for path, mark in texts.items():
            if not names_text(outputs.sweeps, path.stem):
                remove_unused(path, mark)
        remove_empty(outputs.root)

    rollback.call(forget_texts)
    try:
        record = LaunchRecord(sweep, rollback)
        record.write_launch(backend.name, backend.raw)
        if request is not None:
            from avatarl.data import prepare as store_text

            before = set(store.glob("*"))
            files = {key: store_text(text, store) for key, text in request.corpora.items()}
            texts |= {path: mark_of(path) for path in {*store.glob("*")} - before}
            plan = plan.with_corpora(files)
            record.write_plan(plan, request.multirun)
    except OSError as error:
        raise unwritable("output_dir", outputs.root, error) from error
    return plan, record


def summarise(sweep: Path, console: Console) -> None:
    """Show and store the comparison of a finished sweep; its failure is told, not raised."""
    from avatarl.report import summarise_sweep

    try:
        if (study := study_of(Plan.read(sweep), sweep)) is not None:
            for told in (line(study), *correlations(study)):
                say(console, told)
        summarise_sweep(sweep, console)
    except Exception as error:
        say(console, f"The comparison couldn't be made: {in_short(error)}", "yellow")

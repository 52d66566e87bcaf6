"""A sweep on this machine: worker processes, each bound to its own GPU when there are some."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from avatarl.errors import ConfigError
from avatarl.signals import catching
from avatarl.sweep import failure
from avatarl.sweep.failure import FailurePolicy
from avatarl.sweep.plan import request as launch
from avatarl.sweep.plan import snapshot
from avatarl.sweep.plan.planned import Plan
from avatarl.sweep.plan.request import SweepOutcome, SweepRequest
from avatarl.sweep.workers import machine
from avatarl.sweep.workers.display import Display
from avatarl.sweep.workers.pool import Pool
from avatarl.sweep.workers.slot import Slot
from avatarl.sweep.workers.warmup import WarmUp
from avatarl.sweep.workers.worker import DEFAULT_EXECUTE


@dataclass(frozen=True)
class LocalSettings:
    """``hydra/launcher=local``; conf/hydra/launcher/local.yaml says what each means."""

    workers: int | str
    dry_run: bool
    freeze: bool
    stack: int | str
    failure_policy: str
    max_failures: int | None
    max_retries: int
    hang_after_s: float
    execute: str

    def policy(self) -> FailurePolicy:
        """What to do when runs fail.

        Raises:
            ConfigError: A setting that can't be used.
        """
        return failure.load(
            self.failure_policy, self.max_failures, self.max_retries, self.hang_after_s
        )


def warm_up(raw_settings: Mapping[str, Any], runs: int) -> WarmUp:
    """Start worker processes already, for runs that are still to be composed and checked.

    Args:
        raw_settings: As given; what is wrong with them is told later.
        runs: How many there may be.
    """
    slots: Sequence[Slot] = ()
    torch_is_wanted = raw_settings.get("execute") == DEFAULT_EXECUTE
    if torch_is_wanted and raw_settings.get("dry_run") is False:
        with contextlib.suppress(ConfigError):
            slots = machine.slots(raw_settings.get("workers", "auto"), runs)
    return WarmUp(slots, at_once=machine.cores() - 1)


def start(
    plan: Plan,
    request: SweepRequest,
    raw_settings: Mapping[str, Any],
    console: Console,
    warm: WarmUp | None = None,
) -> SweepOutcome | None:
    """Write everything down, freeze it, and run it; ``None`` after a dry run.

    Args:
        plan: All runs.
        request: What it was made of.
        raw_settings: The launcher's.
        console: Where progress is shown.
        warm: Processes started early.

    Raises:
        ConfigError: A launcher setting can't be used, or nothing can be written.
    """
    settings = launch.settings(LocalSettings, raw_settings)
    settings.policy()
    launch.check_stack(settings.stack)
    slots = machine.slots(settings.workers, len(plan.runs))
    if settings.dry_run:
        console.print(f"{len(slots)} workers on this machine", highlight=False)
        launch.show_plan(plan, console, workers=len(slots))
        return None
    plan = launch.write_down(plan, request)
    launch.record(request.directory, "local", raw_settings)
    return run_again(plan, request.directory, raw_settings, console, warm)


def run_again(
    plan: Plan,
    directory: Path,
    raw_settings: Mapping[str, Any],
    console: Console,
    warm: WarmUp | None = None,
) -> SweepOutcome:
    """Run a plan that is written down already; see :func:`start`."""
    settings = launch.settings(LocalSettings, raw_settings)
    slots = machine.slots(settings.workers, len(plan.runs))
    code = snapshot.freeze(directory.parent.parent) if settings.freeze else None
    if warm is not None:
        warm.keep(slots)
    return run_plan(
        plan,
        slots,
        settings.policy(),
        settings.execute,
        console,
        code=code,
        stack=settings.stack,
        warm=warm,
    )


def run_plan(
    plan: Plan,
    slots: Sequence[Slot],
    policy: FailurePolicy,
    execute: str,
    console: Console,
    *,
    code: Path | None = None,
    stack: int | str = 1,
    warm: WarmUp | None = None,
) -> SweepOutcome:
    """Run every run of ``plan`` on this machine.

    Args:
        plan: Already written down.
        slots: The worker processes.
        policy: What to do when runs fail.
        execute: ``module:function`` that executes one run.
        console: Where progress is shown.
        code: Frozen source that workers import; ``None``: the working tree.
        stack: Runs of one structure trained as one program, or ``auto``.
        warm: Processes started early.
    """
    gpus = sum(slot.gpu is not None for slot in slots)
    kind = f"{len(slots)} worker{'s' * (len(slots) > 1)}" + (f" on {gpus} GPUs" if gpus else "")
    console.print(f"{plan.name}: {len(plan.runs)} runs, {kind}", highlight=False, soft_wrap=True)
    with catching() as stop, Display(console, len(plan.runs), plan.name) as display:
        pool = Pool(
            slots=slots,
            policy=policy,
            execute=execute,
            stack=stack,
            code=code,
            submission=f"{plan.name}@{plan.created:.3f}",
            on_event=display.event,
            on_tick=display.tick,
            warm=warm.take if warm is not None else lambda number, slot: None,
        )
        outcomes = pool.run(plan.runs, stop=stop, kill=stop.repeated)
    states = [outcome.state for outcome in outcomes.values()]
    unfinished = states.count("interrupted")
    if stop():
        command = " ".join(plan.command) or "the same command"
        console.print(
            f"Interrupted: {states.count('done')} of {len(states)} runs are done, the others have "
            f"their checkpoints. To continue, start again: {command}",
            highlight=False,
            soft_wrap=True,
        )
        return SweepOutcome(outcomes, stop.exit_code if unfinished else 0, not unfinished)
    if unfinished:
        console.print(f"Given up after too many failures; {unfinished} runs weren't finished.")
    return SweepOutcome(outcomes, 1 if "failed" in states or unfinished else 0, True)

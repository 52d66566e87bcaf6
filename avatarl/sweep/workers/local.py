"""A sweep on this machine: worker processes, each bound to its own GPU when there are some."""

from __future__ import annotations

import contextlib
import functools
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from avatarl.errors import ConfigError
from avatarl.options import read
from avatarl.search.summary import line
from avatarl.signals import catching
from avatarl.sweep.launch import Backend, LauncherSettings, Work
from avatarl.sweep.outcome import SweepOutcome
from avatarl.sweep.plan import request, snapshot
from avatarl.sweep.plan.planned import Plan
from avatarl.sweep.plan.rollback import Rollback
from avatarl.sweep.plan.study import study_of
from avatarl.sweep.workers import machine
from avatarl.sweep.workers.display import Display
from avatarl.sweep.workers.pool import Pool
from avatarl.sweep.workers.slot import Slot
from avatarl.sweep.workers.warmup import WarmUp
from avatarl.sweep.workers.worker import DEFAULT_EXECUTE
from avatarl.terminal import live, say


@dataclass(frozen=True)
class LocalSettings(LauncherSettings):
    """``hydra/launcher=local``; conf/hydra/launcher/local.yaml says what each means."""

    workers: int | str
    freeze: bool


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


def _check_device(device: str) -> None:
    kind, _, number = device.partition(":")
    if kind == "cuda" and machine.gpus():
        if int(number or 0) > 0:
            valid = "cuda, as each worker has one GPU; CUDA_VISIBLE_DEVICES says which"
            raise ConfigError("trainer.device", device, valid)
        return
    from avatarl.training.device import pick_device  # torch, which takes seconds, may know of some

    pick_device(device)


class LocalBackend(Backend):
    """Computes a sweep on this machine, while this process lives.

    Args:
        raw: The launcher's settings.
        warm: Processes started early.

    Raises:
        ConfigError: A setting can't be used.
    """

    name = "local"
    settings: LocalSettings

    def __init__(self, raw: Mapping[str, Any], warm: WarmUp | None = None) -> None:
        self.raw, self._warm = raw, warm
        self.settings = read(LocalSettings, raw, "hydra.launcher")
        self.settings.check()
        machine.slots(self.settings.workers, runs=1)  # whether that many can be had at all

    def preview(self, plan: Plan, sweep: Path, console: Console) -> None:
        """Show the plan, and how many runs would go on at once."""
        workers = len(machine.slots(self.settings.workers, plan.expected))
        say(console, f"{workers} workers on this machine")
        request.show_plan(plan, console, workers=workers)
        if self.settings.freeze:
            request.show_left_out(console)

    def require(self, plan: Plan) -> None:
        """Refuse a device that the workers won't have, unless nothing is left to compute on it.

        Raises:
            ConfigError: On ``trainer.device``.
        """
        if self.settings.execute != DEFAULT_EXECUTE:
            return
        for run in plan.runs:
            device = str(run.config["trainer"]["device"])
            if device not in ("auto", "cpu") and not run.folder.result.exists():
                _check_device(device)

    def prepare(self, plan: Plan, sweep: Path, rollback: Rollback, console: Console) -> Work:
        """Freeze the source; the runs begin when the work does."""
        code = None
        if self.settings.freeze:
            output_dir, own = sweep.parent.parent, self.elsewhere(plan)
            code = snapshot.freeze(output_dir, rollback=rollback, elsewhere=own)
            request.show_left_out(console)
        slots = machine.slots(self.settings.workers, plan.expected)
        if self._warm is not None:
            self._warm.keep(slots)
        return functools.partial(self._work, plan, sweep, slots, code)

    def _work(
        self, plan: Plan, sweep: Path, slots: Sequence[Slot], code: Path | None, console: Console
    ) -> SweepOutcome:
        gpus = sum(slot.gpu is not None for slot in slots)
        kind = f"{len(slots)} worker{'s' * (len(slots) > 1)}" + (f" on {gpus} GPUs" if gpus else "")
        size = plan.size if plan.expected == len(plan.runs) else f"{plan.expected} runs"
        say(console, f"{plan.name}: {size}, {kind}")
        if plan.names.said_once:
            say(console, plan.names.said_once)
        study = study_of(plan, sweep, lambda line: say(console, line))
        if study is not None:
            study.again()
        note = functools.partial(line, study) if study is not None else str
        with catching() as stop, live(console) as draw:
            display = Display(console, plan, draw, note)
            pool = Pool(
                slots=slots,
                policy=self.settings.policy(),
                execute=self.settings.execute,
                stack=self.settings.stack if study is None else 1,
                patience_s=self.settings.storage_patience_s,
                code=code,
                submission=f"{plan.name}@{plan.created:.3f}",
                on_event=display.event,
                on_tick=display.tick,
                warm=self._warm.take if self._warm is not None else lambda number, slot: None,
                study=study,
                grow=self.search.grow if self.search is not None else lambda study: None,
            )
            outcomes = pool.run(plan.runs, stop=stop, kill=stop.repeated)
        states = [outcome.state for outcome in outcomes.values()]
        unfinished = states.count("interrupted")
        if study is not None and not study.over:
            unfinished += states.count("paused")
        if stop():
            command = shlex.join(plan.command) or "the same command"
            say(
                console,
                f"Interrupted: {states.count('done')} of {len(states)} runs are done, the others "
                f"have their checkpoints. To continue, start again: {command}",
            )
            return SweepOutcome(outcomes, stop.exit_code if unfinished else 0, not unfinished)
        if unfinished:
            say(console, f"Given up after too many failures; {unfinished} runs weren't finished.")
        return SweepOutcome(outcomes, 1 if "failed" in states or unfinished else 0, True)

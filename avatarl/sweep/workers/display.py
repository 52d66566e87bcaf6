"""What a sweep shows while it works: a live table on a terminal, one line a run elsewhere."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from rich.console import Console, RenderableType

from avatarl import terminal
from avatarl.runs.state import RunState
from avatarl.sweep.outcome import Event, RunOutcome
from avatarl.sweep.plan.planned import Plan, PlannedRun
from avatarl.sweep.screen import duration, number, render
from avatarl.sweep.survey import Row, Survey
from avatarl.terminal import say

#: What an outcome leaves a run as; ``elsewhere``: another process computes it.
_STATES = {
    "done": RunState.DONE,
    "paused": RunState.PAUSED,
    "failed": RunState.FAILED,
    "interrupted": RunState.INTERRUPTED,
    "elsewhere": RunState.QUEUED,
}


def say_done(
    console: Console, place: str, run: PlannedRun, result: Mapping[str, Any], took: str
) -> None:
    """Print what a run came to; ``place`` counts it among the others."""
    nats, accuracy = number(result.get("val/nats")), number(result.get("val/accuracy"), 3)
    say(console, f"{place} done   {run.label}  {nats} nats  accuracy {accuracy}  {took}")


def say_failed(console: Console, place: str, run: PlannedRun, reason: str | None) -> None:
    """Print why a run failed, and where its files are."""
    say(console, f"{place} FAILED {run.label}: {reason}  ({run.path})", "bold red")


class Display:
    """Shows the events of a pool.

    Args:
        console: Where to show them.
        plan: The sweep's.
        draw: Draws its table over and over (:func:`avatarl.terminal.live`).
        note: Tells where a search is; empty where there is none.
    """

    def __init__(
        self,
        console: Console,
        plan: Plan,
        draw: Callable[[RenderableType], None],
        note: Callable[[], str] = str,
    ) -> None:
        self.console, self.plan, self._note = console, plan, note
        self._rows = {run.id: Row(run, RunState.NEW) for run in plan.runs}
        self._ended = 0
        self._drawn = 0.0
        self._draw = draw

    def event(self, event: Event) -> None:
        """Tell one event: ends and retries as a line, starts in the table only."""
        run, outcome = event.run, event.outcome
        state, reason = RunState.RUNNING, event.reason or ""
        if event.what == "retried":
            state = RunState.NEW
            say(self.console, f"again  {run.label}: {reason}", "yellow")
        elif event.what == "waiting":
            state = RunState.QUEUED
            say(self.console, f"wait   {run.label}: {reason}", "yellow")
        elif outcome is not None:
            state = _STATES[outcome.state]
            self._tell_end(run, outcome)
        self._rows[run.id] = Row(run, state, reason=reason)

    def _tell_end(self, run: PlannedRun, outcome: RunOutcome) -> None:
        state, reason, result = outcome.state, outcome.reason, outcome.result or {}
        self._ended += state in ("done", "failed")
        place = f"[{self._ended}/{self.plan.expected}]"
        if state == "done":
            # From start to end where that is known; the run itself counts its steps alone.
            seconds = outcome.seconds or result.get("seconds")
            took = "already done" if outcome.cached else duration(seconds)
            say_done(self.console, place, run, result, took)
        elif state == "failed":
            say_failed(self.console, place, run, reason)
        elif state == "elsewhere":
            say(self.console, f"left   {run.label}: {reason}", "yellow")
        else:
            say(self.console, f"paused {run.label} {reason or ''}".rstrip(), "yellow")

    def tick(self) -> None:
        """Redraw, at most twice a second."""
        if not terminal.redraws(self.console) or time.monotonic() - self._drawn < 0.5:
            return
        self._drawn = time.monotonic()
        self._draw(render(self.plan, self.survey()))

    def survey(self) -> Survey:
        """The sweep as this process knows it, with how far the running runs have come."""
        rows = [
            replace(row, progress=row.run.folder.read_progress())
            if row.state is RunState.RUNNING
            else row
            for row in self._rows.values()
        ]
        return Survey(rows, reachable=True, search=self._note())

"""What a sweep shows while it works: a live table on a terminal, one line a run elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from avatarl.runs.progress import Progress
from avatarl.sweep.outcome import Event, RunOutcome
from avatarl.sweep.plan.planned import PlannedRun
from avatarl.terminal import say

#: Most running or waiting runs shown at once; the rest is counted.
_MOST_ROWS = 24


def duration(seconds: float | None) -> str:
    """``75`` as ``1:15``, ``None`` as a dash."""
    if seconds is None or seconds != seconds or seconds < 0:
        return "–"
    whole = int(seconds + 0.5)
    hours, rest = divmod(whole, 3600)
    minutes, rest = divmod(rest, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"


def number(value: object, digits: int = 4) -> str:
    """A metric for a table cell."""
    return f"{value:.{digits}f}" if isinstance(value, int | float) else "–"


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
        total: Number of runs of the sweep.
        title: Name of the sweep.
        live: Redraw a table; by default when the console is a terminal.
    """

    def __init__(self, console: Console, total: int, title: str, live: bool | None = None) -> None:
        self.console, self.total, self.title = console, total, title
        self._running: dict[str, PlannedRun] = {}
        self._done = self._failed = 0
        self._began = time.monotonic()
        self._drawn = 0.0
        redraws = console.is_terminal if live is None else live
        self._live = Live(console=console, auto_refresh=False, transient=True) if redraws else None

    def __enter__(self) -> Display:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(self, *exception: object) -> None:
        if self._live is not None:
            self._live.stop()

    def event(self, event: Event) -> None:
        """Tell one event: ends and retries as a line, starts in the table only."""
        run, outcome = event.run, event.outcome
        if event.what == "started":
            self._running[run.id] = run
            return
        self._running.pop(run.id, None)
        if event.what == "retried":
            say(self.console, f"again  {run.label}: {event.reason}", "yellow")
        elif event.what == "waiting":
            say(self.console, f"wait   {run.label}: {event.reason}", "yellow")
        elif outcome is not None:
            self._finished(run, outcome)

    def _finished(self, run: PlannedRun, outcome: RunOutcome) -> None:
        state, reason, result = outcome.state, outcome.reason, outcome.result or {}
        if state == "done":
            self._done += 1
            # From start to end where that is known; the run itself counts its steps alone.
            seconds = outcome.seconds or result.get("seconds")
            took = "already done" if outcome.cached else duration(seconds)
            say_done(self.console, self._place(), run, result, took)
        elif state == "failed":
            self._failed += 1
            say_failed(self.console, self._place(), run, reason)
        elif state == "elsewhere":
            say(self.console, f"left   {run.label}: {reason}", "yellow")
        else:
            say(self.console, f"paused {run.label} {reason or ''}".rstrip(), "yellow")

    def _place(self) -> str:
        return f"[{self._done + self._failed}/{self.total}]"

    def tick(self) -> None:
        """Redraw, at most twice a second."""
        if self._live is None or time.monotonic() - self._drawn < 0.5:
            return
        self._drawn = time.monotonic()
        self._live.update(self._table(), refresh=True)

    def _table(self) -> RenderableType:
        finished = self._done + self._failed
        elapsed = time.monotonic() - self._began
        head = Text(
            f"{self.title}: {finished}/{self.total} finished, {self._failed} failed, "
            f"{len(self._running)} running, {duration(elapsed)}",
            style="bold",
        )
        rows = [
            (run, run.folder.read_progress() or Progress())
            for run in list(self._running.values())[:_MOST_ROWS]
        ]
        return Group(head, running_table(rows))


def running_table(rows: Iterable[tuple[PlannedRun, Progress]]) -> Table:
    """One row a running run: bar, step, rate, time left, loss, warnings."""
    table = Table(box=None, padding=(0, 1), show_edge=False)
    for name in ("run", "", "step", "steps/s", "left", "loss", "warnings"):
        table.add_column(name, overflow="ellipsis", no_wrap=True)
    for run, progress in rows:
        table.add_row(
            Text(run.label),
            ProgressBar(total=max(progress.steps, 1), completed=progress.step, width=16),
            f"{progress.step}/{progress.steps or '?'}",
            number(progress.rate, 1),
            duration(progress.eta_s),
            number(progress.loss),
            Text(", ".join(progress.warnings), style="yellow"),
        )
    return table

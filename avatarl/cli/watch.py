"""``avatarl watch [SWEEP]``: the state of a sweep, live, until it has ended."""

from __future__ import annotations

import argparse

from avatarl import terminal
from avatarl.cli.options import add_number, add_output_dir, add_sweep
from avatarl.runs.find import find_sweep
from avatarl.runs.state import RunState


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_sweep(parser)
    add_number(
        parser, "--every", kind=float, least=0.2, most=86_400, default=2.0, metavar="S",
        help="seconds between looks",
    )  # fmt: skip
    add_output_dir(parser)


def main(args: argparse.Namespace) -> int:
    """Show the sweep until nothing of it runs or waits; Ctrl-C only stops looking.

    Exit code 0 when every run is done, 1 when some failed or were left.
    """
    import time

    from rich.live import Live

    from avatarl.sweep.plan.planned import Plan
    from avatarl.sweep.screen import render
    from avatarl.sweep.survey import look_at

    directory = find_sweep(args.sweep, args.output_dir).path
    console, code = terminal.console(), 0
    with Live(console=console, auto_refresh=False) as live:
        while not terminal.reader_left():
            plan = Plan.read(directory)  # a search's grows
            seen = look_at(plan, directory, fresh=True)
            live.update(render(plan, seen), refresh=True)
            counts = seen.counts()
            unsure = counts[RunState.UNREADABLE] or not seen.reachable
            if not (unsure or counts[RunState.RUNNING] or counts[RunState.QUEUED]):
                code = int(counts[RunState.DONE] + counts[RunState.PAUSED] < len(seen.rows))
                break
            time.sleep(args.every)
    terminal.end_line(console)
    return code

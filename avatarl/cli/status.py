"""``avatarl status [SWEEP]``: how the runs of a sweep are doing."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from avatarl import terminal
from avatarl.cli.options import add_output_dir, add_sweep
from avatarl.runs.find import find_sweep
from avatarl.runs.state import RunState

if TYPE_CHECKING:
    from avatarl.sweep.plan.planned import Plan

_MOST_ROWS = 40


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    add_sweep(parser)
    parser.add_argument("--all", action="store_true", help="list done runs as well")
    parser.add_argument("--json", action="store_true", help="one JSON object a run")
    parser.add_argument(
        "--usage", action="store_true", help="what SLURM was asked for, and what was used of it"
    )
    add_output_dir(parser)


def main(args: argparse.Namespace) -> int:
    """Print the state of every run; exit code 1 when something failed."""
    from avatarl.sweep.plan.planned import Plan
    from avatarl.sweep.screen import RunTable, head
    from avatarl.sweep.survey import look_at

    directory = find_sweep(args.sweep, args.output_dir).path
    plan = Plan.read(directory)
    if args.usage:
        return _usage(plan, directory, args.json)
    seen = look_at(plan, directory)
    rows = [row for row in seen.rows if args.all or args.json or row.state is not RunState.DONE]
    rows = [
        replace(row, progress=row.run.folder.read_progress())
        if row.state is RunState.DONE  # as far as it came; the others' is known
        else row
        for row in rows
    ]
    if args.json:
        for row in rows:
            record = {
                "schema": 1,
                "id": row.run.id,
                "run": row.run.directory,
                "label": row.run.label,
                "state": row.state,
                "job": row.job_id,
                "node": row.node,
                "gpu": row.gpu,
                "reason": row.reason,
                "progress": row.progress.to_json() if row.progress else {},
            }
            sys.stdout.write(json.dumps(record) + "\n")
    else:
        console = terminal.console()
        for line in head(plan, seen):
            console.print(line, soft_wrap=True)
        if rows:
            most = None if args.all else _MOST_ROWS
            console.print(RunTable(plan.names, rows, most), soft_wrap=True)
    return 1 if seen.counts()[RunState.FAILED] else 0


def _usage(plan: Plan, directory: Path, as_json: bool) -> int:
    from avatarl.sweep.slurm.usage import usage_of

    usages = usage_of(plan, directory)
    if not usages and not as_json:
        terminal.say(terminal.console(), f"{plan.name}: no job has measured itself yet")
    for usage in usages:
        told = [json.dumps(usage.record())] if as_json else usage.lines()
        sys.stdout.write("".join(f"{line}\n" for line in told))
    return 0

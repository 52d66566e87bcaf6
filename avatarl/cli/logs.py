"""``avatarl logs RUN_OR_SWEEP``: what runs, and the jobs that carried them, have printed."""

from __future__ import annotations

import argparse
import sys
import time
from collections import deque
from pathlib import Path

from avatarl import terminal
from avatarl.cli.options import add_number, add_output_dir
from avatarl.errors import UserError
from avatarl.runs.find import find_run, find_sweep


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("name", nargs="?", help="a run or a sweep; default: the last sweep")
    add_number(
        parser, "-n", "--lines", kind=int, least=0, most=10**9, default=20,
        help="last lines of each log",
    )  # fmt: skip
    parser.add_argument("-f", "--follow", action="store_true", help="go on as a run's log grows")
    parser.add_argument("--jobs", action="store_true", help="the logs of a sweep's SLURM jobs")
    add_output_dir(parser)


def main(args: argparse.Namespace) -> int:
    """Print the ends of logs."""
    paths = _logs(args)
    for path in paths:
        if len(paths) > 1:
            sys.stdout.write(f"==> {path} <==\n")
        with path.open(encoding="utf-8", errors="replace") as file:
            sys.stdout.writelines(deque(file, maxlen=args.lines))
    if args.follow:
        if len(paths) != 1:
            raise UserError(f"--follow takes one run; {args.name!r} has {len(paths)} logs")
        _follow(paths[0])
    return 0


def _logs(args: argparse.Namespace) -> list[Path]:
    from avatarl.sweep.plan.planned import Plan

    no_run = ""
    if args.name is not None and not args.jobs:
        try:
            log = find_run(args.name, args.output_dir).log
        except UserError as error:
            no_run = f"{error}; "
        else:
            if not log.exists():
                raise UserError(f"{log} isn't there: the run hasn't printed anything yet")
            return [log]
    try:
        directory = find_sweep(args.name, args.output_dir).path
    except UserError as no_sweep:
        raise UserError(f"{no_run}{no_sweep}") from no_sweep
    if args.jobs:
        found = [*directory.glob("slurm/*/submitit/*_log.out")]
        found += directory.glob("slurm/*/submitit/*_log.err")
    else:
        found = [run.folder.log for run in Plan.read(directory).runs]
    found = sorted(path for path in found if path.exists() and path.stat().st_size)
    if not found:
        raise UserError(f"{directory}: nothing has been printed yet")
    return found


def _follow(path: Path) -> None:
    with path.open(encoding="utf-8", errors="replace") as file:
        file.seek(0, 2)
        while not terminal.reader_left():
            more = file.read()
            if more:
                sys.stdout.write(more)
                sys.stdout.flush()
            else:
                time.sleep(0.3)

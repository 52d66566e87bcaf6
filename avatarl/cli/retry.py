"""``avatarl retry SWEEP``: start again what failed or was left, as it was launched last."""

from __future__ import annotations

import argparse
from typing import Any

from avatarl.errors import UserError
from avatarl.runs import find


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("sweep", help="name, beginning of it, or path")
    parser.add_argument("--no-wait", action="store_true", help="SLURM: return once jobs are queued")
    find.add_output_dir(parser)


def main(args: argparse.Namespace) -> int:
    """Run what isn't done, with the configurations of the plan and the source as it is now."""
    from rich.console import Console

    from avatarl.files import read_json
    from avatarl.sweep.plan import request as launch
    from avatarl.sweep.plan.planned import Plan
    from avatarl.sweep.slurm import launch as slurm
    from avatarl.sweep.workers import local

    directory = find.sweep_directory(args.sweep, args.output_dir).absolute()
    plan = Plan.read(directory)
    try:
        last = read_json(directory / "launch.json")
    except OSError as error:
        raise UserError(f"{directory} has no launch.json; start the sweep by run.py") from error
    launcher = last["launcher"]
    raw: dict[str, Any] = {**last["settings"], "dry_run": False}
    if launcher == "slurm":
        raw["wait"] = not args.no_wait
    console = Console()
    launch.record(directory, launcher, raw)
    outcome: launch.SweepOutcome | None
    if launcher == "slurm":
        settings = launch.settings(slurm.SlurmSettings, raw)
        outcome = slurm.submit_and_stay(plan, directory, settings, console)
    else:
        outcome = local.run_again(plan, directory, raw, console)
    if outcome is None:
        return 0
    if outcome.complete:
        launch.summarise(directory, console)
    return outcome.exit_code

"""``avatarl retry SWEEP``: start again what failed or was left, as it was launched last."""

from __future__ import annotations

import argparse
import dataclasses

from avatarl import terminal
from avatarl.cli.options import add_output_dir
from avatarl.errors import UserError
from avatarl.runs.find import find_sweep


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("sweep", help="name, beginning of it, or path")
    parser.add_argument(
        "--paused", action="store_true", help="bring to its end, too, what a search has paused"
    )
    parser.add_argument("--no-wait", action="store_true", help="SLURM: return once jobs are queued")
    add_output_dir(parser)


def main(args: argparse.Namespace) -> int:
    """Run what isn't done, with the configurations of the plan and the source as it is now."""
    from avatarl.composition.shipped import launcher_settings
    from avatarl.files import read_object
    from avatarl.runs.outputs import SweepFolder
    from avatarl.sweep.launch import Backend, launch, summarise
    from avatarl.sweep.plan.planned import Plan
    from avatarl.sweep.plan.study import study_of
    from avatarl.sweep.slurm.backend import SlurmBackend
    from avatarl.sweep.workers.local import LocalBackend

    directory = find_sweep(args.sweep, args.output_dir).path.absolute()
    plan = Plan.read(directory)
    if args.paused:
        plan = dataclasses.replace(plan, search=None)
    last = read_object(SweepFolder(directory).launch)
    if not last:
        raise UserError(f"{directory} has no launch.json; the command that started it continues it")
    # A launch by an earlier version lacks what has been added since.
    raw = {**launcher_settings(last["launcher"]), **last["settings"], "dry_run": False}
    backend: Backend
    if last["launcher"] == SlurmBackend.name:
        backend = SlurmBackend({**raw, "wait": not args.no_wait})
    else:
        backend = LocalBackend(raw)
    terminal.outlive()
    console = terminal.console()
    if (study := study_of(plan, directory)) is not None and study.open:
        runs = f"{study.left} run{'s' * (study.left > 1)}"
        terminal.say(console, f"{runs} yet to be proposed, which the search's own command does")
    outcome = launch(backend, plan, directory, console)
    if outcome is None:
        return 0
    if outcome.complete:
        summarise(directory, console)
    return outcome.exit_code

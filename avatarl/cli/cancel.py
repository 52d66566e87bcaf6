"""``avatarl cancel SWEEP``: stop its jobs, or the process that runs it on this machine."""

from __future__ import annotations

import argparse
import os
import signal
import socket
import sys
from pathlib import Path

from avatarl.cli.options import add_output_dir
from avatarl.errors import UserError
from avatarl.files import read_object
from avatarl.runs import ownership, slurm_jobs
from avatarl.runs.find import find_sweep
from avatarl.runs.outputs import SweepFolder
from avatarl.sweep.slurm.submission import submissions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("sweep", help="name, beginning of it, or path")
    add_output_dir(parser)


def main(args: argparse.Namespace) -> int:
    """Cancel; running runs checkpoint, so that ``avatarl retry`` continues them."""
    directory = find_sweep(args.sweep, args.output_dir).path
    past = submissions(directory)
    jobs = [job for submission in past for job in submission.jobs]
    known = slurm_jobs.jobs(jobs, fresh=True)
    if known is None:
        raise UserError("SLURM's controller doesn't answer; nothing was cancelled")
    live = [job for job in jobs if job in known and not known[job].over]
    mine = {submission: [job for job in live if job in submission.jobs] for submission in past}
    # Noted first: SLURM may forget the jobs before a waiting client looks again.
    for submission, its in mine.items():
        if its:
            submission.note_cancellation(its)
    if live and not slurm_jobs.cancel(live):
        for submission, its in mine.items():
            if its:
                submission.forget_cancellation(its)
        raise UserError("scancel failed; look at: squeue --me")
    local = _stop_local(directory)
    if live:
        sys.stdout.write(f"cancelled {len(live)} job{'s' * (len(live) > 1)}\n")
    if local is not None:
        sys.stdout.write(f"asked process {local} to stop; its runs checkpoint first\n")
    if not live and local is None:
        sys.stdout.write(f"nothing of {directory.name} is running or queued\n")
    return 0


def _stop_local(directory: Path) -> int | None:
    """Send SIGTERM to the launching process, if it lives on this host."""
    try:
        owner = ownership.Owner.from_json(read_object(SweepFolder(directory).launch)["owner"])
    except (KeyError, ValueError):
        return None
    if owner.host != socket.gethostname() or not ownership.lives(owner):
        return None
    try:
        os.kill(owner.pid, signal.SIGTERM)
    except ProcessLookupError:
        return None
    except PermissionError as error:
        raise UserError(f"process {owner.pid} belongs to someone else") from error
    return owner.pid

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
from avatarl.runs import liveness, slurm_jobs
from avatarl.runs.find import find_sweep
from avatarl.runs.outputs import SweepFolder
from avatarl.sweep.plan.launches import owners
from avatarl.sweep.slurm.submission import submissions


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("sweep", help="name, beginning of it, or path")
    add_output_dir(parser)


def main(args: argparse.Namespace) -> int:
    """Cancel; running runs checkpoint, so that ``avatarl retry`` continues them."""
    directory = find_sweep(args.sweep, args.output_dir).path
    # First, or they would queue what isn't yet.
    local, elsewhere = _stop_clients(directory)
    past = submissions(directory)
    jobs = [job for submission in past for job in submission.jobs]
    known = slurm_jobs.jobs(jobs, fresh=True)
    if known is None:
        raise UserError("SLURM's controller doesn't answer; no job was cancelled")
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
    if live:
        sys.stdout.write(f"cancelled {len(live)} job{'s' * (len(live) > 1)}\n")
    for pid in local:
        sys.stdout.write(f"asked process {pid} to stop; its runs checkpoint first\n")
    for client in elsewhere:
        sys.stdout.write(
            f"process {client.pid} on {client.host} still queues jobs of it; end it there\n"
        )
    if not (live or local or elsewhere):
        sys.stdout.write(f"nothing of {directory.name} is running or queued\n")
    return 0


def _stop_clients(directory: Path) -> tuple[list[int], list[liveness.Owner]]:
    """Send SIGTERM to the launching processes that live on this host.

    Returns:
        Their numbers, and those on other hosts that are still to queue jobs.
    """
    stopped = []
    for owner in owners(SweepFolder(directory)):
        if owner.host != socket.gethostname() or not liveness.lives(owner):
            continue
        try:
            os.kill(owner.pid, signal.SIGTERM)
        except ProcessLookupError:
            continue
        except PermissionError as error:
            raise UserError(f"process {owner.pid} belongs to someone else") from error
        stopped.append(owner.pid)
    waiting = [one.client for one in submissions(directory) if one.waits and one.client]
    return stopped, [client for client in waiting if client.host != socket.gethostname()]

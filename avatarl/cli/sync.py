"""``avatarl sync``: upload what wandb's server lacks, several runs at a time; say what is left."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil

from avatarl.cli.options import add_number, add_output_dir, add_runs
from avatarl.runs.find import select_folders
from avatarl.runs.folder import RunFolder
from avatarl.runs.state import RunState, status_of
from avatarl.tracking import delivery

#: A server that is down is told after a minute or so, not after wandb's quarter of an hour.
_FEWER_RETRIES = {
    "WANDB_X_GRAPHQL_RETRY_MAX": "5",
    "WANDB_X_GRAPHQL_RETRY_WAIT_MAX_SECONDS": "15",
    "WANDB_X_FILE_STREAM_RETRY_MAX": "5",
    "WANDB_X_FILE_STREAM_RETRY_WAIT_MAX_SECONDS": "15",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    add_runs(parser)
    add_number(parser, "--jobs", kind=int, least=1, default=4, help="uploads at a time")
    add_number(
        parser, "--timeout", kind=float, least=1, most=86_400, default=600.0,
        help="seconds for one upload",
    )  # fmt: skip
    parser.add_argument("--dry-run", action="store_true", help="only say what would be uploaded")
    add_output_dir(parser)


def upload(directory: Path, timeout: float) -> str | None:
    """Upload what is missing of one run; returns what went wrong, or None."""
    folders = delivery.waiting(directory)
    if len(folders) == 1 and delivery.state(directory) == "never":
        delivery.note(directory, "owed")
        problem = _wait_for(["wandb", "sync", str(folders[0])], timeout)
        if not delivery.waiting(directory):
            delivery.note(directory, "complete")
            return None
    else:
        # The server may have a part. wandb sync would append to it what it has already, so the
        # run is continued there instead, from the run's own files.
        words = ["avatarl", "backfill", str(directory.resolve()), "--mode", "online"]
        problem = _wait_for(words, timeout)
        if not delivery.is_left(directory):
            return None
    return problem.removeprefix(f"{directory.name}: ") or "wandb left something out"


def _wait_for(words: list[str], timeout: float) -> str:
    """Run a module to its end; returns the last of what it said."""
    process = subprocess.Popen(
        [sys.executable, "-m", *words],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        env={**_FEWER_RETRIES, **os.environ},
    )
    try:
        said = process.communicate(timeout=timeout)[0].strip().splitlines()
    except subprocess.TimeoutExpired:
        # wandb's own process would go on trying, long after the one that started it.
        for child in [*psutil.Process(process.pid).children(recursive=True), process]:
            child.kill()
        process.communicate()
        return f"no answer within {timeout:g} s"
    return said[-1] if said else f"{' '.join(words[:2])} ended with exit code {process.returncode}"


def main(args: argparse.Namespace) -> int:
    """Upload; exit code 1 if something is left."""
    folders = select_folders(args.runs, args.output_dir)
    left = [folder.path for folder in folders if delivery.is_left(folder.path)]
    running = [path for path in left if status_of(RunFolder(path)).state is RunState.RUNNING]
    waiting = [each for each in left if each not in running]
    if running:
        print(f"{len(running)} still running: not uploaded before the end")
    if not waiting:
        print("nothing to upload")
        return 0
    if args.dry_run:
        for directory in waiting:
            print(directory)
        return 0
    with ThreadPoolExecutor(max_workers=args.jobs) as pool:
        problems = list(pool.map(lambda directory: upload(directory, args.timeout), waiting))
    for directory, problem in zip(waiting, problems, strict=True):
        print(f"{directory.name}: {problem or 'uploaded'}")
    failed = sum(problem is not None for problem in problems)
    print(f"{len(waiting) - failed} uploaded, {failed} left")
    return 1 if failed else 0

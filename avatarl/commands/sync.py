"""``avatarl sync``: upload offline wandb runs, several at a time, and say what is left."""

from __future__ import annotations

import argparse
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from avatarl.commands.selection import add_outputs, run_directories


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("runs", nargs="*", help="sweeps, runs, ids or globs (default: all)")
    parser.add_argument("--jobs", type=int, default=4, help="uploads at a time")
    parser.add_argument("--timeout", type=float, default=600, help="seconds for one upload")
    parser.add_argument("--dry-run", action="store_true", help="only say what would be uploaded")
    add_outputs(parser)


def offline_runs(directories: list[Path]) -> list[Path]:
    """Folders of offline wandb runs that wandb hasn't marked as uploaded."""
    return [
        folder
        for directory in directories
        for folder in sorted(directory.glob("wandb/offline-run-*"))
        if not list(folder.glob("*.synced"))
    ]


def upload(folder: Path, timeout: float) -> str | None:
    """Upload one offline run; returns what went wrong, or None."""
    command = [sys.executable, "-m", "wandb", "sync", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout)
    except subprocess.TimeoutExpired:
        return f"no answer within {timeout:g} s"
    if done.returncode == 0 and list(folder.glob("*.synced")):
        return None
    said = (done.stderr + done.stdout).strip().splitlines()
    return said[-1] if said else f"wandb sync ended with exit code {done.returncode}"


def main(asked: argparse.Namespace) -> int:
    """Upload; exit code 1 if something is left."""
    waiting = offline_runs(run_directories(asked.runs, asked.outputs))
    if not waiting:
        print("nothing to upload")
        return 0
    if asked.dry_run:
        for folder in waiting:
            print(folder)
        return 0
    with ThreadPoolExecutor(max_workers=max(1, asked.jobs)) as pool:
        problems = list(pool.map(lambda folder: upload(folder, asked.timeout), waiting))
    left = 0
    for folder, problem in zip(waiting, problems, strict=True):
        print(f"{folder.parents[1].name}: {problem or 'uploaded'}")
        left += problem is not None
    print(f"{len(waiting) - left} uploaded, {left} left")
    return 1 if left else 0

"""``avatarl backfill``: re-create wandb runs from local files."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from avatarl.cli.selection import add_outputs, run_directories
from avatarl.errors import UserError, in_short
from avatarl.files import read_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("runs", nargs="*", help="sweeps, runs, ids or globs (default: all)")
    parser.add_argument("--project", default=None, help="wandb project (default: the run's own)")
    parser.add_argument("--entity", default=None, help="wandb entity (default: the run's own)")
    parser.add_argument(
        "--mode", choices=["auto", "online", "offline"], default="auto", help="as tracking.mode"
    )
    parser.add_argument(
        "--artifact",
        action="store_true",
        help="upload final checkpoints too (default: as the run was told)",
    )
    add_outputs(parser)


def main(args: argparse.Namespace) -> int:
    """Log each run anew, under its own id; exit code 1 if one of them failed."""
    directories = run_directories(args.runs, args.outputs)
    if not directories:
        raise UserError(f"no runs under {args.outputs}; --output-dir names another directory")
    failed = 0
    for directory in directories:
        try:
            count = _send(directory, args)
        except Exception as error:
            failed += 1
            print(f"{directory.name}: {_reason(error)}", file=sys.stderr)
        else:
            print(f"{directory.name}: {count} records")
    return 1 if failed else 0


def _send(directory: Path, args: argparse.Namespace) -> int:
    from avatarl.runs import journal
    from avatarl.tracking import wandb as sink

    raw = read_json(directory / "config.json")
    tracking = raw["tracking"]
    config = sink.Config(
        name="wandb",
        mode=args.mode,
        project=args.project or tracking.get("project", "avatarl"),
        entity=args.entity or tracking.get("entity"),
        group=tracking.get("group"),
        run_name=tracking.get("run_name"),
        tags=tuple(tracking.get("tags", ())),
        artifact=args.artifact or tracking.get("artifact", False),
    )
    header, records = journal.read(directory / "metrics.jsonl")
    opened = sink.start(config, raw, header["run_id"], directory, history=records)
    if opened is None:
        raise UserError("wandb is disabled: WANDB_MODE says so; --mode overrides it")
    if (directory / "result.json").exists():
        opened.summary(read_json(directory / "result.json"))
    opened.finish()
    return len(records)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "wandb's server hasn't taken everything in time"
    return in_short(error)

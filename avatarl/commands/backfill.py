"""``avatarl backfill``: re-create wandb runs from local files."""

from __future__ import annotations

import argparse

from avatarl.commands.selection import add_outputs, run_directories
from avatarl.errors import UserError
from avatarl.files import read_json


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    parser.add_argument("runs", nargs="*", help="sweeps, runs, ids or globs (default: all)")
    parser.add_argument("--project", default="avatarl", help="wandb project")
    parser.add_argument("--entity", default=None, help="wandb entity (default: yours)")
    parser.add_argument(
        "--mode", choices=["auto", "online", "offline"], default="auto", help="as tracking.mode"
    )
    parser.add_argument("--artifact", action="store_true", help="upload final checkpoints too")
    add_outputs(parser)


def main(asked: argparse.Namespace) -> int:
    """Log each run anew, under its own id."""
    from avatarl.tracking import journal
    from avatarl.tracking import wandb as sink

    directories = run_directories(asked.runs, asked.outputs)
    if not directories:
        raise UserError(f"no runs under {asked.outputs}; --output-dir names another directory")
    for directory in directories:
        raw = read_json(directory / "config.json")
        tracking = raw["tracking"]
        config = sink.Config(
            name="wandb",
            mode=asked.mode,
            project=asked.project,
            entity=asked.entity,
            group=tracking.get("group"),
            run_name=tracking.get("run_name"),
            tags=tuple(tracking.get("tags", ())),
            artifact=asked.artifact,
        )
        header, records = journal.read(directory / "metrics.jsonl")
        opened = sink.start(config, raw, header["run_id"], directory, history=records)
        if opened is None:
            continue
        if (directory / "result.json").exists():
            opened.summary(read_json(directory / "result.json"))
        opened.finish()
        print(f"{directory.name}: {len(records)} records")
    return 0

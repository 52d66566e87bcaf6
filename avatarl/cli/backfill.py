"""``avatarl backfill``: re-create wandb runs from local files."""

from __future__ import annotations

import argparse
import sys
from typing import TYPE_CHECKING, Any

from avatarl.cli.options import add_output_dir, add_runs
from avatarl.errors import UserError, in_short
from avatarl.runs.find import select_folders
from avatarl.runs.folder import RunFolder
from avatarl.runs.state import RunState, status_of

if TYPE_CHECKING:
    from avatarl.tracking.base import Ending

#: What a run was told that wasn't to be tracked.
_UNTRACKED: dict[str, Any] = {
    "name": "wandb", "kind": "wandb", "project": None, "entity": None, "group": None,
    "run_name": None, "tags": [], "artifact": False,
}  # fmt: skip

_ENDED: dict[RunState, Ending] = {
    RunState.DONE: "done", RunState.FAILED: "failed", RunState.PAUSED: "paused",
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    add_runs(parser)
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
    add_output_dir(parser)


def main(args: argparse.Namespace) -> int:
    """Log each run anew, under its own id; exit code 1 if one of them failed."""
    folders = select_folders(args.runs, args.output_dir)
    if not folders:
        raise UserError(f"no runs under {args.output_dir}; --output-dir names another directory")
    failed = 0
    for folder in folders:
        try:
            count = _send(folder, args)
        except Exception as error:
            failed += 1
            print(f"{folder.path.name}: {_reason(error)}", file=sys.stderr)
        else:
            print(f"{folder.path.name}: {count} records")
    return 1 if failed else 0


def _send(folder: RunFolder, args: argparse.Namespace) -> int:
    from avatarl.options import read
    from avatarl.runs import journal
    from avatarl.tracking import several
    from avatarl.tracking import wandb as sink

    raw = folder.read_config()
    known = (one for one in several.each_raw(raw["tracking"]) if "mode" in one)
    settings = {**_UNTRACKED, **next(known, {}), "mode": args.mode}
    for key in ("project", "entity", "artifact"):
        settings[key] = getattr(args, key) or settings[key]
    config = read(sink.Config, settings, "tracking")
    header, records = journal.read(folder.journal)
    opened = config.open(raw, header["run_id"], folder.path, history=records)
    if opened is None:
        raise UserError("wandb is disabled: WANDB_MODE says so; --mode overrides it")
    result = folder.read_result()
    if result is not None:
        opened.summary(result)
    opened.finish(_ENDED.get(status_of(folder).state, "interrupted"))
    return len(records)


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "wandb's server hasn't taken everything in time"
    return in_short(error)

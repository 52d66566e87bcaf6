"""The ``avatarl`` command: look at runs and sweeps, compare, sample, sync; torch only if needed."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence

from avatarl.errors import UserError
from avatarl.process import prepare_process
from avatarl.text import printable

# name → (module with add_arguments(parser) and main(args), one line of help)
COMMANDS = {
    "status": ("avatarl.cli.status", "how the runs of a sweep are doing"),
    "watch": ("avatarl.cli.watch", "the same, live"),
    "logs": ("avatarl.cli.logs", "what a run has printed"),
    "cancel": ("avatarl.cli.cancel", "stop a sweep's jobs"),
    "retry": ("avatarl.cli.retry", "start what failed again"),
    "compare": ("avatarl.cli.compare", "tables, plots and pages that compare runs"),
    "sample": ("avatarl.cli.sample", "let a trained policy write"),
    "inspect": ("avatarl.cli.inspect", "see what a policy thinks comes next, and why"),
    "references": ("avatarl.cli.references", "measure every n-gram reference on a text"),
    "sync": ("avatarl.cli.sync", "upload offline wandb runs"),
    "backfill": ("avatarl.cli.backfill", "re-create wandb runs from local files"),
    "wandb-report": ("avatarl.cli.wandb_report", "write a comparison as a W&B report"),
    "reproduce": ("avatarl.cli.reproduce", "run a run again and compare its metrics"),
}


def parser(wanted: str | None = None) -> argparse.ArgumentParser:
    """Build the parser; only the wanted command's module is imported."""
    top = argparse.ArgumentParser(
        prog="avatarl",
        description="Look at, compare and continue what `python run.py` made.",
        epilog="Each command explains itself: avatarl COMMAND --help",
    )
    top.add_argument("--version", action="store_true", help="print the version and exit")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
        if name == wanted:
            importlib.import_module(module).add_arguments(command)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 fine, 2 for what can't be asked for."""
    prepare_process()
    words = list(sys.argv[1:] if arguments is None else arguments)
    wanted = next((word for word in words if word in COMMANDS), None)
    try:
        top = parser(wanted)
        args = top.parse_args(words)
        if args.version:
            from avatarl import __version__

            print(f"avatarl {__version__}")
            return 0
        if args.command is None:
            top.print_help()
            return 0
        return int(importlib.import_module(COMMANDS[args.command][0]).main(args) or 0)
    except UserError as error:
        print(f"avatarl: {printable(str(error), keep=chr(10))}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())

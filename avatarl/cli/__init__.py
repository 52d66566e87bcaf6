"""The ``avatarl`` command: run, look at runs and sweeps, compare, sample; torch only if needed."""

from __future__ import annotations

import argparse
import importlib
import shlex
import sys
from collections.abc import Sequence

from avatarl import run_help
from avatarl.completion import of_commands
from avatarl.errors import UserError
from avatarl.process import prepare_process
from avatarl.text import printable

# name → (module with add_arguments(parser) and main(args), one line of help)
COMMANDS = {
    "run": ("avatarl.app", "train one model by reward alone, or a sweep of them"),
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
    "new": ("avatarl.cli.new", "write an option of your own to start from"),
    "reproduce": ("avatarl.cli.reproduce", "run a run again and compare its metrics"),
}


def parser(wanted: str | None = None) -> argparse.ArgumentParser:
    """Build the parser; only the wanted command's module is imported."""
    top = argparse.ArgumentParser(
        prog="avatarl",
        description="Train character models by reward alone; look at, compare and continue runs.",
        epilog="Each command explains itself: avatarl COMMAND --help",
    )
    top.add_argument("--version", action="store_true", help="print the version and exit")
    commands = top.add_subparsers(dest="command", metavar="COMMAND")
    for name, (module, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=summary.capitalize() + ".")
        command.set_defaults(parser=command)
        if name == wanted and name != "run":
            importlib.import_module(module).add_arguments(command)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code: 0 fine, 2 for what can't be asked for."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    if (offered := of_commands(words, COMMANDS)) is not None:
        print(*offered)
        return 0
    if (overrides := _of_a_run(words)) is not None:
        if run_help.told(overrides):
            return 0
        from avatarl import app

        app.main(overrides)
        return 0
    prepare_process()
    wanted = next((word for word in words if word in COMMANDS), None)
    try:
        top = parser(wanted)
        args, unknown = top.parse_known_args(words)
        if unknown:  # told by the command, whose usage names what it takes
            getattr(args, "parser", top).error(f"unrecognized arguments: {shlex.join(unknown)}")
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


def _of_a_run(words: Sequence[str]) -> Sequence[str] | None:
    """The words that Hydra is to read, if a run is asked for: ``run`` itself may be left out."""
    first = words[0] if words else ""
    if first == "run":
        return words[1:]
    is_flag = first.startswith("-") and first not in ("-h", "--help", "--version")
    return words if is_flag or first[:1] in ("+", "~") or "=" in first else None

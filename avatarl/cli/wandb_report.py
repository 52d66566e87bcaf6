"""``avatarl wandb-report``: write a comparison as a W&B report."""

from __future__ import annotations

import argparse

from avatarl.cli.options import add_output_dir, add_runs
from avatarl.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describe the command's options."""
    add_runs(parser)
    parser.add_argument("--project", default="avatarl", help="wandb project")
    parser.add_argument("--entity", default=None, help="wandb entity (default: yours)")
    parser.add_argument("--title", default=None, help="title (default: what was selected)")
    parser.add_argument(
        "--dry-run", action="store_true", help="only print the table that would be sent"
    )
    add_output_dir(parser)


def main(args: argparse.Namespace) -> int:
    """Compose the report and save it as a draft."""
    from avatarl.report.exports import as_markdown
    from avatarl.report.load import load_runs
    from avatarl.tracking import wandb_report

    runs = load_runs(args.runs, output_dir=args.output_dir)
    title = args.title or runs.title
    table = as_markdown(runs.compare(title=title))
    groups = sorted({str(run.sweep) for run in runs if run.sweep})
    report = wandb_report.build(
        title, table, project=args.project, entity=args.entity, groups=groups
    )
    if args.dry_run:
        print(table)
        return 0
    try:
        # Without an entity, the address of the saved report would lead nowhere.
        report.entity = args.entity or wandb_report.default_entity() or ""
        report.save(draft=True)
    except Exception as error:
        raise UserError(f"W&B didn't take the report: {type(error).__name__}: {error}") from error
    print(report.url)
    return 0

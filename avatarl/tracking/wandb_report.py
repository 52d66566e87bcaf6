"""A comparison as a W&B report, where ``wandb-workspaces`` is installed."""

from __future__ import annotations

from typing import Any

from avatarl.errors import UserError

_CURVES = ("val/nats", "val/accuracy", "val/ece", "val/entropy", "reward/expected")


def default_entity() -> str | None:
    """Ask the server whose projects are meant where no entity is named."""
    import wandb

    entity: str | None = wandb.Api().default_entity
    return entity


def build(title: str, table: str, *, project: str, entity: str | None, groups: list[str]) -> Any:
    """Compose the report; nothing is sent until its ``save()`` is called.

    Args:
        title: Of the report.
        table: The comparison in Markdown.
        project: wandb project that holds the runs.
        entity: Of the project. None leaves it open, also in the report's address.
        groups: Sweeps whose runs the curves show; all of the project's when empty.

    Raises:
        UserError: ``wandb-workspaces`` isn't installed.
    """
    try:
        import wandb_workspaces.reports.v2 as reports
    except ImportError:
        raise UserError(
            "wandb-report needs wandb-workspaces: pip install wandb-workspaces"
        ) from None
    runsets = [
        reports.Runset(
            project=project,
            entity=entity or "",
            name=group,
            filters=f"Metric('group') == '{group}'",
        )
        for group in groups
    ] or [reports.Runset(project=project, entity=entity or "", name="all runs")]
    panels = [reports.LinePlot(x="characters_seen", y=[metric]) for metric in _CURVES]
    return reports.Report(
        project=project,
        entity=entity or "",
        title=title,
        description="Reward-only learning against its controls and the n-gram levels.",
        blocks=[
            reports.H1(text=title),
            reports.MarkdownBlock(text=table),
            reports.PanelGrid(runsets=runsets, panels=panels),
        ],
    )

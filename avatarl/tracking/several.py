"""Several trackers at once, each on its own: ``tracking=[wandb,tensorboard]``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from typing_extensions import override

from avatarl.errors import ConfigError
from avatarl.tracking import base


@dataclass(frozen=True)
class Config(base.Config):
    """The trackers, each by a name of its own."""

    trackers: dict[str, base.Config]

    @override
    def each(self) -> Iterable[base.Config]:
        return self.trackers.values()


def gathered(tracking: dict[str, Any]) -> dict[str, Any]:
    """Gather what was composed into one node: the settings of one tracker, and of others beside.

    Returns:
        The same where there are none beside.

    Raises:
        ConfigError: A setting belongs to none of them.
    """
    if "name" in tracking and tracking.get("kind", tracking["name"]) == "several":
        return tracking
    beside = {
        name: node
        for name, node in tracking.items()
        if isinstance(node, dict) and {"name", "kind"} <= set(node)
    }
    if not beside:
        return tracking
    own = {key: value for key, value in tracking.items() if key not in beside}
    if own and "name" not in own:
        key, value = next(iter(own.items()))
        valid = f"a key of {' or of '.join(f'tracking.{name}' for name in beside)}"
        raise ConfigError(f"tracking.{key}", value, valid, "no such key")
    trackers = {str(own["name"]): own} if own else {}
    return {"name": "several", "kind": "several", "trackers": trackers | beside}


def each_raw(tracking: dict[str, Any]) -> list[dict[str, Any]]:
    """The settings of each tracker, given those of all, as plain mappings."""
    trackers = tracking.get("trackers")
    return list(trackers.values()) if isinstance(trackers, dict) else [tracking]


def as_typed(key: str, tracking: Mapping[str, Any]) -> str:
    """Turn a key of gathered settings into the one that is typed: wandb's have no further name."""
    for name, node in (tracking.get("trackers") or {}).items():
        place = "tracking" if node.get("kind", name) == "wandb" else f"tracking.{name}"
        key = key.replace(f"tracking.trackers.{name}", place)
    return key

"""Hydra at work on the configurations that the project ships (``conf/``)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig

from avatarl.composition.releases import BASE
from avatarl.source import CONF


def launcher_settings(name: str) -> dict[str, Any]:
    """The settings of ``hydra/launcher=NAME`` that its backend takes."""
    raw = yaml.safe_load((CONF / "hydra" / "launcher" / f"{name}.yaml").read_text("utf-8"))
    return {key: raw[key] for key in raw if key not in ("_target_", "control", "compare")}


def compose_shipped(overrides: Sequence[str], with_hydra: bool = False) -> DictConfig:
    """Compose as ``avatarl run OVERRIDES`` does; nothing is resolved or checked yet.

    Args:
        overrides: As typed.
        with_hydra: Keep Hydra's own settings, under ``hydra``.

    Raises:
        HydraException: An override can't be used.
    """
    if GlobalHydra.instance().is_initialized():
        return hydra_compose("config", list(overrides), return_hydra_config=with_hydra)
    with initialize_config_dir(str(CONF), **BASE):
        return hydra_compose("config", list(overrides), return_hydra_config=with_hydra)

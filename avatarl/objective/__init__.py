"""Objectives: from rewards to a loss whose gradient improves the policy."""

from __future__ import annotations

import importlib

from avatarl.objective.base import Config, ControllerState, LossOutput, Objective

__all__ = ["Config", "ControllerState", "LossOutput", "Objective", "build"]


def build(config: Config) -> Objective:
    """Make the objective that ``config`` describes."""
    objective: Objective = importlib.import_module(f"avatarl.objective.{config.name}").build(config)
    return objective

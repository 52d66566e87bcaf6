"""Objectives: from rewards to a loss whose gradient improves the policy."""

from avatarl.objective.base import Config, ControllerState, LossOutput, Objective

__all__ = ["Config", "ControllerState", "LossOutput", "Objective"]

"""Numbers that a step reads: constants and schedules, both as tensors that don't shape it."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from annotated_types import Ge, Le
from torch import Tensor

from avatarl.errors import ConfigError
from avatarl.interfaces.opaque import Number, Switch

# What a sweep may vary numerically, as 0-d float32 tensors: ``hparams["kl_coef"]``. Nested settings
# are joined by dots: ``hparams["confidence_weight.start"]``.
Hyperparameters = Mapping[str, Tensor]

# Known to every group, whatever its settings are: characters seen, share of the run's steps taken,
# what a schedule of the reference multiplies its coefficient with, what the monitors add to the
# entropy bonus.
DYNAMIC = {"characters_seen": 0.0, "progress": 0.0, "reference_factor": 1.0, "ent_boost": 0.0}


@dataclass(frozen=True)
class Schedule:
    """A number that moves from one value to another as a run goes on.

    Stands in place of any number that may be scheduled:
    ``confidence_weight: {shape: linear, start: 0, end: 1, begin: 0.2, until: 0.8}``.

    Attributes:
        shape: Along a straight line, half a cosine, or at once (at ``until``).
        start: Value up to ``begin``.
        end: Value from ``until`` on.
        begin: Share of the run's steps at which it begins to move.
        until: Share of the run's steps at which it has arrived.
    """

    #: What is held to the bounds of the number that the schedule stands for.
    IN_ITS_PLACE: ClassVar = ("start", "end")

    shape: Literal["linear", "cosine", "step"]
    start: float
    end: float
    begin: Annotated[float, Ge(0), Le(1)]
    until: Annotated[float, Ge(0), Le(1)]

    def __post_init__(self) -> None:
        """Refuse an end before the beginning."""
        if self.begin > self.until:
            raise ConfigError("begin", self.begin, f"at most until={self.until}")

    def at(self, hparams: Hyperparameters, name: str) -> Tensor:
        """Return the value at ``hparams["progress"]``, 0-d."""
        begin, until = hparams[f"{name}.begin"], hparams[f"{name}.until"]
        if self.shape == "step":
            moved = (hparams["progress"] >= until).to(begin.dtype)
        else:
            moved = (hparams["progress"] - begin) / (until - begin).clamp_min(1e-9)
            moved = moved.clamp(0, 1)
        if self.shape == "cosine":
            moved = (1 - torch.cos(math.pi * moved)) / 2
        return torch.lerp(hparams[f"{name}.start"], hparams[f"{name}.end"], moved)


def current(value: float | Schedule, hparams: Hyperparameters, name: str) -> Tensor:
    """Return what a setting is worth at this moment of the run, 0-d.

    Args:
        value: The setting; only its kind is looked at, its numbers come from ``hparams``.
        hparams: The group's numbers.
        name: The setting's key.
    """
    return value.at(hparams, name) if isinstance(value, Schedule) else hparams[name]


def ends(value: float | Schedule) -> tuple[float, float]:
    """Return the least and the most that a setting is worth at any moment of a run."""
    found = (value.start, value.end) if isinstance(value, Schedule) else (value, value)
    return min(found), max(found)


# A number from 0 on, or a schedule of it, whose term is left out where it is 0: another program.
Coefficient = Annotated[float | Schedule, Ge(0), Switch()]


def is_on(value: float | Schedule) -> bool:
    """Whether a :data:`Coefficient` is ever anything but 0."""
    if isinstance(value, Number):
        return value.is_on()
    return isinstance(value, Schedule) or value != 0


def scoped(hparams: Hyperparameters, prefix: str) -> dict[str, Tensor]:
    """Return the numbers under ``prefix``, by their names there."""
    inner = {
        name[len(prefix) + 1 :]: value
        for name, value in hparams.items()
        if name.startswith(f"{prefix}.")
    }
    return inner | {name: hparams[name] for name in DYNAMIC}


def over_a_run(value: float | Schedule) -> list[float]:
    """Return what a setting is worth at each hundredth of a run, the end included."""
    if not isinstance(value, Schedule):
        return [value] * 101
    exact = functools.partial(torch.tensor, dtype=torch.float64)
    hparams = {f".{key}": exact(part) for key, part in vars(value).items() if key != "shape"}
    hparams["progress"] = exact(range(101)) / 100
    return [round(worth, 12) for worth in value.at(hparams, "").tolist()]


def check_order(low_key: str, low: float | Schedule, high_key: str, high: float | Schedule) -> None:
    """Refuse a lower end that is above the upper one at any moment of a run.

    Raises:
        ConfigError: Names the lower end, and the moment if there is one.
    """
    for percent, (least, most) in enumerate(zip(over_a_run(low), over_a_run(high), strict=True)):
        if least > most:
            scheduled = isinstance(low, Schedule) or isinstance(high, Schedule)
            when = f"so it is after {percent} % of the run" if scheduled else ""
            raise ConfigError(low_key, least, f"at most {high_key}={most}", when)


def dynamic_values(device: torch.device) -> dict[str, Tensor]:
    """Return what every group reads and a run changes as it goes on, as at its start; 0-d each."""
    return {name: torch.tensor(value, device=device) for name, value in DYNAMIC.items()}


def hyperparameters_of(
    settings: Mapping[str, Any], device: torch.device, dynamic: Hyperparameters | None = None
) -> dict[str, Tensor]:
    """Lift a group's numbers to 0-d float32 tensors, so that they don't shape the program.

    Args:
        settings: The group's; names of nested ones are joined by dots.
        device: Where.
        dynamic: See :func:`dynamic_values`, to be shared with other groups.
    """
    return dict(_numbers("", settings, device)) | dict(dynamic or dynamic_values(device))


def _numbers(
    prefix: str, settings: Mapping[Any, Any], device: torch.device
) -> Iterator[tuple[str, Tensor]]:
    for name, value in settings.items():
        if isinstance(value, Mapping):
            yield from _numbers(f"{prefix}{name}.", value, device)
        elif isinstance(value, list | tuple):
            yield from _numbers(f"{prefix}{name}.", dict(enumerate(value)), device)
        elif isinstance(value, float | int) and not isinstance(value, bool):
            yield f"{prefix}{name}", torch.tensor(float(value), device=device)

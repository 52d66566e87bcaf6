"""How much a reference counts as training goes on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Constant:
    """The reference keeps its weight."""

    kind: Literal["constant"]


ScheduleConfig = Constant

"""Settings of the tracking group."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Config:
    """Every tracking option has a name; files are written whichever is chosen."""

    name: str

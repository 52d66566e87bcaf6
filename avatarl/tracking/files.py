"""Track in files alone; nothing beyond the run's directory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from typing_extensions import override

from avatarl.tracking import base


@dataclass(frozen=True)
class Config(base.Config):
    """No settings."""

    @override
    def open(
        self,
        raw: Mapping[str, Any],
        run_id: str,
        directory: Path,
        history: Sequence[Mapping[str, Any]] = (),
    ) -> None:
        return None

"""What every way of tracking offers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from avatarl.options import Option


@dataclass(frozen=True)
class Config(Option):
    """Where records go besides the run's own files, which are written whichever is chosen."""

    @property
    def needs_server(self) -> bool:
        """Whether opening may wait for a server."""
        return False

    def open(
        self,
        raw: Mapping[str, Any],
        run_id: str,
        directory: Path,
        history: Sequence[Mapping[str, Any]] = (),
    ) -> Sink | None:
        """Open what receives a run's records, or continue it; None where nothing does.

        Args:
            raw: The whole resolved configuration.
            run_id: The run's id.
            directory: The run's.
            history: Records logged before an interruption.

        Raises:
            Exception: Whatever is raised where it can't be opened.
        """
        return None

    def answer(self, raw: Mapping[str, Any], run_id: str, directory: Path) -> None:
        """Tell the stored result to whoever had a run started that is done already.

        Args:
            raw: The whole resolved configuration.
            run_id: The run's id.
            directory: The run's.

        Raises:
            Exception: Whatever is raised where it can't be told.
        """


class Sink(Protocol):
    """What receives a run's records."""

    def log(self, step: int, record: Mapping[str, Any]) -> None: ...  # noqa: D102

    def alarm(self, message: str, raised: bool) -> None: ...  # noqa: D102

    def summary(self, values: Mapping[str, Any]) -> None: ...  # noqa: D102

    def finish(self, complete: bool) -> None: ...  # noqa: D102

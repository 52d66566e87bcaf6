"""What every way of tracking offers."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol

from avatarl.options import Option

#: How a run ends for now; what is interrupted or paused may go on later, under the same id.
Ending = Literal["done", "failed", "interrupted", "paused"]


@dataclass(frozen=True)
class Config(Option):
    """Where records go besides the run's own files, which are written whichever is chosen.

    Attributes:
        later: The command that sends what a server lacks; empty where there is none.
    """

    later: ClassVar[str] = ""

    @property
    def needs_server(self) -> bool:
        """Whether opening may wait for a server."""
        return False

    def check_environment(self) -> None:
        """Look at the variables of the environment that it heeds.

        Raises:
            ConfigError: One of them can't be used.
        """

    def each(self) -> Iterable[Config]:
        """The trackers that this stands for."""
        return (self,)

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

    def put_off(self, directory: Path) -> None:
        """Note that a run isn't sent for now: its server didn't answer an earlier one.

        Args:
            directory: The run's.
        """

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
    """What receives a run's records; whatever it raises is told once, and the run goes on."""

    def log(self, step: int, record: Mapping[str, Any]) -> None:
        """Take a record of ``metrics.jsonl``; where a run went back, its steps come again."""

    def alarm(self, message: str, raised: bool) -> None:
        """Take an alarm that was raised or cleared."""

    def summary(self, values: Mapping[str, Any]) -> None:
        """Take the result, as in ``result.json``."""

    def finish(self, ended: Ending, complete: bool) -> None:
        """Close.

        Args:
            ended: How the run has ended; a process that is killed comes to no end.
            complete: Whether nothing before has failed here.
        """

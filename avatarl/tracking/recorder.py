"""Sends what a run logs to wandb, if the run wants that; a failure there never stops a run."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from avatarl.tracking import base

log = logging.getLogger("avatarl")


class Sink(Protocol):
    """What receives a run's records."""

    def log(self, step: int, record: Mapping[str, Any]) -> None: ...  # noqa: D102

    def alarm(self, message: str, raised: bool) -> None: ...  # noqa: D102

    def summary(self, values: Mapping[str, Any]) -> None: ...  # noqa: D102

    def finish(self) -> None: ...  # noqa: D102


class Recorder:
    """Passes records on until the sink fails once; then says so and goes on without it."""

    def __init__(self, sink: Sink | None) -> None:
        self._sink = sink

    @classmethod
    def start(
        cls,
        config: base.Config,
        raw: Mapping[str, Any],
        run_id: str,
        directory: Path,
        history: Sequence[Mapping[str, Any]] = (),
    ) -> Recorder:
        """Open the configured sink; ``history`` was logged before an interruption."""
        if config.name == "files":
            return cls(None)
        try:
            import avatarl.tracking.wandb as sink

            return cls(sink.start(config, raw, run_id, directory, history))
        except Exception as error:
            log.warning("wandb is off for this run: %s: %s", type(error).__name__, error)
            return cls(None)

    def _try(self, method: str, *arguments: Any) -> None:
        if self._sink is None:
            return
        try:
            getattr(self._sink, method)(*arguments)
        except Exception as error:
            log.warning("wandb failed, the run goes on: %s: %s", type(error).__name__, error)
            self._sink = None

    def log(self, step: int, record: Mapping[str, Any]) -> None:
        """Pass on one record of ``metrics.jsonl``."""
        self._try("log", step, record)

    def alarm(self, message: str, raised: bool) -> None:
        """Pass on an alarm that was raised or cleared."""
        self._try("alarm", message, raised)

    def summary(self, values: Mapping[str, Any]) -> None:
        """Pass on the result."""
        self._try("summary", values)

    def finish(self) -> None:
        """Close the sink."""
        self._try("finish")

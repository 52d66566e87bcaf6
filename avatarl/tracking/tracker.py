"""Sends what a run logs to wandb, if the run wants that; a failure there never stops a run."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avatarl.errors import in_short
from avatarl.tracking import base, delivery

log = logging.getLogger("avatarl")

#: Once a server didn't answer, a process's later runs leave it alone for this long.
_AVOID_S = 600.0
_avoid_until = -float("inf")


class Tracker:
    """Passes records on until the sink fails once; then says so, and only closes it at the end."""

    def __init__(self, sink: base.Sink | None) -> None:
        self._sink = sink
        self._failed = False

    @classmethod
    def start(
        cls,
        config: base.Config,
        raw: Mapping[str, Any],
        run_id: str,
        directory: Path,
        history: Sequence[Mapping[str, Any]] = (),
    ) -> Tracker:
        """Open the configured sink; ``history`` was logged before an interruption."""
        if config.needs_server and time.monotonic() < _avoid_until:
            delivery.note(directory, "owed")
            return cls(None)
        try:
            return cls(config.open(raw, run_id, directory, history))
        except Exception as error:
            if not config.needs_server:
                log.warning("wandb is off for this run: %s", in_short(error))
            else:
                _avoid_the_server()
                log.warning(
                    "wandb didn't start; `avatarl sync` sends this run and those that follow: %s",
                    in_short(error),
                )
            return cls(None)

    @staticmethod
    def answer(config: base.Config, raw: Mapping[str, Any], run_id: str, directory: Path) -> None:
        """Tell the result of a run that is done already to whoever had it started again."""
        try:
            config.answer(raw, run_id, directory)
        except Exception as error:
            log.warning("wandb wasn't told the stored result: %s", in_short(error))

    def _try(self, method: str, *arguments: Any) -> None:
        if self._sink is None or self._failed:
            return
        try:
            getattr(self._sink, method)(*arguments)
        except Exception as error:
            self._failed = True
            log.warning(
                "wandb failed, the run goes on and `avatarl sync` sends the rest: %s",
                in_short(error),
            )

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
        """Close the sink; what the server hasn't taken in time is left to `avatarl sync`."""
        if self._sink is None:
            return
        try:
            self._sink.finish(complete=not self._failed)
        except Exception as error:
            if isinstance(error, TimeoutError):
                _avoid_the_server()
            if not self._failed:
                log.warning(
                    "wandb's server hasn't taken everything, `avatarl sync` sends the rest: %s",
                    in_short(error),
                )
        self._sink = None


def _avoid_the_server() -> None:
    global _avoid_until
    _avoid_until = time.monotonic() + _AVOID_S

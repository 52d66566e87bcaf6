"""Sends what a run logs to its trackers; a failure there never stops a run."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from avatarl.errors import in_short
from avatarl.tracking import base

log = logging.getLogger("avatarl")

#: Once a server didn't answer, a process's later runs leave it alone for this long.
_AVOID_S = 600.0
#: Until when, by kind of tracker.
_avoid_until: dict[str, float] = {}


class Tracker:
    """Passes records on to each tracker until it fails once; then only closes that one at the end.

    Args:
        sinks: The open ones, each with its settings.
    """

    def __init__(self, sinks: Sequence[tuple[base.Config, base.Sink]]) -> None:
        self._sinks = [_Guarded(config, sink) for config, sink in sinks]

    @classmethod
    def start(
        cls,
        config: base.Config,
        raw: Mapping[str, Any],
        run_id: str,
        directory: Path,
        history: Sequence[Mapping[str, Any]] = (),
    ) -> Tracker:
        """Open the configured sinks; ``history`` was logged before an interruption."""
        opened = [(one, _open(one, raw, run_id, directory, history)) for one in config.each()]
        return cls([(one, sink) for one, sink in opened if sink is not None])

    @staticmethod
    def answer(config: base.Config, raw: Mapping[str, Any], run_id: str, directory: Path) -> None:
        """Tell the result of a run that is done already to whoever had it started again."""
        for one in config.each():
            try:
                one.answer(raw, run_id, directory)
            except Exception as error:
                log.warning("%s wasn't told the stored result: %s", one.name, in_short(error))

    def log(self, step: int, record: Mapping[str, Any]) -> None:
        """Pass on one record of ``metrics.jsonl``."""
        for sink in self._sinks:
            sink.attempt("log", step, record)

    def alarm(self, message: str, raised: bool) -> None:
        """Pass on an alarm that was raised or cleared."""
        for sink in self._sinks:
            sink.attempt("alarm", message, raised)

    def summary(self, values: Mapping[str, Any]) -> None:
        """Pass on the result."""
        for sink in self._sinks:
            sink.attempt("summary", values)

    def finish(self, ended: base.Ending) -> None:
        """Tell how the run has ended, and close; what a server hasn't taken is left for later."""
        sinks, self._sinks = self._sinks, []
        for sink in sinks:
            sink.finish(ended)


class _Guarded:
    """One sink, used until it fails."""

    def __init__(self, config: base.Config, sink: base.Sink) -> None:
        self._config, self._sink, self._failed = config, sink, False

    def attempt(self, method: str, *arguments: Any) -> None:
        if self._failed:
            return
        try:
            getattr(self._sink, method)(*arguments)
        except Exception as error:
            self._failed = True
            later = f" and {self._config.later} sends the rest" if self._config.later else ""
            log.warning(
                "%s failed, the run goes on%s: %s", self._config.name, later, in_short(error)
            )

    def finish(self, ended: base.Ending) -> None:
        try:
            self._sink.finish(ended, complete=not self._failed)
        except Exception as error:
            if isinstance(error, TimeoutError):
                _avoid_until[self._config.kind] = time.monotonic() + _AVOID_S
            if not self._failed:
                later = f", {self._config.later} sends the rest" if self._config.later else ""
                log.warning(
                    "%s hasn't taken everything%s: %s", self._config.name, later, in_short(error)
                )


def _open(
    config: base.Config,
    raw: Mapping[str, Any],
    run_id: str,
    directory: Path,
    history: Sequence[Mapping[str, Any]],
) -> base.Sink | None:
    needs_server = False
    try:
        config.check_environment()  # this machine's: a sweep may have been composed on another
        needs_server = config.needs_server
        if needs_server and time.monotonic() < _avoid_until.get(config.kind, -float("inf")):
            config.put_off(directory)
            return None
        return config.open(raw, run_id, directory, history)
    except Exception as error:
        if needs_server:
            _avoid_until[config.kind] = time.monotonic() + _AVOID_S
        if needs_server and config.later:
            told = f"didn't start; {config.later} sends this run and those that follow"
        else:
            told = "is off for this run"
        log.warning("%s %s: %s", config.name, told, in_short(error))
        return None

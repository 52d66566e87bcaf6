"""A sweep asked for from Python, as ``avatarl run -m`` would do it."""

from __future__ import annotations

import contextlib
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode

from avatarl.composition.errors import describe_error, is_about_words
from avatarl.composition.releases import BASE
from avatarl.composition.run import check_choices, register_resolvers
from avatarl.errors import UserError
from avatarl.process import RUN
from avatarl.source import CONF


def multirun(overrides: Sequence[str], config_name: str) -> Path:
    """Compose a sweep and bring it to its end.

    Args:
        overrides: As typed after ``avatarl run -m``.
        config_name: As typed after ``-cn``; ``config`` for none.

    Returns:
        The sweep's folder.

    Raises:
        UserError: Something asked for can't be used; nothing was written.
        KeyboardInterrupt: It was interrupted, and the same call continues it.
    """
    named = [] if config_name == "config" else ["-cn", config_name]
    with _as_typed([*named, "-m", *overrides]):
        try:
            register_resolvers()
            check_choices(overrides)
            return _multirun(overrides, config_name)
        except Exception as error:
            if isinstance(error, UserError) or not is_about_words(error):
                raise
            raise UserError(describe_error(error, overrides)) from error


def _multirun(overrides: Sequence[str], config_name: str) -> Path:
    with _hydra() as hydra:
        composed = hydra.compose_config(
            config_name, list(overrides), run_mode=RunMode.MULTIRUN, with_log_configuration=False
        )
        directory = Path(str(composed.hydra.sweep.dir)).absolute()
        try:
            hydra.multirun(
                config_name, _never_called, list(overrides), with_log_configuration=False
            )
        except SystemExit as leaving:
            # What failed is among the runs; what was interrupted goes on.
            if leaving.code in (128 + signal.SIGINT, 128 + signal.SIGTERM):
                raise KeyboardInterrupt from leaving
    return directory


@contextlib.contextmanager
def _hydra() -> Iterator[Any]:
    """Hydra's own object, which its command line uses; a caller's comes back afterwards."""
    before = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(CONF), **BASE):
            yield GlobalHydra.instance().hydra
    finally:
        GlobalHydra.instance().clear()
        if before is not None:
            GlobalHydra.instance().initialize(before)


def _never_called(config: Any) -> None:
    raise NotImplementedError("runs are computed by the launcher's workers")


@contextlib.contextmanager
def _as_typed(words: Sequence[str]) -> Iterator[None]:
    """Let plans and provenance note the command that would do the same."""
    before = sys.argv
    sys.argv = [RUN, *words]
    try:
        yield
    finally:
        sys.argv = before

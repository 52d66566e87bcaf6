"""What ``avatarl run`` does: one run on the terminal, and errors that fit on a line."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import traceback
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from avatarl import composition
from avatarl.completion import completing
from avatarl.composition.releases import BASE
from avatarl.errors import UserError
from avatarl.process import RUN, prepare_process
from avatarl.signals import SignalFlag, catching
from avatarl.terminal import outlive
from avatarl.text import printable

_FULL_ERROR = "HYDRA_FULL_ERROR"
_FLAGS_WITH_VALUE = {
    *("-cn", "--config-name", "-cd", "--config-dir", "-cp", "--config-path"),
    *("-c", "--cfg", "-p", "--package", "-i", "--info", "--experimental-rerun"),
}
# Whether the user set it; from then on it is set for Hydra's sake.
_full_error_wanted = False
# Here, as processes of other launchers import this module and call no main.
composition.register_resolvers()


def main(words: Sequence[str] | None = None) -> None:
    """Compose and compute what was typed; tell what is wrong in one line and with an exit code.

    Exit codes: 2 for what can't be asked for (nothing was written), 1 for a run that failed,
    130 and 143 for one that was interrupted and can be continued.

    Args:
        words: Overrides and Hydra's flags; by default what this process was started with.
    """
    program, *typed = sys.argv if words is None else [RUN, *words]
    flags, overrides = _split(typed)
    # Which Hydra reads, and runs note. Its parser takes overrides in one stretch only.
    sys.argv = [program, *flags, *overrides]
    global _full_error_wanted
    prepare_process()
    outlive()
    _full_error_wanted = os.environ.get(_FULL_ERROR, "0") not in ("", "0")
    # Hydra then lets exceptions pass, instead of printing them its own way with exit code 1.
    os.environ[_FULL_ERROR] = "1"
    before = set(_sweeps())
    try:
        with _told():
            composition.check_choices(sys.argv[1:])
            with completing(sys.argv[1:]):
                run()
    except SystemExit as leaving:
        if leaving.code:
            _forget_refused(before)
        raise


def _split(words: Sequence[str]) -> tuple[list[str], list[str]]:
    """Tell Hydra's flags, with their values, from overrides."""
    flags: list[str] = []
    overrides: list[str] = []
    for before, word in zip(["", *words], words, strict=False):
        of_flag = word.startswith("-") or before in _FLAGS_WITH_VALUE
        (flags if of_flag else overrides).append(word)
    return flags, overrides


@contextmanager
def _told() -> Iterator[None]:
    """Turn what a user can cause into one line on stderr and an exit code."""
    overrides = _split(sys.argv[1:])[1]
    try:
        yield
    except Exception as error:
        missing = isinstance(error, OSError) and error.filename is not None
        if not (missing or composition.is_about_words(error)):
            raise
        if _full_error_wanted:
            traceback.print_exc()
        why = composition.describe_error(error, overrides)
        print(f"avatarl: {printable(why, keep=chr(10))}", file=sys.stderr)
        sys.exit(error.exit_code if isinstance(error, UserError) else UserError.exit_code)
    except KeyboardInterrupt:
        print("avatarl: interrupted", file=sys.stderr)
        sys.exit(128 + signal.SIGINT)


def _output_dir() -> Path:
    typed = [word for word in sys.argv if word.startswith("output_dir=")]
    return Path(typed[-1].split("=", 1)[1].strip("'\"") if typed else "outputs")


def _sweeps() -> list[Path]:
    return list((_output_dir() / "sweeps").glob("*"))


def _forget_refused(before: set[Path]) -> None:
    # Hydra's own sweepers write multirun.yaml first; a sweep that never began leaves nothing.
    if refused := set(_sweeps()) - before:
        from avatarl.composition.sweep import forget_unless_planned

        for directory in refused:
            forget_unless_planned(directory, sys.argv[1:])
    with contextlib.suppress(OSError):  # other clients may be at work there
        for empty in (_output_dir() / "sweeps", _output_dir()):
            empty.rmdir()


@hydra.main(config_path=str(composition.CONF), config_name="config", **BASE)
def run(config: DictConfig) -> float | None:
    """Execute one composed run on this terminal; returns its ``search.metric``, for sweepers."""
    # Inside, so that Hydra doesn't add its own lines to ours.
    with _told():
        return _run(config)


def _run(config: DictConfig) -> float | None:
    around = None
    if HydraConfig.initialized():  # not where Python hands over a configuration
        around = OmegaConf.create({"hydra": HydraConfig.get()}).hydra
    aim = composition.aim_of(config)
    steers = composition.steering(config, around) is not None
    settings = composition.resolve(config, around)
    identity, corpus = composition.identify(settings)
    # Not at the top: Hydra, when it sets up logging, silences loggers that are there already.
    from avatarl import storage
    from avatarl.sweep.workers.machine import gpu_problems
    from avatarl.training.console import Console, watched

    console = Console()
    for problem in gpu_problems(settings.trainer.device):
        console.say(f"note: {problem}", "yellow")
    console.introduce(settings, identity, corpus)
    if steers:
        console.say(composition.in_words(aim))
    if idle := _words_of_sweeps():
        console.say(f"note: only sweeps (-m) heed {', '.join(idle)}", "yellow")
    try:
        patient = storage.patient(storage.PATIENCE_S, Path(settings.output_dir))
        with catching(flag=_stop_flag()) as stop, patient:
            result = watched(settings, corpus, identity, stop, console)
    except Exception as error:
        from avatarl.runs.ownership import ClaimLost
        from avatarl.training import Interrupted

        if isinstance(error, UserError):
            raise
        if isinstance(error, Interrupted):
            console.say(f"{error}; the same command continues it")
            sys.exit(stop.exit_code)
        if isinstance(error, ClaimLost):
            console.say(f"{error}; this attempt has written nothing since")
            sys.exit(1)
        console.say(f"failed: {type(error).__name__}: {error}")
        if _full_error_wanted or os.environ.get("AVATARL_TRACEBACK"):
            raise
        console.say("the traceback is in the run's failure.json")
        sys.exit(1)
    console.conclude(result)
    if steers:
        return composition.objective(result, aim)
    value = result.get(aim.metric)
    return None if value is None else float(value)


def _words_of_sweeps() -> list[str]:
    """Of what was typed for a single run, what has no part in it."""
    hydra = HydraConfig.get() if HydraConfig.initialized() else None
    if hydra is None or hydra.mode is RunMode.MULTIRUN:
        return []
    typed = (*hydra.overrides.hydra, *hydra.overrides.task)
    return [word for word in typed if composition.is_of_sweeps(word)]


def _stop_flag() -> SignalFlag:
    """A flag for training to poll between two steps; a second Ctrl-C ends it at once."""

    def insist(number: int) -> None:
        if flag() and number == signal.SIGINT:
            raise KeyboardInterrupt

    flag = SignalFlag(insist)
    return flag

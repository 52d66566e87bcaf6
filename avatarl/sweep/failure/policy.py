"""The interface of a failure policy, and finding one by name."""

from __future__ import annotations

import importlib
import importlib.util
import pkgutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from avatarl.errors import ConfigError, did_you_mean
from avatarl.source import entry_points
from avatarl.sweep.failure.faults import Fault

_PACKAGE = "avatarl.sweep.failure"
_LONGEST_WAIT_S = 30.0
#: The launchers' settings that :func:`load` takes.
SETTINGS = ("failure_policy", "max_failures", "max_retries", "hang_after_s")


@dataclass(frozen=True)
class Retry:
    """Start the run again, from its last checkpoint, once ``after_s`` seconds have passed."""

    after_s: float


@dataclass(frozen=True)
class Fail:
    """The run has failed for good; ``because`` is the reason that people are told."""

    because: str


@dataclass(frozen=True)
class FailurePolicy:
    """What every failure policy decides, and how it does unless it says otherwise.

    Attributes:
        max_failures: Failed runs that a sweep may have before it stops; ``None``: any number.
        max_retries: Further attempts a run gets.
        hang_after_s: Seconds without a sign of life after which a worker is killed.
    """

    max_failures: int | None
    max_retries: int
    hang_after_s: float

    def decide(self, faults: Sequence[Fault]) -> Retry | Fail:
        """Say what becomes of a run that has failed once more.

        Only faults of the infrastructure are worth another attempt, and not an exception that came
        twice, word for word. A process that merely died says nothing about why, so there the bound
        is ``max_retries`` alone.

        Args:
            faults: All failed attempts at the run, oldest first; at least one.
        """
        last = faults[-1]
        repeated = len(faults) > 1 and faults[-2].reason == last.reason and last.traceback
        if last.kind != "infrastructure" or repeated or len(faults) > self.max_retries:
            return Fail(last.reason)
        return Retry(min(0.5 * 2 ** (len(faults) - 1), _LONGEST_WAIT_S))

    def stops_sweep(self, failures: int) -> bool:
        """Whether the sweep ends here; runs going on then checkpoint, others aren't started.

        Args:
            failures: Runs of the sweep that have failed for good so far, in whatever process.
        """
        return self.max_failures is not None and failures >= self.max_failures


def load(
    failure_policy: str, max_failures: int | None, max_retries: int, hang_after_s: float
) -> FailurePolicy:
    """Make the policy that a launcher's settings of these names ask for.

    Raises:
        ConfigError: There is no such policy, or a number is out of range.
    """
    key = "hydra.launcher"
    if max_failures is not None and max_failures < 1:
        raise ConfigError(f"{key}.max_failures", max_failures, "a number >= 1, or null")
    if max_retries < 0:
        raise ConfigError(f"{key}.max_retries", max_retries, "a number >= 0")
    if not hang_after_s > 0:
        raise ConfigError(f"{key}.hang_after_s", hang_after_s, "seconds > 0")
    return _policy(failure_policy)(max_failures, max_retries, hang_after_s)


def _policy(name: str) -> type[FailurePolicy]:
    module = name if "." in name else f"{_PACKAGE}.{name}"
    option: Any = None
    try:
        if "." not in name and importlib.util.find_spec(module) is None:
            module = entry_points("avatarl.failure").get(name, module)
        option = getattr(importlib.import_module(module), "Policy", None)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise  # the module is there; what it imports isn't
    except (TypeError, ValueError):  # such as ".x" or "x.": no name of a module at all
        option = None
    if not (isinstance(option, type) and issubclass(option, FailurePolicy)):
        valid = f"{', '.join(_shipped())}, or the dotted name of a module with a Policy"
        hint = did_you_mean(name, _shipped())
        raise ConfigError("hydra.launcher.failure_policy", name, valid + hint)
    return option


def _shipped() -> list[str]:
    names = [module.name for module in pkgutil.iter_modules([str(Path(__file__).parent)])]
    modules = [importlib.import_module(f"{_PACKAGE}.{name}") for name in names]
    return [name for name, module in zip(names, modules, strict=True) if hasattr(module, "Policy")]

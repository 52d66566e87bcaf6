"""What is tried next: drawn from a space by one of Optuna's samplers, or by points that fill it.

A proposal follows from what is known, the seed and its number alone. Optuna's study is made anew of
what is known for each, so there is nothing that could be lost, or contradict the sweep's ledger.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import ModuleType
from typing import Annotated, Any, Literal

import numpy as np
from annotated_types import Ge

from avatarl.errors import ConfigError, did_you_mean
from avatarl.search.space import Choice, Dimension, Space

#: By the words of ``hydra.sweeper.sampler``. Others of Optuna's remember more than trials.
SAMPLERS = {
    "tpe": "TPESampler",
    "gp": "GPSampler",
    "qmc": "QMCSampler",
    "random": "RandomSampler",
}
#: Draws before a space is taken to hold nothing new.
_DRAWS = 1000


@dataclass(frozen=True)
class Settings:
    """What ``hydra/sweeper=search`` sets; conf/hydra/sweeper/search.yaml says what each means."""

    n_trials: Annotated[int, Ge(1)]
    sampler: str
    sampler_args: dict[str, Any]
    seed: Annotated[int, Ge(0)]
    known: bool


@dataclass(frozen=True)
class Known:
    """A run as a sampler sees it.

    Attributes:
        run: Its id.
        words: What it has of each key of the space.
        state: ``diverged`` counts as worse than all others; one that ``failed`` says nothing.
        value: Of the metric, where it is done.
        reached: Values at its rungs, by step.
    """

    run: str
    words: Mapping[str, str]
    state: Literal["running", "done", "paused", "diverged", "failed"]
    value: float | None = None
    reached: Mapping[int, float] = field(default_factory=dict)


def load_optuna() -> ModuleType:
    """Import Optuna, which is no part of the base install.

    Raises:
        ConfigError: It isn't there.
    """
    try:
        import optuna
    except ImportError:
        valid = "hydra/sweeper=checked_once, or pip install 'avatarl[search]'"
        raise ConfigError("hydra/sweeper", "search", valid, "Optuna isn't installed") from None
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    module: ModuleType = optuna
    return module


class Proposer:
    """Draws what is tried next.

    Args:
        space: What may be chosen.
        settings: Sampler and seed.
        minimise: Whether less of the metric is better.

    Raises:
        ConfigError: There is no such sampler, or it can't be made so.
    """

    def __init__(self, space: Space, settings: Settings, minimise: bool) -> None:
        self.space, self._settings, self._minimise = space, settings, minimise
        name = settings.sampler.lower().removesuffix("sampler")
        if name not in SAMPLERS:
            valid = ", ".join(SAMPLERS) + did_you_mean(name, SAMPLERS)
            raise ConfigError("hydra.sweeper.sampler", settings.sampler, valid)
        self._name, self._optuna = name, load_optuna()
        self._distributions = {key: self.distribution(one) for key, one in space.items()}
        if name == "qmc":
            if settings.sampler_args:
                key, given = "hydra.sweeper.sampler_args", settings.sampler_args
                raise ConfigError(key, given, "{}, as qmc has none")
        else:
            self._sampler(0)

    @property
    def direction(self) -> str:
        """In Optuna's words."""
        return "minimize" if self._minimise else "maximize"

    def propose(self, known: Sequence[Known]) -> dict[str, str] | None:
        """Return the word for each key of what is tried next; None: nothing new is left.

        Args:
            known: All runs there are, those that are under way among them.
        """
        seen = {tuple(one.words[key] for key in self.space) for one in known}
        number = len(known)
        for draw in range(_DRAWS):
            if draw == 0:
                words = self._drawn(number, known)
            else:  # it has proposed what is there already
                random = np.random.default_rng([self._settings.seed, number, draw])
                words = {key: one.at(random.random()) for key, one in self.space.items()}
            if tuple(words[key] for key in self.space) not in seen:
                return words
        return None

    def _drawn(self, number: int, known: Sequence[Known]) -> dict[str, str]:
        if self._name == "qmc":
            from scipy.stats import qmc

            points = qmc.Sobol(len(self.space), seed=self._settings.seed)
            if number:
                points.fast_forward(number)
            (point,) = points.random(1)
            return {
                key: one.at(float(share))
                for (key, one), share in zip(self.space.items(), point, strict=True)
            }
        optuna = self._optuna
        study = optuna.create_study(direction=self.direction, sampler=self._sampler(number))
        study.add_trials([self.trial(one) for one in known])
        found = study.ask(self._distributions).params
        return {
            key: found[key] if isinstance(one, Choice) else one.word(found[key])
            for key, one in self.space.items()
        }

    def _sampler(self, number: int) -> Any:
        mixed = np.random.SeedSequence([self._settings.seed, number]).generate_state(1)
        made: dict[str, Any] = {"seed": int(mixed[0])}
        if self._name == "tpe":
            made |= {"multivariate": True, "constant_liar": True}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that what is chosen here is experimental
            try:
                sampler = getattr(self._optuna.samplers, SAMPLERS[self._name])
                return sampler(**{**made, **self._settings.sampler_args})
            except (TypeError, ValueError) as error:
                raise ConfigError(
                    "hydra.sweeper.sampler_args",
                    self._settings.sampler_args,
                    f"arguments of Optuna's {SAMPLERS[self._name]}",
                    str(error),
                ) from None

    def distribution(self, dimension: Dimension) -> Any:
        """Return a dimension as Optuna has it."""
        kinds = self._optuna.distributions
        if isinstance(dimension, Choice):
            return kinds.CategoricalDistribution(dimension.words)
        low, high, step = dimension.low, dimension.high, dimension.step
        if dimension.integer:
            return kinds.IntDistribution(
                round(low), round(high), log=dimension.log, step=round(step or 1)
            )
        return kinds.FloatDistribution(low, high, log=dimension.log, step=step)

    def trial(self, known: Known) -> Any:
        """Return a run as a trial of Optuna's, which has no word for paused.

        What is put down counts as pruned, with what it has reached; what has diverged as pruned
        before it reached anything, which is worse than all others; of what has failed nothing is
        learned.
        """
        states = self._optuna.trial.TrialState
        state = {
            "running": states.RUNNING,
            "done": states.COMPLETE,
            "paused": states.PRUNED,
            "diverged": states.PRUNED,
            "failed": states.FAIL,
        }[known.state]
        params = {
            key: known.words[key] if isinstance(one, Choice) else float(known.words[key])
            for key, one in self.space.items()
        }
        for key, one in self.space.items():
            if not isinstance(one, Choice) and one.integer:
                params[key] = int(params[key])
        return self._optuna.create_trial(
            state=state,
            value=known.value if known.state == "done" else None,
            params=params,
            distributions=self._distributions,
            intermediate_values={} if known.state == "diverged" else dict(known.reached),
            user_attrs={"run": known.run, "state": known.state},
        )

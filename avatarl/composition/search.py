"""What ``search=NAME`` asks of a sweep, and where each of its runs has rungs."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from omegaconf import DictConfig, OmegaConf

from avatarl.composition.steering import aim_of
from avatarl.errors import ConfigError
from avatarl.report import metrics
from avatarl.search.rules import Rules
from avatarl.search.settings import Stopping

if TYPE_CHECKING:
    from avatarl.config import RunConfig
    from avatarl.data import Corpus


#: The sweeper of ``hydra/sweeper=search``.
SEARCH_SWEEPER = "hydra_plugins.avatarl_launcher.searching.SearchSweeper"


class Searched:
    """What the combinations of a sweep say of search, which must be one thing."""

    def __init__(self) -> None:
        self._raw: Any = None
        self._settings: Stopping | None = None
        self.rules: dict[str, Any] | None = None

    def rungs(self, composed: DictConfig, config: RunConfig, corpus: Corpus) -> tuple[int, ...]:
        """Return the steps of a run's rungs, and its last; nothing where it goes to its end.

        Raises:
            ConfigError: The search can't be done, or other runs ask for another one.
        """
        # Not in a configuration of somebody's own from before it was there.
        found = composed.get("search")
        raw: Any = {} if found is None else OmegaConf.to_container(found, resolve=True)
        if raw != self._raw:
            for key in raw if self._raw is not None else ():
                if raw[key] != self._raw.get(key):
                    raise ConfigError(f"search.{key}", raw[key], "one value for all runs")
            self._begin(composed, raw)
        if self.rules is None:
            return ()
        from avatarl.training.batches import cut_text, steps_of

        steps = config.trainer.steps or steps_of(config, cut_text(config, corpus)[2])
        if self._settings is None:
            return (steps,)
        return self._settings.steps(steps, config.trainer.eval_every)

    def _begin(self, composed: DictConfig, raw: Any) -> None:
        settings = aim_of(composed)
        self._raw = raw
        proposes = composed.hydra.sweeper.get("_target_") == SEARCH_SWEEPER
        stops = settings if isinstance(settings, Stopping) else None
        if stops is None and not proposes:
            return
        self._settings = stops
        rules = Rules(
            metric=settings.metric,
            minimise=metrics.describe(settings.metric).better < 0,
            eta=stops.eta if stops else 2.0,
            rungs=len(stops.shares) if stops else 0,
            brackets=stops.brackets if stops else 1,
            synchronous=stops.synchronous if stops else False,
            paused_checkpoints=stops.paused_checkpoints if stops else None,
            trials=int(composed.hydra.sweeper.n_trials) if proposes else 0,
        )
        shares = stops.shares if stops else []
        self.rules = {"name": settings.name, "shares": shares, **asdict(rules)}

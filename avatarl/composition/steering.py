"""What steers a sweep: a metric of each run, on text that is neither trained on nor reported."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf

from avatarl.composition.shipped import compose_shipped
from avatarl.errors import ConfigError, did_you_mean
from avatarl.report import metrics
from avatarl.search.settings import Aim, load

#: Sweepers that only list combinations, whatever comes of them; they stop at the first failed run.
GRID_SWEEPERS = (
    "hydra._internal.core_plugins.basic_sweeper.BasicSweeper",
    "hydra_plugins.avatarl_launcher.sweeper.CheckedOnceSweeper",
)
# Where published sweepers are told which way is better, and by what word more is.
_DIRECTIONS: dict[str, dict[int, Any]] = {
    "direction": {1: "maximize", -1: "minimize"},  # Optuna
    "optim.maximize": {1: True, -1: False},  # Nevergrad
    "ax_config.experiment.minimize": {1: False, -1: True},  # Ax
}


def aim_of(config: DictConfig) -> Aim:
    """Read what a configuration says of search, with ``optimized_metric`` as a word for its metric.

    Raises:
        ConfigError: A setting can't be used, or nothing says which way of the metric is better.
    """
    # Somebody's own configuration may be from before the group was there.
    search = config["search"] if "search" in config else compose_shipped([])["search"]
    raw = dict(OmegaConf.to_container(search, resolve=True))  # type: ignore[arg-type]
    key = "optimized_metric" if config.get("optimized_metric") else "search.metric"
    if key == "optimized_metric":
        raw["metric"] = config["optimized_metric"]
    aim = load(raw)
    if not metrics.describe(aim.metric).better:
        known = [name for name in metrics.KNOWN if metrics.describe(name).better]
        known += [f"dev/{name.removeprefix('val/')}" for name in known if name.startswith("val/")]
        valid = "such as dev/nats or dev/accuracy" + did_you_mean(aim.metric, known)
        raise ConfigError(key, aim.metric, valid, "neither way is better")
    return aim


def steering(config: DictConfig, hydra: DictConfig | None = None) -> Aim | None:
    """Return what steers the sweep that a run is of; None: nothing does.

    Args:
        config: Of the run.
        hydra: Hydra's own part; by default where Hydra puts it.

    Raises:
        ConfigError: It is held-out text, or the sweeper goes the other way.
    """
    hydra = config.get("hydra") if hydra is None else hydra
    if hydra is None or not _of_a_sweep(hydra):
        return None
    aim, sweeper = aim_of(config), hydra.get("sweeper", {})
    optimises = sweeper.get("_target_") not in GRID_SWEEPERS
    if aim.name == "none" and not optimises:
        return None
    if metrics.is_held_out(aim.metric) and not aim.insist:
        why = "chosen by held-out text, the best run would look better on it than it is"
        alike = aim.metric.replace("val/", "dev/") if aim.metric.startswith("val/") else "dev/nats"
        valid = f"{alike}, of a slice of the training text, or search.insist=true"
        raise ConfigError("search.metric", aim.metric, valid, why)
    better = metrics.describe(aim.metric).better
    for key, words in _DIRECTIONS.items():
        told = OmegaConf.select(sweeper, key) if optimises else None
        told = getattr(told, "name", told)  # of an enumeration
        if told in words.values() and told != words[better]:
            why = f"{'more' if better > 0 else 'less'} of search.metric={aim.metric} is better"
            raise ConfigError(f"hydra.sweeper.{key}", told, str(words[better]).lower(), why)
    return aim


def _of_a_sweep(hydra: DictConfig) -> bool:
    """Whether a run is one of several; launchers of others number each, and say nothing else."""
    mode = getattr(hydra.get("mode"), "name", None)
    return mode == "MULTIRUN" or not OmegaConf.is_missing(hydra.get("job", {"num": 0}), "num")


def is_of_slice(aim: Aim) -> bool:
    """Whether runs have to cut a development slice."""
    return aim.metric.startswith("dev/")


def in_words(aim: Aim) -> str:
    """Say in a line what steers, and what that changes."""
    if is_of_slice(aim):
        return f"{aim.metric} steers: a slice of the training text is set aside for it (eval_dev)"
    return f"{aim.metric} steers"


def objective(result: Mapping[str, Any], aim: Aim) -> float:
    """Return a run's value for whatever steers the sweep; not a number where it wasn't finite.

    Raises:
        ConfigError: The run has logged no such metric.
    """
    if aim.metric not in result:
        logged = [key for key in result if "/" in key and metrics.describe(key).better]
        near = did_you_mean(aim.metric, logged)
        valid = "a metric that runs log, such as " + ", ".join(logged[:6]) + near
        raise ConfigError("search.metric", aim.metric, valid, "no such metric was logged")
    value = result[aim.metric]
    return math.nan if value is None else float(value)

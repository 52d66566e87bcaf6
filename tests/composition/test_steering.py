"""What steers a sweep is a metric of text that is neither trained on nor reported."""

from __future__ import annotations

import math

import pytest
from omegaconf import DictConfig, open_dict

from avatarl import composition
from avatarl.composition.shipped import compose_shipped
from avatarl.config import run_id
from avatarl.errors import ConfigError
from avatarl.report import metrics

OTHERS = {"_target_": "hydra_plugins.hydra_optuna_sweeper.optuna_sweeper.OptunaSweeper"}


@pytest.fixture(autouse=True)
def _resolvers() -> None:
    composition.register_resolvers()


def composed(*words: str, sweeper: object = None, number: int | None = 0) -> DictConfig:
    config = compose_shipped(["tracking=files", *words], with_hydra=True)
    with open_dict(config):
        if sweeper is not None:
            config.hydra.sweeper = sweeper
        config.hydra.job.num = "???" if number is None else number
    return config


def test_a_sweeper_that_optimises_has_a_slice_cut_and_a_grid_has_not() -> None:
    plain = composition.resolve(compose_shipped(["tracking=files"]))
    grid = composition.resolve(composed())
    searched = composition.resolve(composed(sweeper=OTHERS))
    assert not grid.trainer.eval_dev
    assert searched.trainer.eval_dev
    ids = [run_id(config.raw, "0" * 64) for config in (plain, grid, searched)]
    assert ids[0] == ids[1] != ids[2]
    # Early stopping steers a grid, too; a run by itself is none of a sweep.
    assert composition.resolve(composed("search=asha")).trainer.eval_dev
    assert not composition.resolve(composed(sweeper=OTHERS, number=None)).trainer.eval_dev
    assert composition.control_of(searched).trainer.eval_dev


def test_held_out_text_steers_only_if_that_is_insisted_on() -> None:
    with pytest.raises(ConfigError, match=r"dev/accuracy, of a slice .* search.insist=true"):
        composition.resolve(composed("search.metric=val/accuracy", sweeper=OTHERS))
    words = ["search.metric=val/accuracy", "search.insist=true"]
    assert not composition.resolve(composed(*words, sweeper=OTHERS)).trainer.eval_dev
    held_out = {name for name in metrics.KNOWN if "held-out" in metrics.KNOWN[name].title}
    assert all(metrics.is_held_out(name) for name in held_out)
    assert not metrics.is_held_out("train/nats")


def test_a_metric_is_named_as_hydras_users_do_and_known_which_way_is_better() -> None:
    config = composed("+optimized_metric=dev/accuracy", sweeper=OTHERS)
    aim = composition.steering(config)
    assert aim is not None
    assert aim.metric == "dev/accuracy"
    composition.resolve(config)
    with pytest.raises(ConfigError, match=r"optimized_metric='dev/nat'.* mean 'dev/nats'"):
        composition.resolve(composed("+optimized_metric=dev/nat", sweeper=OTHERS))
    wrong = {**OTHERS, "direction": "minimize"}
    with pytest.raises(ConfigError, match=r"hydra\.sweeper\.direction.*more of"):
        composition.resolve(composed("search.metric=dev/accuracy", sweeper=wrong))
    assert composition.resolve(composed(sweeper=wrong)).trainer.eval_dev
    assert metrics.describe("dev/accuracy").better == 1
    assert metrics.describe("dev/nats").better == metrics.describe("dev/ece").better == -1


def test_a_metric_that_was_not_logged_is_told_with_near_ones() -> None:
    aim = composition.steering(composed("search.metric=train/margin", sweeper=OTHERS))
    assert aim is not None
    with pytest.raises(ConfigError, match="such as train/rank"):
        composition.objective({"train/rank": 3.0, "steps": 4}, aim)
    assert composition.objective({"train/margin": 0.5}, aim) == 0.5
    assert math.isnan(composition.objective({"train/margin": None}, aim))

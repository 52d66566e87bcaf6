"""Every combination of reward, explorer and objective either plays or is refused with a reason."""

from __future__ import annotations

import copy
import functools
import itertools
from typing import Any

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from avatarl import composition
from avatarl.composition.releases import BASE
from avatarl.config import RunConfig, parse
from avatarl.data import Corpus
from avatarl.data import load as load_corpus
from avatarl.errors import ConfigError
from avatarl.training.learner import Learner

TINY = [
    "data=folio",
    "data.characters=8000",
    "model=gpt2_tiny",
    "model.n_layer=1",
    "model.n_embd=16",
    "reference=bigram",
    "reference.cross_fit=null",
    "tracking=files",
    "trainer.batch_size=4",
    "trainer.steps=20",
    "optimizer.lr=0.01",
]


def options(group: str) -> list[str]:
    return sorted(path.stem for path in (composition.CONF / group).glob("*.yaml"))


REWARDS, EXPLORERS, OBJECTIVES = options("reward"), options("explorer"), options("objective")


@functools.cache
def base() -> dict[str, Any]:
    return composition.compose(TINY).raw


@functools.cache
def settings(group: str, option: str) -> dict[str, Any]:
    composition.register_resolvers()
    with initialize_config_dir(str(composition.CONF), **BASE):
        found = compose("config", [f"{group}={option}"])[group]
    container = OmegaConf.to_container(found, resolve=True)
    assert isinstance(container, dict)
    return {str(key): value for key, value in container.items()}


@functools.cache
def folio() -> Corpus:
    return load_corpus(parse(base()).data)


def combine(reward: str, explorer: str, objective: str, **changes: Any) -> RunConfig:
    """The shipped options, with what they need beside them."""
    raw = copy.deepcopy(base())
    raw["reward"] = copy.deepcopy(settings("reward", reward))
    raw["explorer"] = copy.deepcopy(settings("explorer", explorer))
    raw["objective"] = copy.deepcopy(settings("objective", objective))
    if reward in ("opponent", "gain"):
        raw["opponent"] = {"name": "past", "every": 5, "decay": 0.0}
    for key, value in changes.items():
        group, name = key.split("__")
        if name in raw[group]:
            raw[group][name] = value
    return parse(raw)


@pytest.mark.parametrize("objective", OBJECTIVES)
@pytest.mark.parametrize("explorer", EXPLORERS)
@pytest.mark.parametrize("reward", REWARDS)
def test_a_valid_combination_takes_twenty_finite_steps(
    reward: str, explorer: str, objective: str
) -> None:
    torch.set_num_threads(1)
    try:
        config = combine(reward, explorer, objective)
    except ConfigError as refusal:
        # The only shipped options that exclude each other, each for its own reason.
        allowed = objective == "cross_entropy" or explorer == "bandit"
        assert allowed, refusal
        assert refusal.why
        if objective == "cross_entropy":
            return
        config = combine(reward, explorer, objective, explorer__samples=2)
    learner = Learner(config, folio(), torch.device("cpu"))
    for step in range(20):
        facts = learner.train_step(with_facts=step == 19)
    for name, value in facts.items():
        assert bool(value.isfinite()), name
    for name, weight in learner.parameters.items():
        assert bool(weight.isfinite().all()), name


@pytest.mark.parametrize(
    ("parts", "changes", "key"),
    [
        (("match", "exhaustive", "dr_grpo"), {"explorer__action_weighting": "uniform"},
         "objective.baseline"),
        (("match", "exhaustive", "brier"), {"explorer__action_weighting": "uniform"},
         "explorer.action_weighting"),
        (("origin", "exhaustive", "expected"), {"explorer__action_weighting": "uniform"},
         "explorer.action_weighting"),
        (("reference", "exhaustive", "expected"), {"explorer__action_weighting": "uniform",
         "reward__signal": "logprob"}, "explorer.action_weighting"),
        (("match", "bandit", "dr_grpo"), {"explorer__samples": 1}, "explorer.samples"),
        (("match", "temperature", "cross_entropy"), {}, "explorer"),
        (("match", "temperature", "brier"), {"explorer__horizon": 2,
         "explorer__positions": "last"}, "explorer.horizon"),
        (("match", "temperature", "grpo"), {"explorer__horizon": 9,
         "explorer__positions": "last"}, "explorer.horizon"),
        (("match", "exhaustive", "dr_grpo"), {"objective__past_kl_coef": 0.1}, "opponent"),
        (("match", "exhaustive", "dr_grpo"), {"objective__covariance": "kl"},
         "objective.covariance"),
        (("match", "exhaustive", "dr_grpo"), {"objective__ent_min": 2.0,
         "objective__ent_max": 1.0}, "objective.ent_min"),
        (("propensity", "exhaustive", "expected"), {"reward__alpha": 1.5}, "reward.alpha"),
        (("propensity", "exhaustive", "expected"), {"reward__alpha": {"shape": "linear",
         "start": 0, "end": 2, "begin": 0, "until": 1}}, "reward.alpha.end"),
        (("match", "exhaustive", "dr_grpo"), {"reward__weight": {"shape": "linear",
         "start": 0, "end": 2, "begin": 0.5, "until": 0.1}}, "reward.weight.begin"),
        (("sum", "exhaustive", "dr_grpo"), {"reward__components": {}}, "reward.components"),
    ],
)  # fmt: skip
def test_an_invalid_combination_is_refused_with_its_reason(
    parts: tuple[str, str, str], changes: dict[str, Any], key: str
) -> None:
    combine(*parts) if parts[1] == "exhaustive" else None
    with pytest.raises(ConfigError) as caught:
        combine(*parts, **changes)
    assert caught.value.key == key
    assert caught.value.valid


def test_an_opponent_reward_needs_an_opponent() -> None:
    with pytest.raises(ConfigError, match="opponent"):
        composition.compose([*TINY, "reward=opponent"])


def test_components_are_added_and_left_out_on_the_command_line() -> None:
    added = composition.compose(
        [*TINY, "reward=sum", "+reward@reward.components.rare=propensity",
         "reward.components.rare.weight=0.25", "~reward.components.reference"]
    )  # fmt: skip
    assert set(added.raw["reward"]["components"]) == {"match", "rare"}
    assert added.raw["reward"]["components"]["rare"]["weight"] == 0.25
    assert parse(added.raw) == added
    assert not added.reward.needs_reference
    with pytest.raises(ConfigError, match=r"reward\.components\.match\.wight"):
        composition.compose([*TINY, "reward=sum", "+reward.components.match.wight=2"])


def test_every_pair_of_settings_in_the_grid_was_seen() -> None:
    assert len(list(itertools.product(REWARDS, EXPLORERS, OBJECTIVES))) >= 10 * 4 * 6

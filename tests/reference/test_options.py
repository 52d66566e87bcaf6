"""Every option composes, is accepted as typed settings, and answers."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from avatarl.composition.releases import BASE
from avatarl.errors import ConfigError
from avatarl.options import read
from avatarl.reference import MISSING, Config, Reference

CONF = Path(__file__).resolve().parents[2] / "conf" / "reference"
OPTIONS = sorted(path.stem for path in CONF.glob("*.yaml"))
SCHEDULES = sorted(path.stem for path in (CONF / "schedule").glob("*.yaml"))


def settings(option, *overrides):
    with initialize_config_dir(str(CONF.parent), **BASE):
        composed = compose(overrides=[f"+reference={option}", *overrides]).reference
    raw: Any = OmegaConf.to_container(composed, resolve=True)
    config = read(cast(Any, Config), raw, "reference")
    known = {"kind": raw["name"], **raw}
    assert json.loads(json.dumps(dataclasses.asdict(config))) == known  # nothing lost or added
    return config


@pytest.mark.parametrize("option", OPTIONS)
def test_every_option_answers_any_context(option):
    rng = np.random.default_rng(0)
    ids = np.cumsum(rng.integers(0, 3, 3000)) % 11
    reference = settings(option).build(ids, 11, torch.device("cpu"))
    if option == "none":
        assert reference is None
        return
    assert isinstance(reference, Reference)
    contexts = torch.from_numpy(rng.integers(0, 11, (4, 5, 16)))
    contexts[0, :, :14] = MISSING
    scored = reference.logprobs(contexts)
    assert scored.shape == (4, 5, 11)
    assert scored.dtype == torch.float32
    positions = torch.tensor([[0, 1, 2], [7, 1500, 2999]])
    for history in (None, 0, 2, torch.tensor([[0, 1, 2], [3, 4, 99]])):
        on_training = reference.train_logprobs(positions, history)
        assert on_training.shape == (2, 3, 11)
        evidence = reference.train_reliability(positions, history)
        assert evidence.order.shape == evidence.count.shape == (2, 3)
        for logprobs in (scored, on_training):
            assert (logprobs.double().exp().sum(dim=-1) - 1).abs().max() < 1e-6
    reliability = reference.reliability(contexts)
    assert reliability.order.dtype == reliability.count.dtype == torch.int64
    assert (reliability.order >= 1).all()
    assert not scored.requires_grad


@pytest.mark.parametrize("schedule", SCHEDULES)
def test_every_schedule_can_be_chosen(schedule):
    config = settings("kneser_ney", f"reference/schedule={schedule}")
    assert config.schedule.kind == schedule


def test_a_misspelt_or_foreign_schedule_key_is_refused():
    with pytest.raises(ConfigError, match=r"schedule\.final=1.0 .*no such key"):
        settings("trigram", "+reference.schedule.final=1.0")
    with pytest.raises(ConfigError, match=r"schedule\.kind=.*constant, annealed, gated.*mean"):
        settings("trigram", "reference.schedule.kind=cosntant")


@pytest.mark.parametrize("folds", [1, 0, -3, "x", "LOO"])
def test_impossible_folds_are_refused(folds):
    with pytest.raises(ConfigError, match=r"cross_fit=.* valid: auto, loo, null or a number"):
        dataclasses.replace(settings("trigram"), cross_fit=folds)


@pytest.mark.parametrize("length", [2, 3, 5, 9, 12, 40])
@pytest.mark.parametrize("option", OPTIONS)
def test_what_a_plan_refuses_is_what_building_refuses(option, length):
    """By the size of the text alone, before anything is counted."""
    config = settings(option)
    ids = np.arange(length) % 11

    def refusal(action):
        try:
            action()
        except ConfigError as error:
            return str(error)
        return None

    planned = refusal(lambda: config.check_text(length, 11))
    assert planned == refusal(lambda: config.build(ids, 11, torch.device("cpu")))
    if option == "ngram4":
        assert (planned is None) is (length >= 4)

"""Runs that share a step compute what each computes alone, whatever number tells them apart."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from torch import Tensor

from avatarl import composition
from avatarl.config import RunConfig, parse, structure_key
from avatarl.data import load as load_corpus
from avatarl.errors import ConfigError
from avatarl.explorer import exhaustive
from avatarl.interfaces import Hyperparameters, RewardInputs, Schedule, is_on
from avatarl.objective import expected
from avatarl.options import field_types
from avatarl.reward import base, match
from avatarl.training import functional as shared
from avatarl.training.learner import Learner
from avatarl.training.stack import Stack
from tests import tiny
from tests.steps import leeway

TINY = [
    *tiny.TEXT_AND_MODEL, "tracking=files", "reference=bigram", "opponent=past", "opponent.every=1",
    "optimizer=adamw", "trainer.batch_size=8", "trainer.steps=8", "objective.ent_min=3.9",
    "objective.ent_max=4.0", "objective.kl_target=0.1", "objective.past_kl_coef=0.1",
]  # fmt: skip
OPTIONS = [
    f"{group}={path.stem}"
    for group in ("explorer", "reward", "objective")
    for path in sorted((composition.CONF / group).glob("*.yaml"))
]
RAMP = {"shape": "linear", "start": 0.5, "end": 0.9, "begin": 0.1, "until": 0.8}
# Where those aren't within a number's range, or not beside another one's.
ENDS = {"dual_clip": (2.0, 3.0), "weight_cap": (2.0, 3.0), "uniform_share": (0.1, 0.05),
        "kl_window": (3.0, 6.0)}  # fmt: skip
STEPS = 2


def raw_of(option: str) -> dict[str, Any]:
    group = option.partition("=")[0]
    words = [
        word for word in TINY if option != "objective=cross_entropy" or "objective." not in word
    ]
    if group == "explorer" and option != "explorer=exhaustive":
        words.append("explorer.weight_cap=3")
    if option in ("objective=grpo", "objective=dr_grpo"):
        words += ["objective.dual_clip=3", "objective.clip_coef_high=0.3", "objective.sync_every=2",
                  "objective.covariance=kl", "objective.covariance_share=0.1"]  # fmt: skip
    if option == "reward=propensity":
        words.append("reward.cap=5")
    if option == "reward=sum":
        words.append("+reward@reward.components.scaled=confidence_scaled")
    if group == "explorer":
        words.append("explorer.select=drop_lowest")
    return copy.deepcopy(composition.compose([*words, option]).raw)


def scheduled(settings: Any, raw: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str, Any]]:
    """Where a schedule may stand: the mapping, the key, and its number."""
    for name, hint in field_types(cast(Any, type(settings))).items():
        value = getattr(settings, name)
        if isinstance(value, dict):
            for key, part in value.items():
                yield from scheduled(part, raw[name][key])
        elif "Schedule" in str(hint):
            yield raw, name, value


def numbers(raw: Any) -> Iterator[tuple[Any, Any]]:
    """Every float in plain settings: what holds it, and its key there."""
    items = raw.items() if isinstance(raw, dict) else enumerate(raw)
    for key, value in items:
        if isinstance(value, float):
            yield raw, key
        elif isinstance(value, dict | list):
            yield from numbers(value)


def variants(raw: dict[str, Any], group: str) -> Iterator[dict[str, Any]]:
    """One configuration for each number of a group, that number alone another one."""
    for place in range(len(list(numbers(raw[group])))):
        for change in (0.75, 1.25, 0.9, -1.0):
            other = copy.deepcopy(raw)
            holder, key = list(numbers(other[group]))[place]
            holder[key] = holder[key] * change or 0.05
            try:
                same = structure_key(parse(other)) == structure_key(parse(raw))
            except ConfigError:
                continue
            if same:
                yield other
                break
        else:
            raise AssertionError(f"no other value for {key} of {raw[group]}")


def learner(raw: dict[str, Any]) -> Learner:
    config = parse(raw)
    return Learner(config, load_corpus(config.data), torch.device("cpu"))


def alone(raw: dict[str, Any]) -> tuple[list[dict[str, Tensor]], dict[str, Tensor]]:
    """Facts of a few steps, and the weights after them, in a process that knows no other run."""
    shared._shared.clear()
    one = learner(raw)
    return [one.train_step(with_facts=True) for _ in range(STEPS)], one.parameters


def configurations(option: str) -> Iterator[list[dict[str, Any]]]:
    """Configurations that share a step: with every number as it is, and as a schedule."""
    group = option.partition("=")[0]
    plain = raw_of(option)
    ramped = copy.deepcopy(plain)
    for holder, key, _ in list(scheduled(getattr(parse(ramped), group), ramped[group])):
        start, end = ENDS.get(key, (0.5, 0.9))
        holder[key] = {**RAMP, "start": start, "end": end}
    # Settings that are 0 as shipped would switch their term on: another program.
    for holder, key, value in list(scheduled(getattr(parse(plain), group), plain[group])):
        if not isinstance(value, Schedule) and value == 0:
            holder[key] = 0.35
    for raw in (plain, ramped):
        if raw is plain or raw != raw_of(option):
            yield [raw, *variants(raw, group)]


@pytest.mark.parametrize("option", OPTIONS)
def test_every_number_of_every_option_is_each_runs_own(option: str) -> None:
    for raws in configurations(option):
        singles = [alone(raw) for raw in raws]
        shared._shared.clear()
        learners = [learner(raw) for raw in raws]
        assert len({id(one.functional_step) for one in learners}) == 1
        stack = Stack(learners)
        for step in range(STEPS):
            together = stack.train_step(with_facts=True)
            for facts, (own, _) in zip(together, singles, strict=True):
                for name, value in own[step].items():
                    atol = leeway(name, 2e-5)
                    torch.testing.assert_close(facts[name], value, rtol=2e-3, atol=atol)
        # Warm: the first one's step computes the others'.
        for raw, (own, _) in zip(raws, singles, strict=True):
            one = learner(raw)
            one.prepare_step()
            assert one.functional_step is not None
            tensors = {**one.weights(), **one.tensors(one.batches.cut())}
            _, facts, _ = one.functional_step(tensors, True)
            for name, value in facts.items():
                assert torch.equal(value, own[0][name]), name


def test_a_reward_that_knows_the_text_is_shared_on_that_text_alone(tmp_path: Path) -> None:
    """The file is edited between two runs of one process; length and alphabet stay."""
    file = tmp_path / "text.txt"
    words = ["data=text", f"data.path={file}", *TINY[2:], "reward=curriculum"]
    ones = []
    for word in ("the cat sat. ", "eht tac tas. "):
        file.write_text(word * 500)
        ones.append(learner(composition.compose(words).raw))
    again = learner(composition.compose(words).raw)
    assert ones[0].functional_step is not ones[1].functional_step
    assert ones[1].functional_step is again.functional_step


@dataclass(frozen=True)
class Leaking(base.Config):
    """Reads a number from its settings."""

    scale: float
    how: str

    def rewards(self, inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
        if self.how == "product":
            return inputs.matches * self.scale
        if self.how == "bound":
            return inputs.matches.clamp(max=self.scale)
        if self.how == "tensor":
            return inputs.matches * torch.tensor(self.scale)
        if self.how == "switch" and is_on(self.scale):
            return inputs.matches * hparams["scale"]
        if self.how == "condition" and self.scale > 0:
            return inputs.matches * hparams["scale"]
        return inputs.matches


@dataclass(frozen=True)
class BuiltIn(match.Config):
    """Reads a number when it is built."""

    scale: float

    def prepare(self, text: base.Text) -> base.Reward:
        table = torch.full((len(text.characters),), self.scale)
        return lambda inputs, hparams: inputs.matches * table


@dataclass(frozen=True)
class Nested(base.Config):
    """Holds another reward, whose numbers it reads."""

    inner: Leaking

    def rewards(self, inputs: RewardInputs, hparams: Hyperparameters) -> Tensor:
        return inputs.matches * self.inner.scale


@dataclass(frozen=True)
class LeakingObjective(expected.Config):
    """Weighs its loss by a number from its settings."""

    def build(self) -> Any:
        class Objective(expected.Expected):
            def policy_loss(self, *args: Any, **options: Any) -> Tensor:
                return super().policy_loss(*args, **options) * self.config.ent_rate

        return Objective(self)


@dataclass(frozen=True)
class LeakingExplorer(exhaustive.Config):
    """Weighs actions by a number from its settings."""

    def build(self) -> Any:
        class Explorer(exhaustive.Exhaustive):
            def explore(self, *args: Any, **options: Any) -> Any:
                found = super().explore(*args, **options)
                weights = found.weights * (1 - self.config.select_share)
                return dataclasses.replace(found, weights=weights)

        return Explorer(self)


def planted() -> Iterator[tuple[str, RunConfig]]:
    plain = composition.compose([*TINY, "objective=expected"])
    for how in ("product", "bound", "tensor", "switch", "condition"):
        reward = Leaking("leaking", "leaking", 1.0, 0.7, how)
        yield f"reward.scale {how}", dataclasses.replace(plain, reward=reward)
    inner = Leaking("leaking", "leaking", 1.0, 0.7, "product")
    others: dict[str, Any] = {
        "reward.scale": BuiltIn("built_in", "built_in", 1.0, 0.7),
        "reward.inner.scale": Nested("nested", "nested", 1.0, inner),
    }
    for key, reward in others.items():
        yield key, dataclasses.replace(plain, reward=reward)
    of_objective = {
        field.name: getattr(plain.objective, field.name)
        for field in dataclasses.fields(plain.objective)
    }
    objective = LeakingObjective(**of_objective)
    yield "objective.ent_rate", dataclasses.replace(plain, objective=objective)
    of_explorer = {
        field.name: getattr(plain.explorer, field.name)
        for field in dataclasses.fields(plain.explorer)
    }
    explorer = LeakingExplorer(**of_explorer)
    yield "explorer.select_share", dataclasses.replace(plain, explorer=explorer)


@pytest.mark.parametrize(("key", "config"), list(planted()), ids=lambda given: str(given)[:30])
def test_a_number_read_from_the_settings_is_caught_at_the_first_step(
    key: str, config: RunConfig
) -> None:
    with pytest.raises(TypeError, match=key.split()[0].replace(".", r"\.")):
        one = Learner(config, load_corpus(config.data), torch.device("cpu"))
        one.train_step(with_facts=False)

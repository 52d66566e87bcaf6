"""Presets of any name, and options that live outside the project."""

from __future__ import annotations

import copy
import itertools
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from avatarl import composition, source
from avatarl.config import GROUPS, RunConfig, parse
from avatarl.data import load as load_corpus
from avatarl.errors import ConfigError
from avatarl.training import Interrupted, execute
from avatarl.training.learner import Learner
from tests import tiny

TINY = [
    *tiny.TEXT_AND_MODEL,
    "tracking=files",
    "trainer.batch_size=8",
    "trainer.sample_characters=5",
    "trainer.eval_positions=64",
]

REWARD = '''
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge

from avatarl.reward import base


@dataclass(frozen=True)
class Config(base.Config):
    """Pays hits, the more the less they were expected."""

    gamma: Annotated[float, Ge(0)]

    def rewards(self, inputs, hparams):
        return inputs.matches * (1 - inputs.old_probs).clamp_min(1e-6) ** hparams["gamma"]
'''
MODEL = '''
from dataclasses import dataclass

import torch
from torch import nn

from avatarl.model import base


@dataclass(frozen=True)
class Config(base.Config):
    """A table from one character to the next."""

    def build(self, vocab_size, seed):
        return Pairs(vocab_size, torch.Generator().manual_seed(seed))


class Pairs(base.Policy):
    def __init__(self, vocab_size, generator):
        super().__init__()
        self.table = nn.Parameter(torch.randn(vocab_size, vocab_size, generator=generator))

    def forward(self, context, *, last=False, prior_logprobs=None):
        return self.table[context[:, -1:] if last else context]
'''
REFERENCE = '''
from dataclasses import dataclass

import torch

from avatarl.reference import CountedConfig, Reliability


@dataclass(frozen=True)
class Config(CountedConfig):
    """Says that the last character comes again."""

    def build(self, train_ids, vocab_size, device):
        return CopyLast(torch.from_numpy(train_ids.astype("int64")).to(device), vocab_size)


class CopyLast:
    order = 2

    def __init__(self, text, vocab_size):
        self.text, self.vocab_size = text, vocab_size

    def logprobs(self, contexts):
        again = torch.nn.functional.one_hot(contexts[..., -1].clamp_min(0), self.vocab_size)
        return (4.0 * again).log_softmax(-1)

    def train_logprobs(self, positions, history=None):
        return self.logprobs(self.text[(positions - 1).clamp_min(0)].unsqueeze(-1))

    def reliability(self, contexts):
        known = torch.full_like(contexts[..., -1], 2)
        return Reliability(known, known)

    def train_reliability(self, positions, history=None):
        return self.reliability(positions.unsqueeze(-1))

    def nbytes(self):
        return self.text.nbytes
'''
OBJECTIVE = '''
from dataclasses import dataclass

from avatarl.objective import expected, regularised, terms


@dataclass(frozen=True)
class Config(expected.Config):
    """The expected reward and nothing else."""

    def build(self):
        return Plain(self)


class Plain(regularised.Regularised):
    def policy_loss(self, logprobs, exploration, rewards, hparams, facts):
        return -terms.estimate(logprobs, exploration, rewards)
'''
SETTINGS = {
    "reward": "name: own\nkind: {module}\nweight: 1.0\ngamma: 2.0\n",
    "model": "name: own\nkind: {module}\ncontext_length: 6\nprior: false\n",
    "reference": "defaults: [{{schedule: constant}}, _self_]\nname: own\nkind: {module}\n"
    "cross_fit: null\ncache_dir: null\n",
    "objective": "defaults: [expected, _self_]\nname: own\nkind: {module}\n",
}
MODULES = {"reward": REWARD, "model": MODEL, "reference": REFERENCE, "objective": OBJECTIVE}


def composed(*overrides: str) -> dict[str, Any]:
    return copy.deepcopy(composition.compose([*TINY, *overrides]).raw)


def steps(config: RunConfig, count: int = 2) -> dict[str, torch.Tensor]:
    learner = Learner(config, load_corpus(config.data), torch.device("cpu"))
    for _ in range(count):
        facts = learner.train_step(with_facts=True)
    return facts


@pytest.mark.parametrize("dotted", [False, True], ids=["preset", "dotted"])
@pytest.mark.parametrize("group", GROUPS)
def test_an_option_of_any_name_is_its_kind(group: str, dotted: bool) -> None:
    raw = composed("opponent=past")
    plain = parse(raw)
    kind = raw[group]["kind"]
    raw[group] |= {"name": "mine", "kind": f"{GROUPS[group]}.{kind}" if dotted else kind}
    config = parse(raw)
    assert type(getattr(config, group)) is type(getattr(plain, group))
    assert getattr(config, group).name == "mine"
    torch.testing.assert_close(steps(config), steps(plain), rtol=0, atol=0)


def test_a_preset_of_the_control_is_a_control() -> None:
    raw = composed("objective=cross_entropy")
    raw["objective"]["name"] = "baseline"
    assert parse(raw).objective.is_control


def test_a_component_may_be_of_any_kind() -> None:
    raw = composed("reward=sum")
    raw["reward"]["components"]["match"] |= {"name": "hit", "kind": "avatarl.reward.match"}
    assert bool(steps(parse(raw))["train/loss"].isfinite())


@pytest.mark.parametrize(
    ("group", "kind", "words"),
    [
        ("model", "window_attention", ["gpt"]),
        ("model", "avatarl.model.window_attention", ["gpt"]),
        ("model", "base", ["gpt"]),
        ("reward", "tests.nowhere", ["match", "dotted name", "avatarl.reward"]),
        ("reward", "mactch", ["did you mean 'match'"]),
        ("reward", "avatarl.explorer.bandit", ["has no Config of avatarl.reward"]),
        ("objective", "regularised", ["dr_grpo"]),
        ("explorer", "sampling", ["exhaustive"]),
        ("reward", "..", ["match"]),
        ("reference", "json", ["kneser_ney"]),
        ("trainer", "health", ["trainer"]),
    ],
)
def test_what_is_no_option_is_refused_in_one_line(group: str, kind: str, words: list[str]) -> None:
    raw = composed()
    raw[group]["kind"] = kind
    with pytest.raises(ConfigError) as caught:
        parse(raw)
    assert caught.value.key == f"{group}.kind"
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """A package of somebody else's with an option of several groups; how to make Hydra see it."""
    for name in [name for name in sys.modules if name.partition(".")[0] == "mylab"]:
        monkeypatch.delitem(sys.modules, name)  # of the test before
    (tmp_path / "mylab").mkdir()
    for group, code in MODULES.items():
        (tmp_path / "mylab" / f"own_{group}.py").write_text(code)
        (tmp_path / "conf" / group).mkdir(parents=True)
        settings = SETTINGS[group].format(module=f"mylab.own_{group}")
        (tmp_path / "conf" / group / "own.yaml").write_text(settings)
    monkeypatch.syspath_prepend(str(tmp_path))
    return f"hydra.searchpath=[file://{tmp_path / 'conf'}]"


@pytest.mark.parametrize("group", MODULES)
def test_a_module_and_a_file_of_ones_own_are_an_option(
    elsewhere: str, group: str, tmp_path: Path
) -> None:
    """It composes, trains, is put down, and goes on to the result it would have had."""
    config = composition.compose(
        [*TINY, elsewhere, f"{group}=own", "trainer.steps=6", f"output_dir={tmp_path / 'a'}"]
    )
    assert type(getattr(config, group)).__module__ == f"mylab.own_{group}"
    asked = itertools.count()
    with pytest.raises(Interrupted):
        execute(config, stop=lambda: next(asked) == 3)
    again = execute(config)
    raw = {**config.raw, "output_dir": str(tmp_path / "b")}
    assert again["val/nats"] == execute(parse(raw))["val/nats"]


def test_the_source_of_a_module_is_part_of_a_runs_identity(elsewhere: str, tmp_path: Path) -> None:
    words = [*TINY, elsewhere, f"output_dir={tmp_path / 'out'}"]
    shipped = composition.identify(composition.compose(words))[0]
    own = composition.compose([*words, "reward=own"])
    before = composition.identify(own)[0]
    module = tmp_path / "mylab" / "own_reward.py"
    text = module.read_text()
    module.write_text(text + "# edited\n")
    assert composition.identify(own)[0] != before
    module.write_text(text)
    assert composition.identify(own)[0] == before
    assert composition.identify(composition.compose(words))[0] == shipped


def test_an_installed_package_offers_an_option_by_an_entry_point(
    elsewhere: str, tmp_path: Path
) -> None:
    """The dotted name is what is written down: workers needn't ask again."""
    told = tmp_path / "mylab-1.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: mylab\nVersion: 1.0\n")
    (told / "entry_points.txt").write_text("[avatarl.reward]\nfocal = mylab.own_reward\n")
    settings = tmp_path / "conf" / "reward" / "own.yaml"
    settings.write_text(settings.read_text().replace("mylab.own_reward", "focal"))
    source.entry_points.cache_clear()
    config = composition.compose([*TINY, elsewhere, "reward=own"])
    assert config.reward.kind == "mylab.own_reward"
    with pytest.raises(ConfigError, match="did you mean 'focal'"):
        composition.compose([*TINY, elsewhere, "reward=own", "reward.kind=fokal"])
    source.entry_points.cache_clear()


def test_a_network_without_a_cache_of_its_own_rolls_out(elsewhere: str) -> None:
    rollouts = ["explorer=temperature", "explorer.horizon=3", "explorer.positions=last"]
    config = composition.compose([*TINY, elsewhere, "model=own", *rollouts])
    assert bool(steps(config)["train/loss"].isfinite())

"""The step as a whole: what it may read, what it equals, what it remembers."""

from __future__ import annotations

import copy
import dataclasses
import itertools
from typing import Any

import pytest
import torch

from avatarl import composition
from avatarl.data import Corpus
from avatarl.data.base import RawText
from avatarl.explorer import Rollouts
from avatarl.interfaces import Batch, hyperparameters_of
from avatarl.training.figures import AVERAGED
from avatarl.training.learner import Learner
from avatarl.training.opponents import against, part_sizes
from avatarl.training.scoring import Scoring
from avatarl.training.step import Players, Step, StepInputs
from tests.steps import loss_of, rereading, taken

TINY = [
    "data=folio",
    "model=gpt2_tiny",
    "reference=bigram",
    "tracking=files",
    "trainer.batch_size=16",
    "trainer.steps=60",
]
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def words() -> Corpus:
    return Corpus.from_text(
        RawText(name="toy", text="the cat sat on the mat; a bat ate the hat. " * 120),
        train_fraction=0.9,
        unseen="keep",
    )


def learner_of(corpus: Corpus, *overrides: str) -> Learner:
    torch.set_num_threads(1)
    return Learner(composition.compose([*TINY, *overrides]), corpus, CPU)


def test_an_old_policy_costs_a_forward_pass_only_once_it_is_old(words: Corpus) -> None:
    learner = learner_of(words, "objective=grpo", "objective.sync_every=3")
    assert learner.old_model is not None
    asked: list[int] = []
    learner.old_model.register_forward_hook(lambda *_: asked.append(learner.step))
    apart = [learner.train_step(with_facts=True)["health/kl_old"].item() for _ in range(6)]
    assert asked == [1, 2, 4, 5]
    assert [abs(kl) > 1e-7 for kl in apart] == [False, True, True, False, True, True]


class Sealed(torch.Tensor):
    """Characters of the text that can be compared with a few tried ones, and nothing else."""

    ALLOWED = 4

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = getattr(func, "__name__", str(func))
        if name in {"__getitem__", "unsqueeze", "__get__"}:
            return super().__torch_function__(func, types, args, kwargs or {})
        if name in {"__eq__", "eq"}:
            hidden, tried = sorted(args, key=lambda side: not isinstance(side, Sealed))
            if not isinstance(tried, Sealed) and tried.shape[-1] <= cls.ALLOWED:
                with torch._C.DisableTorchFunctionSubclass():
                    return tried == hidden.as_subclass(torch.Tensor)
        raise AssertionError(f"the target was read by {name}")


def sealed(batch: Batch) -> Batch:
    return dataclasses.replace(batch, target=batch.target.as_subclass(Sealed))


@pytest.mark.parametrize(
    "overrides",
    [
        ["explorer=bandit", "explorer.samples=4", "reward=propensity", "objective=expected"],
        ["explorer=bandit", "explorer.samples=2", "reward=mixed", "objective=brier"],
        ["explorer=temperature", "explorer.samples=4"],
        ["explorer=swarm", "explorer.positions=last", "explorer.horizon=3"],
    ],
)
def test_a_bandit_never_reads_the_target(words: Corpus, overrides: list[str]) -> None:
    learner = learner_of(words, *overrides)
    assert learner.config.explorer.track == "bandit"
    terms, exploration, _ = loss_of(learner, sealed(learner.batches.at(0)))
    assert bool(terms.loss.isfinite())
    assert type(exploration.matches) is torch.Tensor


@pytest.mark.parametrize("schedule", ["constant", "gated"])
def test_a_batch_is_complete_before_its_step_begins(words: Corpus, schedule: str) -> None:
    learner = learner_of(words, "explorer=temperature", f"reference/schedule={schedule}")
    inputs = learner.inputs(learner.batches.at(0))
    assert (inputs.batch.gate is None) == (schedule == "constant")
    # With nothing left to look up, nothing drawn and no numbers on the host, the step still stands.
    learner.reference_schedule.reference = None
    del learner.batches
    before = torch.random.get_rng_state()
    assert bool(learner.step_function(inputs, with_facts=True).loss.isfinite())
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("objective", ["cross_entropy", "dr_grpo"])
def test_the_seal_would_catch_a_reader(words: Corpus, objective: str) -> None:
    learner = learner_of(words, f"objective={objective}")
    assert learner.config.explorer.track == "label_revealing"
    with pytest.raises(AssertionError, match="the target was read"):
        loss_of(learner, sealed(learner.batches.at(0)))


class Exact(Scoring):
    """Computes in double precision, so that Adam doesn't amplify rounding into a difference."""

    def __call__(
        self, forward: Any, context: torch.Tensor, prior: Any, masks: Any = None
    ) -> torch.Tensor:
        logprobs: torch.Tensor = forward(context).log_softmax(-1)
        return logprobs


def exact(corpus: Corpus, *overrides: str) -> Learner:
    learner = learner_of(corpus, *overrides)
    learner.model.double()
    learner.scoring = Exact(last=False, device_type="cpu", precision=None)
    return learner


@pytest.mark.parametrize("objective", ["expected", "dr_grpo"])
def test_inverse_propensity_is_cross_entropy_step_by_step(objective: str) -> None:
    from avatarl.data import load

    torch.set_num_threads(1)
    folio = load(composition.compose([*TINY, "data.characters=20000"]).data)
    wide = ["objective.clip_coef=1000"] if objective == "dr_grpo" else []
    rewarded = [f"objective={objective}", "reward=propensity", "objective.kl_coef=0",
                "objective.ent_coef=0", *wide]  # fmt: skip
    control = exact(folio, "objective=cross_entropy", "reward=match")
    game = exact(folio, *rewarded)
    start = control.model.token.weight.detach().clone()
    for _ in range(50):
        game.train_step(with_facts=False)
        control.train_step(with_facts=False)
        for name, value in control.parameters.items():
            assert (value - game.parameters[name]).abs().max() < 1e-5, name
    assert (control.model.token.weight - start).abs().max() > 0.01


def test_in_single_precision_the_gradients_differ_by_rounding_alone(words: Corpus) -> None:
    game = learner_of(words, "reward=propensity", "objective=expected")
    control = learner_of(words, "objective=cross_entropy")
    for step in range(20):
        batch = control.batches.at(step)
        one, other = (
            torch.autograd.grad(
                loss_of(learner, batch)[0].loss, learner.parameters["token.weight"]
            )[0]
            for learner in (game, control)
        )
        assert (one - other).norm() < 1e-5 * other.norm()
        control.train_step(with_facts=False)
        game.load(copy.deepcopy(control.state.state_dict()))


def test_rollouts_estimate_the_value_of_writing_on_without_bias() -> None:
    """Two characters ahead: V = π(y1|c)·(1 + π(y2|y1)), by a table of logits."""
    config = composition.compose(
        ["data=folio", "explorer=temperature", "explorer.positions=last", "explorer.horizon=2",
         "explorer.samples=3", "explorer.temperature=1.5", "reward=match", "reference=none",
         "objective=expected"]
    )  # fmt: skip
    import avatarl.explorer
    import avatarl.objective
    import avatarl.reward

    text = avatarl.reward.Text(tuple("abcd"), torch.zeros(1).numpy().astype(int), CPU)
    step = Step(
        explorer=config.explorer.build(),
        reward=config.reward.build(text),
        objective=config.objective.build(),
        opponent=config.opponent,
        vocab_size=4,
        prior=None,
    )
    hparams = {
        name: hyperparameters_of(config.raw[name], CPU)
        for name in ("explorer", "reward", "objective")
    }
    window, truth = [3, 0], [1, 2]
    batch = Batch(
        context=torch.tensor([window]).repeat(300, 1),
        target=torch.tensor([truth]).repeat(300, 1),
        positions=torch.zeros(300, 1, dtype=torch.int64),
    )
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(5))

    def gradient(seed: int) -> torch.Tensor:
        table = logits.clone().requires_grad_()
        uniforms = torch.rand(300, 2, 3, generator=torch.Generator().manual_seed(seed))

        def network(context: torch.Tensor, prior: Any) -> torch.Tensor:
            return table[context].log_softmax(-1)

        players = Players(network, rollouts=Rollouts(rereading(network), None))
        drawn = dataclasses.replace(batch, uniforms=uniforms)
        output, exploration, _ = taken(step, StepInputs(players, drawn, hparams, {}))
        assert exploration.contexts.shape == (900, 2)
        return torch.autograd.grad(output.loss, table)[0]

    table = logits.clone().requires_grad_()
    probs = table.softmax(-1)
    value = probs[0, 1] * (1 + probs[1, 2])
    exact = torch.autograd.grad(-value / 2, table)[0]  # the loss is a mean over two steps
    draws = torch.stack([gradient(seed) for seed in range(120)])
    error = draws.std(0) / 120**0.5
    assert ((draws.mean(0) - exact).abs() <= 3.2 * error + 1e-7).all()
    assert error.max() < 0.05 * exact.abs().max()


def test_a_second_inner_epoch_leaves_the_acting_policy_behind(words: Corpus) -> None:
    learner = learner_of(words, "objective.inner_epochs=2", "optimizer.lr=0.01",
                         "objective.clip_coef=0.001", "optimizer.warmup_fraction=0")  # fmt: skip
    seen: list[int] = []
    learner.model.register_forward_pre_hook(lambda module, inputs: seen.append(len(inputs[0])))
    facts = learner.train_step(with_facts=True)
    assert seen == [16, 16]
    assert facts["health/kl_old"] > 0
    assert facts["health/clip_fraction"] > 0
    assert learner.step == 1
    once = learner_of(words)
    assert once.train_step(with_facts=True)["health/kl_old"].item() == pytest.approx(0, abs=1e-6)


def test_kl_cov_restrains_actions_once_the_policy_has_moved(words: Corpus) -> None:
    common = ["objective.inner_epochs=3", "optimizer.lr=0.01", "optimizer.warmup_fraction=0",
              "reward=match"]  # fmt: skip
    strong = ["objective.covariance=kl", "objective.covariance_share=1",
              "objective.covariance_kl_coef=30"]  # fmt: skip
    free, held = learner_of(words, *common), learner_of(words, *common, *strong)
    drift = [x.train_step(with_facts=True)["health/kl_old"].item() for x in (free, held)]
    assert drift[1] < drift[0]


def test_clip_cov_takes_the_gradient_of_the_costliest_actions(words: Corpus) -> None:
    everything = learner_of(words, "objective.covariance=clip", "objective.covariance_share=1",
                            "objective.kl_coef=0", "objective.ent_coef=0")  # fmt: skip
    assert everything.train_step(with_facts=True)["grad_norm"] == 0
    some = learner_of(words, "objective.covariance=clip", "objective.covariance_share=0.002",
                      "objective.kl_coef=0", "objective.ent_coef=0")  # fmt: skip
    none = learner_of(words, "objective.kl_coef=0", "objective.ent_coef=0")
    norms = [x.train_step(with_facts=True)["grad_norm"].item() for x in (some, none)]
    assert 0 < norms[0] < norms[1]


def test_the_opponent_is_the_policy_of_some_steps_ago(words: Corpus) -> None:
    learner = learner_of(words, "opponent=past", "opponent.every=3", "reward=opponent")
    first = {name: value.clone() for name, value in learner.parameters.items()}
    for _ in range(3):
        learner.train_step(with_facts=False)
    third = {name: value.clone() for name, value in learner.parameters.items()}
    for name, value in learner.state.league.weights.items():
        assert torch.equal(value[0], first[name])
    learner.train_step(with_facts=False)
    for name, value in learner.state.league.weights.items():
        assert torch.equal(value[0], third[name])


def test_a_league_keeps_the_newest_and_prunes_the_oldest(words: Corpus) -> None:
    learner = learner_of(words, "opponent=league", "opponent.every=1", "opponent.size=3")
    history = []
    for _ in range(6):
        history.append(learner.model.norm.weight.detach().clone())
        facts = learner.train_step(with_facts=True)
    kept = learner.state.league.weights["norm.weight"]
    for member, step in enumerate((5, 4, 3)):
        assert torch.equal(kept[member], history[step])
    rates = [facts[f"opponent/win_rate_{member}"].item() for member in range(3)]
    assert all(0 <= rate <= 1 for rate in rates)


def test_the_league_shares_the_batch_and_each_meets_its_part(words: Corpus) -> None:
    assert part_sizes(10, 4) == [3, 3, 2, 2]
    contexts = torch.arange(10).unsqueeze(-1).repeat_interleave(2, 0)  # two rollouts a window
    marks = [
        lambda context, prior, mark=mark: torch.full((len(context), 1, 1), float(mark))
        for mark in range(4)
    ]
    met = against(marks, contexts, None, 10)[:, 0, 0].tolist()
    assert met == [0.0] * 6 + [1.0] * 6 + [2.0] * 4 + [3.0] * 4


def test_the_policy_learns_to_beat_its_past(words: Corpus) -> None:
    learner = learner_of(words, "opponent=past", "opponent.every=1000", "reward=propensity",
                         "objective=expected", "optimizer.lr=0.01")  # fmt: skip
    rates = [learner.train_step(with_facts=True)["opponent/win_rate_0"].item() for _ in range(40)]
    assert rates[0] == pytest.approx(0.5)
    assert rates[-1] > 0.75


def test_an_averaged_past_is_the_mean_of_the_members(words: Corpus) -> None:
    learner = learner_of(words, "opponent=league", "opponent.every=1", "opponent.size=2",
                         "opponent.averaged=true", "objective.past_kl_coef=0.5")  # fmt: skip
    for _ in range(3):
        facts = learner.train_step(with_facts=True)
    (player,) = learner.state.league.players()
    for name, value in learner.state.league.weights.items():
        torch.testing.assert_close(player[name], value.mean(0))
    assert facts["train/kl_past"] > 0


def test_a_moving_average_of_past_selves(words: Corpus) -> None:
    learner = learner_of(words, "opponent=past", "opponent.every=1", "opponent.decay=0.75")
    expected = learner.model.norm.weight.detach().clone()
    for step in range(4):
        if step:
            expected = 0.75 * expected + 0.25 * learner.model.norm.weight.detach()
        learner.train_step(with_facts=False)
    torch.testing.assert_close(learner.state.league.weights["norm.weight"][0], expected)


def test_kl_to_the_past_slows_the_drift(words: Corpus) -> None:
    norms = []
    for coefficient in (0.0, 30.0):
        learner = learner_of(words, "opponent=past", "opponent.every=1000", "reward=match",
                             "objective.kl_coef=0", "objective.ent_coef=0",
                             f"objective.past_kl_coef={coefficient}")  # fmt: skip
        start = learner.model.token.weight.detach().clone()
        for _ in range(40):
            learner.train_step(with_facts=False)
        context = learner.batches.at(0).context
        players = learner.players()
        (player,) = players.opponents
        with torch.no_grad():
            new = players.policy(context, None)
            old = player(context, None)
        norms.append((new.exp() * (new - old)).sum(-1).mean().item())
        assert not torch.equal(start, learner.parameters["token.weight"])
    assert norms[1] < 0.3 * norms[0]


def test_everything_that_changes_survives_a_checkpoint(words: Corpus) -> None:
    overrides = ["opponent=league", "opponent.every=2", "opponent.size=2", "reward=opponent",
                 "objective.sync_every=3", "objective.kl_target=0.05", "objective.ent_min=1.0",
                 "objective.inner_epochs=2", "explorer=swarm"]  # fmt: skip
    straight = learner_of(words, *overrides)
    for _ in range(5):
        straight.train_step(with_facts=False)
    state = copy.deepcopy(straight.state.state_dict())
    resumed = learner_of(words, *overrides)
    resumed.load(state)
    for _ in range(5):
        one, other = straight.train_step(with_facts=True), resumed.train_step(with_facts=True)
        assert one.keys() == other.keys()
        for name in one:
            assert torch.equal(one[name], other[name]), name
    for name, value in straight.parameters.items():
        assert torch.equal(value, resumed.parameters[name])


def test_schedules_move_as_the_run_goes_on(words: Corpus) -> None:
    ramp = "{shape: linear, start: 0, end: 2, begin: 0.25, until: 0.75}"
    learner = learner_of(words, "reward=match", f"reward.weight={ramp}", "trainer.steps=8",
                         "explorer.action_weighting=uniform",
                         "objective.baseline=none")  # fmt: skip
    paid = [
        learner.train_step(with_facts=True)["reward/uniform_mean"].item() * words.vocab_size
        for _ in range(8)
    ]
    assert paid == pytest.approx([0, 0, 0, 0.5, 1.0, 1.5, 2.0, 2.0], abs=1e-5)


def test_a_step_is_described_in_full_only_when_asked_for(words: Corpus) -> None:
    learner = learner_of(words)
    brief = set(learner.train_step(with_facts=False))
    assert {name for name in brief if not name.startswith(AVERAGED)} == {"grad_norm"}
    facts = learner.train_step(with_facts=True)
    assert {name for name in facts if name.startswith(AVERAGED)} == brief - {"grad_norm"}
    for name in ("train/loss", "train/policy", "train/entropy", "train/kl", "health/kl_old",
                 "reward/expected", "reward/spread_within", "reward/spread_across",
                 "reward/zero_variance_share"):  # fmt: skip
        assert name in facts


def test_the_step_stacks_under_vmap(words: Corpus) -> None:
    """Three replicas along a leading dimension equal three steps alone."""
    from torch.func import functional_call, stack_module_state, vmap

    settings = [
        ["explorer=exhaustive", "explorer.select=highest_entropy"],
        ["explorer=swarm"],
        ["explorer=bandit", "explorer.samples=2", "reward=sum", "objective.ent_min=1"],
    ]
    for overrides in settings:
        learners = [
            learner_of(words, "seed=" + str(seed), "objective.covariance=clip", *overrides)
            for seed in range(3)
        ]
        weights, _ = stack_module_state([learner.model for learner in learners])
        batches = [learner.batches.at(0) for learner in learners]
        first = learners[0]

        def alone(
            weights: Any, context: Any, target: Any, positions: Any, reference: Any, uniforms: Any,
            first: Learner = first,
        ) -> torch.Tensor:  # fmt: skip
            batch = Batch(context, target, positions, reference, uniforms=uniforms)

            def network(context: torch.Tensor, prior: Any) -> torch.Tensor:
                return functional_call(first.model, weights, (context,)).log_softmax(-1)

            controllers = first.state.controller_state
            inputs = StepInputs(Players(network), batch, first.hparams, controllers)
            return first.step_function(inputs, with_facts=False).loss

        tensors = [batch.tensors() for batch in batches]
        together = {name: torch.stack([one[name] for one in tensors]) for name in tensors[0]}
        drawn = together.get("uniforms")
        stacked = vmap(alone, in_dims=(0, 0, 0, 0, 0, None if drawn is None else 0))(
            weights,
            together["context"],
            together["target"],
            together["positions"],
            together["reference"],
            drawn,
        )
        for index, learner in enumerate(learners):
            terms, _, _ = loss_of(learner, batches[index])
            torch.testing.assert_close(stacked[index], terms.loss, rtol=1e-4, atol=1e-5)


def test_every_pair_of_settings_names_another_step() -> None:
    """Words are structure: no two objectives or explorers share a class by accident."""
    kinds = {
        name: type(
            composition.compose(["data=folio", f"objective={name}"]).objective.build()
        )
        for name in ("grpo", "expected", "brier", "arcsin", "cross_entropy")
    }  # fmt: skip
    for one, other in itertools.combinations(kinds, 2):
        assert kinds[one] is not kinds[other]


@pytest.mark.parametrize("prior", [False, True])
def test_cached_rollouts_equal_rereading_everything(words: Corpus, prior: bool) -> None:
    learner = learner_of(words, "explorer=swarm", "explorer.positions=last", "explorer.horizon=5",
                         "explorer.guidance=0.2", f"model.prior={str(prior).lower()}",
                         "objective.sync_every=2")  # fmt: skip
    for _ in range(3):
        learner.train_step(with_facts=False)
    assert learner.old_model is not None
    old_model = learner.old_model

    old_policy = learner.scoring.network(old_model)
    inputs = learner.inputs(learner.batches.at(3))
    assert inputs.players.rollouts is not None
    priors = learner.score_reference if prior else None
    rollouts = Rollouts(rereading(old_policy, priors), learner.score_reference, priors)
    players = dataclasses.replace(inputs.players, rollouts=rollouts)
    cached, reread = (
        learner.step_function.collect(one)[0].exploration
        for one in (inputs, dataclasses.replace(inputs, players=players))
    )
    assert torch.equal(cached.actions, reread.actions)
    assert torch.equal(cached.contexts, reread.contexts)
    torch.testing.assert_close(cached.old_logprobs, reread.old_logprobs, rtol=1e-4, atol=1e-5)
    # What the network says of the finished rollouts is what it said while writing them.
    with torch.no_grad():
        prior_logprobs = None if priors is None else priors(cached.contexts, 8)
        whole = old_policy(cached.contexts, prior_logprobs)[:, -5:]
    torch.testing.assert_close(cached.old_logprobs, whole, rtol=1e-4, atol=1e-5)


def test_cached_rollouts_read_each_prompt_once(words: Corpus) -> None:
    learner = learner_of(words, "explorer=temperature", "explorer.positions=last",
                         "explorer.horizon=4", "explorer.samples=3")  # fmt: skip
    read: list[tuple[int, ...]] = []
    extend = learner.model.extend

    def counting(characters: torch.Tensor, *rest: Any) -> Any:
        read.append(tuple(characters.shape))
        return extend(characters, *rest)

    learner.model.extend = counting  # type: ignore[method-assign, assignment]
    learner.train_step(with_facts=False)
    assert read == [(16, 5), (48, 1), (48, 1), (48, 1)]


@pytest.mark.parametrize(
    "overrides",
    [
        ["explorer=exhaustive", "objective.sync_every=1"],
        ["explorer=bandit", "reward=sum", "objective=brier"],
        ["explorer=swarm", "explorer.select=highest_entropy", "objective.covariance=clip"],
        ["reward=curriculum", "opponent=league", "objective.ent_min=1"],
    ],
)
def test_the_step_is_one_graph(words: Corpus, overrides: list[str]) -> None:
    """Nothing in a step asks for a value: the whole of it traces without a break."""
    learner = learner_of(words, *overrides)
    batch, players = learner.batches.at(0), learner.players()

    def loss(context: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        windows = dataclasses.replace(batch, context=context, target=target)
        controllers = learner.state.controller_state
        inputs = StepInputs(players, windows, learner.hparams, controllers)
        return learner.step_function(inputs, with_facts=True).loss

    traced = torch.compile(loss, backend="eager", fullgraph=True)
    torch.testing.assert_close(
        traced(batch.context, batch.target), loss(batch.context, batch.target)
    )

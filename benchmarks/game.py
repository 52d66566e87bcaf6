"""The game's promises: unbiased bandits, calibrated optima, collapse seen, cheap monitors.

Figures of learning are those of one seed on the embedded text; what is compared is stated by
theory, not tuned. Figures of cost are ratios within this process.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator

from harness import Entry, Options, entry, in_turns, main, ratios, seconds

TEXT = ["data=folio", "data.characters=200000", "tracking=files", "reference=ngram4"]
SMALL = ["model=gpt2_tiny", "model.n_embd=48", "trainer.batch_size=64"]


def measure(options: Options) -> Iterator[Entry]:
    yield from bandit(20_000)
    yield from cross_entropy(50)
    yield from learning(250 if options.quick else 800)
    yield from rollouts(3 if options.quick else 9)
    yield from monitors(options.quick)


def bandit(draws: int) -> Iterator[Entry]:
    """How far the mean of sampled gradients is from the exact one, in standard errors."""
    import torch

    from avatarl import composition
    from avatarl.training.tabular import Tabular

    counts = torch.tensor([[5, 3, 1, 1, 0], [0, 8, 1, 0, 1], [2, 2, 2, 2, 2]])
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(7))
    exact = (logits.softmax(-1) - counts / 10) / 3  # of cross-entropy
    reference = torch.full((3, 5), 0.2)
    config = composition.compose(
        [*TEXT, "explorer=bandit", "explorer.samples=1", "objective=expected", "reward=propensity"]
    )
    game = Tabular(config, counts, reference, replays=10)
    batches = -(-draws // len(game.batch.context))
    found = torch.stack([game.gradient(logits, seed=seed) for seed in range(batches)])
    apart = (found.mean(0) - exact).abs() / (found.std(0) / batches**0.5)
    note = f"{batches * len(game.batch.context)} draws, largest of 15 coordinates"
    yield entry("game/bandit_bias", [apart.max().item()], "s.e.", 3, note=note)


def cross_entropy(steps: int) -> Iterator[Entry]:
    """Largest difference in a weight between α = 1 and the control, in double precision."""
    import torch
    from torch import Tensor

    from avatarl import composition
    from avatarl.data import load
    from avatarl.training.learner import Learner
    from avatarl.training.scoring import Scoring

    class Exact(Scoring):
        def __call__(
            self,
            forward: Callable[..., Tensor],
            context: Tensor,
            prior: Tensor | None,
            masks: Tensor | None = None,
        ) -> Tensor:
            return forward(context).log_softmax(-1)

    settings = [*TEXT, *SMALL, "trainer.batch_size=16", "trainer.steps=60"]
    rewarded = ["reward=propensity", "objective=expected"]
    control = ["reward=match", "objective=cross_entropy"]
    pair = []
    for part in (rewarded, control):
        config = composition.compose([*settings, *part])
        learner = Learner(config, load(config.data), torch.device("cpu"))
        learner.model.double()
        learner.scoring = Exact(last=False, device_type="cpu", precision=None)
        for _ in range(steps):
            learner.train_step(with_facts=False)
        pair.append(learner.parameters)
    apart = max((pair[0][name] - pair[1][name]).abs().max().item() for name in pair[0])
    yield entry("game/propensity_is_cross_entropy", [apart], "", 1e-5, note=f"{steps} steps")


def learn(steps: int, *overrides: str) -> dict[str, float]:
    """Train a small network and measure it on held-out text; alarms count as 1."""
    import torch

    from avatarl import composition
    from avatarl.data import load
    from avatarl.training.evaluation import HeldOut, evaluate
    from avatarl.training.health import Health
    from avatarl.training.learner import Learner

    config = composition.compose([*TEXT, *SMALL, f"trainer.steps={steps}", *overrides])
    corpus = load(config.data)
    learner = Learner(config, corpus, torch.device("cpu"))
    while learner.step < learner.steps:
        learner.train_step(with_facts=False)
    held_out = HeldOut(corpus.heldout, 8, 1)
    found = evaluate(learner.score, held_out, device=learner.device, limit=6000).metrics
    alarms = {alarm.name for alarm in Health(config.health).check_evaluation(found)}
    return found | {name: float(name in alarms) for name in ("calibration", "confidence_collapse")}


def learning(steps: int) -> Iterator[Entry]:
    """Calibration, confidence and collapse, as the theory orders them."""
    note = f"{steps} steps"
    brier = learn(steps, "objective=brier", "reward=match")
    # At few steps both lag behind the text; what is bounded is overconfidence.
    yield entry("game/brier_ece", [brier["val/ece"]], "", 0.05, note=note)
    likelihood = learn(steps, "objective=expected", "reward=propensity")
    yield entry("game/propensity_ece", [likelihood["val/ece"]], "", 0.05, note=note)
    scaled = ["objective=dr_grpo", "reward=confidence_scaled", "reward.scale_max=3",
              "objective.kl_coef=0.3"]  # fmt: skip
    plain = learn(steps, *scaled, "reward.confidence_weight=0")
    strong = learn(steps, *scaled, "reward.confidence_weight=2")
    gain = plain["val/entropy"] - strong["val/entropy"]
    yield entry("game/confidence_scaling_costs_entropy", [gain], "nats", 0, at_least=True)
    naive = ["objective=grpo", "reward=mixed", "objective.kl_coef=0", "objective.ent_coef=0",
             "optimizer.lr=0.01"]  # fmt: skip
    collapsed = learn(steps, *naive)
    yield entry("game/naive_grpo_entropy", [collapsed["val/entropy"]], "nats", 0.1, note=note)
    told = min(collapsed["calibration"], collapsed["confidence_collapse"])
    yield entry("game/naive_grpo_alarms", [told], "", 1, at_least=True, note="both alarms raised")
    band = ["objective.ent_min=1.0", "objective.ent_max=2.0"]
    held = learn(steps, *naive, *band)
    yield entry("game/banded_grpo_entropy", [held["val/entropy"]], "nats", 0.3, at_least=True)


def rollouts(rounds: int) -> Iterator[Entry]:
    """Writing with cached keys and values against rereading everything at each character."""
    import dataclasses

    import torch

    from avatarl import composition
    from avatarl.data import load
    from avatarl.explorer import Rollouts
    from avatarl.training.learner import Learner

    config = composition.compose(
        [*TEXT, "model=gpt2_small", "model.context_length=32", "explorer=temperature",
         "explorer.horizon=8", "explorer.positions=last", "trainer.batch_size=32"]
    )  # fmt: skip
    learner = Learner(config, load(config.data), torch.device("cpu"))

    def rereading(prompt, rollouts):  # type: ignore[no-untyped-def]
        context = prompt.repeat_interleave(rollouts, dim=0)  # (B·K,P)

        @torch.no_grad()
        def decoder(char):  # type: ignore[no-untyped-def]
            nonlocal context
            context = context if char is None else torch.cat([context, char], dim=1)
            return learner.players().policy(context, None)[:, -1:]  # (B·K,1,V)

        return decoder

    cached = learner.inputs(learner.batches.at(0))
    slow = Rollouts(rereading, learner.score_reference)
    reread = dataclasses.replace(cached, players=dataclasses.replace(cached.players, rollouts=slow))
    collect = learner.step_function.collect
    taken = in_turns({"cached": lambda: collect(cached), "reread": lambda: collect(reread)}, rounds)
    note = "context 32, horizon 8, K = 4"
    speed = ratios(taken, "reread", "cached")
    yield entry("game/cached_rollouts", speed, "x", 1.5, at_least=True, note=note)


def monitors(quick: bool) -> Iterator[Entry]:
    """Update sparsity and effective rank, as a share of the steps between two measurements."""
    import torch

    from avatarl import composition
    from avatarl.data import load
    from avatarl.training.learner import Learner
    from avatarl.training.sparsity import update_facts

    for model in ("gpt2_small",) if quick else ("gpt2_small", "gpt2_20m"):
        config = composition.compose([*TEXT, f"model={model}"])
        learner = Learner(config, load(config.data), torch.device("cpu"))
        first = {name: value.detach().clone() for name, value in learner.parameters.items()}
        weights = learner.parameters
        take = functools.partial(learner.train_step, with_facts=False)
        look = functools.partial(update_facts, weights, first, first)
        take()
        step = min(seconds(take) for _ in range(4))
        cost = [seconds(look) for _ in range(2 if quick else 5)]
        every = config.health.sparsity_every
        shares = [value / (every * step) for value in cost]
        note = f"every {every} steps"
        yield entry(f"game/sparsity_share_of_steps/{model}", shares, "", 0.03, note=note)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))

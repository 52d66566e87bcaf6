"""A full reward step against a bare cross-entropy step of the same network.

On-policy, one forward pass serves acting and learning; with a separate old policy a second one,
without a gradient, is needed, except in the step that has just refreshed it.
"""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator

import torch
from harness import Entry, Options, bare_step, entry, in_turns, learner, main, ratios

from avatarl.training.figures import Means, learning_facts

ON_POLICY, OLD_POLICY, FIGURES = 1.15, 1.45, 0.02
SYNC_EVERY = 5
NOTE = "metrics in every step"


def measure(options: Options) -> Iterator[Entry]:
    # Turns are single steps: the speed of a shared machine drifts within a few of them.
    small, large = (40, 5) if options.quick else (300, 20)
    yield from overhead("gpt2_small", 64, small, "cpu")
    yield from overhead("gpt2_20m", 64, large, "cpu")
    yield refreshed("gpt2_small", 64, small // SYNC_EVERY)
    if torch.cuda.is_available():
        yield from overhead("gpt2_20m", 4096, 120, "cuda", "trainer.precision=bf16")


def settings(model: str, batch: int) -> list[str]:
    """What is compared: GRPO under AdamW."""
    return [
        f"model={model}",
        f"trainer.batch_size={batch}",
        "objective=grpo",
        "optimizer=adamw",
    ]


def overhead(model: str, batch: int, rounds: int, device: str, *extra: str) -> Iterator[Entry]:
    """Compare single steps at one size; the old policy is never refreshed."""
    chosen = [*settings(model, batch), *extra]
    plain = learner(*chosen, device=device)
    on = learner(*chosen, device=device)
    old = learner(*chosen, f"objective.sync_every={10**9}", device=device)
    text, means = plain.batches.at(0), Means()
    seen = plain.players().policy(text.context, None).detach()
    taken = in_turns(
        {
            "bare": bare_step(plain),
            "on": functools.partial(on.train_step, with_facts=True),
            "old": functools.partial(old.train_step, with_facts=True),
            "quiet": functools.partial(on.train_step, with_facts=False),
            "figures": lambda: means.add(learning_facts(seen, text.target)),
        },
        rounds,
        warmup=2 if device == "cpu" else 12,
    )
    where = f"{model}/{device}"
    for name, target in (("on", ON_POLICY), ("old", OLD_POLICY)):
        found = ratios(taken, name, "bare")
        yield entry(f"step_overhead/{name}_policy/{where}", found, "x", target, note=NOTE)
    yield entry(
        f"step_overhead/on_policy_between_records/{where}",
        ratios(taken, "quiet", "bare"),
        "x",
        note="19 of 20 steps by default",
    )
    yield entry(
        f"step_overhead/common_figures/{where}",
        ratios(taken, "figures", "quiet"),
        "x",
        FIGURES,
        note="what all runs log, averaged over steps",
    )
    yield entry(f"step_overhead/bare_step/{where}", [1e3 * t for t in taken["bare"]], "ms")


def refreshed(model: str, batch: int, rounds: int) -> Entry:
    """Compare as many steps as an old policy lives."""
    chosen = settings(model, batch)
    bare = bare_step(learner(*chosen))
    old = learner(*chosen, f"objective.sync_every={SYNC_EVERY}")
    taken = in_turns(
        {
            "bare": lambda: [bare() for _ in range(SYNC_EVERY)],
            "old": lambda: [old.train_step(with_facts=True) for _ in range(SYNC_EVERY)],
        },
        rounds,
    )
    name = f"step_overhead/old_policy_of_{SYNC_EVERY}_steps/{model}/cpu"
    return entry(name, ratios(taken, "old", "bare"), "x", note=NOTE)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))

"""A full reward step against a bare cross-entropy step of the same network.

On-policy, one forward pass serves acting and learning; with a separate old policy a second one,
without a gradient, is needed.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from harness import Entry, Options, bare_step, entry, in_turns, learner, main, ratios

ON_POLICY, OLD_POLICY = 1.15, 1.45


def measure(options: Options) -> Iterator[Entry]:
    import torch

    subjects = [("gpt2_small", 64, 8 if options.quick else 40, 6)]
    subjects += [("gpt2_20m", 64, 5 if options.quick else 20, 1)]
    for model, batch, rounds, steps in subjects:
        yield from overhead(model, batch, rounds, steps, "cpu")
    if torch.cuda.is_available():
        yield from overhead("gpt2_20m", 4096, 30, 4, "cuda", "trainer.precision=bf16")


def overhead(
    model: str, batch: int, rounds: int, steps: int, device: str, *extra: str
) -> Iterator[Entry]:
    """Compare at one size; ``steps`` steps make a turn."""
    settings = [
        f"model={model}",
        f"trainer.batch_size={batch}",
        "objective=grpo",
        "optimizer=adamw",
        *extra,
    ]
    plain = learner(*settings, device=device)
    on = learner(*settings, device=device)
    old = learner(*settings, "objective.sync_every=5", device=device)
    bare = bare_step(plain)

    def repeat(call: object, **options: bool) -> object:
        def turn() -> None:
            for _ in range(steps):
                call(**options)  # type: ignore[operator]

        return turn

    taken = in_turns(
        {
            "bare": repeat(bare),
            "on": repeat(on.train_step, with_facts=True),
            "old": repeat(old.train_step, with_facts=True),
            "quiet": repeat(on.train_step, with_facts=False),
        },
        rounds,
        warmup=1 if device == "cpu" else 3,
    )
    where = f"{model}/{device}"
    note = "metrics in every step"
    yield entry(
        f"step_overhead/on_policy/{where}", ratios(taken, "on", "bare"), "x", ON_POLICY, note=note
    )
    yield entry(
        f"step_overhead/old_policy/{where}",
        ratios(taken, "old", "bare"),
        "x",
        OLD_POLICY,
        note=note,
    )
    yield entry(
        f"step_overhead/on_policy_between_records/{where}",
        ratios(taken, "quiet", "bare"),
        "x",
        note="19 of 20 steps by default",
    )
    yield entry(f"step_overhead/bare_step/{where}", [1e3 * t / steps for t in taken["bare"]], "ms")


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))

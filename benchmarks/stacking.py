"""Replicas trained as one program against the same replicas one after another, in a warm process.

Stacking shares what a step costs however small it is: launching kernels, Python, the optimiser's
bookkeeping. It pays where that is most of a step and can't where arithmetic is. What ``auto``
chooses must never be slower than one by one: that is the claim, the rest is for knowing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from harness import Entry, Options, entry, in_turns, learner, main, ratios

NEVER_SLOWER = 1.05  # measuring noise included


def measure(options: Options) -> Iterator[Entry]:
    sizes = [
        ("gpt2_tiny", 8, 8, 10),
        ("gpt2_tiny", 128, 8, 4),
        ("gpt2_small", 128, 4, 3),
    ]
    if not options.quick:
        sizes += [
            ("gpt2_tiny", 8, 2, 30),
            ("gpt2_tiny", 8, 32, 10),
            ("gpt2_tiny", 32, 8, 20),
            ("gpt2_small", 8, 8, 20),
        ]
    for model, batch, replicas, rounds in sizes:
        yield from compare(model, batch, replicas, rounds, measured=replicas > 2)


def compare(
    model: str, batch: int, replicas: int, rounds: int, *, measured: bool
) -> Iterator[Entry]:
    """Compare a stack with its learners one by one; and what ``auto`` would do, if wanted."""
    from avatarl.composition import compose
    from avatarl.training.stack import Stack
    from avatarl.training.stack_size import choose_stack

    settings = [f"model={model}", f"trainer.batch_size={batch}", "optimizer=adamw"]

    def made() -> list[object]:
        return [learner(*settings, f"seed={seed}") for seed in range(replicas)]

    alone, stack = made(), Stack(made())  # type: ignore[arg-type]

    def one_by_one() -> None:
        for single in alone:
            single.train_step(with_facts=False)  # type: ignore[attr-defined]

    taken = in_turns(
        {"alone": one_by_one, "stacked": lambda: stack.train_step(with_facts=False)}, rounds
    )
    speedups = ratios(taken, "alone", "stacked")
    name = f"{model}/batch_{batch}/{replicas}_replicas"
    yield entry(f"stacking/speedup/{name}", speedups, "x")
    if measured:
        from harness import text_overrides

        configs = [
            compose(["tracking=files", *text_overrides(), *settings, f"seed={seed}"])
            for seed in range(replicas)
        ]
        chosen = choose_stack(configs)
        costs = [1.0] * rounds if chosen == 1 else ratios(taken, "stacked", "alone")
        yield entry(
            f"stacking/auto_over_one_by_one/{name}",
            costs,
            "x",
            NEVER_SLOWER,
            note=f"auto chose stacks of {chosen}",
        )


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))

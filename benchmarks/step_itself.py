"""What a step is made of: the last position alone, threads, compilation, waits for the device."""

from __future__ import annotations

import functools
import sys
from collections.abc import Iterator

import torch
from harness import Entry, Options, entry, in_turns, learner, main, ratios

LAST, COMPILED = 0.95, 1.0


def measure(options: Options) -> Iterator[Entry]:
    yield from last_position(options)
    yield from threads(options)
    yield from compiled(options)
    if torch.cuda.is_available():
        yield from waits()


def last_position(options: Options) -> Iterator[Entry]:
    """Steps that score the end of each window, with and without the rest of the final block."""
    subject = learner("model=gpt2_small", "explorer.positions=last")
    context = subject.batches.at(0).context
    weights = list(subject.parameters.values())

    def learn(last: bool) -> None:
        logits = subject.model(context, last=last)[:, -1]
        torch.autograd.grad(logits.log_softmax(-1).square().mean(), weights)

    taken = in_turns(
        {"last": lambda: learn(True), "all": lambda: learn(False)}, 10 if options.quick else 40
    )
    yield entry("step_itself/last_position/gpt2_small", ratios(taken, "last", "all"), "x", LAST)


def threads(options: Options) -> Iterator[Entry]:
    """Positions a second of one step, by wall clock, at one thread and at two."""
    import time

    subject = learner("model=gpt2_small")
    positions = subject.batches.windows.targets_per_step
    for count in (1, 2):
        torch.set_num_threads(count)
        subject.train_step(with_facts=False)
        speeds = []
        for _ in range(5 if options.quick else 20):
            before = time.perf_counter()
            subject.train_step(with_facts=False)
            speeds.append(positions / (time.perf_counter() - before))
        yield entry(f"step_itself/positions_per_s/{count}_threads", speeds, "1/s", note="wall")
    torch.set_num_threads(options.threads)


def compiled(options: Options) -> Iterator[Entry]:
    """A step whose network is compiled, against the same step as it is."""
    for model, batch in (("gpt2_small", 128),) if options.quick else SIZES:
        plain = learner(f"model={model}", f"trainer.batch_size={batch}", "trainer.compile=off")
        fused = learner(f"model={model}", f"trainer.batch_size={batch}", "trainer.compile=on")
        taken = in_turns(
            {
                "plain": functools.partial(plain.train_step, with_facts=False),
                "fused": functools.partial(fused.train_step, with_facts=False),
            },
            8 if options.quick else 20,
            warmup=2,
        )
        yield entry(f"step_itself/compiled/{model}/cpu", ratios(taken, "fused", "plain"), "x")


SIZES = (("gpt2_tiny", 16), ("gpt2_small", 128), ("gpt2_20m", 64))


def waits() -> Iterator[Entry]:
    """Count how often a step makes the host wait for the GPU; there should be no such moment."""
    import warnings

    subject = learner("model=gpt2_20m", "trainer.precision=bf16", device="cuda")
    for _ in range(6):  # compiled and recorded by then
        subject.train_step(with_facts=True)
    torch.cuda.set_sync_debug_mode("warn")
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        subject.train_step(with_facts=True)
    torch.cuda.set_sync_debug_mode("default")
    found = [w for w in told if "synchroniz" in str(w.message)]
    yield entry("step_itself/host_waits/cuda", [len(found)], "1", 0)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))

"""What a batch read in parts saves in memory, and what its second forward pass costs."""

from __future__ import annotations

import functools
import multiprocessing
import resource
import sys
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor

import torch
from harness import Entry, Options, entry, in_turns, learner, main, ratios

EIGHTH, COST = 0.35, 1.5


def measure(options: Options) -> Iterator[Entry]:
    for model, batch in (("gpt2_small", 2048),) if options.quick else SIZES:
        bound = EIGHTH if model == "gpt2_small" else None  # else gradients and moments outweigh it
        name = f"{model}/{batch // 8}_of_{batch}"
        settings = (f"model={model}", f"trainer.batch_size={batch}", "reference=bigram")
        parts = f"trainer.micro_batch_size={batch // 8}"
        whole, parted = peak(options.threads, *settings), peak(options.threads, *settings, parts)
        yield entry(f"micro_batches/memory/{name}", [parted / whole], "x", bound)
        yield entry(f"micro_batches/memory/{name}/whole", [whole / 2**20], "MiB")
        one, other = learner(*settings, device=DEVICE), learner(*settings, parts, device=DEVICE)
        taken = in_turns(
            {
                "whole": functools.partial(one.train_step, with_facts=False),
                "parts": functools.partial(other.train_step, with_facts=False),
            },
            3 if options.quick else 10,
        )
        yield entry(f"micro_batches/time/{name}", ratios(taken, "parts", "whole"), "x", COST)


DEVICE = "cuda" if torch.cuda.is_available() else "cpu"
SIZES = (("gpt2_small", 2048), ("gpt2_20m", 1024))


def peak(threads: int, *overrides: str) -> int:
    """Bytes that steps take beyond what a learner occupies before them, in a fresh process."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as process:
        return process.submit(_peak, threads, overrides).result()


def _peak(threads: int, overrides: tuple[str, ...]) -> int:
    torch.set_num_threads(threads)
    subject = learner(*overrides, "trainer.compile=off", device=DEVICE)
    before = _most()
    for _ in range(2):
        subject.train_step(with_facts=False)
    return _most() - before


def _most() -> int:
    if DEVICE == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    sys.exit(main(__doc__, measure))

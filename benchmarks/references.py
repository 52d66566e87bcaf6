"""Speed of the references: building, scaling, looking up.

    python benchmarks/references.py            # everything, 3-4 minutes
    python benchmarks/references.py --quick    # without the 10 and 100 MB texts
    python benchmarks/references.py --json     # one JSON line per figure

Prints medians, on one thread by default (``--threads 2`` for two). Uses tinyshakespeare where
``$AVATARL_DATA_DIR`` has it, else the embedded text. The larger texts are sampled from an order-7
Kneser–Ney of it, so that they hold about as many different strings as real text would.
"""

from __future__ import annotations

import functools
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from harness import Entry, Options, entry, main

from avatarl.data import folio
from avatarl.reference.counted import tabulate
from avatarl.reference.counts import Counts, count_grams
from avatarl.reference.kneser_ney import KneserNey
from avatarl.reference.smoothing import gram_counts
from avatarl.reference.table import RowTable

BATCH = 32_768
CHAINS = 10_000


def measure(options: Options) -> Iterator[Entry]:
    train, heldout, vocab_size = text()
    repeats = 5 if options.quick else 15
    for order, target in ((4, 0.1), (7, 0.35)):
        took = timed(functools.partial(build, train, vocab_size, order), repeats)
        yield entry(f"references/build/order{order}", took, "s", target)
    counts = build(train, vocab_size, 7)
    took = timed(lambda: tabulate(counts, KneserNey(), None), max(3, repeats // 3))
    yield entry("references/rows/order7", took, "s", 0.5)
    began = time.perf_counter()
    reference = RowTable(tabulate(counts, KneserNey(), 10))
    took = [time.perf_counter() - began]
    yield entry("references/rows/order7, 10 cross-fitting folds", took, "s")
    size = reference.nbytes() / 2**20
    yield entry("references/size/order7, 10 cross-fitting folds", [size], "MiB")

    draw = torch.Generator().manual_seed(0)
    positions = torch.randint(0, len(train), (64, BATCH), generator=draw)
    contexts = torch.from_numpy(heldout.astype(np.int64)).unfold(0, 8, 1)
    picked = [contexts[p % len(contexts)].contiguous() for p in positions]
    yield rate("training positions", lambda i: reference.train_logprobs(positions[i]), 8)
    yield rate("arbitrary contexts", lambda i: reference.logprobs(picked[i]), 2)
    random = torch.randint(0, vocab_size, (64, BATCH, 8), generator=draw)
    yield rate("random contexts", lambda i: reference.logprobs(random[i]), 2)
    if torch.cuda.is_available():
        yield gpu(reference, contexts)
    yield from scale(train, vocab_size, (1,) if options.quick else (1, 10, 100), reference)


def text() -> tuple[np.ndarray, np.ndarray, int]:
    """Read the corpus → training ids, held-out ids, V."""
    path = Path(os.environ.get("AVATARL_DATA_DIR", "")) / "tinyshakespeare.txt"
    written = path.read_text() if path.is_file() else folio.write_text(1_115_394, 1)
    characters = {character: number for number, character in enumerate(sorted(set(written)))}
    ids = np.array([characters[character] for character in written], dtype=np.uint8)
    cut = int(0.9 * len(ids))
    return ids[:cut], ids[cut:], len(characters)


def build(ids: np.ndarray, vocab_size: int, order: int) -> Counts:
    """Count, and estimate every level's discounts."""
    counts = count_grams(ids, vocab_size, order)
    for length, level in enumerate(counts.levels[1:]):
        for continuation in (False, True):
            KneserNey().level(length, gram_counts(level, continuation))
    return counts


def timed(work: Callable[[], Any], repeats: int) -> list[float]:
    """Time ``work`` → wall seconds of each call."""
    work()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return seconds


def rate(name: str, look_up: Callable[[int], Any], target: float) -> Entry:
    """Time look-ups of a batch, a different one each time."""
    turn = iter(range(10**9))
    took = timed(lambda: look_up(next(turn) % 64), 192)
    rates = [BATCH / seconds / 1e6 for seconds in took]
    return entry(f"references/look-up/{name}", rates, "M contexts/s", target, at_least=True)


def gpu(reference: RowTable, contexts: torch.Tensor) -> Entry:
    """Compare a look-up with a forward and backward pass of the large model, on the GPU."""
    from avatarl.model.gpt import GPT, Config

    config = Config("gpt2_20m", "gpt", 8, False, 1.0, 6, 8, 512, "learned", 0.0, "scalar")
    model = GPT(config, reference.vocab_size, torch.Generator().manual_seed(0)).cuda()
    placed = RowTable(reference.arrays.to(torch.device("cuda")))
    batch = contexts[:4096].cuda()

    def typical(work: Callable[[], Any]) -> float:
        def whole() -> None:
            work()
            torch.cuda.synchronize()

        return statistics.median(timed(whole, 30))

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            model(batch).float().logsumexp(-1).sum().backward()

    share = typical(lambda: placed.logprobs(batch)) / typical(step)
    return entry("references/look-up/share of a gpt2_20m step on GPU", [share], "", 0.05)


def scale(
    train: np.ndarray, vocab_size: int, sizes: tuple[int, ...], reference: RowTable
) -> Iterator[Entry]:
    """Build order 6 on growing texts, each in a process of its own to see its peak memory."""
    with tempfile.TemporaryDirectory() as folder:
        for megabytes in sizes:
            path = Path(folder) / f"{megabytes}.npy"
            ids = train if megabytes == 1 else sample(reference, train, megabytes * 10**6)
            np.save(path, ids)
            done = subprocess.run(
                [sys.executable, __file__, "--scale-child", str(path)],
                capture_output=True,
                text=True,
                check=True,
            )
            path.unlink()
            found = json.loads(done.stdout)
            last = megabytes == 100
            name = f"references/build/order6, {megabytes} MB"
            yield entry(name, [found["seconds"]], "s", 180 if last else None)
            yield entry(f"{name}, peak", [found["peak_gib"]], "GiB", 8 if last else None)
            yield entry(f"{name}, different 6-grams", [found["grams"] / 1e6], "M")


def sample(reference: RowTable, train: np.ndarray, size: int) -> np.ndarray:
    """Write ``size`` characters, many stretches side by side."""
    draw = torch.Generator().manual_seed(1)
    known = reference.order - 1
    starts = torch.randint(known, len(train), (CHAINS, 1), generator=draw)
    text = torch.from_numpy(train.astype(np.int64))
    context = text[starts + torch.arange(-known, 0)]
    columns = []
    for _ in range(size // CHAINS):
        total = reference.logprobs(context).exp_().cumsum_(dim=1)
        point = torch.rand(CHAINS, 1, generator=draw) * total[:, -1:]
        character = torch.searchsorted(total, point).clamp_(max=reference.vocab_size - 1)
        columns.append(character.to(torch.uint8))
        context = torch.cat([context[:, 1:], character], dim=1)
    return torch.cat(columns, dim=1).reshape(-1).numpy()


def measure_scale(path: Path) -> dict[str, float]:
    """Build order 6 on saved ids → seconds, peak memory, different grams."""
    ids = np.load(path)
    began = time.perf_counter()
    counts = build(ids, int(ids.max()) + 1, 6)
    seconds = time.perf_counter() - began
    # Not getrusage: its maximum would include the parent process that this one was forked from.
    status = Path("/proc/self/status").read_text()
    peak = int(re.search(r"VmHWM:\s*(\d+)", status)[1]) / 2**20  # type: ignore[index]
    return {"seconds": seconds, "peak_gib": peak, "grams": len(counts.levels[-1])}


if __name__ == "__main__":
    if sys.argv[1:2] == ["--scale-child"]:
        torch.set_num_threads(1)
        print(json.dumps(measure_scale(Path(sys.argv[2]))))
    else:
        sys.exit(main(__doc__, measure))

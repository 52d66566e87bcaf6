"""Speed of the references: building, scaling, looking up.

    python benchmarks/references.py            # everything, 3-4 minutes
    python benchmarks/references.py --quick    # without the 10 and 100 MB texts
    python benchmarks/references.py --json     # one JSON line per figure

Prints medians, on one thread by default (``--threads 2`` for two). Uses tinyshakespeare where
``$AVATARL_DATA_DIR`` has it, else the embedded text. The larger texts are sampled from an order-7
Kneser–Ney of it, so that they hold about as many different strings as real text would.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import platform
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

from avatarl.data import folio
from avatarl.reference.counted import tabulate
from avatarl.reference.counts import Counts, count_grams
from avatarl.reference.kneser_ney import KneserNey
from avatarl.reference.smoothing import gram_counts
from avatarl.reference.table import RowTable

BATCH = 32_768
CHAINS = 10_000


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="leave the 10 and 100 MB texts out")
    parser.add_argument("--json", action="store_true", help="one JSON line per figure")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--scale-child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    if args.scale_child:
        print(json.dumps(measure_scale(args.scale_child)))
        return 0
    machine = f"{platform.machine()}, {os.cpu_count()} cores, {args.threads} thread(s)"
    failed = False
    for name, value, unit, target in figures(args.quick):
        ok = None if target is None else within(value, target)
        failed |= ok is False
        if args.json:
            entry = {"name": name, "value": value, "unit": unit, "target": target, "ok": ok}
            print(json.dumps({**entry, "machine": machine}), flush=True)
        else:
            verdict = {None: "", True: "ok", False: "MISSED"}[ok]
            print(f"{name:<44} {value:>10.4g} {unit:<14} {target or '':<8} {verdict}", flush=True)
    return int(failed)


def within(value: float, target: str) -> bool:
    """Compare with a target such as ``<= 0.35``."""
    sign, number = target.split()
    return value <= float(number) if sign == "<=" else value >= float(number)


def figures(quick: bool) -> Iterator[tuple[str, float, str, str | None]]:
    train, heldout, vocab_size = text()
    repeats = 5 if quick else 15
    for order, target in ((4, "<= 0.1"), (7, "<= 0.35")):
        seconds = median(functools.partial(build, train, vocab_size, order), repeats)
        yield f"build/order{order}", seconds, "s", target
    counts = build(train, vocab_size, 7)
    seconds = median(lambda: tabulate(counts, KneserNey(), None), max(3, repeats // 3))
    yield "rows/order7", seconds, "s", "<= 0.5"
    began = time.perf_counter()
    reference = RowTable(tabulate(counts, KneserNey(), 10))
    yield "rows/order7 with 10 cross-fitting folds", time.perf_counter() - began, "s", None
    yield "size/order7 with 10 cross-fitting folds", reference.nbytes() / 2**20, "MiB", None

    draw = torch.Generator().manual_seed(0)
    positions = torch.randint(0, len(train), (64, BATCH), generator=draw)
    contexts = torch.from_numpy(heldout.astype(np.int64)).unfold(0, 8, 1)
    picked = [contexts[p % len(contexts)].contiguous() for p in positions]
    yield rate("look-up/training positions", lambda i: reference.train_logprobs(positions[i]), 8)
    yield rate("look-up/arbitrary contexts", lambda i: reference.logprobs(picked[i]), 2)
    random = torch.randint(0, vocab_size, (64, BATCH, 8), generator=draw)
    yield rate("look-up/random contexts", lambda i: reference.logprobs(random[i]), 2)
    if torch.cuda.is_available():
        yield gpu(reference, contexts)
    yield from scale(train, vocab_size, (1,) if quick else (1, 10, 100), reference)


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


def median(work: Callable[[], Any], repeats: int) -> float:
    """Time ``work`` → seconds."""
    work()
    seconds = []
    for _ in range(repeats):
        began = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


def rate(
    name: str, look_up: Callable[[int], Any], target: float
) -> tuple[str, float, str, str | None]:
    """Time look-ups of a batch, a different one each time."""
    turn = iter(range(10**9))
    seconds = median(lambda: look_up(next(turn) % 64), 192)
    return name, BATCH / seconds / 1e6, "M contexts/s", f">= {target}"


def gpu(reference: RowTable, contexts: torch.Tensor) -> tuple[str, float, str, str | None]:
    """Compare a look-up with a forward and backward pass of the large model, on the GPU."""
    from avatarl.model.gpt import GPT, Config

    config = Config("gpt2_20m", "gpt", 6, 8, 512, 8, False)
    model = GPT(config, reference.vocab_size, torch.Generator().manual_seed(0)).cuda()
    placed = RowTable(reference.arrays.to(torch.device("cuda")))
    batch = contexts[:4096].cuda()

    def timed(work: Callable[[], Any]) -> float:
        def whole() -> None:
            work()
            torch.cuda.synchronize()

        return median(whole, 30)

    def step() -> None:
        with torch.autocast("cuda", torch.bfloat16):
            model(batch).float().logsumexp(-1).sum().backward()

    share = timed(lambda: placed.logprobs(batch)) / timed(step)
    return "look-up/share of a gpt2_20m step on GPU", share, "", "<= 0.05"


def scale(
    train: np.ndarray, vocab_size: int, sizes: tuple[int, ...], reference: RowTable
) -> Iterator[tuple[str, float, str, str | None]]:
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
            name = f"build/order6 {megabytes} MB"
            yield name, found["seconds"], "s", "<= 180" if last else None
            yield f"{name} peak", found["peak_gib"], "GiB", "<= 8" if last else None
            yield f"{name} different 6-grams", found["grams"] / 1e6, "M", None


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
    sys.exit(main())

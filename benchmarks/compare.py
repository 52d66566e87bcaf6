"""How long comparing many runs takes: to the table, to the page, and to open the page.

Writes run directories as training leaves them (1,000 runs × 2,000 logged points, 15 metrics each;
a tenth of it with ``--quick``), then times fresh processes, imports included, with their peak
memory. The reading is from files alone; nothing is cached between the processes but by the
operating system.

    python benchmarks/compare.py [--quick] [--json]
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from harness import ROOT, Entry, Options, entry, main

METRICS = (
    "train/loss", "train/policy", "train/kl", "train/entropy", "train/lr", "train/kl_coef",
    "reward/expected", "reward/spread_within", "reward/spread_across",
    "reward/zero_variance_share", "health/grad_norm", "health/grad_cv", "health/grad_ratio",
    "health/clip_fraction", "health/nonfinite",
)  # fmt: skip
EVALUATED = ("val/nats", "val/perplexity", "val/bits", "val/accuracy", "val/ece", "val/entropy")
MOST_MEMORY_GIB = 1.0


def write_runs(root: Path, runs: int, points: int) -> None:
    """Write ``runs`` finished runs: references × confidence weights × five seeds."""
    rng = np.random.default_rng(0)
    references = ("none", "bigram", "trigram", "ngram4")
    for index in range(runs):
        seed, rest = index % 5, index // 5
        reference, weight = references[rest % 4], (rest // 4) / 100
        identity = f"{index:016x}"
        directory = root / "runs" / f"run-{identity}"
        directory.mkdir(parents=True)
        config = {
            "name": "run", "seed": seed, "data": {"name": "folio"},
            "model": {"name": "gpt2_small", "n_layer": 3, "n_head": 4, "n_embd": 128},
            "reference": {"name": reference, "order": references.index(reference) + 1},
            "reward": {"name": "confidence_scaled", "confidence_weight": weight},
            "objective": {"name": "grpo", **{f"option_{i}": i / 7 for i in range(20)}},
            "optimizer": {"name": "adamw", "lr": 0.003}, "trainer": {"steps": points},
            "output_dir": "outputs",
        }  # fmt: skip
        final = 1.9 + 0.1 * rng.random()
        values = rng.normal(size=(points, len(METRICS)))
        spike = int(rng.integers(points))
        values[spike, 10] = 1000.0
        evaluated = np.exp(-np.arange(points) / points * 4)
        lines = [json.dumps({"schema": 1, "run_id": identity, "name": "run", "corpus_sha256": "c"})]
        for step in range(points):
            record: dict[str, Any] = {
                "step": step, "characters_seen": step * 2048, "time/elapsed_s": step * 0.05,
            }  # fmt: skip
            record |= zip(METRICS, values[step].tolist(), strict=True)
            if step % 20 == 0 or step == points - 1:
                nats = final + 2 * float(evaluated[step])
                record |= dict.fromkeys(EVALUATED, nats)
            lines.append(json.dumps(record))
        (directory / "metrics.jsonl").write_text("\n".join(lines) + "\n")
        (directory / "config.json").write_text(json.dumps(config))
        (directory / "provenance.json").write_text(
            json.dumps({"run_id": identity, "host": "node1", "code_sha256": "a" * 64,
                        "command": "python run.py", "packages": {f"p{i}": "1" for i in range(60)}})
        )  # fmt: skip
        result = {
            "schema": 1, "run_id": identity, "name": "run", "state": "done",
            "track": "label_revealing", "corpus": "folio", "corpus_sha256": "c",
            "code_sha256": "a" * 64, "is_control": False, "characters_seen": points * 2048,
            "seconds": 40.0, "steps": points, "parameters": 600_000, "alarms": [],
            **dict.fromkeys(EVALUATED, final),
            **{f"ngram/{level}/nats": 2.0 + i for i, level in enumerate(("ngram4", "trigram"))},
            "reliability": {k: [0.5] * 15 for k in ("confidence", "accuracy", "weight")},
            "samples": [
                {"temperature": t, "text": "".join(map(chr, rng.integers(97, 123, 400).tolist()))}
                for t in (0.5, 0.8, 1.0)
            ],
        }  # fmt: skip
        (directory / "result.json").write_text(json.dumps(result))


def timed(arguments: list[str]) -> tuple[float, float]:
    """Run ``avatarl compare`` in a fresh process; return its seconds and peak memory in GiB."""
    code = "import sys; from avatarl.cli import main; sys.exit(main())"
    begun = time.perf_counter()
    child = subprocess.Popen(
        [sys.executable, "-c", code, "compare", *arguments],
        cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert child.stderr is not None
    error = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    seconds = time.perf_counter() - begun
    child.returncode = os.waitstatus_to_exitcode(status)
    if child.returncode != 0:
        raise RuntimeError(error.decode())
    return seconds, usage.ru_maxrss / 2**20


def opening(page: Path, repeats: int) -> list[float]:
    """Seconds a headless browser takes until the page is ready, each time; none without one."""
    sys.path.insert(0, str(ROOT))
    try:
        from tests.report.browser import Browser, find_chromium
    except ImportError:
        return []
    if find_chromium() is None:
        return []
    with Browser() as browser:
        took = [browser.open(page.as_uri()) for _ in range(repeats)]
        if browser.errors:
            raise RuntimeError(f"the page complains: {browser.errors}")
    return took


def measure(options: Options) -> Iterator[Entry]:
    runs, points = (100, 2000) if options.quick else (1000, 2000)
    repeats = 1 if options.quick else 3
    folder = Path(tempfile.mkdtemp(prefix="avatarl-compare-"))
    try:
        write_runs(folder, runs, points)
        size = sum(file.stat().st_size for file in folder.rglob("metrics.jsonl")) / 2**30
        page = folder / "page.html"
        note = f"{runs} runs × {points} points, {size:.2f} GiB"
        for name, extra, target in (("table", [], 2.0), ("page", ["--html", str(page)], 10.0)):
            measured = [timed([str(folder), "--format", "csv", *extra]) for _ in range(repeats)]
            yield entry(f"compare/{name}", [s for s, _ in measured], "s", target, note=note)
            memory = [m for _, m in measured]
            yield entry(f"compare/{name}/peak_memory", memory, "GiB", MOST_MEMORY_GIB)
        yield entry("compare/page/size", [page.stat().st_size / 1e6], "MB", 15.0)
        took = opening(page, repeats)
        if took:
            yield entry("compare/page/opens", took, "s", 3.0, note="headless chromium")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, uses_torch=False))

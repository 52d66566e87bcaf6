"""From the command to the first training step, and the commands that only look.

``status`` is asked about a sweep of 1,000 runs, half of them done, and about no sweep at all.

Caches are warm: the text is at hand and the reference's table has been built before. Wall time is
what a person waits; processor time is what it would be on a machine that does nothing else.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from harness import ROOT, Entry, Options, entry, main, text_overrides

from avatarl.sweep.plan.planned import Candidate, make_plan

FIRST_STEP_S, COMMAND_S, MANY_S = 4.0, 0.3, 0.5


def measure(options: Options) -> Iterator[Entry]:
    rounds = 3 if options.quick else 9
    with tempfile.TemporaryDirectory() as folder:
        first_step(Path(folder), 0, options.threads)  # builds what is cached
        runs = [first_step(Path(folder), 1 + n, options.threads) for n in range(rounds)]
        yield entry("startup/first_step", [wall for wall, _ in runs], "s", FIRST_STEP_S)
        yield entry("startup/first_step_processor", [cpu for _, cpu in runs], "s")
        (Path(folder) / "sweeps").mkdir()
        many = Path(folder) / "many"
        make_sweep(many, 1000)
        for name, words, target in (
            ("help", ["--help"], COMMAND_S),
            ("status", ["status", "--output-dir", folder], COMMAND_S),
            ("status_1000", ["status", "--output-dir", str(many)], MANY_S),
        ):
            times = [command(words) for _ in range(3 * rounds)]
            yield entry(f"startup/avatarl_{name}", times, "s", target)


def make_sweep(outputs: Path, count: int) -> None:
    """Write a sweep down whose runs are done, under way, and not begun."""
    candidates = []
    for seed in range(count):
        config = {"name": "r", "seed": seed, "output_dir": str(outputs), "trainer": {"steps": 2}}
        config["data"] = {"characters": list(range(50))}  # about as long as a real one
        candidates.append(Candidate((f"seed={seed}",), config, f"{seed:016x}", "one"))
    plan = make_plan("many", candidates, corpus={})
    plan.write(outputs / "sweeps" / "many")
    going = '{"state": "running", "step": 1, "steps": 2}'
    for number, run in enumerate(plan.runs):
        run.path.mkdir(parents=True)
        if number % 2:
            (run.path / "result.json").write_text("{}")
        elif number % 4:
            (run.path / "progress.json").write_text(going)


def first_step(folder: Path, seed: int, threads: int) -> tuple[float, float]:
    """Start a run, wait for its first training record; returns wall and processor seconds."""
    words = [
        "tracking=files",
        f"output_dir={folder}",
        f"seed={seed}",
        "trainer.log_every=1",
        f"trainer.threads={threads}",
    ]
    before = time.perf_counter()
    run = subprocess.Popen(
        [sys.executable, "run.py", *text_overrides(), *words],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        known = set((folder / "runs").glob("*"))
        while run.poll() is None:
            new = set((folder / "runs").glob("*")) - known
            if any(_records(directory) for directory in new):
                return time.perf_counter() - before, _processor_seconds(run.pid)
            time.sleep(0.005)
    finally:
        run.kill()
        run.wait()
    raise RuntimeError(f"the run ended with code {run.returncode} before its first step")


def _records(directory: Path) -> bool:
    journal = directory / "metrics.jsonl"
    return journal.is_file() and journal.read_bytes().count(b"\n") >= 2


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def command(words: list[str]) -> float:
    """Time one ``avatarl`` command."""
    before = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "avatarl", *words], cwd=ROOT, capture_output=True, check=False
    )
    return time.perf_counter() - before


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, uses_torch=False))

"""From the command to the first training step, and the commands that only look.

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

FIRST_STEP_S, COMMAND_S = 4.0, 0.3


def measure(options: Options) -> Iterator[Entry]:
    rounds = 3 if options.quick else 9
    with tempfile.TemporaryDirectory() as folder:
        first_step(Path(folder), 0, options.threads)  # builds what is cached
        runs = [first_step(Path(folder), 1 + n, options.threads) for n in range(rounds)]
        yield entry("startup/first_step", [wall for wall, _ in runs], "s", FIRST_STEP_S)
        yield entry("startup/first_step_processor", [cpu for _, cpu in runs], "s")
        sweeps = Path(folder) / "sweeps" / "none"
        sweeps.mkdir(parents=True)
        for name, words in {
            "help": ["--help"],
            "status": ["status", "--output-dir", folder],
        }.items():
            times = [command(words) for _ in range(3 * rounds)]
            yield entry(f"startup/avatarl_{name}", times, "s", COMMAND_S)


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
        [sys.executable, "-m", "avatarl.cli", *words], cwd=ROOT, capture_output=True, check=False
    )
    return time.perf_counter() - before


if __name__ == "__main__":
    sys.exit(main(__doc__, measure, uses_torch=False))

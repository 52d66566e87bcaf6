"""ASHA here against Ray Tune's, on the same grid with the same rungs, one run at a time.

``wall``: our time over Ray's. ``lead``: by how many nats the best run that came to its end is
better here, on the slice that steers. ``steps``: ours over Ray's. The two take turns.

Ray is the peers' (``sweep_overhead.py --peers`` makes their environment); ``AVATARL_PEERS`` names
another Python that has it.

    python benchmarks/search_peer.py [--quick] [--json]
"""

from __future__ import annotations

import itertools
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from harness import ROOT, Entry, Options, entry, main
from search import AXES, SETTINGS
from sweep_overhead import PEERS, timed

METRIC = "dev/nats"
#: Steps of a run and its rungs, and how often both search.
RUNGS, RUNGS_QUICK = (30, 90, 270), (6, 18, 54)
ROUNDS, ROUNDS_QUICK = 3, 1
#: Nats, and times as long.
MOST_BEHIND, MOST_WALL = 0.005, 1.0


def measure(options: Options) -> Iterator[Entry]:
    python = os.environ.get("AVATARL_PEERS", str(PEERS / "bin" / "python"))
    if not Path(python).exists():
        raise SystemExit(f"{python} isn't there: python benchmarks/sweep_overhead.py --peers")
    rungs = RUNGS_QUICK if options.quick else RUNGS
    walls, leads, steps = [], [], []
    for seed in range(ROUNDS_QUICK if options.quick else ROUNDS):
        shared = [
            *SETTINGS, f"trainer.steps={rungs[-1]}", f"trainer.eval_every={rungs[-1] // 27}",
            f"trainer.log_every={rungs[-1] // 27}", "trainer.eval_dev=true", f"seed={seed}",
        ]  # fmt: skip

        def ours(place: Path, shared: list[str] = shared) -> float:
            grid = [f"{key}={','.join(values)}" for key, values in AXES.items()]
            own = ["search=asha", "sweep_name=s", "hydra.launcher.workers=1",
                   "hydra.launcher.control=false", "hydra.launcher.compare=false"]  # fmt: skip
            command = [sys.executable, "run.py", "-m", *shared, *grid, *own]
            return timed([*command, f"output_dir={place}"])

        def ray(place: Path, shared: list[str] = shared) -> float:
            combinations = itertools.product(*AXES.values())
            own = [
                [f"{key}={value}" for key, value in zip(AXES, values, strict=True)]
                for values in combinations
            ]
            runs = place.with_suffix(".json")
            runs.write_text(json.dumps([[*shared, *one, f"output_dir={place}"] for one in own]))
            script = str(ROOT / "benchmarks" / "peers" / "ray_asha.py")
            return timed([python, script, METRIC, ",".join(map(str, rungs)), str(runs)])

        ways: dict[str, Callable[[Path], float]] = {"ours": ours, "ray": ray}
        with tempfile.TemporaryDirectory() as scratch:
            wall, best, spent = {}, {}, {}
            for name in ways if seed % 2 == 0 else reversed(ways):
                place = Path(scratch) / name
                wall[name] = ways[name](place)
                best[name], spent[name] = found(place)
        told = ", ".join(f"{n} {best[n]:.4f} in {spent[n]} steps, {wall[n]:.0f} s" for n in ways)
        print(f"seed {seed}: {told}", file=sys.stderr)
        walls.append(wall["ours"] / wall["ray"])
        leads.append(best["ray"] - best["ours"])
        steps.append(spent["ours"] / spent["ray"])
    yield entry("search/ray_asha/wall", walls, "x", MOST_WALL)
    yield entry("search/ray_asha/lead", leads, "nats", -MOST_BEHIND, at_least=True)
    yield entry("search/ray_asha/steps", steps, "x")


def found(place: Path) -> tuple[float, int]:
    """The best end of the runs in an output directory, and the steps of all."""
    ends, steps = [], 0
    for folder in (place / "runs").iterdir():
        records = [json.loads(line) for line in (folder / "metrics.jsonl").open()]
        steps += max(record.get("step", 0) for record in records)
        if (folder / "result.json").exists():
            ends.append(json.loads((folder / "result.json").read_text())[METRIC])
    return min(ends), steps


if __name__ == "__main__":
    raise SystemExit(main(__doc__, measure))

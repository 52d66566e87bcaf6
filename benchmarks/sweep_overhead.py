"""What it costs to run many runs: the launcher's own overhead, and 24 short runs beside peers.

``overhead``: 1,000 runs that do nothing go through Hydra's composition, validation, identity, plan,
ownership, worker processes and results; milliseconds a run, from the call of the launcher to its
return, worker start-up included.

``floor ratio``: 24 short real runs on all cores, wall time of the whole command over the floor:
the sum of the runs' own step times in warm processes, over the cores. It is measured twice: with
a process on every core, as in a sweep, where cores share caches and memory; and with one process
on the whole machine (``lone``), which no sweep that uses all cores can quite reach. A machine whose
speed drifts from minute to minute moves both, so each contestant is also compared with the steps of
its very own runs (``own_steps_ratio``).

``peers``: the same 24 runs through Hydra's basic launcher, hydra-joblib-launcher, the stock
``submitit_local`` and Ray Tune, each result compared for equality. ``--peers`` makes an environment
for them (``outputs/peers``), which sees the installed torch.

    python benchmarks/sweep_overhead.py [--quick] [--json] [--peers] [--repeats N]
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))
PEERS = ROOT / "outputs" / "peers"
OVERHEAD_MS = 20.0
FLOOR_RATIO = 1.10


def no_op(raw: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A run that does nothing but leave a result."""
    directory = Path(raw["output_dir"]) / "no-op"
    directory.mkdir(exist_ok=True)
    return {"val/nats": 0.0}


def cores() -> int:
    return len(os.sched_getaffinity(0))


def machine() -> str:
    return f"{os.cpu_count()} cores, {os.uname().machine}, Python {sys.version.split()[0]}"


def measure_overhead(runs: int) -> float:
    """Milliseconds a run of ``runs`` no-op runs, through the launcher plugin."""
    from hydra import initialize_config_dir
    from hydra.core.global_hydra import GlobalHydra
    from hydra.core.plugins import Plugins
    from hydra.types import HydraContext, RunMode

    from avatarl import composition

    composition.register_resolvers()
    with (
        tempfile.TemporaryDirectory() as place,
        initialize_config_dir(str(composition.CONF), version_base="1.3"),
    ):
        loader = GlobalHydra.instance().config_loader()
        common = [
            "data=folio",
            "data.characters=20000",
            f"output_dir={place}",
            "tracking=files",
            "hydra.launcher.execute=sweep_overhead:no_op",
            "hydra.launcher.compare=false",
            "hydra.launcher.control=false",
        ]
        master = loader.load_configuration("config", common, run_mode=RunMode.MULTIRUN)
        launcher = Plugins.instance().instantiate_launcher(
            hydra_context=HydraContext(config_loader=loader, callbacks=None),
            task_function=print,
            config=master,
        )
        plain = [word for word in common if not word.startswith("hydra.")]
        # Combinations as a sweep has them: options of groups and values.
        references = ("bigram", "trigram", "ngram4", "unigram")
        jobs = [[*plain, f"reference={references[n % 4]}", f"seed={n}"] for n in range(runs)]
        begun = time.perf_counter()
        with Path(os.devnull).open("w") as nowhere:
            before, sys.stdout = sys.stdout, nowhere
            try:
                returned = launcher.launch(jobs, 0)
            finally:
                sys.stdout = before
        took = time.perf_counter() - begun
        assert len(returned) == runs
    return 1e3 * took / runs


def short_runs(steps: int, count: int) -> tuple[list[str], list[list[str]]]:
    """Overrides shared by all runs, and the ones that differ, in the order of a Hydra sweep."""
    shared = [
        "data=folio",
        "data.characters=50000",
        "model=gpt2_tiny",
        "optimizer=adamw",
        f"trainer.steps={steps}",
        "trainer.threads=1",
        "trainer.eval_every=1000000",
        "trainer.sample_characters=20",
        "tracking=files",
    ]
    references, seeds = ("bigram", "trigram", "ngram4"), range(count // 3)
    swept = [[f"reference={r}", f"seed={s}"] for r in references for s in seeds]
    return shared, swept


def environment() -> dict[str, str]:
    # One thread a run everywhere: the runs are what fills the cores.
    return {**os.environ, "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def timed(command: list[str]) -> float:
    begun = time.perf_counter()
    done = subprocess.run(command, env=environment(), cwd=ROOT, capture_output=True, text=True)
    took = time.perf_counter() - begun
    if done.returncode != 0:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return took


def floor(shared: list[str], swept: list[list[str]], place: Path, processes: int) -> float:
    """Seconds of pure stepping over the cores.

    Args:
        shared: Overrides of every run.
        swept: Overrides of each run.
        place: Where the runs go.
        processes: Warm processes that share the runs and work through them side by side.
    """
    program = (
        "import json, sys, torch; torch.set_num_threads(1); import avatarl;"
        "print(json.dumps([avatarl.run(o)['seconds'] for o in json.loads(sys.argv[1])]))"
    )
    runs = [[*shared, *own, f"output_dir={place}"] for own in swept]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, json.dumps(runs[first::processes])],
            env=environment(),
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        for first in range(processes)
    ]
    told = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise SystemExit("a run of the floor failed")
    return sum(sum(json.loads(text.splitlines()[-1])) for text in told) / cores()


def sweep_command(python: str, shared: list[str], swept: list[list[str]], place: Path) -> list[str]:
    axes: dict[str, list[str]] = {}
    for own in swept:
        for word in own:
            key, value = word.split("=")
            axes.setdefault(key, [])
            if value not in axes[key]:
                axes[key].append(value)
    grid = [f"{key}={','.join(values)}" for key, values in axes.items()]
    return [python, "run.py", "-m", *shared, *grid, f"output_dir={place}"]


def contestants(shared: list[str], swept: list[list[str]]) -> dict[str, Callable[[Path], float]]:
    """Name to a function that runs everything into a directory and returns seconds."""
    python = str(PEERS / "bin" / "python")

    def ours(place: Path) -> float:
        more = ["hydra.launcher.control=false", "hydra.launcher.compare=false"]
        return timed([*sweep_command(sys.executable, shared, swept, place), *more])

    def hydra(launcher: str, *more: str) -> Callable[[Path], float]:
        def run(place: Path) -> float:
            command = sweep_command(python, shared, swept, place)
            return timed([*command, f"hydra/launcher={launcher}", *more])

        return run

    def ray(place: Path) -> float:
        runs = place.with_suffix(".json")
        runs.write_text(json.dumps([[*shared, *own, f"output_dir={place}"] for own in swept]))
        return timed([python, str(HERE / "peers" / "ray_tune.py"), str(cores()), str(runs)])

    found: dict[str, Callable[[Path], float]] = {"ours": ours}
    if PEERS.exists():
        found["basic"] = hydra("basic")
        found["joblib"] = hydra("joblib", f"hydra.launcher.n_jobs={cores()}")
        found["submitit_local"] = hydra("submitit_local", "hydra.launcher.timeout_min=60")
        found["ray_tune"] = ray
    return found


def results(place: Path, figure: str = "val/nats") -> dict[str, float]:
    """One figure of each finished run, by run directory."""
    found = {}
    for path in (place / "runs").glob("*/result.json"):
        found[path.parent.name] = json.loads(path.read_text())[figure]
    return found


def make_peers() -> None:
    """Create the peers' environment; it sees this one's packages, torch above all."""
    if (PEERS / "ready").exists():
        return
    subprocess.run([sys.executable, "-m", "venv", "--clear", str(PEERS)], check=True)
    python = str(PEERS / "bin" / "python")
    [site] = list(PEERS.glob("lib/python*/site-packages"))
    import torch

    (site / "zz_parent.pth").write_text(str(Path(torch.__file__).parents[1]) + "\n")
    install = [python, "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt")]
    subprocess.run([*install, "-r", str(HERE / "peers" / "requirements.txt")], check=True)
    (PEERS / "ready").touch()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer, shorter runs")
    parser.add_argument("--json", action="store_true", help="one JSON object a figure")
    parser.add_argument("--peers", action="store_true", help="make the peers' environment first")
    parser.add_argument("--repeats", type=int, help="take the median of so many (default 1)")
    parser.add_argument("--only", nargs="*", help="contestants to run")
    args = parser.parse_args()
    repeats = args.repeats or 1
    if args.peers:
        make_peers()

    def tell(name: str, value: float, unit: str, target: float | None, **more: Any) -> None:
        ok = None if target is None else value <= target
        line = {"name": name, "value": round(value, 3), "unit": unit, "target": target, "ok": ok}
        line |= {"machine": machine(), **more}
        if args.json:
            print(json.dumps(line), flush=True)
        else:
            verdict = "" if target is None else f"  (target {target:g}: {'ok' if ok else 'MISSED'})"
            print(f"{name:42} {value:10.3f} {unit}{verdict}", flush=True)

    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    sys.path.insert(0, str(HERE))
    count = 200 if args.quick else 1000
    overhead = statistics.median(measure_overhead(count) for _ in range(repeats))
    tell("sweep/overhead", overhead, "ms a run", OVERHEAD_MS, runs=count)

    shared, swept = short_runs(steps=200 if args.quick else 900, count=6 if args.quick else 24)
    names = contestants(shared, swept)
    chosen = [name for name in names if not args.only or name in args.only]
    seconds: dict[str, list[float]] = {name: [] for name in chosen}
    own_ratios: dict[str, list[float]] = {name: [] for name in chosen}
    floors: dict[str, list[float]] = {"floor": [], "lone_floor": []}
    # Interleaved, so that a slow moment of the machine is shared.
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as scratch:
            expected = Path(scratch) / "floor"
            floors["floor"].append(floor(shared, swept, expected, cores()))
            floors["lone_floor"].append(floor(shared, swept, Path(scratch) / "lone", 1))
            for name in chosen:
                place = Path(scratch) / name
                seconds[name].append(names[name](place))
                assert results(place) == results(expected), f"{name} computed something else"
                stepping = sum(results(place, "seconds").values()) / cores()
                own_ratios[name].append(seconds[name][-1] / stepping)
                shutil.rmtree(place)
    for kind, times in floors.items():
        tell(f"sweep/{kind}", statistics.median(times), "s", None, runs=len(swept))
    for name in chosen:
        took = statistics.median(seconds[name])
        tell(f"sweep/{name}", took, "s", None, runs=len(swept))
        target = FLOOR_RATIO if name == "ours" and not args.quick else None
        for kind, times in floors.items():
            ratio = took / statistics.median(times)
            tell(f"sweep/{name}/{kind}_ratio", ratio, "x", target, runs=len(swept))
        own = statistics.median(own_ratios[name])
        tell(f"sweep/{name}/own_steps_ratio", own, "x", target, runs=len(swept))
    if len(chosen) > 1 and "ours" in chosen:
        best = min(statistics.median(seconds[name]) for name in chosen if name != "ours")
        ours = statistics.median(seconds["ours"])
        tell("sweep/ours_over_best_peer", ours / best, "x", 1.0, runs=len(swept))


if __name__ == "__main__":
    main()

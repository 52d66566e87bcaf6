"""What it costs to run many runs: the launcher's own overhead, and 24 short runs beside peers.

``overhead``: 1,000 runs that do nothing go through Hydra's composition, validation, identity, plan,
ownership, worker processes and results; milliseconds a run, from the call of the launcher to its
return, worker start-up included.

``NAME/floor_ratio``: 24 short real runs on all cores, wall time of the whole command over the
floor: the sum of the runs' pure step times (evaluation, samples and files apart) in warm processes,
one on every core, over the cores.
(``--lone`` adds the floor of a single process that has the whole machine, its caches and its memory
to itself, which no sweep that uses all cores can quite reach.)

``peers``: the same 24 runs through Hydra's basic launcher, hydra-joblib-launcher, the stock
``submitit_local`` and Ray Tune, each result compared for equality. ``--peers`` makes an environment
for them (``outputs/peers``), which sees the installed torch. ``ours_over_NAME`` is the ratio.

The speed of a machine drifts from minute to minute. So everything is measured in rounds
(``--repeats``), the order turning round from one to the next; ratios are taken within a round, and
what is told is their median, with the least and the most. Two figures compare a contestant with the
steps of its very own runs, which drift with it: ``NAME/own_steps_ratio``, and in seconds
``NAME/beyond_steps``.

    python benchmarks/sweep_overhead.py [--quick] [--json] [--peers] [--repeats N] [--only NAME …]
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from harness import Entry, as_json, as_text, entry, machine

from avatarl.composition.releases import BASE

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
sys.path.insert(0, str(ROOT))
PEERS = ROOT / "outputs" / "peers"
OVERHEAD_MS = 20.0
FLOOR_RATIO = 1.10

#: Runs everything into a directory and returns seconds.
Contestant = Callable[[Path], float]


def no_op(raw: dict[str, Any], **_: Any) -> dict[str, Any]:
    """A run that does nothing but leave a result."""
    directory = Path(raw["output_dir"]) / "no-op"
    directory.mkdir(exist_ok=True)
    return {"val/nats": 0.0}


def cores() -> int:
    return len(os.sched_getaffinity(0))


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
        initialize_config_dir(str(composition.CONF), **BASE),
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
            hydra_context=HydraContext(config_loader=loader, callbacks=cast(Any, None)),
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
        "[avatarl.run(overrides) for overrides in json.loads(sys.argv[1])]"
    )
    runs = [[*shared, *own, f"output_dir={place}"] for own in swept]
    started = [
        subprocess.Popen(
            [sys.executable, "-c", program, json.dumps(runs[first::processes])],
            env=environment(),
            cwd=ROOT,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        for first in range(processes)
    ]
    codes = [process.wait() for process in started]
    if any(codes):
        raise SystemExit("a run of the floor failed")
    return stepping(place) / cores()


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


def contestants(shared: list[str], swept: list[list[str]]) -> dict[str, Contestant]:
    """Name the contestants that are there."""
    python = str(PEERS / "bin" / "python")

    def ours(place: Path) -> float:
        more = ["hydra.launcher.control=false", "hydra.launcher.compare=false"]
        return timed([*sweep_command(sys.executable, shared, swept, place), *more])

    def hydra(launcher: str, *more: str) -> Contestant:
        def run(place: Path) -> float:
            command = sweep_command(python, shared, swept, place)
            return timed([*command, f"hydra/launcher={launcher}", *more])

        return run

    def ray(place: Path) -> float:
        runs = place.with_suffix(".json")
        runs.write_text(json.dumps([[*shared, *own, f"output_dir={place}"] for own in swept]))
        return timed([python, str(HERE / "peers" / "ray_tune.py"), str(cores()), str(runs)])

    found: dict[str, Contestant] = {"ours": ours}
    if PEERS.exists():
        found["basic"] = hydra("basic")
        found["joblib"] = hydra("joblib", f"hydra.launcher.n_jobs={cores()}")
        found["submitit_local"] = hydra("submitit_local", "hydra.launcher.timeout_min=60")
        found["ray_tune"] = ray
    return found


def results(place: Path) -> dict[str, float]:
    """Held-out nats of each finished run, by run directory."""
    found = {}
    for path in (place / "runs").glob("*/result.json"):
        found[path.parent.name] = json.loads(path.read_text())["val/nats"]
    return found


def stepping(place: Path) -> float:
    """Seconds that all runs spent stepping: each until the last record of its training."""
    seconds = 0.0
    for path in (place / "runs").glob("*/metrics.jsonl"):
        records = [json.loads(line) for line in path.read_text().splitlines()]
        seconds += max(one["time/elapsed_s"] for one in records if "train/loss" in one)
    return seconds


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


@dataclass
class Round:
    """Seconds of one round: floors, contestants, and the steps of each contestant's own runs."""

    floors: dict[str, float] = field(default_factory=dict)
    walls: dict[str, float] = field(default_factory=dict)
    steps: dict[str, float] = field(default_factory=dict)


def one_round(
    shared: list[str],
    swept: list[list[str]],
    chosen: Mapping[str, Contestant],
    *,
    backwards: bool,
    lone: bool,
) -> Round:
    """Measure floor and contestants once, in turn, and compare what they computed."""
    found = Round()
    with tempfile.TemporaryDirectory() as scratch:
        processes = {"floor": cores(), **({"lone_floor": 1} if lone else {})}
        names = [*processes, *chosen]
        for name in reversed(names) if backwards else names:
            place = Path(scratch) / name
            if name in processes:
                found.floors[name] = floor(shared, swept, place, processes[name])
            else:
                found.walls[name] = chosen[name](place)
                found.steps[name] = stepping(place) / cores()
        expected = results(Path(scratch) / "floor")
        assert len(expected) == len(swept)
        for name in chosen:
            assert results(Path(scratch) / name) == expected, f"{name} computed something else"
    return found


def figures(rounds: Sequence[Round], *, quick: bool) -> Iterator[Entry]:
    """Medians over rounds, of seconds and of ratios within a round."""
    names = sorted(rounds[0].walls, key=lambda name: name != "ours")
    note = f"n={len(rounds)}"
    for kind in rounds[0].floors:
        yield entry(f"sweep/{kind}", [one.floors[kind] for one in rounds], "s", note=note)
    for name in names:
        target = FLOOR_RATIO if name == "ours" and not quick else None
        walls = [one.walls[name] for one in rounds]
        yield entry(f"sweep/{name}", walls, "s", note=note)
        for kind in rounds[0].floors:
            ratios = [one.walls[name] / one.floors[kind] for one in rounds]
            bound = target if kind == "floor" else None
            yield entry(f"sweep/{name}/{kind}_ratio", ratios, "x", bound, note=note)
        ratios = [one.walls[name] / one.steps[name] for one in rounds]
        yield entry(f"sweep/{name}/own_steps_ratio", ratios, "x", target, note=note)
        beyond = [one.walls[name] - one.steps[name] for one in rounds]
        yield entry(f"sweep/{name}/beyond_steps", beyond, "s", note=note)
    for name in names if "ours" in names else []:
        if name != "ours":
            ratios = [one.walls["ours"] / one.walls[name] for one in rounds]
            bound = None if quick else 1.0
            yield entry(f"sweep/ours_over_{name}", ratios, "x", bound, note=note)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer, shorter runs: no promises")
    parser.add_argument("--json", action="store_true", help="one JSON object a figure")
    parser.add_argument("--peers", action="store_true", help="make the peers' environment first")
    parser.add_argument("--repeats", type=int, default=1, help="rounds (default 1)")
    parser.add_argument("--only", nargs="*", help="contestants to run, or overhead")
    parser.add_argument("--lone", action="store_true", help="the floor of a single process as well")
    args = parser.parse_args()
    if args.repeats < 1:
        parser.error(f"--repeats {args.repeats}: at least one")
    if args.peers:
        make_peers()
    os.environ["PYTHONPATH"] = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
    shared, swept = short_runs(steps=200 if args.quick else 900, count=6 if args.quick else 24)
    known = contestants(shared, swept)
    wanted = args.only or ["overhead", *known]
    if unknown := set(wanted) - {"overhead", *known}:
        valid = ", ".join(["overhead", *known])
        parser.error(f"--only {' '.join(sorted(unknown))}: not there; valid: {valid}")
    where = machine(1)
    if not args.json:
        print("  ".join(f"{key} {value}" for key, value in where.items()))

    def tell(found: Entry) -> None:
        print(as_json(found, where) if args.json else as_text(found), flush=True)

    if "overhead" in wanted:
        count = 200 if args.quick else 1000
        overhead = [measure_overhead(count) for _ in range(args.repeats)]
        note = f"{count} runs, n={args.repeats}"
        # So few runs carry a start of seconds among them.
        target = None if args.quick else OVERHEAD_MS
        tell(entry("sweep/overhead", overhead, "ms a run", target, note=note))
    chosen = {name: run for name, run in known.items() if name in wanted}
    if not chosen:
        return
    rounds = []
    for number in range(args.repeats):
        backwards = number % 2 == 1
        rounds.append(one_round(shared, swept, chosen, backwards=backwards, lone=args.lone))
        if not args.json:
            print(rounds[-1], flush=True)
    for found in figures(rounds, quick=args.quick):
        tell(found)


if __name__ == "__main__":
    main()

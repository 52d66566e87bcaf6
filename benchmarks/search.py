"""What a search saves, whether it finds the best, and what it costs itself.

``grid``: 27 runs of gpt2_tiny are computed to their ends, then searched in five orders by each way
of stopping early: ``steps`` is the share of the grid's steps that was spent, ``regret`` how much
worse the run that was found is than the grid's best, on what the search ranks by. The first order
of ASHA is computed as well: what it finds must be bit for bit that run of the grid, and what it
spends what the rules say of the grid's journals, from which the other orders are then told.

``idle``: the share of workers' time that is left unused where the runs are proposed one by one, and
where they were in rounds, each waiting for the one before: ASHA's rules, with steps as time.

``overhead``: 500 runs that do nothing but log at their rungs go through a pool with and without a
search; processor time of the process that decides, and of reading and writing the ledger.

    python benchmarks/search.py [--quick] [--json] [--picture FOLDER]
"""

from __future__ import annotations

import heapq
import itertools
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from harness import Entry, Options, entry, main

from avatarl.runs.journal import value_at
from avatarl.runs.outputs import Outputs
from avatarl.search.rules import Rules, Trial, decide
from avatarl.search.settings import Stopping, load
from avatarl.search.study import Study
from avatarl.search.summary import correlations, steps_spent
from avatarl.sweep import reproduce
from avatarl.sweep.failure import FailurePolicy
from avatarl.sweep.plan.planned import Candidate, Plan, make_plan
from avatarl.sweep.plan.study import study_of
from avatarl.sweep.workers.pool import Pool
from avatarl.sweep.workers.slot import Slot

STEPS, STEPS_QUICK = 270, 54
SETTINGS = [
    "data=folio", "data.characters=200000", "model=gpt2_tiny", "trainer.batch_size=64",
    "trainer.eval_positions=4096", "trainer.sample_characters=5", "trainer.threads=1",
    "trainer.device=cpu", "tracking=files", "optimizer=adamw",
]  # fmt: skip
AXES = {
    "optimizer.lr": ["0.001", "0.003", "0.01"],
    "reward.confidence_weight": ["0", "0.5", "1"],
    "reference": ["unigram", "bigram", "trigram"],
}
METRIC = "val/nats"
WAYS = ("asha", "halving", "hyperband")
KEEP_GOING = FailurePolicy(max_failures=None, max_retries=0, hang_after_s=600)
#: Share of the grid's steps, regret in nats, milliseconds a run.
MOST_STEPS, MOST_REGRET, MOST_MS = 0.40, 0.005, 30.0


def measure(options: Options) -> Iterator[Entry]:
    with tempfile.TemporaryDirectory() as place:
        yield from of_grid(Path(place), options)
        yield from of_itself(Path(place) / "nothing", 60 if options.quick else 500)


def of_grid(place: Path, options: Options) -> Iterator[Entry]:
    """Compute the grid, then search it in several orders."""
    steps = STEPS_QUICK if options.quick else STEPS
    whole = candidates(place / "grid", steps)
    plan = make_plan("grid", whole, corpus={})
    work(plan, None)
    ends = [value_at(run.folder.journal, METRIC, steps) for run in plan.runs]
    best = min(end for end in ends if end is not None)
    for way in WAYS:
        spent, regrets = [], []
        for order in range(5):
            searched, sweep = search_plan(way, whole, order)
            study = study_of(searched, sweep)
            assert study is not None
            told = replay(study)
            spent.append(told[0] / (steps * len(plan.runs)))
            regrets.append(told[1] - best)
            if way == "asha" and order == 0:
                alike = float(compute(place, candidates(place / way, steps), order) == told)
                yield entry(f"search/{way}/found_is_its_run", [alike], "of 1", 1.0, at_least=True)
        most = MOST_STEPS if way == "asha" else None
        yield entry(f"search/{way}/steps", spent, "of the grid", most)
        yield entry(f"search/{way}/regret", regrets, "nats", MOST_REGRET)
    for workers in (2, 4, 8):
        ways: dict[int, list[float]] = {0: [], 8: []}
        for order, batch in itertools.product(range(5), ways):
            study = study_of(*search_plan("asha", whole, order))
            assert study is not None
            ways[batch].append(idle(study, workers, batch))
        note = f"in rounds of 8: {statistics.median(ways[8]):.1%}"
        yield entry(f"search/idle/{workers}_workers", ways[0], "of their time", None, note=note)
    # What rungs say of the end where nothing was left out.
    searched, sweep = search_plan("asha", whole, 0)
    study = study_of(searched, sweep)
    assert study is not None
    for trial in study.trials.values():
        run = study.runs[trial.id]
        trial.values = {rung: study.value(run, rung) for rung in range(len(run.rungs))}
    for line in correlations(study):
        print(line, file=sys.stderr)


def compute(place: Path, runs: Sequence[Candidate], order: int) -> tuple[int, float] | None:
    """Search for real; steps and the value found, None where that isn't its run in the grid."""
    searched, sweep = search_plan("asha", runs, order)
    study = study_of(searched, sweep)
    assert study is not None
    work(searched, study)
    found = study.best()
    assert found is not None
    there = Outputs(place / "grid").find_run(found[0].id)
    assert there is not None
    differs = reproduce.compare(there.path, found[0].folder.path)
    return None if differs else (steps_spent(study), found[1])


def replay(study: Study) -> tuple[int, float]:
    """Search runs that have come to their ends, by the rules alone; steps and the value found."""
    trials = study.trials
    while decision := decide(study.rules, list(trials.values())):
        trial, run = trials[decision.run], study.runs[decision.run]
        trial.bracket, trial.target = decision.bracket, decision.rung
        trial.values[decision.rung] = study.value(run, decision.rung)
        trial.spent = run.rungs[decision.rung]
    found = study.best()
    assert found is not None
    return steps_spent(study), found[1]


def idle(study: Study, workers: int, batch: int) -> float:
    """The share of time without work, with runs proposed one by one, or so many at once."""
    left, trials = list(study.trials.values()), list[Trial]()
    going: list[tuple[int, int, Trial]] = []
    now = busy = pieces = 0
    while True:
        while len(going) < workers:
            decision = decide(study.rules, trials, more=bool(left) and not batch)
            if decision is not None:
                trial, rungs = study.trials[decision.run], study.runs[decision.run].rungs
                trial.bracket, trial.target = decision.bracket, decision.rung
                steps, pieces = rungs[trial.target] - trial.at, pieces + 1
                busy, trial.at = busy + steps, trial.at + steps
                heapq.heappush(going, (now + steps, pieces, trial))
            elif left and not (batch and going):
                trials, left = trials + left[: batch or 1], left[batch or 1 :]
            else:
                break
        if not going:
            return 1 - busy / (now * workers)
        now, _, trial = heapq.heappop(going)
        trial.values[trial.target] = study.value(study.runs[trial.id], trial.target)


def candidates(outputs: Path, steps: int) -> list[Candidate]:
    """All combinations, composed and identified as a sweep's are."""
    from avatarl import composition
    from avatarl.config import structure_key

    found = []
    outputs.mkdir()
    for values in itertools.product(*AXES.values()):
        words = [f"{key}={value}" for key, value in zip(AXES, values, strict=True)]
        config = composition.compose(
            [
                *SETTINGS, *words, f"trainer.steps={steps}", f"trainer.eval_every={steps // 27}",
                f"output_dir={outputs}",
            ]
        )  # fmt: skip
        identity, _ = composition.identify(config)
        found.append(Candidate(tuple(words), config.raw, identity, structure_key(config)))
    return found


def raw_search(way: str) -> dict[str, Any]:
    from avatarl.composition.shipped import compose_shipped

    composed = compose_shipped([f"search={way}", f"search.metric={METRIC}"])
    return dict(composed.search)


def search_plan(way: str, runs: Sequence[Candidate], order: int) -> tuple[Plan, Path]:
    """Plan a search in one of its orders."""
    settings = load(raw_search(way))
    assert isinstance(settings, Stopping)
    shuffled = list(runs)
    random.Random(order).shuffle(shuffled)
    trainer = shuffled[0].config["trainer"]
    rungs = settings.steps(trainer["steps"], trainer["eval_every"])
    rules = Rules(
        METRIC, True, settings.eta, len(settings.shares), settings.brackets,
        settings.synchronous, settings.paused_checkpoints,
    )  # fmt: skip
    plan = make_plan(
        "s", [replace(one, rungs=rungs) for one in shuffled], corpus={}, search=asdict(rules)
    )
    return plan, Path(shuffled[0].config["output_dir"]) / "sweeps" / "s"


def work(plan: Plan, study: Study | None, execute: str | None = None) -> None:
    pool = Pool([Slot(None, 1)], KEEP_GOING, study=study)
    if execute is not None:
        pool.execute = execute
    outcomes = pool.run(plan.runs)
    wrong = {outcome.reason for outcome in outcomes.values() if outcome.state == "failed"}
    assert not wrong, wrong


def nothing(raw: dict[str, Any], *, pause_at: int | None = None, **_: Any) -> dict[str, Any]:
    """A run that does nothing but log at its rungs."""
    folder = Outputs(raw["output_dir"]).run(f"{raw['seed']:016x}", raw["name"])
    step = pause_at or 30
    with folder.journal.open("a") as journal:
        journal.write(f'{{"step": {step}, "val/nats": {raw["seed"] * 37 % 101}}}\n')
    if pause_at is not None:
        folder.write_paused(pause_at)
        raise Paused
    return dict(folder.write_result({"val/nats": 0.0, "run_id": folder.path.name[-16:]}))


class Paused(Exception):
    """As the training's."""


def of_itself(place: Path, count: int) -> Iterator[Entry]:
    """Milliseconds a run that a search adds to a pool, beside what its pieces cost the pool."""
    seconds, walls, pieces = {}, {}, {}
    for way in ("plain", "asha"):
        runs = [
            Candidate(
                (f"seed={seed}",),
                {"name": "t", "seed": seed, "output_dir": str(place / way)},
                f"{seed:016x}",
                "program",
                (10, 20, 30) if way == "asha" else (),
            )
            for seed in range(count)
        ]
        (place / way).mkdir(parents=True)
        rules = Rules("val/nats", True, 3.0, 2, 1, False, None)
        search = asdict(rules) if way == "asha" else None
        plan = make_plan("s", runs, corpus={}, search=search)
        study = study_of(plan, place / way / "sweeps" / "s")
        before, began = time.process_time(), time.monotonic()
        work(plan, study, "search:nothing")
        seconds[way], walls[way] = time.process_time() - before, time.monotonic() - began
        sent = 0 if study is None else sum(trial.target + 1 for trial in study.trials.values())
        pieces[way] = sent or count
    a_piece = seconds["plain"] / pieces["plain"]
    own = 1000 * (seconds["asha"] - a_piece * pieces["asha"]) / count
    note = f"{count} runs in {pieces['asha']} pieces; {a_piece * 1000:.1f} ms a plain one"
    yield entry("search/overhead", [own], "ms", MOST_MS, note=note)
    yield entry("search/overhead/whole", [1000 * seconds["asha"] / count], "ms", MOST_MS)
    yield entry("search/overhead/wall", [1000 * walls["asha"] / count], "ms", None)


if __name__ == "__main__":
    raise SystemExit(main(__doc__, measure))

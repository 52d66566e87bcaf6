"""The same runs through Ray Tune: one trial a run, as many at once as there are cores.

Run by benchmarks/sweep_overhead.py: ``ray_tune.py WORKERS RUNS.json``; the file holds a list of
override lists.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    workers, runs = int(sys.argv[1]), json.loads(Path(sys.argv[2]).read_text())
    root = str(Path(__file__).resolve().parents[2])

    import ray
    from ray import tune

    def trial(config: dict[str, list[str]]) -> dict[str, float]:
        sys.path.insert(0, root)
        import torch

        torch.set_num_threads(1)
        import avatarl

        return {"nats": avatarl.run(config["overrides"])["val/nats"]}

    ray.init(num_cpus=workers, include_dashboard=False, log_to_driver=False)
    space = {"overrides": tune.grid_search(runs)}
    results = tune.Tuner(tune.with_resources(trial, {"cpu": 1}), param_space=space).fit()
    assert not results.errors, results.errors


if __name__ == "__main__":
    main()

"""The same grid searched by Ray Tune's ASHA: one trial a run, one at a time.

Run by benchmarks/search_peer.py: ``ray_asha.py METRIC RUNGS RUNS.json``; RUNGS are steps joined by
commas, the last a run's end, and the file holds a list of override lists.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path


def main() -> None:
    metric, runs = sys.argv[1], json.loads(Path(sys.argv[3]).read_text())
    *rungs, end = map(int, sys.argv[2].split(","))
    root = str(Path(__file__).resolve().parents[2])

    import ray
    from ray import tune
    from ray.tune.schedulers import ASHAScheduler

    def trial(config: dict[str, list[str]]) -> None:
        sys.path.insert(0, root)
        import torch

        torch.set_num_threads(1)
        from avatarl import composition
        from avatarl.runs.journal import value_at
        from avatarl.runs.outputs import Outputs
        from avatarl.training import Progress, execute

        run = composition.compose(config["overrides"])
        identity, _ = composition.identify(run)
        outputs = Outputs(run.output_dir)

        def tell(progress: Progress) -> None:
            if progress.step in rungs:
                journal = outputs.run(identity, run.name).journal
                value = value_at(journal, metric, progress.step)
                tune.report({"step": progress.step, metric: value})

        result = execute(run, on_progress=tell)
        tune.report({"step": end, metric: dict(result)[metric]})

    ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False)
    asha = ASHAScheduler(
        "step", metric, "min", max_t=end, grace_period=rungs[0], reduction_factor=3
    )
    tuner = tune.Tuner(
        tune.with_resources(trial, {"cpu": 1}),
        param_space={"overrides": tune.grid_search(runs)},
        tune_config=tune.TuneConfig(scheduler=asha),
    )
    results = tuner.fit()
    assert not results.errors, results.errors


if __name__ == "__main__":
    main()

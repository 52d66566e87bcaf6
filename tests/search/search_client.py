"""A client of a search that lies in a folder: ``python search_client.py SWEEP``."""

import sys
from pathlib import Path

from avatarl.sweep.failure import FailurePolicy
from avatarl.sweep.plan.planned import Plan
from avatarl.sweep.plan.study import study_of
from avatarl.sweep.workers.pool import Pool
from avatarl.sweep.workers.slot import Slot


def main(sweep: Path) -> int:
    """Work through the search with two workers, whatever dies started again."""
    plan = Plan.read(sweep)
    policy = FailurePolicy(max_failures=None, max_retries=1000, hang_after_s=600)
    study = study_of(plan, sweep)
    pool = Pool([Slot(None, 1)] * 2, policy, "search_executors:run", study=study)
    outcomes = pool.run(plan.runs)
    left = [item for item in outcomes.items() if item[1].state not in ("done", "paused")]
    for run, outcome in left:
        print(run, outcome, file=sys.stderr)
    return int(bool(left))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))

"""What is told of a study."""

from __future__ import annotations

import polars  # noqa: F401  or the first example would take as long as its import
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from avatarl.search.summary import correlations, line, spearman, steps_spent
from avatarl.sweep.failure import FailurePolicy
from avatarl.sweep.plan.study import study_of
from avatarl.sweep.workers.pool import Pool
from avatarl.sweep.workers.slot import Slot

PAIRS = st.lists(st.tuples(*[st.integers(-5, 5).map(float)] * 2), min_size=3, max_size=12)


@given(PAIRS)
def test_rank_correlation_is_scipys(pairs):
    rho = spearman(pairs)
    if len({a for a, _ in pairs}) == 1 or len({b for _, b in pairs}) == 1:
        assert rho is None
    else:
        assert rho == pytest.approx(spearmanr(*zip(*pairs, strict=True)).statistic)


def test_too_few_runs_have_no_correlation():
    assert spearman([(1.0, 2.0), (2.0, 1.0)]) is None


def test_a_line_tells_the_best_the_rungs_and_the_steps_saved(study_plan):
    values = [[5.0] * 3, [4.0, 4.0, 2.0], [7.0] * 3, *[[9.0] * 3] * 6]
    lrs = {seed: {"optimizer": {"lr": [0.001, 0.01][seed % 2]}} for seed in range(9)}
    plan, sweep = study_plan(values, lrs, synchronous=True)
    study = study_of(plan, sweep)
    assert line(study).endswith("0 paused, 0 promotions; 0 of 270 steps (100 % saved)")
    policy = FailurePolicy(max_failures=None, max_retries=0, hang_after_s=60)
    Pool([Slot(None, 1)], policy, "search_executors:run", study=study).run(plan.runs)
    assert line(study) == (
        "search: best dev/nats 2.0000 (seed=1); rung 0: 9, rung 1: 3, end: 1 of 9 runs; "
        "8 paused, 4 promotions; 130 of 270 steps (52 % saved)"
    )
    assert steps_spent(study) == 9 * 10 + 3 * 10 + 10
    assert correlations(study) == []
    for trial, end in zip(study.trials.values(), [5.0, 2.0, 7.0, 9.0], strict=False):
        trial.values.update({0: end, 1: end if end != 7.0 else 1.0, 2: end})
    assert correlations(study) == [
        "rank correlation with the end, all (n=4): rung 0 1.00, rung 1 0.40"
    ]

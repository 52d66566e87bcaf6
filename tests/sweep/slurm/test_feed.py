"""How many runs are proposed ahead of the jobs of a search."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from avatarl.search.rules import Trial
from avatarl.sweep.slurm.feed import feed


class Study:
    """As much of a study as is fed."""

    def __init__(self, most, out, waiting, put_down=0, done_elsewhere=0):
        self.most = most
        trials = [Trial(f"o{n}", bracket=0, target=0) for n in range(out)]
        trials += [Trial(f"w{n}") for n in range(waiting)]
        trials += [Trial(f"p{n}", bracket=0, target=0, values={0: 1.0}) for n in range(put_down)]
        trials += [Trial(f"d{n}") for n in range(done_elsewhere)]
        self.trials = {trial.id: trial for trial in trials}

    @property
    def runs(self):
        return {
            trial: SimpleNamespace(
                folder=SimpleNamespace(read_result=lambda t=trial: {} if t[0] == "d" else None)
            )
            for trial in self.trials
        }

    def look(self):
        pass

    @property
    def under_way(self):
        return sum(trial.out for trial in self.trials.values())

    @property
    def open(self):
        return len(self.trials) < self.most


@pytest.mark.parametrize(
    ("workers", "study", "proposed"),
    [
        (0, Study(9, out=0, waiting=0), 1),  # no job has begun
        (0, Study(9, out=0, waiting=1), 0),
        (4, Study(9, out=0, waiting=1), 4),  # all have: one each, and one in stock
        (4, Study(9, out=4, waiting=1), 0),
        (4, Study(9, out=4, waiting=0), 1),
        (4, Study(9, out=2, waiting=0, put_down=3), 3),
        (4, Study(7, out=2, waiting=0, put_down=3), 2),  # there are to be no more
        (0, Study(9, out=0, waiting=0, done_elsewhere=1), 1),
        (1, Study(9, out=2, waiting=0), 1),  # a job that nobody knows works as well
    ],
)
def test_each_worker_without_work_has_a_proposal_and_whoever_is_free_next(workers, study, proposed):
    new = []

    def grow(study):
        new.append(Trial(f"n{len(new)}"))
        study.trials[new[-1].id] = new[-1]

    feed(SimpleNamespace(grow=grow), study, workers)
    assert len(new) == proposed

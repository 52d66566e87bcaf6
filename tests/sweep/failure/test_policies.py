from __future__ import annotations

import pytest

from avatarl.errors import ConfigError
from avatarl.sweep.failure import Fail, Retry, load
from avatarl.sweep.failure.faults import Fault
from avatarl.sweep.failure.policy import _shipped
from avatarl.sweep.workers.pool import Pool
from avatarl.sweep.workers.slot import Slot

DISK = Fault("infrastructure", "OSError: full", "traceback")
STALE = Fault("infrastructure", "OSError: stale", "traceback")
DIED = Fault("infrastructure", "killed by SIGKILL")
OWN = Fault("run", "ValueError: x", "traceback")
CANCELLED = Fault("cancelled", "JobLost: job 1 was cancelled")


@pytest.mark.parametrize("name", ["keep_going", "fail_fast"])
def test_the_same_exception_twice_is_final_but_two_deaths_are_not(name):
    policy = load(name, None, 2, 60)
    assert policy.decide([DISK]) == Retry(0.5)
    assert policy.decide([DISK, DISK]) == Fail("OSError: full")
    assert policy.decide([DISK, STALE]) == Retry(1.0)
    assert policy.decide([DIED, DIED]) == Retry(1.0)
    assert policy.decide([DIED, DIED, DIED]) == Fail("killed by SIGKILL")
    assert policy.decide([OWN]) == Fail("ValueError: x")
    assert policy.decide([CANCELLED]) == Fail("JobLost: job 1 was cancelled")
    assert load(name, None, 0, 60).decide([DIED]) == Fail("killed by SIGKILL")


def test_the_longest_wait_before_another_attempt_is_bounded():
    policy = load("keep_going", None, 100, 60)
    assert policy.decide([DIED] * 50) == Retry(30.0)


@pytest.mark.parametrize(
    ("name", "max_failures", "stops"),
    [
        ("keep_going", None, [False, False, False]),
        ("keep_going", 2, [False, False, True]),
        ("fail_fast", None, [False, True, True]),
        ("fail_fast", 2, [False, True, True]),
    ],
)
def test_a_sweep_stops_after_as_many_failures_as_it_may_have(name, max_failures, stops):
    policy = load(name, max_failures, 2, 60)
    assert [policy.stops_sweep(failures) for failures in range(3)] == stops


@pytest.mark.parametrize(
    ("arguments", "key"),
    [
        (("go_on", None, 2, 60), "failure_policy"),
        (("keep_going", 0, 2, 60), "max_failures"),
        (("keep_going", None, -1, 60), "max_retries"),
        (("keep_going", None, 2, 0), "hang_after_s"),
    ],
)
def test_failure_policies_are_checked(arguments, key):
    with pytest.raises(ConfigError, match=key):
        load(*arguments)


@pytest.mark.parametrize(
    "name", ["go_on", "", "faults", "policy", "json", "json.decoder", "no.such.module", ".", "a..b"]
)
def test_what_is_no_policy_is_refused_in_one_line_with_those_there_are(name):
    with pytest.raises(ConfigError) as caught:
        load(name, None, 2, 60)
    assert str(caught.value) == (
        f"hydra.launcher.failure_policy={name!r} can't be used; valid: fail_fast, keep_going, "
        "or the dotted name of a module with a Policy"
    )


def test_every_module_with_a_policy_is_found():
    assert _shipped() == ["fail_fast", "keep_going"]


STUBBORN = """
from dataclasses import dataclass
from avatarl.sweep.failure import Fail, FailurePolicy, Retry

@dataclass(frozen=True)
class Policy(FailurePolicy):
    def decide(self, faults):
        return Retry(0.0) if len(faults) < 3 else Fail("enough")

    def stops_sweep(self, failures):
        return failures > 1
"""


def test_a_policy_of_ones_own_is_one_module(tmp_path, monkeypatch, plan_of, trace_of):
    (tmp_path / "mylab").mkdir()
    (tmp_path / "mylab" / "stubborn.py").write_text(STUBBORN)
    monkeypatch.syspath_prepend(tmp_path)
    policy = load("mylab.stubborn", None, 2, 60)
    plan = plan_of([{"fault": "raise"}] * 3)
    outcomes = Pool([Slot(None, 1)], policy, execute="sweep_executors:run").run(plan.runs)
    assert [outcomes[run.id].state for run in plan.runs] == ["failed", "failed", "interrupted"]
    assert outcomes[plan.runs[0].id].reason == "enough"
    assert len([entry for entry in trace_of() if entry[1] == "started"]) == 6

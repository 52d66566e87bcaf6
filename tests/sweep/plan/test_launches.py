"""Several clients at one sweep: who is refused takes back his own part alone."""

from __future__ import annotations

import dataclasses
import os

import pytest

from avatarl.files import read_json, write_json
from avatarl.runs import liveness
from avatarl.runs.outputs import SweepFolder
from avatarl.sweep.plan import launches
from avatarl.sweep.plan.launches import LaunchRecord
from avatarl.sweep.plan.rollback import Rollback


class Client:
    """A launch under way."""

    def __init__(self, sweep, plan, name):
        self.rollback = Rollback()
        self.record = LaunchRecord(sweep, self.rollback)
        self.record.write_launch("local", {"by": name})
        self.record.write_plan(dataclasses.replace(plan, command=(name,)), f"of: {name}\n")

    def refused(self):
        self.rollback.__exit__(ValueError, ValueError(), None)

    def accepted(self):
        self.record.settle()


@pytest.fixture
def client(plan_of, tmp_path):
    plan = plan_of([{}], name="s")
    return lambda name: Client(tmp_path / "outputs" / "sweeps" / "s", plan, name)


@pytest.fixture
def now(tmp_path):
    """Whose plan, launch and command the sweep's folder shows."""

    def look():
        sweep = SweepFolder(tmp_path / "outputs" / "sweeps" / "s")
        if not sweep.path.exists():
            return None
        plan, launch = read_json(sweep.plan), read_json(sweep.launch)
        shown = {plan["command"][0], launch["settings"]["by"], sweep.multirun.read_text()[4:-1]}
        return shown.pop() if len(shown) == 1 else shown

    return look


def test_a_refused_launch_leaves_nothing(client, now, tmp_path):
    client("a").refused()
    assert now() is None
    assert not (tmp_path / "outputs" / "sweeps").exists()


@pytest.mark.parametrize("accepted_first", [True, False])
@pytest.mark.parametrize("refused_is_later", [True, False])
def test_a_refusal_leaves_another_clients_sweep(client, now, refused_is_later, accepted_first):
    first, second = client("a"), client("b")
    refused, other = (second, first) if refused_is_later else (first, second)
    name = "a" if refused_is_later else "b"
    if accepted_first:
        other.accepted()
    refused.refused()
    assert now() == name
    if not accepted_first:
        other.accepted()
    assert now() == name
    assert (other.record._folder / "plan.json").exists()


def test_of_two_refused_clients_neither_leaves_anything(client, now):
    first, second, third = client("a"), client("b"), client("c")
    second.refused()
    assert now() == "c"
    third.refused()
    assert now() == "a"
    first.refused()
    assert now() is None


def test_what_was_there_before_is_there_again(client, now, tmp_path):
    client("a").accepted()
    client("b").refused()
    assert now() == "a"
    # Also of a sweep from before launches were recorded.
    sweep = SweepFolder(tmp_path / "outputs" / "sweeps" / "s")
    for path in sweep.launches.rglob("*.*"):
        path.unlink()
    for path in sweep.launches.iterdir():
        path.rmdir()
    sweep.launches.rmdir()
    client("b").refused()
    assert now() == "a"


def test_accepted_launches_replace_each_other(client, now, tmp_path):
    for name in "abc":
        client(name).accepted()
    assert now() == "c"
    [only] = (tmp_path / "outputs" / "sweeps" / "s" / ".launches").iterdir()
    assert only.name == "3"


def test_a_client_that_goes_on_elsewhere_is_not_forgotten(client, tmp_path):
    sweep = tmp_path / "outputs" / "sweeps" / "s"
    other = client("a")
    note = other.record._folder / "launch.json"
    elsewhere = dataclasses.replace(liveness.this_process(), host="elsewhere")
    write_json(note, {**read_json(note), "owner": dataclasses.asdict(elsewhere)})
    client("b").accepted()
    assert {owner.host for owner in launches.owners(SweepFolder(sweep))} == {
        "elsewhere", liveness.this_process().host,
    }  # fmt: skip


def test_without_hard_links_the_same_holds(client, now, monkeypatch):
    def refuse(*arguments):
        raise PermissionError(1, "no links here")

    monkeypatch.setattr(os, "link", refuse)
    client("a").accepted()
    client("b").refused()
    assert now() == "a"


@pytest.mark.parametrize("place", ["plan.json", ".launches/1/plan.json"])
def test_a_text_that_another_plan_names_is_known(tmp_path, place):
    assert not launches.names_text(tmp_path, "abc")
    path = tmp_path / "other" / place
    path.parent.mkdir(parents=True)
    path.write_text("corpora/abc-folio.json")
    assert launches.names_text(tmp_path, "abc")
    assert not launches.names_text(tmp_path, "abd")

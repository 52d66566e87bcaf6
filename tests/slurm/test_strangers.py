"""Nodes that are machines of their own: nobody sees another's processes, SLURM alone can tell."""

from __future__ import annotations

import json
import os

import pytest
from conftest import job_of, restarts, slurm

from avatarl.runs import ownership

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="name spaces need root")
#: A run takes longer than SLURM needs to give a node up and start its jobs elsewhere.
SLOWLY = {"AVATARL_TEST_PAUSE_S": "0.4"}


@pytest.fixture(scope="module")
def strangers(cluster):
    for node in cluster.NODES:
        cluster.stop_node(node)
        cluster.start_stranger(node)
    for node in cluster.NODES:
        cluster.wait_for_node(node)
    yield cluster
    for node in cluster.NODES:
        cluster.stop_node(node)
        cluster.start_node(node)
    for node in cluster.NODES:
        cluster.wait_for_node(node)


def node_of(job):
    return slurm("squeue", "-h", "-r", "-j", job, "-o", "%N").strip()


def test_each_run_is_computed_once_though_no_node_sees_the_others_processes(
    strangers, sweep, check
):
    clients = [sweep.start(), sweep.start("hydra.launcher.runs_per_job=1")]
    for client in clients:
        code, out = sweep.finish(client)
        assert code == 0, out
    check()
    assert [sweep.starts(seed) for seed in range(3)] == [1, 1, 1]
    owners = [ownership.history(run.folder) for run in sweep.runs().values()]
    assert {owner.host for [owner] in owners} == {"box-node1", "box-node2"}


@pytest.mark.parametrize("lost", ["first run of its pack", "last run of its pack"])
def test_an_orphan_of_a_lost_node_stops_and_writes_nothing_more(strangers, sweep, check, lost):
    sweep.seeds = 2
    client = sweep.start(environment=SLOWLY)
    sweep.wait_for_step(0 if lost.startswith("first") else 1, 10)
    job = job_of(sweep, 0)
    node = node_of(job)
    strangers.kill_slurmd(node)
    try:
        assert strangers.processes_of(node)  # it lives, and goes on
        code, out = sweep.finish(client)
        assert code == 0, out
        assert restarts(job) == 1
        check()
        sweep.wait_for(lambda: not strangers.processes_of(node), what="the orphan's end")
        seed = 0 if lost.startswith("first") else 1
        orphan, heir = ownership.history(sweep.runs()[seed].folder)
        assert orphan.host == f"box-{node}" != heir.host
        assert heir.outcome == "done"
        result = json.loads((sweep.runs()[seed].path / "result.json").read_text())
        assert result["claim"] == 2
        [log] = sweep.sweep.glob(f"slurm/1/submitit/{job}_*_log.out")
        assert "the job goes on elsewhere" in log.read_text()
        assert sweep.starts(1) == (1 if seed == 0 else 2)  # an orphan starts nothing more
    finally:
        strangers.stop_node(node)
        strangers.start_stranger(node)
        strangers.wait_for_node(node)

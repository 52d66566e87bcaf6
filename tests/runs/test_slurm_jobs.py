from __future__ import annotations

from avatarl.runs import slurm_jobs


def test_squeue_columns_are_read():
    widths = [width for _, width in slurm_jobs._FIELDS]
    rows = [
        ("12_0", "RUNNING", "2", "node[1-3]", "None"),
        ("12_1", "PENDING", "0", "", "ReqNodeNotAvail, UnavailableNodes:node2"),
    ]
    text = "\n".join(
        "".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows
    )
    found = slurm_jobs.parse_squeue(text)
    assert found["12_0"] == slurm_jobs.Job("12_0", "RUNNING", 2, "node[1-3]", "None")
    assert found["12_1"].reason == "ReqNodeNotAvail, UnavailableNodes:node2"
    assert [job.active for job in found.values()] == [True, False]
    assert not any(job.over for job in found.values())


def test_where_there_is_no_slurm_nothing_is_claimed_about_jobs(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert slurm_jobs.jobs(["1"], fresh=True) is None
    assert slurm_jobs.lives("1", 0) is None
    assert slurm_jobs.accounted(["1"]) == {}
    assert slurm_jobs.max_array_size() == 1000

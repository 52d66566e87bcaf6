from __future__ import annotations

import json
from pathlib import Path

from avatarl.runs.journal import SCHEMA, JournalWriter


def lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_first_line_says_what_it_is_and_each_record_is_one_line(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    journal = JournalWriter(path, {"run_id": "a"}, None)
    journal.write({"step": 1, "loss": 0.5})
    # Written through: another process sees it while the run goes on.
    assert lines(path) == [{"schema": SCHEMA, "run_id": "a"}, {"step": 1, "loss": 0.5}]
    journal.close()


def test_numbers_that_are_not_finite_become_null(tmp_path: Path) -> None:
    journal = JournalWriter(tmp_path / "m", {}, None)
    journal.write({"step": 1, "a": float("nan"), "b": float("inf")})
    assert lines(tmp_path / "m")[1] == {"step": 1, "a": None, "b": None}
    journal.close()


def test_resuming_drops_what_will_come_again_and_a_line_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "m"
    journal = JournalWriter(path, {"run_id": "a"}, None)
    for step in (1, 2, 3):
        journal.write({"step": step})
    journal.close()
    path.write_text(path.read_text() + '{"step": 4, "lo')
    journal = JournalWriter(path, {"run_id": "a"}, 2)
    journal.write({"step": 3, "again": True})
    journal.close()
    assert lines(path)[1:] == [{"step": 1}, {"step": 2}, {"step": 3, "again": True}]


def test_starting_afresh_forgets_everything(tmp_path: Path) -> None:
    path = tmp_path / "m"
    journal = JournalWriter(path, {"run_id": "a"}, None)
    journal.write({"step": 1})
    journal.close()
    JournalWriter(path, {"run_id": "a"}, None).close()
    assert lines(path) == [{"schema": SCHEMA, "run_id": "a"}]

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarl.runs import journal, records

HEADER = {"schema": 1, "run_id": "x", "name": "n", "corpus_sha256": "c"}


def record(step: int, **metrics: Any) -> dict[str, Any]:
    told = {key.replace("__", "/"): value for key, value in metrics.items()}
    return {"step": step, "characters_seen": step * 10, "time/elapsed_s": 0.1, **told}


def write(path: Path, lines: list[dict[str, Any]], tail: str = "") -> Path:
    file = path / "metrics.jsonl"
    file.write_text("".join(json.dumps(line) + "\n" for line in lines) + tail)
    return file


def test_records_events_and_header_are_told_apart(tmp_path: Path) -> None:
    event = {**record(1), "event": "alarm", "alarm": "calibration", "state": "raised"}
    lines = [HEADER, record(0, val__nats=4.0), event, record(2, train__loss=3.0, val__nats=None)]
    read = records.read(write(tmp_path, lines))
    assert read.header == HEADER
    assert read.events == [event]
    assert read.problems == ()
    assert read.records["step"].to_list() == [0, 2]
    assert read.records["val/nats"].to_list() == [4.0, None]
    assert read.records["train/loss"].to_list() == [None, 3.0]


def test_a_metric_that_appears_late_is_read(tmp_path: Path) -> None:
    lines = [HEADER, *(record(i, train__loss=1.0) for i in range(300)), record(300, val__ece=0.5)]
    assert records.read(write(tmp_path, lines)).records["val/ece"].to_list()[-1] == 0.5


def test_a_cut_off_last_line_is_left_out_and_told(tmp_path: Path) -> None:
    read = records.read(write(tmp_path, [HEADER, record(0, a__b=1.0)], '{"step": 1, "a/b": 0.'))
    assert read.records["a/b"].to_list() == [1.0]
    assert "cut off" in read.problems[0]


def test_a_whole_last_line_without_its_newline_counts(tmp_path: Path) -> None:
    read = records.read(
        write(tmp_path, [HEADER, record(0, a__b=1.0)], json.dumps(record(1, a__b=2.0)))
    )
    assert read.records["a/b"].to_list() == [1.0, 2.0]
    assert read.problems == ()


@pytest.mark.parametrize("junk", ["not json", "\x00\x00\x00", "[1, 2]", '{"a/b": "word"}', "NaN"])
def test_a_broken_line_costs_only_itself(tmp_path: Path, junk: str) -> None:
    file = write(
        tmp_path, [HEADER, record(0, a__b=1.0)], junk + "\n" + json.dumps(record(1, a__b=2.0))
    )
    read = records.read(file, ["a/b"])
    assert read.records["step"].to_list() == [0, 1]
    assert read.records["a/b"].to_list() == [1.0, 2.0]


def test_older_and_newer_schemas_are_read_and_told(tmp_path: Path) -> None:
    older = records.read(write(tmp_path, [record(0, a__b=1.0), record(1, a__b=2.0)]))
    assert older.records.height == 2
    assert "older version" in older.problems[0]
    newer = records.read(write(tmp_path, [{**HEADER, "schema": 9}, record(0, a__b=1.0)]))
    assert newer.records.height == 1
    assert "schema 9" in newer.problems[0]
    assert "newer" in newer.problems[0]


def test_a_resumed_run_counts_each_step_once_and_the_later_one(tmp_path: Path) -> None:
    lines = [
        HEADER,
        *(record(i, a__b=float(i)) for i in range(5)),
        record(3, a__b=30.0),
        record(4, a__b=40.0),
    ]
    read = records.read(write(tmp_path, lines))
    assert read.records["step"].to_list() == [0, 1, 2, 3, 4]
    assert read.records["a/b"].to_list() == [0.0, 1.0, 2.0, 30.0, 40.0]


def test_a_missing_file_is_empty_and_told(tmp_path: Path) -> None:
    read = records.read(tmp_path / "metrics.jsonl", ["a/b"])
    assert read.records.height == 0
    assert read.records.columns == ["step", "characters_seen", "a/b"]
    assert "is missing" in read.problems[0]


@given(st.binary(max_size=400))
def test_no_bytes_at_all_make_it_raise(raw: bytes) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "metrics.jsonl"
        file.write_bytes(json.dumps(HEADER).encode() + b"\n" + raw)
        for wanted in (None, ["a/b"]):
            assert records.read(file, wanted).records.columns[:2] == ["step", "characters_seen"]
        assert isinstance(journal.latest(file), dict)
        assert isinstance(journal.metric_names(file), list)


def test_latest_and_names_look_at_both_ends_of_a_long_file(tmp_path: Path) -> None:
    lines = [HEADER, record(0, early__one=1.0)]
    lines += [record(i, train__loss=float(i)) for i in range(1, 3000)]
    lines += [record(3000, val__nats=1.5)]
    file = write(tmp_path, lines, '{"step": 30')
    assert file.stat().st_size > 3 * (1 << 16)
    assert journal.latest(file)["train/loss"] == 2999.0
    assert journal.latest(file)["val/nats"] == 1.5
    assert {"early/one", "train/loss", "val/nats"} <= set(journal.metric_names(file))

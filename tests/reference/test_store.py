from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import numpy as np
import pytest
import torch

from avatarl.reference import store
from avatarl.reference.kneser_ney import Config
from avatarl.reference.schedule import Constant

IDS = np.random.default_rng(0).integers(0, 9, 4000)


def kneser_ney(cache_dir, ids=IDS, order=5, fit=None):
    config = Config(
        "kneser_ney", "kneser_ney", fit, str(cache_dir), Constant("constant"), "window", order
    )
    return config.build(ids, 9, torch.device("cpu"))


def folders(cache_dir):
    return sorted(p for p in Path(cache_dir).iterdir() if not p.name.startswith("."))


def stamp(folder):
    return {p.name: (p.stat().st_ino, p.stat().st_mtime_ns) for p in folder.iterdir()}


def test_a_table_is_built_once_and_read_back_the_same(tmp_path):
    first = kneser_ney(tmp_path)
    (folder,) = folders(tmp_path)
    before = stamp(folder)
    again = kneser_ney(tmp_path)
    assert stamp(folder) == before
    for name, tensor in first.arrays.tensors().items():
        assert torch.equal(tensor, again.arrays.tensors()[name])
    assert {p.suffix for p in folder.iterdir()} == {".npy", ".json"}


def test_text_vocabulary_and_settings_have_tables_of_their_own(tmp_path):
    kneser_ney(tmp_path)
    kneser_ney(tmp_path, ids=IDS[::-1])
    kneser_ney(tmp_path, order=4)
    kneser_ney(tmp_path, fit=3)
    kneser_ney(tmp_path, fit="loo")
    assert len(folders(tmp_path)) == 5
    ids = np.arange(4)
    assert store.fingerprint(ids, 4, {}) != store.fingerprint(ids, 5, {})


@pytest.mark.parametrize("damage", ["truncated", "version", "index", "missing"])
def test_a_damaged_or_foreign_table_is_built_again(tmp_path, damage):
    whole = kneser_ney(tmp_path).arrays.table.clone()
    (folder,) = folders(tmp_path)
    table, index = folder / "table.npy", folder / "index.json"
    if damage == "truncated":
        os.truncate(table, table.stat().st_size // 2)
    elif damage == "version":
        index.write_text(index.read_text().replace('"format": 1', '"format": 0'))
    elif damage == "index":
        index.write_text("{")
    else:
        table.unlink()
    again = kneser_ney(tmp_path)
    assert torch.equal(again.arrays.table, whole)
    assert store._open(folder) is not None
    assert folders(tmp_path) == [folder]


def test_a_failed_write_leaves_nothing(tmp_path, monkeypatch, caplog):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(store, "write_json", full)
    assert kneser_ney(tmp_path).logprobs(torch.tensor([1])).isfinite().all()
    assert folders(tmp_path) == []
    assert [p.name for p in tmp_path.iterdir() if p.is_dir()] == []
    assert "No space left" in caplog.text


def test_an_unusable_folder_costs_only_a_warning(tmp_path, caplog):
    blocked = tmp_path / "file"
    blocked.write_text("")
    assert kneser_ney(blocked).order == 5
    assert "can't be used" in caplog.text


def _build_and_note(cache_dir, notes):
    def make():
        (Path(notes) / str(os.getpid())).touch()
        return {"x": torch.arange(1000)}

    assert torch.equal(store.cached(cache_dir, "same", make)["x"], torch.arange(1000))


def test_of_many_processes_one_builds(tmp_path):
    notes = tmp_path / "notes"
    notes.mkdir()
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=_build_and_note, args=(tmp_path / "cache", notes)) for _ in range(6)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 6
    assert len(list(notes.iterdir())) == 1


@pytest.mark.parametrize("part", ["table", "links", "row_count", "row_order", "train_rows"])
def test_cells_overwritten_in_place_are_noticed_told_and_built_again(tmp_path, part, caplog):
    whole = {name: tensor.clone() for name, tensor in kneser_ney(tmp_path).arrays.tensors().items()}
    (folder,) = folders(tmp_path)
    path = next(path for path in folder.glob("*.npy") if part in path.name)
    stored = np.load(path)
    cells = stored.reshape(-1)
    cells[: max(1, cells.size // 10)] = 1
    with path.open("r+b") as file:
        np.save(file, stored)
    store._checked.clear()  # as another process
    with caplog.at_level("WARNING", "avatarl"):
        again = kneser_ney(tmp_path).arrays.tensors()
    assert [f"{path} is damaged: built again"] == [record.message for record in caplog.records]
    for name, tensor in whole.items():
        assert torch.equal(tensor, again[name]), name


def test_a_process_checks_a_table_once(tmp_path, monkeypatch):
    kneser_ney(tmp_path)
    monkeypatch.setattr(store, "_sha256", lambda path: pytest.fail("read again"))
    kneser_ney(tmp_path)


def test_the_cache_lets_go_of_what_was_used_least_recently(tmp_path, monkeypatch):
    kneser_ney(tmp_path, order=3)
    (first,) = folders(tmp_path)
    kneser_ney(tmp_path, order=4)
    (second,) = set(folders(tmp_path)) - {first}
    for used, folder in ((1, first), (2, second)):
        os.utime(folder / "index.json", (used, folder.stat().st_mtime))
    kneser_ney(tmp_path, order=3)  # used again: the other one is older now
    sizes = {folder: sum(p.stat().st_size for p in folder.iterdir()) for folder in (first, second)}
    monkeypatch.setenv(store.MOST_GIB, str((sizes[first] + sizes[second]) / 2**30))
    kneser_ney(tmp_path, order=2)
    assert second not in folders(tmp_path)
    assert first in folders(tmp_path)
    monkeypatch.setenv(store.MOST_GIB, "0")
    kneser_ney(tmp_path, order=5)
    assert len(folders(tmp_path)) == 1  # the newest stays, whatever the bound


@pytest.mark.parametrize("typed", ["much", "nan", "-1"])
def test_a_bound_that_cant_be_used_is_told_and_nothing_goes(tmp_path, monkeypatch, caplog, typed):
    kneser_ney(tmp_path, order=2)
    monkeypatch.setenv(store.MOST_GIB, typed)
    kneser_ney(tmp_path, order=3)
    assert len(folders(tmp_path)) == 2
    refused = f"{store.MOST_GIB}='{typed}' can't be used; valid: a number of GiB, 0 or more"
    assert refused in caplog.text


def test_what_killed_writers_left_goes_and_what_is_being_written_does_not(tmp_path):
    left, fresh = (tmp_path / f".{letter * 32}.x1y2z3" for letter in "ab")
    other = tmp_path / ".somebody"
    for folder in (left, fresh, other):
        folder.mkdir()
        (folder / "table.npy").write_bytes(b"x")
    for folder in (left, other):
        os.utime(folder, (1, 1))
    kneser_ney(tmp_path, order=2)
    assert (left.exists(), fresh.exists(), other.exists()) == (False, True, True)

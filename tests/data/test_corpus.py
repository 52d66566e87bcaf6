from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Literal

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from avatarl.data.base import RawText
from avatarl.data.corpus import Corpus, prepare, read_prepared
from avatarl.errors import DataError

# Everything a UTF-8 file can hold, carriage returns and astral characters included.
TEXTS = st.text(st.characters(exclude_categories=["Cs"]), min_size=4, max_size=60)


def corpus_of(
    text: str, train_fraction: float = 0.5, unseen: Literal["error", "keep"] = "keep"
) -> Corpus:
    return Corpus.from_text(RawText("given", text), train_fraction=train_fraction, unseen=unseen)


@given(TEXTS, st.floats(0.3, 0.7))
def test_split_and_numbering_lose_nothing(text: str, fraction: float) -> None:
    corpus = corpus_of(text, fraction)
    assert corpus.text == text
    assert len(corpus.train) == int(fraction * len(text))
    assert corpus.characters == tuple(sorted(set(text)))
    assert corpus.vocab_size == len(set(text))
    assert corpus.text_sha256 == hashlib.sha256(text.encode()).hexdigest()
    np.testing.assert_array_equal(corpus.encode(text[: len(corpus.train)]), corpus.train)


def test_ids_are_ranks_in_the_sorted_vocabulary() -> None:
    corpus = corpus_of("baab\r\nab", 0.75)
    assert corpus.characters == ("\n", "\r", "a", "b")
    assert corpus.train.tolist() == [3, 2, 2, 3, 1, 0]
    assert corpus.heldout.tolist() == [2, 3]


@pytest.mark.parametrize(("distinct", "dtype"), [(1, "u1"), (256, "u1"), (257, "u2")])
def test_dtype_is_the_smallest_that_holds_the_vocabulary(distinct: int, dtype: str) -> None:
    text = "".join(chr(0x4E00 + i) for i in range(distinct)) * 2
    corpus = corpus_of(text)
    assert corpus.train.dtype == corpus.heldout.dtype == corpus.encode(text).dtype == dtype
    assert corpus.decode(corpus.train) == text[:distinct]


def test_encode_names_foreign_characters() -> None:
    with pytest.raises(DataError, match="'Z', 'é'"):
        corpus_of("abab").encode("aZbé~"[:4])


def test_dev_slice_is_one_end_of_the_training_text() -> None:
    corpus = corpus_of("abcdefghij" * 4)
    sides: list[Literal["start", "end"]] = ["start", "end"]
    for side in sides:
        fit, dev = corpus.split_dev(0.1, side)
        assert (len(fit), len(dev)) == (18, 2)
        parts = [dev, fit] if side == "start" else [fit, dev]
        np.testing.assert_array_equal(np.concatenate(parts), corpus.train)
        fit, dev = corpus.split_dev(0.0, side)
        assert (len(fit), len(dev)) == (20, 0)


def test_unseen_heldout_character_is_refused_with_the_way_out() -> None:
    with pytest.raises(DataError, match=r"'x', 'é'.*data.unseen=keep") as caught:
        corpus_of("ababaé" + "x", 0.7, "error")
    assert caught.value.key == "data.unseen"


def test_unseen_heldout_character_is_kept_on_demand_and_noted() -> None:
    corpus = corpus_of("ababxx", 0.7, "keep")
    assert corpus.characters == ("a", "b", "x")
    assert "'x'" in corpus.notes[0]
    assert "2 position(s)" in corpus.notes[0]
    assert corpus_of("abababab").notes == ()


@pytest.mark.parametrize("text", ["", "a"])
def test_text_too_short_to_split(text: str) -> None:
    with pytest.raises(DataError, match="empty"):
        corpus_of(text)


def test_context_must_leave_a_target_in_both_parts() -> None:
    corpus = corpus_of("ab" * 50, 0.9)  # 90 train, 10 held out
    corpus.check_context(9)
    with pytest.raises(DataError, match="at most 9") as caught:
        corpus.check_context(10)
    assert caught.value.key == "model.context_length"
    assert "held-out" in str(caught.value)


@given(TEXTS)
def test_prepared_text_comes_back_exactly(tmp_path_factory: pytest.TempPathFactory, text: str):
    folder = tmp_path_factory.mktemp("prepared")
    corpus = corpus_of(text)
    again = Corpus.from_prepared(prepare(corpus, folder), train_fraction=0.5, unseen="keep")
    assert (again.text, again.text_sha256, again.name) == (text, corpus.text_sha256, "given")
    assert (folder / f"{corpus.text_sha256}.txt").read_bytes() == text.encode()


def test_same_text_can_be_prepared_as_asked_for_and_as_fallback(tmp_path: Path) -> None:
    asked = RawText("folio", "abab")
    fallen = RawText("folio", "abab", "no network")
    paths = [
        prepare(Corpus.from_text(raw, train_fraction=0.5, unseen="error"), tmp_path)
        for raw in (asked, fallen)
    ]
    assert [read_prepared(path) for path in paths] == [asked, fallen]


def test_changed_prepared_text_is_refused(tmp_path: Path) -> None:
    corpus = corpus_of("abab")
    path = prepare(corpus, tmp_path)
    text_file = tmp_path / f"{corpus.text_sha256}.txt"
    text_file.write_bytes(b"abba")
    with pytest.raises(DataError, match=f"{text_file.name}.*{corpus.text_sha256}"):
        read_prepared(path)
    text_file.unlink()
    with pytest.raises(DataError, match="no such file"):
        read_prepared(path)


@pytest.mark.parametrize("content", ["{", "[]", json.dumps({"name": "x"})])
def test_damaged_description_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "corpus.json"
    path.write_text(content)
    with pytest.raises(DataError, match="corpus description"):
        read_prepared(path)
    with pytest.raises(DataError, match="no such file"):
        read_prepared(tmp_path / "missing.json")

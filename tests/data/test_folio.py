from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
import yaml

from avatarl.data import folio, load
from avatarl.options import read

SIXTY_FIVE = "\n !$&',-.3:;?ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"


def config(characters: int = folio.CHARACTERS, seed: int = folio.SEED) -> folio.Config:
    return folio.Config(
        name="folio", kind="folio", train_fraction=0.9, dev_fraction=0.05,
        dev_from="start", unseen="error",
        characters=characters, seed=seed,
    )  # fmt: skip


def test_text_is_the_same_everywhere() -> None:
    # Results name this text by its hash: changing a word of the lexicon is changing the corpus.
    digest = hashlib.sha256(folio.write_text(100_000, 1).encode()).hexdigest()
    assert digest == "6256dbca07b06b3f3a0f7999e1063e7035c27ac9c3c5a9c1ed2bebbc2ccf9db3"


def test_text_depends_on_its_seed_and_starts_alike_at_any_length() -> None:
    text = folio.write_text(50_000, 3)
    assert len(text) == 50_000
    assert folio.write_text(20_000, 3) == text[:20_000]
    assert folio.write_text(20_000, 4) != text[:20_000]


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_all_characters_of_tinyshakespeare_in_both_parts(seed: int) -> None:
    corpus = load(config(seed=seed))
    assert len(corpus.train) + len(corpus.heldout) == 1_000_000
    assert "".join(corpus.characters) == SIXTY_FIVE
    for part in (corpus.train, corpus.heldout):
        assert len(np.unique(part)) == 65


@pytest.mark.parametrize("seed", range(5))
def test_a_short_text_trains_on_every_character(seed: int) -> None:
    corpus = load(config(2_000, seed))
    assert corpus.vocab_size == 65
    assert corpus.notes == ()


@pytest.mark.tinyshakespeare
def test_alphabet_is_that_of_tinyshakespeare(tinyshakespeare_path: Path) -> None:
    text = tinyshakespeare_path.read_bytes().decode()
    assert "".join(sorted(set(text))) == SIXTY_FIVE


def add_one_nats(train: np.ndarray, heldout: np.ndarray, order: int) -> float:
    def grams(ids: np.ndarray) -> np.ndarray:
        codes = np.zeros(len(ids) - order + 1, np.int64)
        for offset in range(order):
            codes = codes * 65 + ids[offset : len(ids) - order + 1 + offset]
        return codes

    counts = np.bincount(grams(train), minlength=65**order).reshape(-1, 65) + 1
    seen = grams(heldout)
    probability = counts.reshape(-1)[seen] / counts.sum(axis=1)[seen // 65]
    return float(-np.log(probability).mean())


def test_each_longer_context_tells_more_as_in_real_text() -> None:
    corpus = load(config())
    one, two, three, four = (add_one_nats(corpus.train, corpus.heldout, n) for n in (1, 2, 3, 4))
    assert 3.2 < one < 3.4
    assert one - two > 0.5
    assert two - three > 0.3
    assert three - four > 0.1
    assert 1.3 < four < 2.0  # a 4-gram gets far, but doesn't solve it


def test_plays_look_like_plays() -> None:
    lines = folio.write_text(200_000, 1).split("\n")
    speakers = {line for line in lines if line.endswith(":") and len(line) < 30}
    assert len(speakers) > 40
    assert max(map(len, lines)) < 110
    assert 25 < np.mean([len(line) for line in lines if line]) < 45


@pytest.mark.parametrize(
    ("entry", "forms"),
    [
        ("love", ("love", "lovest", "loveth", "loves", "loved", "loved", "loving")),
        ("pity", ("pity", "pitiest", "pitieth", "pities", "pitied", "pitied", "pitying")),
        ("beg", ("beg", "beggest", "beggeth", "begs", "begged", "begged", "begging")),
        ("obey", ("obey", "obeyest", "obeyeth", "obeys", "obeyed", "obeyed", "obeying")),
        ("see/saw/seen", ("see", "seest", "seeth", "sees", "saw", "seen", "seeing")),
        ("lie/lay/lain", ("lie", "liest", "lieth", "lies", "lay", "lain", "lying")),
        ("vex", ("vex", "vexest", "vexeth", "vexes", "vexed", "vexed", "vexing")),
    ],
)
def test_verbs_are_conjugated(entry: str, forms: tuple[str, ...]) -> None:
    assert tuple(folio._conjugate(entry)) == forms


def test_fallback_text_is_the_default_folio() -> None:
    defaults = yaml.safe_load((Path(__file__).parents[2] / "conf/data/folio.yaml").read_text())
    assert (defaults["characters"], defaults["seed"]) == (folio.CHARACTERS, folio.SEED)
    assert read(folio.Config, defaults, "data") == config()

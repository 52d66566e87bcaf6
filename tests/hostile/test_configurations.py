"""Odd configurations: each is refused in one line that names the key and what is valid, or is fine.

``AVATARL_FUZZ`` sets how many are tried and ``AVATARL_FUZZ_SEED`` which ones.
"""

from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from avatarl import composition
from avatarl.composition.errors import describe_error, is_about_words
from avatarl.errors import UserError

COUNT = int(os.environ.get("AVATARL_FUZZ", "250"))
SEED = int(os.environ.get("AVATARL_FUZZ_SEED", str(random.randrange(10**6))))

GROUPS = [
    "data", "model", "reference", "explorer", "reward", "objective", "opponent", "optimizer",
    "trainer", "health", "tracking",
]  # fmt: skip
LEAVES = [
    "seed", "name", "output_dir", "trainer.steps", "trainer.epochs", "trainer.batch_size",
    "trainer.device", "trainer.precision", "trainer.threads", "optimizer.lr", "optimizer.schedule",
    "objective.kl_coef", "objective.ent_min", "objective.baseline", "reward.weight",
    "reward.confidence_weight", "explorer.select", "reference.order", "reference.cross_fit",
    "reference.schedule", "reference/schedule", "data.characters", "data.seed", "data.unseen",
    "data.train_fraction", "model.n_embd", "model.kind", "health.on_nonfinite", "tracking.mode",
    "tracking.tags", "tracking.run_name", "opponent.every", "hydra.launcher", "hydra.run.dir",
]  # fmt: skip
VALUES = [
    "", "null", "true", "-1", "0", "1", "1.5", "1e3", "1e400", "nan", "-inf", "10**12", "x", "~",
    "[]", "{}", "[1,2]", "{a:1}", "[[]]", "'1'", '"x y"', "1,2", "range(0,3)", "glob(*)",
    "choice()", "${seed}", "${nothing}", "${oc.env:NOTHING}", "${", "???", "é", "漢字", "a=b",
    "a#b", "(", "[", "a b", "\\", "'", "/dev/null/x", "../../x", "a/b", "\x1b[31m", "a\nb",
    "x" * 10_000, "9" * 5_000,
    "0x10", "window_attention", "os.path", "%j", "$HOME", "@", "!!python/none", "int(x)",
]  # fmt: skip
PREFIXES = ["", "", "", "", "", "", "+", "++", "~"]
SUFFIXES = ["", "", "", "", "", ".x", "@x", ".0", "x", "/x", " "]

#: Each was once a traceback, or a line that left the key or what is valid unsaid.
PAST = [
    *(f"{group}=null" for group in GROUPS), "model.kind=window_attention", "explorer={a:1}",
    "~explorer=xx", "~explorer", "~seed", "data.path=/tmp/é", "data.path=/tmp/a=b", "trainer=1",
    "data.path=/tmp/a#b", "data.path=/tmp/a(b", "data.path=/tmp/a[b", "output_dir=/tmp/ñ",
    "reference.cross_fit=1000000000000", "reference/schedule=null", "trainer=[]", "output_dir=",
    "reward.weight=" + "9" * 10_000, "reward=" + "a" * 10_000, "a" * 10_000 + "=1", "=1", "word",
    "reward@foo=match", "+reward=match", "++reward=match", "reward=[match,mixed]", "seed=1,2",
    "objective.kl_coef=${nothing}", "objective.kl_coef=${objective.kl_coef}", "hydra.mode=foo",
    "objective.kl_coef=${foo:1}", "hydra.run.dir=null", "optimizer.lr=1e400", "name=a\x1bb",
    "hydra.launcher=" + "9" * 10_000, "name=a\nb", "seed=choice()", "trainer.steps=1e3",
    "seed=null", "seed=true", "++model.kind=null", "++reward.kind=null",
]  # fmt: skip


def odd_words(draw: random.Random) -> list[str]:
    words = []
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        key = draw.choice(PREFIXES) + draw.choice([*GROUPS, *LEAVES]) + draw.choice(SUFFIXES)
        if draw.random() < 0.05:
            key = draw.choice(["", "é", "a" * 300, "hydra", "hydra.launcher.workers", "."])
        bare = key.startswith("~") and draw.random() < 0.5
        words.append(key if bare else f"{key}={draw.choice(VALUES)}")
    return words


def fault(words: list[str], place: Path) -> str | None:
    """What is wrong with how some words are answered; None: nothing."""
    base = ["data=folio", "data.characters=20000", "tracking=files", f"output_dir={place}"]
    try:
        composition.identify(composition.compose([*base, *words]))
    except Exception as error:
        if not is_about_words(error):
            return f"{type(error).__name__} gets through: {error}"[:300]
        message = describe_error(error, words)
        keys = [word.partition("=")[0].strip("+~ ") for word in words]
        spelt = [key[:60] for key in keys]
        named = [key for key in spelt if key in message or key.replace("/", ".") in message]
        if len(words) > 1:  # two settings that exclude each other are told by either of them
            named += [key for key in spelt if key.partition(".")[0].partition("/")[0] in message]
        if not named:
            return f"no key in: {message[:300]}"
        if "valid: " not in message or not message.partition("valid: ")[2].strip():
            return f"nothing valid in: {message[:300]}"
        if not message.isprintable():
            return f"not one printable line: {message[:300]!r}"
        if len(message) > 1_500:
            return f"{len(message)} characters: {message[:300]}"
    return None


@pytest.mark.hostile
@pytest.mark.parametrize("word", PAST, ids=[word[:40] for word in PAST])
def test_what_once_went_wrong_is_refused_in_one_line(word: str, tmp_path: Path) -> None:
    assert fault([word], tmp_path / "outputs") is None
    with pytest.raises(UserError):
        composition.identify(composition.compose(["data=folio", "data.characters=20000", word]))
    assert not list(tmp_path.iterdir())


@pytest.mark.hostile
def test_odd_configurations_are_answered_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    print(f"AVATARL_FUZZ={COUNT} AVATARL_FUZZ_SEED={SEED}")
    monkeypatch.chdir(tmp_path)
    draw = random.Random(SEED)
    faults = []
    for _ in range(COUNT):
        words = odd_words(draw)
        if found := fault(words, tmp_path / "outputs"):
            faults.append(f"{[word[:60] for word in words]}: {found}")
    assert not faults, "\n".join(faults)
    assert not list(tmp_path.iterdir())

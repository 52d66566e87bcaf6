"""Texts to learn from: where they come from, how they are split, numbered and cut into windows."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

from avatarl.data.base import Config
from avatarl.data.corpus import Corpus, prepare
from avatarl.data.windows import Windows, heldout_windows

__all__ = ["Config", "Corpus", "Windows", "heldout_windows", "load", "prepare"]


def load(config: Config, prepared: Path | None = None) -> Corpus:
    """Return the corpus that a configuration asks for, read once per process.

    Args:
        config: Settings of the ``data`` group.
        prepared: A file that :func:`prepare` returned: use exactly that text, wherever the
            configuration would look for one.

    Raises:
        DataError: The text can't be had or can't be used.
    """
    stamp = config.stamp() if prepared is None else ()
    return _load(config, prepared, stamp)


# A few at most: a sweep over texts takes them in turn, and each one holds its ids.
@lru_cache(maxsize=4)
def _load(config: Config, prepared: Path | None, stamp: tuple[object, ...]) -> Corpus:
    if prepared is not None:
        return Corpus.from_prepared(
            prepared, train_fraction=config.train_fraction, unseen=config.unseen
        )
    return Corpus.from_text(
        config.read(), train_fraction=config.train_fraction, unseen=config.unseen
    )

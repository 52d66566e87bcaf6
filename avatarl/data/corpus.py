"""A text as numbers: vocabulary, training part, held-out part."""

from __future__ import annotations

import hashlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from avatarl.data.base import RawText, Unseen, decode_utf8, read_bytes
from avatarl.errors import DataError
from avatarl.files import read_json, write_atomic, write_json

Ids = npt.NDArray[np.unsignedinteger[Any]]


@dataclass(frozen=True, eq=False)
class Corpus:
    """A text split in two and numbered by its sorted characters.

    Attributes:
        name: Which text this is; after a fallback, the name of the text really used.
        text_sha256: Hex sha256 of the text's UTF-8 bytes.
        characters: The V distinct characters of the whole text, sorted by code point.
        train: (N,) ids of the first part, uint8 up to V = 256, else wider.
        heldout: (M,) ids of the rest, same dtype.
        fallback_reason: Why this text stands in for the one asked for, else None.
        notes: Sentences a reader of the results should know.
    """

    name: str
    text_sha256: str
    characters: tuple[str, ...]
    train: Ids
    heldout: Ids
    fallback_reason: str | None = None
    notes: tuple[str, ...] = field(default=())

    @classmethod
    def from_text(cls, raw: RawText, *, train_fraction: float, unseen: Unseen) -> Corpus:
        """Split and number a text.

        Args:
            raw: The text.
            train_fraction: In (0, 1); the first ``int(train_fraction * length)`` characters train.
            unseen: ``error`` refuses held-out characters that training never saw, ``keep``
                leaves them in the vocabulary and adds a note.

        Raises:
            DataError: The text is too short to split, or has unseen characters under ``error``.
        """
        points = _code_points(raw.text)
        n_train = int(train_fraction * len(points))
        if not 0 < n_train < len(points):
            why = f"its {len(points)} character(s) leave the training or the held-out part empty"
            raise DataError("data", raw.name, "a longer text or another data.train_fraction", why)
        # Numbered through a table of all code points: sorting a long text takes far longer.
        seen = np.zeros(sys.maxunicode + 1, dtype=np.bool_)
        seen[points] = True
        vocabulary = np.flatnonzero(seen)
        # The smallest unsigned type that holds V - 1.
        number = np.zeros(len(seen), np.min_scalar_type(len(vocabulary) - 1))
        number[vocabulary] = np.arange(len(vocabulary))
        ids: Ids = number[points]
        characters = tuple(map(chr, vocabulary.tolist()))
        train, heldout = ids[:n_train], ids[n_train:]
        return cls(
            name=raw.name,
            text_sha256=_sha256(raw.text.encode()),
            characters=characters,
            train=train,
            heldout=heldout,
            fallback_reason=raw.fallback_reason,
            notes=_notes_on_unseen(characters, train, heldout, unseen),
        )

    @classmethod
    def from_prepared(cls, path: Path, *, train_fraction: float, unseen: Unseen) -> Corpus:
        """Build the corpus from what :func:`prepare` stored; see :meth:`from_text`.

        Raises:
            DataError: The stored text is missing or isn't the text that was stored.
        """
        return cls.from_text(read_prepared(path), train_fraction=train_fraction, unseen=unseen)

    @property
    def vocab_size(self) -> int:
        """V, the number of distinct characters."""
        return len(self.characters)

    @property
    def text(self) -> str:
        """The whole text, exactly as it was read."""
        return self.decode(self.train) + self.decode(self.heldout)

    def encode(self, text: str) -> Ids:
        """Return the ids of a text, (length,), in the dtype of ``train``.

        Raises:
            DataError: A character isn't in the vocabulary.
        """
        vocabulary = _code_points("".join(self.characters))
        points = _code_points(text)
        ids = np.searchsorted(vocabulary, points).clip(max=self.vocab_size - 1)
        foreign = points[vocabulary[ids] != points]
        if foreign.size:
            why = f"not in the corpus {self.name}: {_name_characters(np.unique(foreign))}"
            raise DataError("text", text[:40], f"its {self.vocab_size} characters", why)
        return ids.astype(self.train.dtype)

    def decode(self, ids: npt.ArrayLike) -> str:
        """Return the text of a flat sequence of ids."""
        vocabulary = _code_points("".join(self.characters))
        flat = np.asarray(ids, dtype=np.int64).reshape(-1)
        return vocabulary[flat].tobytes().decode("utf-32-le")

    def split_dev(self, fraction: float, side: Literal["start", "end"]) -> tuple[Ids, Ids]:
        """Cut a development slice off one end of the training text.

        Args:
            fraction: Share of the training text, in [0, 1).
            side: Where it is cut off.

        Returns:
            ``(fit, dev)``, views of ``train``; ``dev`` has ``int(fraction * N)`` ids.
        """
        size = int(fraction * len(self.train))
        if side == "start":
            return self.train[size:], self.train[:size]
        return self.train[: len(self.train) - size], self.train[len(self.train) - size :]

    def check_context(self, context_length: int) -> None:
        """Refuse a context so long that some part of the text holds no target after it.

        Raises:
            DataError: On ``model.context_length``.
        """
        longest = min(len(self.train), len(self.heldout)) - 1
        if context_length > longest:
            part = "training" if len(self.train) <= len(self.heldout) else "held-out"
            why = f"the {part} text of {self.name} has {longest + 1} characters"
            if longest < 1:
                raise DataError("data", self.name, "a longer text or another split of it", why)
            raise DataError("model.context_length", context_length, f"at most {longest}", why)


def prepare(corpus: Corpus, directory: Path) -> Path:
    """Store a corpus' exact text, so that a job started later learns from these very bytes.

    The text goes to ``<sha256>.txt``; what else there is to know goes to a JSON file beside it.

    Returns:
        The JSON file, for :func:`read_prepared`.

    Raises:
        OSError: The directory can't be written.
    """
    text_file = directory / f"{corpus.text_sha256}.txt"
    write_atomic(text_file, corpus.text.encode())
    # One text can have two stories: folio asked for, and folio standing in for another text.
    story = "-fallback" if corpus.fallback_reason else ""
    description = directory / f"{corpus.text_sha256}-{corpus.name}{story}.json"
    content = {
        "schema": 1,
        "name": corpus.name,
        "text_sha256": corpus.text_sha256,
        "fallback_reason": corpus.fallback_reason,
    }
    write_json(description, content)
    return description


def read_prepared(path: Path) -> RawText:
    """Read back what :func:`prepare` stored, checking the text's hash.

    Raises:
        DataError: A file is missing, damaged, or its text isn't the text that was stored.
    """
    valid = "the corpus stored with the plan; plan the sweep again"
    try:
        description = read_json(path)
        name, expected = str(description["name"]), str(description["text_sha256"])
        reason = description["fallback_reason"]
    except FileNotFoundError as error:
        raise DataError("data", str(path), valid, "no such file") from error
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise DataError("data", str(path), valid, "not a corpus description") from error
    text_file = path.with_name(f"{expected}.txt")
    stored = read_bytes(text_file, "data")
    if _sha256(stored) != expected:
        why = f"its sha256 is {_sha256(stored)}, the planned text's is {expected}"
        raise DataError("data", str(text_file), valid, why)
    return RawText(name, decode_utf8(stored, str(text_file), "data"), reason)


def _notes_on_unseen(
    characters: tuple[str, ...], train: Ids, heldout: Ids, unseen: Unseen
) -> tuple[str, ...]:
    missing = np.flatnonzero(
        (np.bincount(heldout, minlength=len(characters)) > 0)
        & (np.bincount(train, minlength=len(characters)) == 0)
    )
    if not missing.size:
        return ()
    named = _name_characters(np.array([ord(characters[i]) for i in missing], dtype="<u4"))
    positions = int(np.isin(heldout, missing).sum())
    if unseen == "error":
        raise DataError(
            "data.unseen",
            unseen,
            ("a longer text, or " if len(heldout) < 9 else "")
            + "data.unseen=keep, which keeps them in the vocabulary: no training position has them "
            "as target, and references give them smoothing mass only",
            f"the held-out text has characters that training never saw: {named}",
        )
    return (
        f"The held-out text has characters that training never saw ({named}, "
        f"{positions} position(s)); they are kept in the vocabulary.",
    )


def _name_characters(points: npt.NDArray[np.uint32], limit: int = 10) -> str:
    shown = ", ".join(repr(chr(point)) for point in points[:limit].tolist())
    return shown if len(points) <= limit else f"{shown} and {len(points) - limit} more"


def _code_points(text: str) -> npt.NDArray[np.uint32]:
    return np.frombuffer(text.encode("utf-32-le"), dtype="<u4")


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()

"""What every source of text has in common."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from annotated_types import Ge, Gt, Lt

from avatarl.errors import DataError, reason_of
from avatarl.options import Later, Option

Unseen = Literal["error", "keep"]


@dataclass(frozen=True)
class RawText:
    """A text before it is split and numbered.

    Attributes:
        name: Corpus name that results carry.
        text: The whole text, exactly as read (no newline translation).
        fallback_reason: Why this text stands in for the one asked for; None if it is that one.
    """

    name: str
    text: str
    fallback_reason: str | None = None


@dataclass(frozen=True)
class Config(Option, ABC):
    """Settings of every data option.

    Attributes:
        name: The option's name.
        train_fraction: Share of the text, from its start, that trains; the rest is held out.
        dev_fraction: Share of the training text set aside where a part of the run needs a
            development slice.
        dev_from: The end of the training text that it is cut off.
        unseen: What to do about held-out characters that training never saw.
    """

    train_fraction: Annotated[float, Gt(0), Lt(1)]
    dev_fraction: Annotated[float, Ge(0), Lt(0.5)]
    # The end of the training text may share a work with the held-out text: setting it aside takes
    # from training what would help there most.
    dev_from: Annotated[Literal["start", "end"], Later("end")]
    unseen: Unseen

    @abstractmethod
    def read(self) -> RawText:
        """Return the text.

        Raises:
            DataError: The text can't be had or isn't usable.
        """

    def stamp(self) -> tuple[object, ...]:
        """Return what else, besides the settings, decides which text is read (for caching)."""
        return ()


def read_utf8(path: Path, key: str) -> str:
    """Read a text file as it is: strict UTF-8, carriage returns and all.

    Args:
        path: An existing file.
        key: The setting to name in errors.

    Raises:
        DataError: The file can't be read, is empty or isn't UTF-8.
    """
    return decode_utf8(read_bytes(path, key), str(path), key)


def read_bytes(path: Path, key: str) -> bytes:
    """Read a file whole.

    Raises:
        DataError: The file doesn't exist, is a folder or can't be read.
    """
    if path.exists() and not path.is_file():
        # A pipe would wait for a writer that may never come, a device may have no end.
        kind = "is a directory" if path.is_dir() else "is no regular file"
        raise DataError(key, str(path), "a readable UTF-8 text file", kind)
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(key, str(path), "a readable UTF-8 text file", reason_of(error)) from error


def decode_utf8(raw: bytes, origin: str, key: str) -> str:
    """Decode strictly.

    Raises:
        DataError: Nothing there, or a byte sequence that isn't UTF-8 (its offset is told).
    """
    if not raw:
        raise DataError(key, origin, "a UTF-8 text file with some text", "the file is empty")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        why = f"not UTF-8: byte 0x{raw[error.start]:02x} at offset {error.start}"
        raise DataError(key, origin, "a UTF-8 text file", why) from error


def file_stamp(path: Path) -> tuple[str, int, int] | None:
    """Return a path with its modification time and size, or None if nothing is there."""
    try:
        status = path.stat()
    except OSError:
        return None
    return str(path.absolute()), status.st_mtime_ns, status.st_size

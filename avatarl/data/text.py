"""Any UTF-8 file."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from avatarl.data import base
from avatarl.data.base import RawText, file_stamp, read_utf8
from avatarl.errors import ConfigError


@dataclass(frozen=True)
class Config(base.Config):
    """Settings of ``data=text``.

    Attributes:
        path: The file; relative paths start from the working directory.
    """

    path: str | None

    def __post_init__(self) -> None:
        if not self.path:
            raise ConfigError("path", self.path, "a UTF-8 text file", "data=text needs one")

    def read(self) -> RawText:
        """Return the file's text, taken as it is.

        Raises:
            DataError: The file can't be read, is empty or isn't UTF-8.
        """
        return RawText("text", read_utf8(self._file, "data.path"))

    def stamp(self) -> tuple[object, ...]:
        """Return the file's time and size: an edited file is read again."""
        return (file_stamp(self._file),)

    @property
    def _file(self) -> Path:
        return Path(self.path or "").expanduser()

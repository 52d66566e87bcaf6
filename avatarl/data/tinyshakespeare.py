"""40,000 lines of Shakespeare, found on this machine or downloaded once.

Source: Karpathy 2015, char-rnn, ``data/tinyshakespeare/input.txt``.
"""

from __future__ import annotations

import contextlib
import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import platformdirs

from avatarl.data import base, folio
from avatarl.data.base import RawText, decode_utf8, file_stamp, read_bytes
from avatarl.errors import DataError
from avatarl.files import write_atomic

SHA256 = "86c4e6aa9db7c042ec79f339dcb96d42b0075e16b8fc2e86bf0ca57e2dc565ed"
SIZE_BYTES = 1_115_394
URL = "https://raw.githubusercontent.com/karpathy/char-rnn/master/data/tinyshakespeare/input.txt"
FILE_NAME = "tinyshakespeare.txt"
ENVIRONMENT = "AVATARL_DATA_DIR"
# A machine without a network must not keep its user waiting before it falls back.
TIMEOUT_S = 10.0
WHOLE_DOWNLOAD_S = 30.0


@dataclass(frozen=True)
class Config(base.Config):
    """Settings of ``data=tinyshakespeare``.

    Attributes:
        path: The file, or a folder holding ``tinyshakespeare.txt`` or ``input.txt``.
        fallback: The text to use when this one can't be had; None makes that an error.
    """

    path: str | None
    fallback: Literal["folio"] | None

    def read(self) -> RawText:
        """Return the text, or the fallback's with the reason.

        Raises:
            DataError: A copy has the wrong sha256, or none can be had and there is no fallback.
        """
        looked: list[str] = []
        raw = self._find(looked)
        if raw is not None:
            return RawText("tinyshakespeare", decode_utf8(raw, FILE_NAME, "data.path"))
        if self.fallback is None:
            places = "; ".join(looked)
            valid = (
                f"a copy at data.path, in the folder ${ENVIRONMENT} or in the user's cache, "
                "a working network, or data.fallback=folio"
            )
            raise DataError("data.fallback", None, valid, f"tinyshakespeare not found: {places}")
        reason = f"no copy of tinyshakespeare found, and the {looked[-1]}"
        return RawText("folio", folio.write_text(folio.CHARACTERS, folio.SEED), reason)

    def stamp(self) -> tuple[object, ...]:
        """Return the places looked at, with the state of the files there."""
        places = [*self._named_files(), cache_file()]
        return (os.environ.get(ENVIRONMENT), *map(file_stamp, places))

    def _find(self, looked: list[str]) -> bytes | None:
        for place in self._named_files():
            if place.is_file():
                raw = read_bytes(place, "data.path")
                valid = f"the file published with char-rnn, sha256 {SHA256}; data=text takes any"
                _check(raw, str(place), valid)
                return raw
            looked.append(f"no file {place}")
        if not os.environ.get(ENVIRONMENT):
            looked.append(f"${ENVIRONMENT} not set")
        cached = cache_file()
        try:
            raw = cached.read_bytes()
        except OSError:
            looked.append(f"no file {cached}")
        else:
            if _sha256(raw) == SHA256:
                return raw
            looked.append(f"damaged file {cached}")
        try:
            return download(cached, URL)
        except (OSError, http.client.HTTPException) as error:
            looked.append(f"download failed: {_in_words(error)}")
            return None

    def _named_files(self) -> list[Path]:
        """The places that the user named, in the order they are looked at."""
        places = []
        if self.path:
            path = Path(self.path).expanduser()
            places += [path / FILE_NAME, path / "input.txt"] if path.is_dir() else [path]
        if os.environ.get(ENVIRONMENT):
            places.append(Path(os.environ[ENVIRONMENT]).expanduser() / FILE_NAME)
        return places


def cache_file() -> Path:
    """Where the downloaded copy is kept, for every project of this user."""
    return platformdirs.user_cache_path("avatarl") / FILE_NAME


def download(destination: Path, url: str, timeout_s: float = TIMEOUT_S) -> bytes:
    """Fetch the text, check it, keep it at ``destination`` if that can be written.

    Args:
        destination: Written atomically, and only with the right text.
        url: Where from.
        timeout_s: Longest silence of the server, in seconds.

    Raises:
        DataError: What arrived has the wrong sha256.
        OSError: No connection, an HTTP error, or too slow.
        http.client.HTTPException: The connection broke off half-way.
    """
    deadline = time.monotonic() + WHOLE_DOWNLOAD_S
    raw = bytearray()
    with urllib.request.urlopen(url, timeout=timeout_s) as response:
        # One byte too many is enough to know that this isn't the file.
        while len(raw) <= SIZE_BYTES and (chunk := response.read1(1 << 16)):
            raw += chunk
            if time.monotonic() > deadline:
                raise TimeoutError(f"more than {WHOLE_DOWNLOAD_S:.0f} s")
        announced = response.headers.get("Content-Length")
    if announced is not None and len(raw) < min(int(announced), SIZE_BYTES):
        raise http.client.IncompleteRead(bytes(raw), int(announced) - len(raw))
    valid = f"a download with sha256 {SHA256}: try again, set data.path, or use data=folio"
    _check(bytes(raw), url, valid)
    # A home that can't be written costs a download each time, not the run.
    with contextlib.suppress(OSError):
        write_atomic(destination, bytes(raw))
    return bytes(raw)


def _check(raw: bytes, origin: str, valid: str) -> None:
    if _sha256(raw) != SHA256:
        raise DataError("data.path", origin, valid, f"wrong sha256 {_sha256(raw)}")


def _sha256(raw: bytes) -> str:
    return hashlib.sha256(raw).hexdigest()


def _in_words(error: Exception) -> str:
    if isinstance(error, http.client.IncompleteRead):
        return "the connection broke off"
    # URLError wraps the error that says what went wrong; HTTPError, a kind of it, says it itself.
    wrapped = getattr(error, "reason", None)
    if isinstance(wrapped, OSError) and not isinstance(error, urllib.error.HTTPError):
        error = wrapped
    words = error.strerror if isinstance(error, OSError) else None
    return (words or str(error) or type(error).__name__).lower()

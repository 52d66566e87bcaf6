"""Files that are either whole or absent: write to a temporary name, flush to disk, rename.

What a file system doesn't have (flushing a directory, permissions, hard links, as on some network
and shared-folder file systems) is done without, and said once; a real input or output error is not.
"""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import logging
import math
import os
import tempfile
import time
import uuid
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Any

from avatarl import storage

log = logging.getLogger("avatarl")

#: How a file is called while it is written, after a dot and its name.
_TEMPORARY = ".part"
#: Under this key a JSON object may carry the digest of the rest.
_DIGEST = "digest"
#: Whole numbers with more digits are damage; a float holds no more than 308 before its point.
_MOST_DIGITS = 300
#: Temporary files that are older were left by a process that was killed.
_ABANDONED_AFTER_S = 3600.0
#: What a file system answers that can't do a thing, or not for this user.
_NOT_SUPPORTED = frozenset(
    {
        errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EPERM, errno.EACCES,
        errno.EMLINK, errno.EXDEV, errno.ENOTTY, errno.EBADF, errno.EISDIR,
    }
)  # fmt: skip


def replace_atomically(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then rename it to ``path``.

    A reader sees the old file or the new one, never a part; a crash or a full disk leaves the old.

    Raises:
        OSError: The directory can't be written or the disk is full; ``path`` is untouched.
    """
    storage.persist(lambda: _replace(path, write))


def _replace(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    storage.make_parent(path)
    handle, name = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name[:200]}.", suffix=_TEMPORARY
    )
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            if_supported("flushing files to disk", lambda: os.fsync(file.fileno()))
        # mkstemp makes files private; results are to be read by colleagues as the umask allows.
        umask = os.umask(0)
        os.umask(umask)
        if_supported("permissions of files", lambda: temporary.chmod(0o666 & ~umask))
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):  # the first error says more
            temporary.unlink(missing_ok=True)
        raise
    if_supported("flushing directories to disk", lambda: _sync_directory(path.parent))


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace ``path`` by ``content`` (text is written as UTF-8), atomically and durably."""
    raw = content.encode() if isinstance(content, str) else content

    def write(file: IO[bytes]) -> None:
        file.write(raw)

    replace_atomically(path, write)


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` by ``value`` as indented JSON; non-finite numbers are refused."""
    write_atomic(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def write_checked(path: Path, content: Mapping[str, Any]) -> None:
    """Replace ``path`` by a JSON object that carries its own digest, for :func:`read_checked`."""
    write_json(path, {**content, _DIGEST: _digest(content)})


def read_checked(path: Path) -> Any:
    """Read what :func:`write_checked` wrote, or JSON without a digest, as earlier versions did.

    Raises:
        FileNotFoundError: No such file.
        ValueError: It isn't JSON, or isn't what was written.
    """
    content = read_json(path)
    if isinstance(content, dict) and not is_intact(content):
        raise ValueError(f"{path} isn't what was stored")
    return content


def is_intact(content: dict[str, Any]) -> bool:
    """Take the digest out of an object; whether the rest is true to it, or there was none."""
    return _DIGEST not in content or content.pop(_DIGEST) == _digest(content)


def _digest(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def replace_quickly(path: Path, content: str) -> None:
    """Replace ``path``, whole or not at all, without waiting for the disk."""
    storage.persist(lambda: _replace_quickly(path, content))


def _replace_quickly(path: Path, content: str) -> None:
    storage.require(path.parent)
    temporary = path.with_name(f".{uuid.uuid4().hex}{_TEMPORARY}")
    try:
        temporary.write_text(content, encoding="utf-8")
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise


def create_exclusively(path: Path, content: str) -> bool:
    """Create a file unless it exists, its content whole from the first moment; whether it was made.

    Hard links give that; where the file system has none, a reader may see the file half written.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}{_TEMPORARY}")
    try:
        temporary.write_text(content, encoding="utf-8")
        try:
            os.link(temporary, path)
        except FileExistsError:
            # A server that was asked twice, its first answer lost, says so of what it made for us.
            return temporary.stat().st_nlink > 1
        except OSError as error:
            if error.errno not in _NOT_SUPPORTED:
                raise
            return _create_without_links(path, content)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _create_without_links(path: Path, content: str) -> bool:
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(content)
    except FileExistsError:
        return False
    return True


def sweep_temporaries(directory: Path) -> None:
    """Delete what processes that were killed while they wrote have left behind."""
    with contextlib.suppress(OSError):
        for path in directory.glob(f".*{_TEMPORARY}"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED_AFTER_S:
                    path.unlink()


def parse_json(raw: bytes | str) -> Any:
    """Read JSON as this project writes it.

    Raises:
        ValueError: It isn't JSON, or holds a number that no float holds.
    """
    try:
        text = raw.decode("utf-8") if isinstance(raw, bytes) else raw
        return json.loads(text, parse_int=_whole, parse_float=_finite, parse_constant=_finite)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def _whole(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError(f"a number has {len(digits)} digits")
    return int(digits)


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is no finite number")
    return number


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: No such file.
        ValueError: The file isn't JSON.
    """
    return parse_json(path.read_bytes())


def read_object(
    path: Path, problems: list[str] | None = None, strict: bool = False
) -> dict[str, Any]:
    """Read a JSON object; empty where there is none, or what is there is none.

    Args:
        path: The file.
        problems: Collects what is wrong with a file that is there.
        strict: Don't take a file for none that only can't be read for now.

    Raises:
        OSError: Storage refuses for now, and ``strict`` was asked for.
    """
    try:
        value = parse_json(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        if strict and storage.passes(error):
            raise
        why = f"can't be read ({error})"
    except ValueError as error:
        why = f"can't be read ({error})"
    else:
        if isinstance(value, dict):
            return value
        why = f"holds {type(value).__name__}"
    if problems is not None:
        problems.append(f"{path} {why}; valid: a JSON object")
    return {}


def if_supported(what: str, action: Callable[[], object]) -> None:
    """Do something that is good to have, unless the file system can't; said once a process."""
    try:
        action()
    except OSError as error:
        if error.errno not in _NOT_SUPPORTED:
            raise
        _say_once(what, error.strerror or str(error))


@functools.cache
def _say_once(what: str, why: str) -> None:
    log.info("%s isn't supported by the file system (%s): done without", what, why.lower())


def _sync_directory(directory: Path) -> None:
    # The rename itself is durable only once the directory's entry is on disk.
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

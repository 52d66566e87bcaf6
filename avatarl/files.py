"""Files that are either whole or absent: write to a temporary name, flush to disk, rename."""

from __future__ import annotations

import errno
import json
import os
import tempfile
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any


def replace_atomically(path: Path, write: Callable[[IO[bytes]], None]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, then rename it to ``path``.

    A reader sees the old file or the new one, never a part; a crash or a full disk leaves the old.

    Raises:
        OSError: The directory can't be written or the disk is full; ``path`` is untouched.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        # mkstemp makes files private; results are to be read by colleagues as the umask allows.
        umask = os.umask(0)
        os.umask(umask)
        Path(temporary).chmod(0o666 & ~umask)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    _sync_directory(path.parent)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Replace ``path`` by ``content`` (text is written as UTF-8), atomically and durably."""
    raw = content.encode() if isinstance(content, str) else content

    def write(file: IO[bytes]) -> None:
        file.write(raw)

    replace_atomically(path, write)


def write_json(path: Path, value: Any) -> None:
    """Replace ``path`` by ``value`` as indented JSON; non-finite numbers are refused."""
    write_atomic(path, json.dumps(value, indent=2, allow_nan=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises:
        FileNotFoundError: No such file.
        json.JSONDecodeError: The file isn't JSON.
    """
    return json.loads(path.read_text(encoding="utf-8"))


def read_object(path: Path, problems: list[str] | None = None) -> dict[str, Any]:
    """Read a JSON object; empty where there is none, or what is there is none.

    Args:
        path: The file.
        problems: Collects what is wrong with a file that is there.
    """
    try:
        value = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, RecursionError) as error:
        why = f"can't be read ({error})"
    else:
        if isinstance(value, dict):
            return value
        why = f"holds {type(value).__name__}"
    if problems is not None:
        problems.append(f"{path} {why}; valid: a JSON object")
    return {}


def create_exclusively(path: Path, content: str) -> bool:
    """Create a file unless it exists, its content whole from the first moment; whether it was made.

    Hard links give that; where the file system has none, a reader may see the file half written.
    """
    temporary = path.with_name(f".{uuid.uuid4().hex}")
    try:
        temporary.write_text(content, encoding="utf-8")
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK):
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


def _sync_directory(directory: Path) -> None:
    # The rename itself is durable only once the directory's entry is on disk.
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

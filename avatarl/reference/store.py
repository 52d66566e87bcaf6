"""Keep built tables on disk: one folder of ``.npy`` files per text and settings.

A folder appears whole, by one rename, and is opened as a memory map: the runs of a node share its
pages. A process checks the digest of what it maps for the first time; what is damaged is built
again, with one line that says so. The cache is bounded: tables used least recently go.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import json
import logging
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
from torch import Tensor

from avatarl.errors import refusal
from avatarl.files import if_supported, read_object, write_json

FORMAT = 2
"""Raised whenever the meaning of the files changes."""

_log = logging.getLogger("avatarl")

MOST_GIB = "AVATARL_CACHE_GIB"
"""Environment variable: how many GiB of tables are kept; 20 by default."""
_MOST_GIB = 20.0

#: How a folder is called while it is written; one that is older was left by a process killed then.
_TEMPORARY = re.compile(r"\.[0-9a-f]{32}\.\w+")
_ABANDONED_AFTER_S = 3600.0

# Folders whose digests this process has checked, by inode and time of change of their index.
_checked: set[tuple[Path, int, int]] = set()


def default_directory() -> Path:
    """Give the user's cache folder for tables (``$XDG_CACHE_HOME`` moves it)."""
    return platformdirs.user_cache_path("avatarl") / "references"


def fingerprint(train_ids: np.ndarray, vocab_size: int, settings: Mapping[str, Any]) -> str:
    """Hash what determines a table: the text's characters, the vocabulary, the settings."""
    digest = hashlib.sha256(np.ascontiguousarray(train_ids, dtype="<u4").tobytes())
    digest.update(json.dumps([vocab_size, settings], sort_keys=True).encode())
    return digest.hexdigest()[:32]


def cached(
    directory: str | Path | None, name: str, make: Callable[[], dict[str, Tensor]]
) -> dict[str, Tensor]:
    """Open the tensors kept under ``name``; make and keep them if they aren't there.

    Of several processes that want the same tensors one makes them and the others wait. A folder
    that can't be written costs only a warning.

    Args:
        directory: Cache folder; ``None`` is ``default_directory()``.
        name: From ``fingerprint``.
        make: Builds the tensors.
    """
    root = default_directory() if directory is None else Path(directory).expanduser()
    folder = root / name
    found = _open(folder, logging.WARNING)
    if found is not None:
        return found
    with contextlib.ExitStack() as stack:
        try:
            root.mkdir(parents=True, exist_ok=True)
            stack.enter_context(_lock(root / f".{name}.lock"))
        except OSError as error:
            _log.warning("reference.cache_dir=%s can't be used: %s", root, error)
            return make()
        found = _open(folder)  # another process may have been faster
        if found is not None:
            return found
        tensors = make()
        try:
            _write(folder, tensors)
        except OSError as error:
            _log.warning("the reference's table isn't kept in %s: %s", root, error)
            return tensors
        return _open(folder) or tensors


def _open(folder: Path, level: int = logging.DEBUG) -> dict[str, Tensor] | None:
    """Map the tensors of ``folder``; ``None`` unless it is whole, true and of this format.

    What is damaged is logged at ``level``.
    """
    index_file = folder / "index.json"
    index = read_object(index_file)
    if index.get("format") != FORMAT or not isinstance(index.get("sha256"), dict):
        return None
    try:
        status = index_file.stat()
        key = folder, status.st_ino, status.st_mtime_ns
        tensors = {}
        for name, digest in index["sha256"].items():
            path = folder / f"{name}.npy"
            if key not in _checked and _sha256(path) != digest:
                _log.log(level, "%s is damaged: built again", path)
                return None
            # Copy on write: torch wants writable memory, the file is never changed.
            tensors[name] = torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))
        _checked.add(key)
    except (OSError, ValueError) as error:
        _log.log(level, "%s can't be read (%s): built again", folder, error)
        return None
    with contextlib.suppress(OSError):
        # Read now, for whoever looks for what to let go; not every file system notes it by itself.
        os.utime(index_file, ns=(time.time_ns(), status.st_mtime_ns))
    return tensors


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        digest = hashlib.sha256()
        while chunk := file.read(1 << 22):
            digest.update(chunk)
    return digest.hexdigest()


def _write(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        digests = {}
        for name, tensor in tensors.items():
            path = temporary / f"{name}.npy"
            with path.open("wb") as file:
                np.save(file, tensor.numpy(), allow_pickle=False)
                file.flush()
                if_supported("flushing files to disk", functools.partial(os.fsync, file.fileno()))
            digests[name] = _sha256(path)
        write_json(temporary / "index.json", {"format": FORMAT, "sha256": digests})
        umask = os.umask(0)
        os.umask(umask)
        if_supported("permissions of folders", lambda: temporary.chmod(0o777 & ~umask))
        if folder.exists():
            # Damaged or of another format; processes that have it open keep their pages.
            stale = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
            folder.rename(stale / "stale")
            temporary.rename(folder)
            shutil.rmtree(stale, ignore_errors=True)
        else:
            temporary.rename(folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    _evict(folder)


def _evict(newest: Path) -> None:
    """Let the tables go that were used least recently, until the rest is within the bound.

    What processes left that were killed while they wrote goes first.
    """
    try:
        most = float(os.environ.get(MOST_GIB, _MOST_GIB)) * 2**30
        if not most >= 0:
            raise ValueError(most)
    except ValueError:
        typed = f"{MOST_GIB}={os.environ[MOST_GIB]!r}"
        _log.warning("%s", refusal(typed, "a number of GiB, 0 or more"))
        return
    sizes: list[tuple[float, int, Path]] = []
    for folder in newest.parent.iterdir():
        with contextlib.suppress(OSError):
            if _TEMPORARY.fullmatch(folder.name):
                if time.time() - folder.stat().st_mtime > _ABANDONED_AFTER_S:
                    shutil.rmtree(folder, ignore_errors=True)
            elif not folder.name.startswith(".") and (folder / "index.json").is_file():
                size = sum(path.stat().st_size for path in folder.iterdir())
                sizes.append(((folder / "index.json").stat().st_atime, size, folder))
    total = sum(size for _, size, _ in sizes)
    for _, size, folder in sorted(sizes):
        if total <= most:
            return
        if folder != newest:
            # Out of sight first; processes that have it open keep their pages.
            stale = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
            with contextlib.suppress(OSError):
                folder.rename(stale / "stale")
                total -= size
            shutil.rmtree(stale, ignore_errors=True)


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; it goes with the process, however that ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

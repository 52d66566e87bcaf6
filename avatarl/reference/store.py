"""Keep built tables on disk: one folder of ``.npy`` files per text and settings.

A folder appears whole, by one rename, and is opened as a memory map: the runs of a node share its
pages. One of another format, or damaged, is built again.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs
import torch
from torch import Tensor

from avatarl.files import read_json, write_json

FORMAT = 1
"""Raised whenever the meaning of the files changes."""

_log = logging.getLogger(__name__)


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
    found = _open(folder)
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


def _open(folder: Path) -> dict[str, Tensor] | None:
    """Map the tensors of ``folder``; ``None`` unless it is whole and of this format."""
    try:
        index = read_json(folder / "index.json")
        if index["format"] != FORMAT:
            return None
        tensors = {}
        for name, size in index["bytes"].items():
            path = folder / f"{name}.npy"
            if path.stat().st_size != size:
                return None
            # Copy on write: torch wants writable memory, the file is never changed.
            tensors[name] = torch.from_numpy(np.load(path, mmap_mode="c", allow_pickle=False))
        return tensors
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _write(folder: Path, tensors: Mapping[str, Tensor]) -> None:
    temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=f".{folder.name}."))
    try:
        sizes = {}
        for name, tensor in tensors.items():
            path = temporary / f"{name}.npy"
            with path.open("wb") as file:
                np.save(file, tensor.numpy(), allow_pickle=False)
                file.flush()
                os.fsync(file.fileno())
            sizes[name] = path.stat().st_size
        write_json(temporary / "index.json", {"format": FORMAT, "bytes": sizes})
        umask = os.umask(0)
        os.umask(umask)
        temporary.chmod(0o777 & ~umask)
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


@contextlib.contextmanager
def _lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock; it goes with the process, however that ends."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield

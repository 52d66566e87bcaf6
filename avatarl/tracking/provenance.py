"""What produced a result: code, packages, machine, command."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import os
import platform
import shlex
import socket
import subprocess
from pathlib import Path
from typing import Any

from avatarl.files import read_json
from avatarl.process import command_line
from avatarl.source import ROOT

SNAPSHOT_NOTE = "snapshot.json"
_PACKAGES = ["torch", "numpy", "hydra-core", "omegaconf", "wandb", "submitit", "safetensors"]


@functools.cache
def code() -> dict[str, str | None]:
    """Identify the code: git commit, hash of uncommitted changes, hash of the package's source.

    Computed once a process: what is running is what was imported.
    """
    digest = hashlib.sha256()
    for path in sorted((ROOT / "avatarl").rglob("*.py")):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes() + b"\0")
    return {**version(ROOT), "code_sha256": digest.hexdigest()}


def version(root: Path) -> dict[str, str | None]:
    """Name the commit and the uncommitted changes of a source folder; None without git.

    A sweep's frozen copy of the source is no repository: it carries a note of where it is from.
    (It lies inside one, so asking git there would name the wrong state.)
    """
    note = root / SNAPSHOT_NOTE
    if note.is_file():
        known = read_json(note)
        return {key: known.get(key) for key in ("git_commit", "git_diff_sha256")}
    if not (root / ".git").exists():
        return {"git_commit": None, "git_diff_sha256": None}
    commit, difference = _git(root, "rev-parse", "HEAD"), _git(root, "diff", "HEAD")
    return {
        "git_commit": commit.strip() if commit else None,
        "git_diff_sha256": hashlib.sha256(difference.encode()).hexdigest() if difference else None,
    }


def machine() -> dict[str, Any]:
    """Identify the machine: host, processor, operating system."""
    return {
        "host": socket.gethostname(),
        "cpu": _cpu_name(),
        "cpu_count": os.cpu_count(),
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "python": platform.python_version(),
    }


@functools.cache
def _versions() -> dict[str, str | None]:
    versions: dict[str, str | None] = {}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            versions[package] = None
    return versions


def provenance(corpus_sha256: str, device: str) -> dict[str, Any]:
    """Everything worth knowing about where a result came from, as JSON values."""
    return {
        **code(),
        "packages": _versions(),
        "corpus_sha256": corpus_sha256,
        "device": device,
        **machine(),
        "command": shlex.join(command_line()),
        "slurm_job_id": os.environ.get("SLURM_JOB_ID"),
    }


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired, UnicodeDecodeError):
        return None
    return done.stdout if done.returncode == 0 else None


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()

"""The source as it is now, copied under the hash of its content, for work that waits in a queue.

``<output_dir>/code/<hash>/`` holds every tracked file and every untracked one that git doesn't
ignore, with uncommitted changes; two sweeps from the same source share it.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from avatarl.files import read_json, write_json
from avatarl.sweep.plan.rollback import Rollback
from avatarl.tracking.provenance import SNAPSHOT_NOTE, version

#: Written last inside a snapshot: its presence means the copy is whole.
MANIFEST = SNAPSHOT_NOTE
#: Never copied, whether git ignores them or not.
_SECRET = (".env", ".env.*", ".netrc", "_netrc", "*.pem", "*.key", "id_rsa*", "id_ed25519*")
_SECRET_WORDS = ("secret", "credential", "api_key", "apikey", "token.txt")
#: Larger files are data, not source.
_MOST_BYTES = 5_000_000


def source_root() -> Path:
    """The directory that holds the package ``avatarl``."""
    return Path(__file__).resolve().parents[3]


def freeze(output_dir: Path, root: Path | None = None, rollback: Rollback | None = None) -> Path:
    """Copy the source to ``<output_dir>/code/<hash>`` unless it is there, and return that path.

    Args:
        output_dir: Where outputs go.
        root: Root of the source; by default of the package that is running.
        rollback: Removes a fresh copy again, unless another sweep uses it by then.
    """
    root = root or source_root()
    if (root / MANIFEST).exists():
        return root  # already running from a snapshot
    contents = _contents(root)
    digest = _digest(contents)
    target = _target(output_dir, digest)
    if _in_use(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    target.parent.chmod(target.parent.stat().st_mode & ~0o022)
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=".partial-"))
    try:
        for name, content in contents.items():
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
            path.chmod(0o755 if os.access(root / name, os.X_OK) else 0o644)
        write_json(partial / MANIFEST, {**git_facts(root), "sha256": digest, "root": str(root)})
        (partial / MANIFEST).chmod(0o644)
        # Whatever the umask is: what jobs will import is written by its owner alone.
        for folder in (partial, *(path for path in partial.rglob("*") if path.is_dir())):
            folder.chmod(0o755)
        try:
            partial.rename(target)
        except OSError:
            if not _in_use(target):
                raise
            shutil.rmtree(partial)  # another process made the same snapshot meanwhile
        else:
            if rollback is not None:
                rollback.shared(target, MANIFEST)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    return target


def _in_use(target: Path) -> bool:
    """Whether a snapshot is there; whoever made it now sees that it is used."""
    try:
        os.utime(target / MANIFEST)
    except PermissionError:
        return True  # somebody else's, and theirs to keep
    except OSError:
        return False
    return True


def location(output_dir: Path, root: Path | None = None) -> Path:
    """Where :func:`freeze` would put the source as it is now; nothing is written."""
    root = root or source_root()
    if (root / MANIFEST).exists():
        return root
    return _target(output_dir, _digest(_contents(root)))


def _contents(root: Path) -> dict[str, bytes]:
    return {name: (root / name).read_bytes() for name in source_files(root)}


def _target(output_dir: Path, digest: str) -> Path:
    return (output_dir / "code" / digest[:16]).absolute()


def manifest(code: Path) -> dict[str, object]:
    """What is known about a snapshot: ``sha256``, ``git_commit``, ``git_dirty``, ``root``."""
    read: dict[str, object] = read_json(code / MANIFEST)
    return read


def verify(code: Path) -> bool:
    """Whether a snapshot still has the content it is named by."""
    names = [
        str(path.relative_to(code))
        for path in code.rglob("*")
        if path.is_file() and path.name != MANIFEST and "__pycache__" not in path.parts
    ]
    contents = {name: (code / name).read_bytes() for name in names}
    return _digest(contents) == manifest(code)["sha256"]


def source_files(root: Path) -> list[str]:
    """Files of the source, relative to ``root``: git's view, else the package directories."""
    listed = _git(root, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
    if listed is not None:
        names: Iterable[str] = listed.split("\0")
    else:
        tops = [root / "avatarl", root / "hydra_plugins" / "avatarl_launcher", root / "conf"]
        names = (
            str(path.relative_to(root))
            for top in tops
            for path in top.rglob("*")
            if "__pycache__" not in path.parts
        )
    return sorted({name for name in names if name and _is_source(root / name)})


def _is_source(path: Path) -> bool:
    name = path.name.lower()
    if any(fnmatch.fnmatch(name, pattern) for pattern in _SECRET):
        return False
    if any(word in name for word in _SECRET_WORDS) and path.suffix != ".py":
        return False
    return path.is_file() and not path.is_symlink() and path.stat().st_size <= _MOST_BYTES


def _digest(contents: dict[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name in sorted(contents):
        whole.update(f"{name}\0{hashlib.sha256(contents[name]).hexdigest()}\n".encode())
    return whole.hexdigest()


def git_facts(root: Path) -> dict[str, object]:
    """Commit of ``root`` and whether anything differs from it; ``None`` without git."""
    status = _git(root, "status", "--porcelain")
    return {
        **version(root),
        "git_dirty": None if status is None else bool(status.strip()),
    }


def _git(root: Path, *arguments: str) -> str | None:
    if not (root / ".git").exists():
        return None
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None

"""The source as it is now, copied under the hash of its content, for work that waits in a queue.

``<output_dir>/code/<hash>/`` holds every tracked file, with uncommitted changes, and the untracked
ones that a run can import or read; two sweeps from the same source share it. What looks like a
secret is never copied, and no copy may be read by more people than its original.
"""

from __future__ import annotations

import fnmatch
import hashlib
import logging
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable
from pathlib import Path

from avatarl.files import read_json, read_object, write_json
from avatarl.source import ROOT, package_of, settings_folder
from avatarl.sweep.plan.rollback import Rollback, mark_of
from avatarl.tracking.provenance import SNAPSHOT_NOTE, version

log = logging.getLogger("avatarl")

#: Written last inside a snapshot: its presence means the copy is whole.
MANIFEST = SNAPSHOT_NOTE
#: Of files that git doesn't know: source anywhere, settings where the project keeps its own.
_SOURCE = frozenset({".py", ".pyi"})
_SETTINGS = frozenset({".yaml", ".yml", ".toml"})
_OWN = frozenset({"avatarl", "hydra_plugins", "conf", "sweeps"})
#: Never copied, whatever git says of them: names, folders, and words in the names of files.
_SECRET = (
    ".env", ".env.*", "*.env", ".envrc", ".netrc", "_netrc", ".npmrc", ".yarnrc*", ".pypirc",
    ".pgpass", ".my.cnf", ".htpasswd", ".dockercfg", ".boto", ".s3cfg", ".vault*", ".git-cred*",
    "id_rsa*", "id_dsa*", "id_ecdsa*", "id_ed25519*", "*.pem", "*.key", "*.ppk", "*.p8", "*.p12",
    "*.pfx", "*.jks", "*.keystore", "*.kdbx", "*.ovpn", "*.gpg", "*.asc", "kubeconfig*", "token",
    "token.*", "tokens.*", "*_token.*", "*-token.*", "*.token", "terraform.tfvars", "*.tfstate",
)  # fmt: skip
_SECRET_FOLDERS = frozenset(
    {"secret", "secrets", "credentials", ".ssh", ".aws", ".azure", ".gnupg", ".kube", ".docker"}
)
_SECRET_WORDS = (
    "secret", "credential", "passw", "api_key", "api-key", "apikey", "private_key", "access_key",
    "service_account", "service-account",
)  # fmt: skip
#: Larger files are data, not source.
_MOST_BYTES = 5_000_000


def source_root() -> Path:
    """The directory that holds the package ``avatarl``."""
    return ROOT


def freeze(
    output_dir: Path,
    root: Path | None = None,
    rollback: Rollback | None = None,
    elsewhere: Iterable[str] = (),
) -> Path:
    """Copy the source to ``<output_dir>/code/<hash>`` unless it is there, and return that path.

    Args:
        output_dir: Where outputs go; a copy that is damaged is made anew, with one line.
        root: Root of the source; by default of the package that is running.
        rollback: Removes a fresh copy again, unless another sweep uses it by then.
        elsewhere: Modules of others whose packages are copied too.
    """
    root = root or source_root()
    if (root / MANIFEST).exists():
        return root  # already running from a snapshot
    originals = _originals(root, elsewhere)
    contents = {name: path.read_bytes() for name, path in originals.items()}
    digest = _digest(contents)
    target = _target(output_dir, digest)
    there = _in_use(target)
    if there and verify(target):
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    target.parent.chmod(target.parent.stat().st_mode & ~0o022)
    partial = Path(tempfile.mkdtemp(dir=target.parent, prefix=".partial-"))
    try:
        for name, content in contents.items():
            path = partial / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        write_json(partial / MANIFEST, {**git_facts(root), "sha256": digest, "root": str(root)})
        # Whatever the umask is: what jobs will import is written by its owner alone, and read by
        # whoever may read the original.
        for path in (*partial.rglob("*"), partial):
            inside = path.relative_to(partial)
            original = originals.get(str(inside), root / inside)
            mode = (original if original.exists() else path).stat().st_mode
            path.chmod(mode & 0o755 | (0o700 if path.is_dir() else 0o400))
        made = mark_of(partial / MANIFEST)
        if there:
            log.warning("%s isn't what was stored: copied again", target)
            shutil.move(target, partial.with_name(f"{partial.name}-damaged"))
            shutil.rmtree(partial.with_name(f"{partial.name}-damaged"), ignore_errors=True)
        try:
            partial.rename(target)
        except OSError:
            if not _in_use(target):
                raise
            shutil.rmtree(partial)  # another process made the same snapshot meanwhile
        else:
            if rollback is not None and not there:  # others may rely on what was there
                rollback.shared(target, made, MANIFEST)
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


def location(output_dir: Path, root: Path | None = None, elsewhere: Iterable[str] = ()) -> Path:
    """Where :func:`freeze` would put the source as it is now; nothing is written."""
    root = root or source_root()
    if (root / MANIFEST).exists():
        return root
    originals = _originals(root, elsewhere)
    contents = {name: path.read_bytes() for name, path in originals.items()}
    return _target(output_dir, _digest(contents))


def _originals(root: Path, elsewhere: Iterable[str]) -> dict[str, Path]:
    """Every file of a snapshot, by its name there."""
    files = {name: root / name for name in source_files(root)}
    for module in elsewhere:
        entry, names = package_of(module)
        own = {name: entry / name for name in names if _is_source(entry, name, untracked=True)}
        files = {**own, **files}
    return files


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
    return _digest(contents) == read_object(code / MANIFEST).get("sha256")


def source_files(root: Path) -> list[str]:
    """Files of the source, relative to ``root``: git's view, else the package directories."""
    return _sorted_out(root)[0]


def left_out(root: Path | None = None) -> list[str]:
    """Files beside the source that git doesn't ignore, and that a snapshot doesn't take."""
    return _sorted_out(root or source_root())[1]


def _sorted_out(root: Path) -> tuple[list[str], list[str]]:
    """The files that are copied, and those that aren't."""
    tracked = _git(root, "ls-files", "-z", "--cached")
    others: set[str] = set()
    if tracked is not None:
        names: Iterable[str] = tracked.split("\0")
        untracked = _git(root, "ls-files", "-z", "--others", "--exclude-standard") or ""
        others = set(untracked.split("\0"))
    else:
        tops = [root / "avatarl", root / "hydra_plugins" / "avatarl_launcher"]
        tops += [settings_folder(root, name) for name in ("conf", "sweeps")]
        names = (
            str(path.relative_to(root))
            for top in tops
            for path in top.rglob("*")  # a wheel's settings are met twice
            if "__pycache__" not in path.parts
        )
    files = [name for name in sorted({*names} | others) if name and (root / name).is_file()]
    taken = [name for name in files if _is_source(root, name, name in others)]
    return taken, sorted({*files} - {*taken})


def _is_source(root: Path, name: str, untracked: bool) -> bool:
    path = root / name
    if _is_secret(name, source=path.suffix in _SOURCE, tracked=not untracked):
        return False
    if untracked and not (
        path.suffix in _SOURCE
        or (path.suffix in _SETTINGS and name.partition("/")[0] in {*_OWN, path.name})
    ):
        return False
    return not path.is_symlink() and path.stat().st_size <= _MOST_BYTES


def _is_secret(name: str, source: bool, tracked: bool) -> bool:
    *folders, last = name.lower().split("/")
    if not _SECRET_FOLDERS.isdisjoint(folders):
        return True
    if source and tracked:  # code about secrets, which git has anyway
        return False
    words = any(word in last for word in _SECRET_WORDS)
    return words or (not source and any(fnmatch.fnmatch(last, pattern) for pattern in _SECRET))


def _digest(contents: dict[str, bytes]) -> str:
    whole = hashlib.sha256()
    for name in sorted(contents):
        whole.update(os.fsencode(f"{name}\0{hashlib.sha256(contents[name]).hexdigest()}\n"))
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
            ["git", "-C", str(root), *arguments], capture_output=True, check=False
        )
    except FileNotFoundError:
        return None
    return os.fsdecode(done.stdout) if done.returncode == 0 else None

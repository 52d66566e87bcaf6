"""A real two-node SLURM on this machine: ``python tests/slurm/cluster.py up|down|status``.

Two slurmd daemons with two pretended GPUs each, a controller and a munge of their own; everything
they write is under one directory (``$AVATARL_SLURM_DIR``, by default /tmp/avatarl-slurm), every
port is on the loopback, and ``down`` stops exactly the processes whose pid files lie there.
"""

from __future__ import annotations

import argparse
import contextlib
import getpass
import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

PACKAGES = ("slurm-wlm", "munge")
NODES = ("node1", "node2")
#: Files that stand for GPUs: SLURM hands them out and sets CUDA_VISIBLE_DEVICES; nobody opens them.
_DEVICES = ("/dev/null", "/dev/zero")
_CONTROLLER_PORT = 16817
_FIRST_NODE_PORT = 17001


def directory() -> Path:
    """Where the cluster keeps everything."""
    return Path(os.environ.get("AVATARL_SLURM_DIR", "/tmp/avatarl-slurm"))


def environment() -> dict[str, str]:
    """This process's environment, pointed at the cluster."""
    return {**os.environ, "SLURM_CONF": str(directory() / "slurm.conf")}


def running() -> bool:
    """Whether the controller answers."""
    if shutil.which("scontrol") is None or not (directory() / "slurm.conf").exists():
        return False
    with contextlib.suppress(subprocess.TimeoutExpired):
        asked = subprocess.run(
            ["scontrol", "ping"], env=environment(), capture_output=True, text=True, timeout=10
        )
        return asked.returncode == 0 and "UP" in asked.stdout
    return False


def install() -> None:
    """Install SLURM and munge from the distribution, when root and missing.

    Raises:
        SystemExit: They are missing and can't be installed.
    """
    needed = ("slurmctld", "slurmd", "sbatch", "munged")
    if all(_which(program) for program in needed):
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise SystemExit(f"Install {' and '.join(PACKAGES)} first (as root: apt-get install).")
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    install_command = ["apt-get", "install", "-qq", "-y", "--no-install-recommends", *PACKAGES]
    if subprocess.run(install_command, env=quiet, check=False).returncode != 0:
        subprocess.run(["apt-get", "update", "-qq"], env=quiet, check=True)
        subprocess.run(install_command, env=quiet, check=True)


def write_configuration(user_signal: bool = False, most_jobs: int = 10000) -> None:
    """Write slurm.conf and its companions.

    Args:
        user_signal: Preempted jobs get their own signal and time to act on it
            (preempt_send_user_signal); otherwise SIGTERM, then SIGKILL.
        most_jobs: How many the controller keeps; of a smaller cluster, those that have ended go
            soon.
    """
    home = directory()
    host = socket.gethostname()
    preemption = f"{_user_signal_setting()}\n" if user_signal else ""
    grace = " GraceTime=30" if user_signal else ""
    nodes = "".join(
        f"NodeName={name} NodeHostname={host} NodeAddr=127.0.0.1 Port={_FIRST_NODE_PORT + n} "
        f"CPUs=1 RealMemory=1500 Gres=gpu:fake:{len(_DEVICES)}\n"
        for n, name in enumerate(NODES)
    )
    (home / "slurm.conf").write_text(
        f"""ClusterName=avatarltest
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={_CONTROLLER_PORT}
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
AuthType=auth/munge
AuthInfo=socket={home}/munge/munge.socket,cred_expire=5
CredType=cred/munge
SlurmUser={getpass.getuser()}
SlurmdUser={getpass.getuser()}
StateSaveLocation={home}/controller
SlurmdSpoolDir={home}/spool-%n
SlurmctldPidFile={home}/slurmctld.pid
SlurmdPidFile={home}/slurmd-%n.pid
SlurmctldLogFile={home}/slurmctld.log
SlurmdLogFile={home}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_interval=2,sched_min_interval=0,bf_interval=2,batch_sched_delay=0
ReturnToService=2
SlurmctldTimeout=30
SlurmdTimeout=10
SlurmdParameters=config_overrides
InactiveLimit=0
KillWait=5
MinJobAge={300 if most_jobs == 10000 else 3}
MaxJobCount={most_jobs}
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
{preemption}GresTypes=gpu
{nodes}PartitionName=gpu Nodes=ALL Default=YES MaxTime=INFINITE State=UP PriorityTier=1{grace}
PartitionName=urgent Nodes=ALL MaxTime=INFINITE State=UP PriorityTier=10 PreemptMode=off
"""
    )
    (home / "gres.conf").write_text(
        "".join(f"NodeName={n} Name=gpu Type=fake File={d}\n" for n in NODES for d in _DEVICES)
    )
    (home / "cgroup.conf").write_text("")


def up() -> None:
    """Start the cluster, unless it runs; returns once both nodes are idle."""
    if running():
        return
    install()
    down()
    home = directory()
    if home.exists():
        shutil.rmtree(home)
    home.mkdir(parents=True, mode=0o755)
    (home / "controller").mkdir()
    for node in NODES:
        (home / f"spool-{node}").mkdir()
    write_configuration()
    _start_munge(home / "munge")
    start_controller(clean=True)
    for node in NODES:
        start_node(node)
    wait_until_idle()


def start_controller(clean: bool = False) -> None:
    """Start slurmctld; ``clean`` forgets all jobs."""
    subprocess.run([_which("slurmctld"), *(["-c"] if clean else [])], env=environment(), check=True)


def start_node(node: str) -> None:
    """Start the slurmd of a node."""
    subprocess.run([_which("slurmd"), "-N", node], env=environment(), check=True)


def start_stranger(node: str) -> None:
    """Start a node that is a machine of its own to all that runs on it (root).

    It has a host name, ``box-<node>``, and process numbers of its own.
    """
    hosts = directory() / "hosts"
    names = "".join(f"127.0.0.1 box-{name}\n" for name in NODES)
    hosts.write_text(Path("/etc/hosts").read_text() + names)
    life = (
        f"hostname box-{node}; mount --bind {hosts} /etc/hosts; {_which('slurmd')} -N {node}; "
        "while :; do sleep .5; done"
    )
    command = ["unshare", "--uts", "--pid", "--fork", "--mount-proc", "--kill-child"]
    machine = subprocess.Popen(
        [*command, "bash", "-c", life],
        env=environment(),
        start_new_session=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    (directory() / f"stranger-{node}.pid").write_text(str(machine.pid))


def kill_slurmd(node: str) -> None:
    """Kill the slurmd of a node, whose jobs live on: to the controller the node is down."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            words = (entry / "cmdline").read_bytes().decode(errors="replace").split("\0")
            if Path(words[0]).name == "slurmd" and words[1:3] == ["-N", node]:
                os.kill(int(entry.name), signal.SIGKILL)


def processes_of(node: str) -> list[int]:
    """What runs on a node for jobs."""
    return _processes_of(node)


def wait_for_node(node: str) -> None:
    """Bring a node back that was down, and wait until both can take jobs."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with socket.socket() as knock:
            if knock.connect_ex(("127.0.0.1", _FIRST_NODE_PORT + NODES.index(node))) == 0:
                break
        time.sleep(0.2)
    command = ["scontrol", "update", f"NodeName={node}", "State=RESUME"]
    subprocess.run(command, env=environment(), capture_output=True, check=False)
    wait_until_idle()


def stop_controller() -> None:
    """Stop slurmctld."""
    _stop(directory() / "slurmctld.pid")


def stop_node(node: str) -> None:
    """Stop a node for good: its slurmd, and everything that runs on it."""
    _stop_slurmd(node, signal.SIGKILL)
    for pid in _processes_of(node):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def reconfigure(user_signal: bool) -> None:
    """Switch between the two kinds of preemption."""
    write_configuration(user_signal)
    subprocess.run(["scontrol", "reconfigure"], env=environment(), check=True)


def down() -> None:
    """Stop everything by the pid files; nothing else is touched."""
    home = directory()
    for node in NODES:
        for pid in _processes_of(node) if (home / "slurm.conf").exists() else []:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        _stop_slurmd(node, signal.SIGTERM)
    _stop(home / "slurmctld.pid")
    _stop(home / "munge" / "munged.pid")


def wait_until_idle(patience_s: float = 40.0) -> None:
    """Wait until both nodes can take jobs.

    Raises:
        SystemExit: They didn't in time.
    """
    deadline = time.monotonic() + patience_s
    states = ""
    while time.monotonic() < deadline:
        asked = subprocess.run(
            ["sinfo", "-h", "-N", "-p", "gpu", "-o", "%N %T"],
            env=environment(),
            capture_output=True,
            text=True,
            check=False,
        )
        states = asked.stdout
        if sorted(states.split()[1::2]) == ["idle", "idle"]:
            return
        time.sleep(0.3)
    raise SystemExit(
        f"The nodes aren't ready after {patience_s:g} s: {states!r}; see {directory()}"
    )


def _user_signal_setting() -> str:
    # The setting moved: up to 22.05 it is the controller's, later it has a line of its own.
    version = subprocess.run(["sinfo", "--version"], capture_output=True, text=True, check=False)
    release = version.stdout.split()[-1].split(".")[:2] if version.stdout else ["0", "0"]
    if [int(part) for part in release] <= [22, 5]:
        return "SlurmctldParameters=preempt_send_user_signal"
    return "PreemptParameters=send_user_signal"


def _start_munge(home: Path) -> None:
    home.mkdir(mode=0o755)
    key = home / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o400)
    user = "munge" if os.geteuid() == 0 else getpass.getuser()
    if os.geteuid() == 0:
        # munged refuses to run as root.
        account = pwd.getpwnam(user)
        for path in (home, key):
            os.chown(path, account.pw_uid, account.pw_gid)
    command = [
        _which("munged"),
        f"--key-file={key}",
        f"--socket={home / 'munge.socket'}",
        f"--pid-file={home / 'munged.pid'}",
        f"--log-file={home / 'munged.log'}",
        f"--seed-file={home / 'munged.seed'}",
        "--num-threads=2",
    ]
    prefix = ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
    subprocess.run([*(prefix if os.geteuid() == 0 else []), *command], check=True)


def _processes_of(node: str) -> list[int]:
    """The slurmstepd of ``node`` and all their descendants."""
    parents: dict[int, int] = {}
    steps: list[int] = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            stat = (entry / "stat").read_text(errors="replace")
        except OSError:
            continue
        pid = int(entry.name)
        parents[pid] = int(stat.rpartition(")")[2].split()[1])
        if command.startswith("slurmstepd") and _runs_on(pid, node):
            steps.append(pid)
    found = list(steps)
    for pid in found:
        found += [child for child, parent in parents.items() if parent == pid]
    return found


def _runs_on(pid: int, node: str) -> bool:
    # A step daemon rewrites its command line, but keeps its node's log open.
    log = str(directory() / f"slurmd-{node}.log")
    with contextlib.suppress(OSError):
        return any(str(fd.readlink()) == log for fd in Path(f"/proc/{pid}/fd").iterdir())
    return False


def _stop_slurmd(node: str, number: signal.Signals) -> None:
    stranger = directory() / f"stranger-{node}.pid"
    if stranger.exists():  # its daemon's number is one of its own
        (directory() / f"slurmd-{node}.pid").unlink(missing_ok=True)
        _stop(stranger, signal.SIGKILL)
    else:
        _stop(directory() / f"slurmd-{node}.pid", number)


def _stop(pid_file: Path, number: signal.Signals = signal.SIGTERM) -> None:
    try:
        pid = int(pid_file.read_text())
    except (OSError, ValueError):
        return
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)
        deadline = time.monotonic() + 10
        while time.monotonic() < deadline:
            os.kill(pid, 0)
            time.sleep(0.05)
        os.kill(pid, signal.SIGKILL)
    pid_file.unlink(missing_ok=True)


def _which(program: str) -> str:
    return shutil.which(program, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin") or ""


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("up", "down", "status"))
    action = parser.parse_args(arguments).action
    if action == "up":
        up()
        print(f"up; to use it: export SLURM_CONF={directory() / 'slurm.conf'}")
    elif action == "down":
        down()
        print("down")
    else:
        print("up" if running() else "down")


if __name__ == "__main__":
    main(sys.argv[1:])

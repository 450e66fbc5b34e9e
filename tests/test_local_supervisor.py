"""Who keeps a node up, and what is left when a program or the supervisor dies: nothing.

Three tests, marked slow, are of Cassandra itself; the others have a stub for a node.
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from flask_cqlalchemy.local import LocalCluster
from flask_cqlalchemy.local.client import ask
from flask_cqlalchemy.local.messages import Request
from flask_cqlalchemy.local.paths import socket_path
from flask_cqlalchemy.local.settings import LocalOptions

from .local_helpers import (
    ROOT,
    STUB_LINGER,
    is_gone,
    is_served,
    lease,
    line_of,
    program,
    session_of,
    stub,
    stub_settings,
    supervisor_of,
    wait_until,
)

linux_only = pytest.mark.skipif(sys.platform != "linux", reason="needs PR_SET_PDEATHSIG or /proc")

LEASE = lease(stub_settings())
HOLD = LEASE + "time.sleep(600)\n"


def starts_again(cluster: LocalCluster) -> bool:
    """Whether the cluster can be started and its node listens."""
    with cluster, socket.create_connection((cluster.contact_points[0], cluster.port), timeout=5):
        return True


@pytest.mark.slow
def test_a_killed_program_leaves_nothing(tmp_path: Path) -> None:
    with program(lease(LocalOptions()) + "time.sleep(600)\n", tmp_path) as holder:
        pid = int(line_of(holder))
        supervisor = supervisor_of(tmp_path)
        holder.kill()
        wait_until(lambda: is_gone(pid), "the node to end")
        wait_until(lambda: is_gone(supervisor.pid), "the supervisor to end")
    with LocalCluster(directory=tmp_path) as cluster, session_of(cluster) as session:
        assert session.execute("SELECT key FROM system.local").one()


def test_a_program_that_ends_without_stop_leaves_nothing(tmp_path: Path) -> None:
    with program(LEASE, tmp_path) as holder:
        pid = int(line_of(holder))
        assert holder.wait() == 0
        wait_until(lambda: is_gone(pid), "the node to end")


def test_the_node_stays_while_another_program_has_a_lease(tmp_path: Path) -> None:
    with stub(tmp_path) as cluster:
        with program(HOLD, tmp_path) as other:
            assert [int(line_of(other))] == cluster.pids
        wait_until(lambda: cluster.status().leases == 1, "the other's lease to end")
        cluster.stop()
        assert not cluster.status().running


def test_a_cluster_object_that_is_forgotten_gives_its_lease_back(tmp_path: Path) -> None:
    kept = stub(tmp_path).start()
    forgotten = stub(tmp_path).start()
    assert kept.status().leases == 2
    del forgotten
    gc.collect()
    wait_until(lambda: kept.status().leases == 1, "the forgotten lease to end")
    kept.stop()


@linux_only
@pytest.mark.slow
def test_a_killed_supervisor_leaves_no_node(tmp_path: Path) -> None:
    cluster = LocalCluster(directory=tmp_path).start()
    (pid,) = cluster.pids
    assert pid is not None
    supervisor_of(tmp_path).kill()
    wait_until(lambda: is_gone(pid), "the node to end")
    assert not cluster.status().running
    cluster.start()
    assert cluster.pids != [pid]
    cluster.stop()


def test_stop_after_the_supervisor_was_killed_is_quiet(tmp_path: Path) -> None:
    cluster = stub(tmp_path).start()
    supervisor_of(tmp_path).kill()
    cluster.stop()
    wait_until(lambda: not is_served(tmp_path), "the supervisor to end")


def test_a_supervisor_that_is_terminated_stops_its_node(tmp_path: Path) -> None:
    cluster = stub(tmp_path).start()
    (pid,) = cluster.pids
    assert pid is not None
    supervisor = supervisor_of(tmp_path)
    supervisor.terminate()
    wait_until(lambda: is_gone(pid) and is_gone(supervisor.pid), "both to end")
    cluster.stop()


@pytest.mark.slow
def test_an_interrupt_means_the_program_not_the_supervisor(tmp_path: Path) -> None:
    with LocalCluster(directory=tmp_path) as cluster:
        (pid,) = cluster.pids
        assert pid is not None
        os.kill(supervisor_of(tmp_path).pid, signal.SIGINT)
        os.kill(pid, signal.SIGINT)
        with session_of(cluster) as session:
            assert session.execute("SELECT key FROM system.local").one()
        assert cluster.pids == [pid]


def test_an_interrupted_start_leaves_nothing(tmp_path: Path) -> None:
    code = lease(stub_settings(tmp_path / "never"))
    with program(code, tmp_path) as starter:
        pid_file = tmp_path / "node1" / "pid"
        wait_until(pid_file.exists, "the node's process")
        pid = int(pid_file.read_text())
        starter.send_signal(signal.SIGINT)
        _, errors = starter.communicate()
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert is_gone(pid)
    wait_until(lambda: not is_served(tmp_path), "the supervisor to end")
    assert starts_again(stub(tmp_path))


def test_programs_that_start_at_once_share_one_node(tmp_path: Path) -> None:
    with (
        program(HOLD, tmp_path) as first,
        program(HOLD, tmp_path) as second,
        program(HOLD, tmp_path) as third,
    ):
        pids = {line_of(holder) for holder in (first, second, third)}
        assert len(pids) == 1
        assert LocalCluster(directory=tmp_path).status().leases == 3
    wait_until(lambda: not is_served(tmp_path), "the supervisor to end")


def test_a_start_goes_on_for_others_when_the_program_that_began_it_dies(tmp_path: Path) -> None:
    go_on = tmp_path / "go on"
    hold = lease(stub_settings(go_on)) + "time.sleep(600)\n"
    with program(hold, tmp_path) as first, program(hold, tmp_path) as second:
        wait_until((tmp_path / "node1" / "pid").exists, "the node's process")
        log = tmp_path / "supervisor.log"
        wait_until(lambda: log.read_text().count("lease") == 2, "both requests")
        first.kill()
        wait_until(lambda: stub(tmp_path).status().leases == 1, "the first's lease to end")
        go_on.touch()
        assert int(line_of(second))


def test_a_forked_child_has_no_lease(tmp_path: Path) -> None:
    code = (
        LEASE + "import os\n"
        "if os.fork() == 0:\n"
        "    print(cluster.contact_points[0], cluster.port, flush=True)\n"
        "    time.sleep(600)\n"
        "print('parent', flush=True)\n"
        "sys.stdin.readline()\n"
        "cluster.stop()\n"
        "print('stopped', flush=True)\n"
        "os.wait()\n"
    )
    with program(code, tmp_path) as parent:
        pid = int(line_of(parent))
        assert {line_of(parent).split()[0] for _ in range(2)} == {"parent", "127.0.0.1"}
        children = psutil.Process(parent.pid).children()
        assert parent.stdin is not None
        print("go on", file=parent.stdin, flush=True)
        assert line_of(parent) == "stopped"
        assert is_gone(pid)
        for child in children:
            child.kill()


@pytest.mark.parametrize(
    "fork", ["os.fork()", "ctypes.PyDLL(None).fork()"], ids=["with hooks", "without hooks"]
)
def test_a_forked_child_may_take_a_lease_of_its_own(tmp_path: Path, fork: str) -> None:
    code = (
        LEASE + "import ctypes, os\n"
        f"if {fork} == 0:\n"
        "    cluster.start()\n"
        "    print(cluster.pids[0], flush=True)\n"
        "    time.sleep(600)\n"
        "os.wait()\n"
    )
    with program(code, tmp_path) as parent:
        pid = line_of(parent)
        assert line_of(parent) == pid
        assert LocalCluster(directory=tmp_path).status().leases == 2
        (child,) = psutil.Process(parent.pid).children()
        parent.kill()
        wait_until(
            lambda: LocalCluster(directory=tmp_path).status().leases == 1, "the parent's lease"
        )
        child.kill()
        wait_until(lambda: is_gone(int(pid)), "the node to end")


def test_a_program_that_is_executed_has_no_lease(tmp_path: Path) -> None:
    code = (
        LEASE + "import subprocess\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], "
        "close_fds=False)\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    with program(code, tmp_path) as parent:
        pid, child = int(line_of(parent)), int(line_of(parent))
        parent.kill()
        wait_until(lambda: is_gone(pid), "the node to end")
        assert not is_gone(child)
        os.kill(child, signal.SIGKILL)


def test_a_supervisor_that_nobody_leases_ends(tmp_path: Path) -> None:
    subprocess.run(
        [
            *(sys.executable, "-m", "flask_cqlalchemy.local.supervisor"),
            *(tmp_path, str(STUB_LINGER)),
        ],
        cwd=ROOT,
        check=True,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    supervisor = supervisor_of(tmp_path)
    wait_until(lambda: is_gone(supervisor.pid), "the supervisor to end")
    assert not socket_path(tmp_path).exists()


def test_a_request_that_is_not_one_ends_its_connection_only(tmp_path: Path) -> None:
    with stub(tmp_path) as cluster:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(socket_path(tmp_path)))
            connection.sendall(b"GET / HTTP/1.1\r\n\r\n")
            assert connection.recv(1) == b""
        assert cluster.status().leases == 1


def test_a_status_request_is_no_lease(tmp_path: Path) -> None:
    with stub(tmp_path) as cluster, socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(socket_path(tmp_path)))
        connection.sendall(Request("status").encode())
        assert connection.recv(65536)
        cluster.stop()
        assert not cluster.status().running


def test_what_a_killed_supervisor_left_in_the_directory_does_no_harm(tmp_path: Path) -> None:
    stale = socket_path(tmp_path)
    with socket.socket(socket.AF_UNIX) as gone:
        gone.bind(str(stale))
    (tmp_path / "supervisor.lock").write_text(f'{{"pid": 1, "socket": "{stale}"}}\n')
    (tmp_path / "node1").mkdir()
    (tmp_path / "node1" / "pid").write_text("1\n")
    assert starts_again(stub(tmp_path))


def test_a_node_that_was_left_behind_is_ended_and_no_other_process(tmp_path: Path) -> None:
    marker = f"-Dflask_cqlalchemy.node={tmp_path / 'node1'}"
    sleep = "import time; time.sleep(600)"
    (tmp_path / "node1").mkdir()
    with (
        program(sleep, marker) as left_behind,
        program(sleep) as other,
        ThreadPoolExecutor(1) as pool,
    ):
        # It is a child of this process: until somebody has waited for it, it has not gone.
        ended = pool.submit(left_behind.wait)
        (tmp_path / "node1" / "pid").write_text(f"{left_behind.pid}\n")
        assert starts_again(stub(tmp_path))
        assert ended.result() == -signal.SIGKILL
        (tmp_path / "node1" / "pid").write_text(f"{other.pid}\n")
        assert starts_again(stub(tmp_path))
        assert other.poll() is None


def open_files(pid: int) -> Iterator[tuple[int, str]]:
    """The number of each file that a process has open, and what it is."""
    for number in os.listdir(f"/proc/{pid}/fd"):  # noqa: PTH208 - numbers, not paths
        # One may be closed meanwhile.
        with contextlib.suppress(FileNotFoundError):
            yield int(number), os.readlink(f"/proc/{pid}/fd/{number}")  # noqa: PTH115 - pipe:[1]


@linux_only
def test_the_supervisor_keeps_nothing_of_the_programs_open(tmp_path: Path) -> None:
    with program(HOLD, tmp_path / "cassandra") as holder:
        line_of(holder)
        supervisor = supervisor_of(tmp_path / "cassandra").pid
        assert Path(f"/proc/{supervisor}/cwd").readlink() == Path("/")
        held = {found for number, found in open_files(holder.pid) if number < 3}
        assert len(held) == 3
        assert not held & {found for _, found in open_files(supervisor)}
        assert os.getsid(supervisor) != os.getsid(holder.pid)


def test_the_socket_is_in_a_directory_that_only_its_user_can_enter(tmp_path: Path) -> None:
    found = socket_path(tmp_path).parent.stat()
    assert (found.st_uid, found.st_mode & 0o777) == (os.geteuid(), 0o700)


def test_a_stop_while_a_program_starts_is_that_programs_error(tmp_path: Path) -> None:
    code = lease(stub_settings(tmp_path / "never"))
    with program(code, tmp_path) as starter:
        wait_until((tmp_path / "node1" / "pid").exists, "the node's process")
        pid = int((tmp_path / "node1" / "pid").read_text())
        ask(tmp_path, Request("stop"))
        assert is_gone(pid)
        _, errors = starter.communicate()
    assert errors.rstrip().endswith(
        "LocalClusterError: Cassandra was stopped while it was starting."
    )

"""Whatever holds a local node, its sudden death leaves no Cassandra behind."""

from __future__ import annotations

import signal
import socket
from pathlib import Path

import psutil
import pytest

from flask_cqlalchemy import LocalCluster

from .processes import Program, module_running

pytestmark = pytest.mark.slow

#: Seconds in which the nodes of a killed program must be gone.
LONGEST = 10

WAITING_TEST = """
import time
from pathlib import Path

def test_waits(cassandra_cluster):
    Path("pid").write_text(str(cassandra_cluster.pids[0]))
    if Path("wait").exists():
        time.sleep(600)
"""


def kill(running: Program) -> None:
    running.process.send_signal(signal.SIGKILL)
    running.process.wait()


def assert_gone(pid: int) -> None:
    left = [psutil.Process(pid)] if psutil.pid_exists(pid) else []
    assert psutil.wait_procs(left, timeout=LONGEST)[1] == []


def test_a_killed_pytest_leaves_no_node_and_the_next_run_works(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text(WAITING_TEST)
    (tmp_path / "wait").touch()
    arguments = ["pytest", "-q", "-p", "no:cacheprovider", f"--basetemp={tmp_path / 'base'}"]
    pid_file = tmp_path / "pid"
    with module_running(arguments, {}, tmp_path / "log", port=0, cwd=tmp_path) as running:
        running.wait(pid_file.exists)
        running.wait(lambda: pid_file.read_text())
        kill(running)
    assert_gone(int(pid_file.read_text()))
    (tmp_path / "wait").unlink()
    with module_running(arguments, {}, tmp_path / "log", port=0, cwd=tmp_path) as running:
        assert running.process.wait(60) == 0
        assert "1 passed" in running.output
    assert_gone(int(pid_file.read_text()))


def test_a_killed_flask_run_leaves_no_node_and_the_next_run_works(tmp_path: Path) -> None:
    directory = tmp_path / "cassandra"
    config = {"CASSANDRA_LOCAL_DIRECTORY": directory, "SECRET_KEY": "a key of the tests"}
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    arguments = ["flask", "--app", "examples.tumblelog", "run", "--port", str(port)]
    with module_running(arguments, config, tmp_path / "log", port=port) as server:
        server.wait(lambda: server.client().get("/")[0] == 200)
        server.client().post("/posts/new", slug="kept", title="Kept", body="Still here.")
        (pid,) = LocalCluster(directory=directory).pids
        kill(server)
    assert pid is not None
    assert_gone(pid)
    with module_running(arguments, config, tmp_path / "log", port=port) as server:
        server.wait(lambda: server.client().get("/kept")[0] == 200)
        (pid,) = LocalCluster(directory=directory).pids
    assert pid is not None
    assert_gone(pid)

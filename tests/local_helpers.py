"""What the tests of the local Cassandra share: waiting, programs that hold a lease, statements.

A *stub* is a cluster whose node is a small program that listens (``stub_node``), for what would be
the same were it any other.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import Cluster
from cassandra.policies import ConstantReconnectionPolicy

from flask_cqlalchemy.local import LocalCluster
from flask_cqlalchemy.local.settings import LocalOptions

#: Seconds within which nothing may be left after the last lease has ended.
GONE_TIMEOUT = 10

ROOT = Path(__file__).resolve().parent.parent

#: Seconds for which a stub's supervisor waits for another lease.
STUB_LINGER = 0.5


def stub_settings(*files: Path) -> LocalOptions:
    """The settings of a cluster of a program that listens once all ``files`` exist."""
    listener = Path(__file__).with_name("stub_node.py")
    program = (sys.executable, str(listener), *map(str, files))
    return LocalOptions(linger=STUB_LINGER, program=program)


def stub(directory: Path) -> LocalCluster:
    """A cluster of a program that listens, and does nothing else that Cassandra does."""
    return LocalCluster.from_settings(stub_settings(), directory)


def lease(settings: LocalOptions) -> str:
    """A program that leases the directory of its first argument and says which process it got."""
    return f"""
import sys, time
from flask_cqlalchemy.local import LocalCluster
from flask_cqlalchemy.local.settings import LocalOptions
cluster = LocalCluster.from_settings({settings!r}, sys.argv[1]).start()
print(cluster.pids[0], flush=True)
"""


def wait_until(condition: Callable[[], object], what: str, timeout: float = GONE_TIMEOUT) -> float:
    """Return the seconds until ``condition()`` is true; fail with ``what`` after ``timeout``."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < timeout, f"not within {timeout} s: {what}"
        time.sleep(0.02)
    return time.monotonic() - start


def is_gone(pid: int) -> bool:
    """Whether the process has ended; a zombie that nobody has asked for counts as ended."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def supervisor_of(directory: Path) -> psutil.Process:
    """The supervisor of a directory."""
    for process in psutil.process_iter(["cmdline"]):
        command = process.info["cmdline"] or []
        if "flask_cqlalchemy.local.supervisor" in command and str(directory) in command:
            return process
    raise AssertionError(f"no supervisor of {directory}")


def is_served(directory: Path) -> bool:
    """Whether the directory has a supervisor."""
    try:
        return not is_gone(supervisor_of(directory).pid)
    except AssertionError:
        return False


#: A shell's background job, which a CI run may be, ignores SIGINT unless told otherwise.
DEFAULT_INTERRUPT = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n"


@contextmanager
def program(code: str, *arguments: object) -> Iterator[subprocess.Popen[str]]:
    """Run Python code in a process of its own, which is killed at the end, with its children.

    What it prints arrives line by line, also where several processes print.
    """
    process = subprocess.Popen(
        [sys.executable, "-c", DEFAULT_INTERRUPT + code, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": ""},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        with contextlib.suppress(psutil.NoSuchProcess):
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
        process.kill()
        process.communicate()


def line_of(process: subprocess.Popen[str]) -> str:
    """The next line that a program prints; fails with its errors when it has ended."""
    assert process.stdout is not None
    assert process.stderr is not None
    line = process.stdout.readline()
    assert line, process.stderr.read()
    return line.strip()


@contextmanager
def session_of(
    cluster: LocalCluster,
    *,
    contact_points: Sequence[str] = (),
    user: tuple[str, str] | None = None,
    **options: Any,
) -> Iterator[Any]:
    """A driver session with the cluster."""
    driver = Cluster(
        list(contact_points) or cluster.contact_points,
        port=cluster.port,
        protocol_version=5,
        auth_provider=PlainTextAuthProvider(*user) if user else None,
        reconnection_policy=ConstantReconnectionPolicy(0.2, None),
        **options,
    )
    try:
        yield driver.connect()
    finally:
        driver.shutdown()


def hosts_of(session: Any, count: int) -> list[Any]:
    """The driver's hosts, once each can be asked by itself: ``connect`` waits for one of them."""
    wait_until(lambda: len(session.get_pools()) == count, f"connections to {count} hosts")
    return list(session.cluster.metadata.all_hosts())


def keep(cluster: LocalCluster, value: int) -> None:
    """Write a row that a later run can read."""
    with session_of(cluster) as session:
        session.execute(
            "CREATE KEYSPACE IF NOT EXISTS kept WITH replication = "
            "{'class': 'SimpleStrategy', 'replication_factor': 1}"
        )
        session.execute("CREATE TABLE IF NOT EXISTS kept.number (id int PRIMARY KEY)")
        session.execute("INSERT INTO kept.number (id) VALUES (%s)", [value])


def kept(cluster: LocalCluster) -> set[int]:
    """What ``keep`` wrote."""
    with session_of(cluster) as session:
        return {row.id for row in session.execute("SELECT id FROM kept.number")}

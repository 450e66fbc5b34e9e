"""How a program reaches the supervisor of a directory, and starts one where there is none."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import LocalClusterError
from .java import INSTALL
from .layout import place_nodes
from .messages import (
    ClusterStatus,
    Done,
    Failure,
    NodeStatus,
    Request,
    Stage,
    decode_reply,
)
from .paths import socket_path
from .settings import CASSANDRA_VERSION, LocalOptions, Manifest

if TYPE_CHECKING:
    from collections.abc import Callable

#: Seconds in which a supervisor must be reachable: more than one that is ending may take.
_CONNECT_TIMEOUT = 60

#: Bytes at which supervisor.log is begun anew.
_LOG_LIMIT = 1_000_000

#: Lines of supervisor.log that an error quotes.
_QUOTED_LINES = 8


class HungUp(Exception):  # noqa: N818 - an event, which ``lease`` answers by trying again
    """The supervisor ended the connection without a reply."""


class SupervisorConnection:
    """An open connection to a supervisor. Not inherited by a program that this one starts."""

    def __init__(self, connected: socket.socket) -> None:
        self._socket = connected
        self._received = b""

    def ask(self, request: Request, progress: Callable[[Stage], None] | None = None) -> Done:
        """Send a request and wait for the end of its answer.

        :param progress: is told of each stage.
        :raises LocalClusterError: when that is the answer.
        :raises HungUp: when there is none.
        """
        try:
            self._socket.sendall(request.encode())
            while isinstance(reply := self._next(), Stage):
                if progress is not None:
                    progress(reply)
        except OSError as error:
            raise HungUp from error
        if isinstance(reply, Failure):
            raise LocalClusterError(reply.text)
        return reply

    def _next(self) -> Stage | Done | Failure:
        while b"\n" not in self._received:
            chunk = self._socket.recv(65536)
            if not chunk:
                raise HungUp
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        return decode_reply(line)

    def close(self) -> None:
        """Hang up, which ends a lease."""
        self._socket.close()


def connect(directory: Path) -> SupervisorConnection | None:
    """A connection to the directory's supervisor; None when there is none."""
    paths = [socket_path(directory)]
    with contextlib.suppress(OSError, ValueError, KeyError):
        # One started with another TMPDIR listens elsewhere.
        paths.append(Path(json.loads((directory / "supervisor.lock").read_text())["socket"]))
    for path in dict.fromkeys(paths):
        connected = socket.socket(socket.AF_UNIX)
        try:
            if path.stat().st_uid == os.geteuid():
                connected.connect(str(path))
                return SupervisorConnection(connected)
        except OSError:
            pass
        connected.close()
    return None


def hold(
    directory: Path, request: Request, progress: Callable[[Stage], None]
) -> tuple[SupervisorConnection, ClusterStatus]:
    """Ask for a lease or a pin, from a supervisor that is started where there is none.

    :returns: the connection that is the lease, and the cluster's state.
    :raises LocalClusterError: when the nodes could not be had; the lease is given back by then.
    """
    check_packages()
    _make_directory(directory)
    deadline = time.monotonic() + _CONNECT_TIMEOUT
    while time.monotonic() < deadline:
        connection = connect(directory)
        if connection is None:
            _start_supervisor(directory, (request.settings or LocalOptions()).linger)
            continue
        try:
            reply = connection.ask(request, progress)
        except HungUp:
            # It was ending, or was killed. Another takes its place.
            connection.close()
        except BaseException:
            with contextlib.suppress(HungUp, LocalClusterError):
                connection.ask(Request("release"))
            connection.close()
            raise
        else:
            return connection, reply.status
    raise LocalClusterError(
        f"The supervisor of {directory} did not answer within {_CONNECT_TIMEOUT} s; see "
        f"{directory / 'supervisor.log'}"
    )


def ask(directory: Path, request: Request, progress: Callable[[Stage], None] | None = None) -> Done:
    """Ask a running supervisor.

    :raises LocalClusterError: when none runs, or that is the answer.
    """
    connection = connect(directory)
    if connection is not None:
        try:
            return connection.ask(request, progress)
        except HungUp:
            pass
        finally:
            connection.close()
    raise LocalClusterError(
        f"No Cassandra runs in {directory}. Start it first: flask cassandra start"
    )


def status(directory: Path) -> ClusterStatus:
    """The state of a directory's cluster, also when nothing runs there."""
    connection = connect(directory)
    if connection is not None:
        try:
            reply = connection.ask(Request("status"))
        except HungUp:
            pass
        else:
            if reply.status.nodes:
                return reply.status
        finally:
            connection.close()
    made = Manifest.read(directory)
    places = place_nodes(directory, made.nodes, made.data_centers) if made else ()
    return ClusterStatus(
        directory=directory,
        running=False,
        cassandra=made.cassandra if made else CASSANDRA_VERSION,
        port=made.port if made else None,
        leases=0,
        pinned=False,
        nodes=tuple(
            NodeStatus(place.number, place.address, place.data_center, "down", None, None)
            for place in places
        ),
    )


def check_packages() -> None:
    """Raise LocalClusterError when the system or the installation cannot run Cassandra."""
    if sys.platform == "win32":
        raise LocalClusterError("A local Cassandra needs Linux or macOS; on Windows use WSL.")
    for name in ("psutil", "platformdirs", "jgo"):
        if find_spec(name) is None:
            raise LocalClusterError(
                f"A local Cassandra needs the package {name}. Install it with: {INSTALL}"
            )


def default_directory() -> Path:
    """Where ``flask cassandra`` keeps its cluster unless told otherwise.

    :raises LocalClusterError: when the ``local`` extra is not installed.
    """
    check_packages()
    import platformdirs

    return Path(platformdirs.user_data_dir("flask-cqlalchemy"), "cassandra")


def _make_directory(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with (directory / "supervisor.lock").open("a"):
            pass
    except OSError as error:
        raise LocalClusterError(
            f"{directory} cannot be written: {error.strerror}. "
            "Use a directory that you can write to."
        ) from error


def _start_supervisor(directory: Path, linger: float) -> None:
    """Start a supervisor, or find that somebody else has; returns when one can be reached."""
    log = directory / "supervisor.log"
    if log.exists() and log.stat().st_size > _LOG_LIMIT:
        log.replace(log.with_suffix(".log.1"))
    # The same code and libraries as here, whatever this program has put on its path.
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(os.path.abspath, sys.path))}
    with log.open("ab") as output:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "flask_cqlalchemy.local.supervisor"),
                *(str(directory), str(linger)),
            ],
            cwd="/",
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
    try:
        code = process.wait(_CONNECT_TIMEOUT)
    except BaseException:
        process.kill()
        process.wait()
        raise
    if code:
        lines = log.read_text(errors="replace").splitlines()[-_QUOTED_LINES:]
        raise LocalClusterError(
            f"The supervisor of {directory} did not start.\n"
            + "".join(f"  {line}\n" for line in lines)
            + f"The whole log is {log}"
        )

"""A real Apache Cassandra on this machine: one node or several, no Docker, no root.

``LocalCluster`` is a lease on a directory's nodes. A small process of its own owns them
(``supervisor``), shares them among all programs that lease the directory, and stops them a few
seconds after the last of these has stopped or died.
"""

from __future__ import annotations

import os
import tempfile
import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import LocalClusterError
from .client import HungUp, ask, hold
from .client import status as status_of
from .layout import place_nodes, read_log
from .messages import ClusterStatus, NodeStatus, Request
from .progress import ProgressPrinter
from .settings import CASSANDRA_VERSION, CommitlogSync, LocalOptions, TLSFiles

if TYPE_CHECKING:
    from collections.abc import Mapping
    from types import TracebackType

    from typing_extensions import Self

    from .client import SupervisorConnection
    from .messages import Action

__all__ = ["CASSANDRA_VERSION", "ClusterStatus", "LocalCluster", "NodeStatus", "TLSFiles"]

#: Every cluster of this process, for a child to give up the leases that it inherits by a fork.
_clusters: weakref.WeakSet[LocalCluster] = weakref.WeakSet()


class LocalCluster:
    """A lease on the Cassandra nodes of one directory.

    ::

        with LocalCluster() as cluster:
            app = create_app({"CASSANDRA_HOSTS": cluster.contact_points,
                              "CASSANDRA_PORT": cluster.port})

    Nodes are numbered from 1. A lease ends with ``stop()``, with the object or with the process,
    and passes neither to a forked child nor to a program that is executed; a child may call
    ``start()`` for a lease of its own.

    :param nodes: how many, at 127.0.0.1, 127.0.0.2 and so on; each takes about 300 to 600 MB. Only
        1 on macOS, which answers no other address.
    :param directory: where the data stay from run to run, shared by all who lease it. None makes a
        temporary one, which is removed once the nodes have stopped.
    :param port: of the native protocol, on every node's address. None chooses one that is free and
        keeps to it as long as it is.
    :param auth: ask for user and password (``PasswordAuthenticator``, ``CassandraAuthorizer``);
        there is a superuser ``cassandra`` with the password ``cassandra``.
    :param tls: encrypt the clients' connections: ``TLSFiles``, or a directory with ``cert.pem``,
        ``key.pem`` and ``ca.pem``.
    :param data_centers: dc1 to dcN, to which the nodes are dealt in turn.
    :param tokens: of each node (cassandra.yaml, num_tokens).
    :param commitlog_sync: ``"periodic"``, Cassandra's default, under which a killed node loses
        writes of its last 10 seconds; or ``"batch"``, which loses none that were acknowledged.
    :param yaml: further keys of cassandra.yaml.
    :raises LocalClusterError: when an option cannot be used.
    """

    def __init__(
        self,
        nodes: int = 1,
        directory: str | os.PathLike[str] | None = None,
        *,
        port: int | None = None,
        auth: bool = False,
        tls: TLSFiles | str | os.PathLike[str] | None = None,
        data_centers: int = 1,
        tokens: int = 1,
        commitlog_sync: CommitlogSync = "periodic",
        yaml: Mapping[str, object] | None = None,
    ) -> None:
        if tls is not None and not isinstance(tls, TLSFiles):
            tls = TLSFiles.from_directory(Path(tls))
        settings = LocalOptions(
            nodes=nodes,
            port=port,
            auth=auth,
            tls=tls.absolute() if tls else None,
            data_centers=data_centers,
            tokens=tokens,
            commitlog_sync=commitlog_sync,
            yaml=dict(yaml or {}),
            temporary=directory is None,
        )
        self._set_up(settings, directory)

    @classmethod
    def from_settings(cls, settings: LocalOptions, directory: str | os.PathLike[str]) -> Self:
        """A cluster with settings that have no parameter: for the tests of this package.

        :raises LocalClusterError: when an option cannot be used.
        """
        cluster = cls.__new__(cls)
        cluster._set_up(settings, directory)
        return cluster

    def _set_up(self, settings: LocalOptions, directory: str | os.PathLike[str] | None) -> None:
        settings.check()
        self._settings = settings
        self._directory = Path(directory).resolve() if directory is not None else None
        self._port: int | None = None
        self._lease: SupervisorConnection | None = None
        self._hang_up: weakref.finalize[[], LocalCluster] | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()
        _clusters.add(self)

    def __repr__(self) -> str:
        return f"<LocalCluster nodes={self._settings.nodes} directory={self._directory}>"

    @property
    def directory(self) -> Path:
        """Where data, configuration and logs are.

        :raises LocalClusterError: for a temporary directory before ``start()``.
        """
        if self._directory is None:
            raise LocalClusterError("The temporary directory is made by start().")
        return self._directory

    @property
    def contact_points(self) -> list[str]:
        """The address of each node."""
        places = place_nodes(Path(), self._settings.nodes, self._settings.data_centers)
        return [place.address for place in places]

    @property
    def port(self) -> int:
        """The native protocol's port, the same on each address.

        :raises LocalClusterError: before ``start()`` where none was asked for.
        """
        port = self._port or self._settings.port
        if port is None:
            raise LocalClusterError("The port is chosen by start().")
        return port

    @property
    def is_leased(self) -> bool:
        """Whether this object, in this process, holds a lease."""
        return self._lease is not None and self._pid == os.getpid()

    @property
    def pids(self) -> list[int | None]:
        """The id of each node's process; None for a node that is down."""
        return [node.pid for node in self.status().nodes]

    def start(self) -> Self:
        """Lease the nodes: start those that are down, and wait until the cluster is ready.

        Ready means that every node knows all others, all agree on the schema, and statements at
        consistency ALL succeed. Does nothing where this object holds a lease on nodes that are up.

        :raises LocalClusterError: when the nodes cannot be had; nothing is left running then that
            was not running before.
        """
        self._check_fork()
        with self._lock:
            self._start()
        return self

    def _start(self) -> None:
        if self._settings.temporary and (self._directory is None or not self._directory.exists()):
            self._directory = Path(tempfile.mkdtemp(prefix="flask-cqlalchemy-")).resolve()
        request = Request("lease", self._settings)
        with ProgressPrinter(verbose=False) as progress:
            if self._lease is not None and self._renew(self._lease, request, progress):
                return
            lease, status = hold(self.directory, request, progress)
        self._lease, self._port = lease, status.port
        self._hang_up = weakref.finalize(self, lease.close)

    def _renew(
        self, lease: SupervisorConnection, request: Request, progress: ProgressPrinter
    ) -> bool:
        """Have nodes that are down started again; False when the supervisor has gone."""
        try:
            self._port = lease.ask(request, progress).status.port
        except LocalClusterError:
            raise
        except BaseException as error:
            # After an interrupt the connection is out of step with its replies.
            self._give_up()
            if not isinstance(error, HungUp):
                raise
            return False
        return True

    def stop(self) -> None:
        """End the lease. The last one to do so waits until the nodes have stopped."""
        self._check_fork()
        with self._lock:
            try:
                if self._lease is not None:
                    self._lease.ask(Request("release"))
            except HungUp:
                pass  # the supervisor was killed, and its nodes with it
            finally:
                self._give_up()

    def _check_fork(self) -> None:
        if self._pid != os.getpid():
            # A fork that ran no Python hooks, as some C servers do.
            self._after_fork()

    def _after_fork(self) -> None:
        """Leave the lease to the parent, of whose threads the child has none."""
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._give_up()

    def pin(self) -> None:
        """Keep the nodes running when no lease is left, until ``flask cassandra stop``.

        :raises LocalClusterError: when the nodes cannot be had.
        """
        with ProgressPrinter(verbose=False) as progress:
            connection, _ = hold(self.directory, Request("pin", self._settings), progress)
        connection.close()

    def _give_up(self) -> None:
        """Hang up, sending nothing."""
        if self._hang_up is not None:
            self._hang_up()
        self._lease = self._hang_up = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def kill(self, node: int) -> None:
        """End a node as a power cut would (SIGKILL). ``restart`` or ``start`` bring it back.

        :raises LocalClusterError: when there is no such node, or it is down.
        """
        self._change("kill", node)

    def pause(self, node: int) -> None:
        """Freeze a node (SIGSTOP): it accepts connections and answers nothing.

        :raises LocalClusterError: when there is no such node, or it is down.
        """
        self._change("pause", node)

    def resume(self, node: int) -> None:
        """Let a frozen node go on (SIGCONT).

        :raises LocalClusterError: when there is no such node, or it is down.
        """
        self._change("resume", node)

    def restart(self, node: int) -> None:
        """Stop a node gently if it is up, start it, and wait until the cluster is ready.

        :raises LocalClusterError: when there is no such node, or it does not come up.
        """
        self._change("restart", node)

    def _change(self, action: Action, node: int) -> None:
        ask(self.directory, Request(action, node=node))

    def status(self) -> ClusterStatus:
        """The nodes' state, also when they do not run."""
        return status_of(self.directory)

    def logs(self, node: int = 1, lines: int = 100) -> str:
        """The last lines of a node's log; empty where it has none yet."""
        return read_log(self.directory, node, lines)


def _leave_leases_to_the_parent() -> None:
    for cluster in list(_clusters):
        cluster._after_fork()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_leave_leases_to_the_parent)

"""One driver Cluster and Session for each application, bind and process.

A ``Connection`` opens when it is first used, in one attempt that all waiting threads share. A
forked child drops what it inherited and opens its own. Driver errors become the kit's errors here,
where statements are executed, and one retry policy serves every statement.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cassandra import UnresolvableContactPoints
from cassandra.cluster import (
    _NOT_SET,
    Cluster,
    NoHostAvailable,
    ResponseFuture,
    ResultSet,
    Session,
    _discard_cluster_shutdown,
)
from cassandra.query import BoundStatement, PreparedStatement
from flask import has_request_context

from ..config import PREFIX, Settings
from ..errors import CassandraUnavailable, ConfigError, as_both
from ..guardrails import count_repetition
from ..protocol import install
from ..signals import Observation, is_observed, observe
from ..statements.info import StatementInfo
from .options import KitCluster, check_workers, cluster_options
from .prepared import CacheMetrics, StatementCache
from .retry import (
    CONNECT_OUTAGES,
    OUTAGES,
    RetryPolicy,
    kit_error,
    reasons,
    translate,
    translated,
)

if TYPE_CHECKING:
    from cassandra.cqlengine.usertype import UserType
    from flask import Flask

log = logging.getLogger(__name__)

__all__ = [
    "NOT_SET",
    "CacheMetrics",
    "Connection",
    "RequestListener",
    "RetryPolicy",
    "check_workers",
    "cluster_options",
    "kit_error",
    "translated",
]

#: Seconds between attempts under CASSANDRA_RETRY_CONNECT: the first wait, and the longest.
RETRY_FIRST_WAIT = 0.1
RETRY_LONGEST_WAIT = 1.0

#: The driver's marker for "the timeout of the execution profile".
NOT_SET = _NOT_SET

#: Called with the driver's ResponseFuture of every request that a session of ours sends.
RequestListener = Callable[[ResponseFuture], None]


class PagedRows(ResultSet):  # type: ignore[misc]
    """A ResultSet whose later pages raise the kit's errors, and are signalled, too."""

    def __init__(self, first: ResultSet, info: StatementInfo, connection: Connection) -> None:
        # The driver has made a ResultSet of this answer; another would only do it again.
        self.__dict__.update(first.__dict__)
        self._current_rows: list[dict[str, object]] = first.current_rows
        self._observation: Observation | None = None
        self.info = info
        self.connection = connection

    def following(self) -> PagedRows:
        """Return the next page, by a request of its own, which may be repeated if it fails."""
        future = self.response_future
        return self.connection.execute(
            future.query, info=self.info, timeout=future.timeout, paging_state=self.paging_state
        )

    def fetch_next_page(self) -> None:
        if self.has_more_pages:
            self.start_next_page()
            self.take_next_page()
        else:
            self._current_rows = []

    def start_next_page(self) -> None:
        """Ask for the next page; ``take_next_page`` waits for it."""
        find_app = self.connection.find_app
        self._observation = None
        if is_observed(find_app):
            self._observation = Observation(find_app(), self.info)
        self.response_future.start_fetching_next_page()

    def take_next_page(self) -> None:
        """Wait for the page that ``start_next_page`` asked for."""
        error: Exception | None = None
        try:
            with translated(self.info.subject, idempotent=True):
                self._current_rows = self.response_future.result().current_rows
        except Exception as raised:
            error = raised
            raise
        finally:
            if self._observation is not None:
                rows = self.current_rows if error is None else None
                self._observation.note(rows, self.response_future)
                self._observation.end(error)


@dataclass
class _Live:
    """An open Cluster and Session, and the process that opened them."""

    cluster: Cluster
    session: Session
    pid: int = field(default_factory=os.getpid)
    statements: StatementCache = field(init=False)
    #: For each keyspace the version of the user types that are registered with this session.
    keyspaces: dict[str, int] = field(default_factory=dict)
    #: Held while the names of the hosts are looked up again.
    lookup: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.statements = StatementCache(self.session)
        self.cluster.on_schema_change(self.statements.forget)


def _cannot_connect(hosts: Sequence[str], port: int, error: BaseException) -> str:
    return f"{', '.join(hosts)} port {port}: cannot connect ({reasons(error)})"


def _addresses(host: str) -> set[str]:
    """Return the addresses of a host; none if its name does not resolve."""
    try:
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    except OSError:
        return set()


#: What a forked child inherited. Kept, because the driver's finalizers would talk on the parent's
#: sockets; the driver closes the child's copies when the child opens its first connection.
_inherited: list[_Live] = []

_connections: weakref.WeakSet[Connection] = weakref.WeakSet()


def _forget_after_fork() -> None:
    for connection in list(_connections):
        connection.forget()


os.register_at_fork(after_in_child=_forget_after_fork)


class Connection:
    """The connection of one bind of one application, in whichever process uses it.

    :param settings: how to connect.
    :param find_hosts: returns the contact points and the port; it may start local nodes.
    :param types: returns the user types to register for a keyspace; where two share a name, the
        later one wins.
    :param find_app: returns the application, which sends the signals.
    :param types_version: grows when ``types`` returns others than before.
    """

    def __init__(
        self,
        settings: Settings,
        find_hosts: Callable[[], tuple[Sequence[str], int]],
        types: Callable[[str], Iterable[type[UserType]]],
        find_app: Callable[[], Flask | None] = lambda: None,
        types_version: Callable[[], int] = lambda: 0,
    ) -> None:
        self.settings = settings
        self.find_app = find_app
        self._listeners: list[RequestListener] = []
        self._find_hosts = find_hosts
        self._types = types
        self._types_version = types_version
        self._live: _Live | None = None
        self._attempt: Future[_Live] | None = None
        #: Why the last try of the attempt under way has failed.
        self._failure: str | None = None
        self._lock = threading.Lock()
        self._pid = os.getpid()
        _connections.add(self)

    def __repr__(self) -> str:
        state = "open" if self._live else "closed"
        return f"<Connection {', '.join(self.settings.hosts) or 'local'} {state}>"

    @property
    def session(self) -> Session:
        """The driver's Session of this process, opened if need be.

        :raises CassandraUnavailable: if no node answers within ``CASSANDRA_CONNECT_TIMEOUT``.
        """
        return self._open().session

    @property
    def cluster(self) -> Cluster:
        """The driver's Cluster of this process, opened if need be."""
        return self._open().cluster

    @property
    def is_open(self) -> bool:
        """Whether this process has a session already."""
        return self._live is not None and self._live.pid == os.getpid()

    def execute(
        self,
        query: object,
        parameters: object = None,
        *,
        info: StatementInfo,
        timeout: float | object | None = NOT_SET,
        paging_state: bytes | None = None,
    ) -> PagedRows:
        """Execute a driver statement.

        :param query: text or a driver Statement; its ``is_idempotent`` decides about retries.
        :param info: what the statement is, for errors and signals.
        :param timeout: seconds; None waits for ever, and unset is ``CASSANDRA_REQUEST_TIMEOUT``.
        :param paging_state: where the result begins. It must come from Cassandra: a server that is
            sent anything else makes the driver close the connection.
        :raises CassandraUnavailable: if no node answers or too few replicas are alive.
        :raises RequestTimedOut: if there is no answer in time.
        :raises OutcomeUnknown: the same, for a statement that is not idempotent.
        :raises GuardrailError: if the statement is executed too often in one request.
        """
        if has_request_context() and paging_state is None and query.__class__ is BoundStatement:
            count_repetition(self.settings.guardrails, query, info)
        if not is_observed(self.find_app):
            return self._execute(query, parameters, info, timeout, paging_state)
        with observe(self.find_app(), info) as observation:
            rows = self._execute(query, parameters, info, timeout, paging_state)
            observation.note(rows.current_rows, rows.response_future)
            return rows

    def _execute(
        self,
        query: object,
        parameters: object,
        info: StatementInfo,
        timeout: float | object | None,
        paging_state: bytes | None,
    ) -> PagedRows:
        try:
            # Outside a `with`: a context manager costs more than all else here.
            future = self._open().session.execute_async(
                query, parameters, timeout=timeout, paging_state=paging_state
            )
            first = future.result()
        except OUTAGES as error:
            idempotent = getattr(query, "is_idempotent", False)
            self._look_up_again(error)
            raise translate(error, info.subject, idempotent=idempotent) from error
        return PagedRows(first, info, self)

    def prepare(
        self, cql: str, keyspace: str | None = None, *, types_of: str | None = None
    ) -> PreparedStatement:
        """Return the prepared statement of ``cql``, prepared once for the session.

        :param keyspace: of the names without one (protocol v5).
        :param types_of: the keyspace whose user types the session must know.
        :raises CassandraUnavailable: and the others of ``execute``.
        """
        try:
            live = self._open()
            if types_of is not None:
                self._register_types(live, types_of)
            return live.statements.get(cql, keyspace)
        except OUTAGES as error:
            self._look_up_again(error)
            raise translate(error, "a statement", idempotent=True) from error

    @property
    def statement_metrics(self) -> CacheMetrics:
        """How many statements this process's session has prepared, and keeps."""
        return self._open().statements.metrics

    def add_listener(self, listener: RequestListener) -> None:
        """Have ``listener`` called with each request, also of a session that is opened later."""
        self._listeners.append(listener)
        if self._live is not None:
            self._live.session.add_request_init_listener(listener)

    def remove_listener(self, listener: RequestListener) -> None:
        """Undo ``add_listener``."""
        self._listeners.remove(listener)
        if self._live is not None:
            self._live.session.remove_request_init_listener(listener)

    def _register_types(self, live: _Live, keyspace: str) -> None:
        """Tell the session which class stands for which user type of ``keyspace``.

        A type that the keyspace lacks is looked for again by the next call.
        """
        version = self._types_version()
        if live.keyspaces.get(keyspace) == version:
            return
        metadata = live.cluster.metadata.keyspaces.get(keyspace)
        complete = True
        for user_type in self._types(keyspace):
            if metadata is not None and user_type.type_name() in metadata.user_types:
                live.cluster.register_user_type(keyspace, user_type.type_name(), user_type)
            else:
                complete = False
        if complete:
            live.keyspaces[keyspace] = version

    def forget_types(self) -> None:
        """Have every user type registered again: the model or the table has changed."""
        if self._live is not None:
            self._live.keyspaces.clear()

    def close(self) -> None:
        """Close the session and the cluster. The next use opens new ones."""
        if self._pid != os.getpid():
            self.forget()
        with self._lock:
            live, self._live = self._live, None
            attempt, self._attempt = self._attempt, None
        if attempt is not None:
            attempt.cancel()
        if live is not None:
            live.cluster.shutdown()

    def forget(self) -> None:
        """Drop what a forked process inherited. Nothing is sent on the parent's sockets."""
        self._lock = threading.Lock()
        self._pid = os.getpid()
        self._attempt = None
        if self._live is not None:
            _discard_cluster_shutdown(self._live.cluster)
            _inherited.append(self._live)
            self._live = None

    def _open(self) -> _Live:
        live = self._live
        if live is not None and live.pid == os.getpid():
            return live
        if self._pid != os.getpid():
            # A fork that ran no Python hooks, as some C servers do.
            self.forget()
        check_workers()
        hosts, port = self._find_hosts()
        with self._lock:
            if self._live is not None:
                return self._live
            attempt, is_new = self._attempt, self._attempt is None
            if attempt is None:
                attempt = self._attempt = Future()
                self._failure = None
        if is_new:
            self._start_attempt(attempt, hosts, port)
        try:
            return attempt.result(timeout=self.settings.connect_timeout)
        except CancelledError:
            raise CassandraUnavailable("the connection was closed while it was opened") from None
        except FutureTimeoutError:
            seconds, failure = self.settings.connect_timeout, self._failure
            why = f"no answer within {seconds:g} s, {PREFIX}CONNECT_TIMEOUT"
            late = TimeoutError(f"{why}; the last try: {failure}" if failure else why)
            outage = CassandraUnavailable(_cannot_connect(hosts, port, late))
            log.warning("%s", outage)
            raise outage from late
        except CONNECT_OUTAGES as error:
            outage = CassandraUnavailable(_cannot_connect(hosts, port, error))
            if isinstance(error, NoHostAvailable):
                outage = as_both(outage, error)
            raise outage from error

    def _look_up_again(self, error: Exception) -> None:
        """After the loss of every node, see whether their names lead elsewhere by now.

        The driver looks names up once, and then waits for the addresses for ever; a container that
        starts again may have another one. Then the next use connects anew.
        """
        live, hosts = self._live, self.settings.hosts
        if not isinstance(error, NoHostAvailable) or live is None or not hosts:
            return
        nodes = live.cluster.metadata.all_hosts
        if any(host.is_up for host in nodes()) or not live.lookup.acquire(blocking=False):
            return

        def look_up() -> None:
            # A thread of its own: a name server that is out, too, may take long to say nothing.
            try:
                found = {address for host in hosts for address in _addresses(host)}
                known = {host.address for host in nodes()}
                known |= {point.address for point in live.cluster.endpoints_resolved}
                if found - known and not any(host.is_up for host in nodes()):
                    self._drop(live)
            finally:
                live.lookup.release()

        try:
            threading.Thread(target=look_up, name="cassandra-lookup", daemon=True).start()
        except RuntimeError:
            live.lookup.release()

    def _drop(self, live: _Live) -> None:
        """Close a session that leads nowhere, unless there is a newer one."""
        with self._lock:
            if self._live is not live:
                return
            self._live = None
        log.warning("the names of the hosts lead to other addresses now: connecting anew")
        live.cluster.shutdown()

    def _start_attempt(self, attempt: Future[_Live], hosts: Sequence[str], port: int) -> None:
        """Connect in a thread of its own: the driver may take longer than anybody can wait."""
        thread = threading.Thread(
            target=self._run_attempt,
            args=(attempt, hosts, port),
            name="cassandra-connect",
            daemon=True,
        )
        try:
            thread.start()
        except RuntimeError as error:
            # The process has no room for a thread now, and may have later.
            self._end_attempt(attempt, error, hosts, port)

    def _end_attempt(
        self, attempt: Future[_Live], error: BaseException, hosts: Sequence[str], port: int
    ) -> None:
        """Tell those who wait why there is no connection; the next one begins anew."""
        with self._lock:
            if self._attempt is attempt:
                self._attempt = None
        if isinstance(error, CONNECT_OUTAGES):
            log.warning("%s", _cannot_connect(hosts, port, error))
        if attempt.set_running_or_notify_cancel():
            attempt.set_exception(error)

    def _run_attempt(self, attempt: Future[_Live], hosts: Sequence[str], port: int) -> None:
        try:
            live = self._connect(hosts, port, attempt)
        except BaseException as error:
            self._end_attempt(attempt, error, hosts, port)
            return
        with self._lock:
            wanted = self._attempt is attempt and attempt.set_running_or_notify_cancel()
            if wanted:
                self._live, self._attempt = live, None
        if wanted:
            attempt.set_result(live)
        else:
            live.cluster.shutdown()

    def _connect(self, hosts: Sequence[str], port: int, attempt: Future[_Live]) -> _Live:
        deadline = time.monotonic() + self.settings.connect_timeout
        wait = RETRY_FIRST_WAIT
        while True:
            try:
                cluster, session = self._connect_once(hosts, port)
                break
            except CONNECT_OUTAGES as error:
                self._failure = reasons(error)
                out_of_time = time.monotonic() + wait > deadline
                if not self.settings.retry_connect or out_of_time or attempt.cancelled():
                    raise
                time.sleep(wait)
                wait = min(2 * wait, RETRY_LONGEST_WAIT)
        session.default_fetch_size = self.settings.fetch_size
        install(session, skip_metadata=self.settings.skip_metadata)
        # cqlengine sends tuples as CQL tuples; the driver alone would send a list.
        session.encoder.mapping[tuple] = session.encoder.cql_encode_tuple
        for listener in self._listeners:
            session.add_request_init_listener(listener)
        return _Live(cluster, session)

    def _connect_once(self, hosts: Sequence[str], port: int) -> tuple[KitCluster, Session]:
        try:
            cluster = KitCluster(**cluster_options(self.settings, hosts, port))
        except UnresolvableContactPoints as error:
            # The driver says nothing: the text is that of an empty dictionary.
            names = f"the name {hosts[0]}" if len(hosts) == 1 else "none of the names"
            raise UnresolvableContactPoints(
                f"{names} {'does not resolve' if len(hosts) == 1 else 'resolves'}"
            ) from error
        except (KeyError, TypeError, ValueError) as error:
            settings = self.settings
            name = "CLOUD" if settings.cloud else "SETUP_KWARGS" if settings.setup_kwargs else None
            if name is None or isinstance(error, OSError):
                raise
            raise ConfigError(f"{PREFIX}{name} is not what the driver takes: {error}") from error
        try:
            return cluster, cluster.connect()
        except BaseException:
            self._check_data_centre(cluster)
            cluster.shutdown()
            raise

    def _check_data_centre(self, cluster: Cluster) -> None:
        """Blame a wrong CASSANDRA_LOCAL_DC, for which the driver only finds no host."""
        known = sorted(
            {host.datacenter for host in cluster.metadata.all_hosts() if host.datacenter}
        )
        wanted = self.settings.local_dc
        if wanted and known and wanted not in known:
            cluster.shutdown()
            raise ConfigError(
                f"{PREFIX}LOCAL_DC is {wanted!r}; the cluster's data centres are "
                f"{', '.join(known)}."
            )

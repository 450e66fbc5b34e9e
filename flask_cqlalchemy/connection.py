"""One driver Cluster and Session for each application, bind and process.

A ``Connection`` opens when it is first used, in one attempt that all waiting threads share. A
forked child drops what it inherited and opens its own. Driver errors become the kit's errors here,
where statements are executed, and one retry policy serves every statement.
"""

from __future__ import annotations

import logging
import os
import ssl
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cassandra import (
    ConsistencyLevel,
    OperationTimedOut,
    ProtocolVersion,
    ReadTimeout,
    Unavailable,
    WriteFailure,
    WriteTimeout,
    WriteType,
    policies,
)
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import (
    _NOT_SET,
    EXEC_PROFILE_DEFAULT,
    Cluster,
    ExecutionProfile,
    NoHostAvailable,
    ResponseFuture,
    ResultSet,
    Session,
    _discard_cluster_shutdown,
)
from cassandra.connection import ConnectionException
from cassandra.query import dict_factory

from .config import PREFIX, Settings, SSLSettings
from .errors import CassandraUnavailable, ConfigError, OutcomeUnknown, RequestTimedOut

if TYPE_CHECKING:
    from cassandra.cqlengine.usertype import UserType

log = logging.getLogger(__name__)

#: Seconds. The driver would wait up to 600 s before it tries a returned node again.
RECONNECT_BASE_DELAY = 0.25
RECONNECT_MAX_DELAY = 2.0

#: Seconds. A frozen node counts as up until a heartbeat fails: 60 s with the driver's defaults.
HEARTBEAT_INTERVAL = 2.0
HEARTBEAT_TIMEOUT = 2.0

#: Seconds between attempts under CASSANDRA_RETRY_CONNECT: the first wait, and the longest.
RETRY_FIRST_WAIT = 0.1
RETRY_LONGEST_WAIT = 1.0

#: The driver's marker for "the timeout of the execution profile".
NOT_SET = _NOT_SET

#: Called with the driver's ResponseFuture of every request that a session of ours sends.
RequestListener = Callable[[ResponseFuture], None]


class RetryPolicy(policies.RetryPolicy):  # type: ignore[misc]
    """The kit's one retry policy: at most one repetition, and never of a write that might double.

    The driver's own sends a request to the next host after a connection error without asking
    whether the statement is idempotent; this one asks.
    """

    def on_read_timeout(
        self,
        query: Any,
        consistency: int,
        required_responses: int,
        received_responses: int,
        data_retrieved: bool,
        retry_num: int,
    ) -> tuple[int, int | None]:
        """Repeat once when enough replicas answered and only the data itself was missing."""
        del query
        if retry_num == 0 and received_responses >= required_responses and not data_retrieved:
            return self.RETRY, consistency
        return self.RETHROW, None

    def on_write_timeout(
        self,
        query: Any,
        consistency: int,
        write_type: int,
        required_responses: int,
        received_responses: int,
        retry_num: int,
    ) -> tuple[int, int | None]:
        """Repeat once when the batch log was not written: then nothing of the batch was."""
        del query, required_responses, received_responses
        if retry_num == 0 and write_type == WriteType.BATCH_LOG:
            return self.RETRY, consistency
        return self.RETHROW, None

    def on_unavailable(
        self,
        query: Any,
        consistency: int,
        required_replicas: int,
        alive_replicas: int,
        retry_num: int,
    ) -> tuple[int, int | None]:
        """Ask one more coordinator, which may see more replicas: nothing was written."""
        del query, consistency, required_replicas, alive_replicas
        return (self.RETRY_NEXT_HOST if retry_num == 0 else self.RETHROW), None

    def on_request_error(
        self, query: Any, consistency: int, error: Exception, retry_num: int
    ) -> tuple[int, int | None]:
        """Go on to the next host only with a statement that may be applied twice."""
        del consistency, error, retry_num
        idempotent = getattr(query, "is_idempotent", False)
        return (self.RETRY_NEXT_HOST if idempotent else self.RETHROW), None


def _reasons(error: NoHostAvailable) -> str:
    reasons = error.errors if isinstance(error.errors, Mapping) else {}
    if not reasons:
        return str(error.args[0] if error.args else error)
    return "; ".join(
        f"{host}: {reason or type(reason).__name__}" for host, reason in reasons.items()
    )


@contextmanager
def translated(subject: str, *, idempotent: bool) -> Iterator[None]:
    """Raise the kit's errors for the driver's, naming ``subject``: a table, or what was done.

    :param idempotent: whether the statement may be applied twice; a timeout of one that may not is
        ``OutcomeUnknown``.
    """
    try:
        yield
    except NoHostAvailable as error:
        outage = CassandraUnavailable(f"{subject}: no node answered ({_reasons(error)})")
        log.warning("%s", outage)
        raise outage from error
    except Unavailable as error:
        level = ConsistencyLevel.value_to_name[error.consistency]
        outage = CassandraUnavailable(
            f"{subject}: {level} needs {error.required_replicas} replicas, "
            f"{error.alive_replicas} are alive"
        )
        log.warning("%s", outage)
        raise outage from error
    except (
        WriteTimeout,
        WriteFailure,
        ReadTimeout,
        OperationTimedOut,
        ConnectionException,
    ) as error:
        if not idempotent:
            unknown = OutcomeUnknown(f"{subject}: the outcome is unknown ({error})")
            log.warning("%s", unknown)
            raise unknown from error
        if isinstance(error, WriteFailure):
            raise
        timed_out = RequestTimedOut(f"{subject}: no answer in time ({error})")
        log.warning("%s", timed_out)
        raise timed_out from error


class _Rows(ResultSet):  # type: ignore[misc]
    """A ResultSet whose later pages raise the kit's errors too."""

    subject = ""

    def fetch_next_page(self) -> None:
        with translated(self.subject, idempotent=True):
            super().fetch_next_page()


class _Cluster(Cluster):  # type: ignore[misc]
    """Begins with protocol v5, not with DSE's, and still steps down for an old server."""

    protocol_version = ProtocolVersion.V5


def _ssl_context(settings: SSLSettings) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=settings.ca)
    context.check_hostname = settings.check_hostname
    if settings.certificate:
        context.load_cert_chain(settings.certificate, settings.key)
    return context


def _default_profile(settings: Settings, given: ExecutionProfile | None) -> ExecutionProfile:
    """Return the default execution profile: a user's own, or one made from the settings.

    The driver refuses a load-balancing or retry policy beside execution profiles, so the policies
    of CASSANDRA_SETUP_KWARGS go into the profile.
    """
    if given is not None:
        given.row_factory = dict_factory
        return given
    own = settings.setup_kwargs
    balancing = own.get("load_balancing_policy")
    if balancing is None and not (settings.cloud or "cloud" in own):
        balancing = policies.TokenAwarePolicy(
            policies.DCAwareRoundRobinPolicy(local_dc=settings.local_dc or "")
        )
    return ExecutionProfile(
        **({} if balancing is None else {"load_balancing_policy": balancing}),
        retry_policy=own.get("default_retry_policy") or RetryPolicy(),
        consistency_level=settings.consistency,
        serial_consistency_level=settings.serial_consistency,
        request_timeout=settings.request_timeout,
        row_factory=dict_factory,
    )


def cluster_options(settings: Settings, hosts: Sequence[str], port: int) -> dict[str, Any]:
    """Return the arguments for the driver's Cluster: ours, with CASSANDRA_SETUP_KWARGS on top."""
    own = dict(settings.setup_kwargs)
    profiles = dict(own.pop("execution_profiles", None) or {})
    profiles[EXEC_PROFILE_DEFAULT] = _default_profile(settings, profiles.get(EXEC_PROFILE_DEFAULT))
    for name in ("load_balancing_policy", "default_retry_policy"):
        own.pop(name, None)
    options: dict[str, Any] = {
        "execution_profiles": profiles,
        "connect_timeout": settings.connect_timeout,
        "control_connection_timeout": settings.connect_timeout,
        "idle_heartbeat_interval": HEARTBEAT_INTERVAL,
        "idle_heartbeat_timeout": HEARTBEAT_TIMEOUT,
        "reconnection_policy": policies.ExponentialReconnectionPolicy(
            RECONNECT_BASE_DELAY, RECONNECT_MAX_DELAY, max_attempts=None
        ),
    }
    if settings.cloud:
        options["cloud"] = {"secure_connect_bundle": str(settings.cloud)}
    elif "cloud" not in own:
        options |= {"contact_points": list(hosts), "port": port}
    if settings.username is not None:
        options["auth_provider"] = PlainTextAuthProvider(settings.username, settings.password)
    if settings.ssl:
        options["ssl_context"] = _ssl_context(settings.ssl)
    return options | own


def check_workers() -> None:
    """Refuse gevent's sockets under a driver that was imported before gevent replaced them.

    The driver chooses its event loop on import. Under gunicorn's ``--preload -k gevent`` that is
    the one for threads, and the first query would wait for ever.

    :raises ConfigError: naming the workers that do work.
    """
    monkey = sys.modules.get("gevent.monkey")
    patched = monkey is not None and monkey.is_module_patched("socket")
    will_be_patched = "gunicorn.workers.ggevent" in sys.modules
    driver_knows = Cluster.connection_class.__name__ == "GeventConnection"
    if (patched or will_be_patched) and not driver_knows:
        raise ConfigError(
            "The Cassandra driver was imported before gevent replaced the sockets, and would wait "
            "for ever. Start gunicorn's gevent workers without --preload, or use `-k gthread`, "
            "which works with it."
        )


@dataclass
class _Live:
    """An open Cluster and Session, and the process that opened them."""

    cluster: Cluster
    session: Session
    pid: int = field(default_factory=os.getpid)
    #: Keyspaces in which every user type is registered with this session.
    keyspaces: set[str] = field(default_factory=set)


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
    :param find_hosts: gives the contact points and the port; it may start local nodes.
    :param types: gives the user types that a session must know.
    """

    def __init__(
        self,
        settings: Settings,
        find_hosts: Callable[[], tuple[Sequence[str], int]],
        types: Callable[[], Iterable[type[UserType]]],
    ) -> None:
        self.settings = settings
        self._listeners: list[RequestListener] = []
        self._find_hosts = find_hosts
        self._types = types
        self._live: _Live | None = None
        self._attempt: Future[_Live] | None = None
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
        query: Any,
        parameters: Any = None,
        *,
        subject: str,
        timeout: float | object | None = NOT_SET,
    ) -> ResultSet:
        """Execute a driver statement.

        :param query: text or a driver Statement; its ``is_idempotent`` decides about retries.
        :param subject: what an error names, such as the table.
        :param timeout: seconds; None waits for ever, and unset is ``CASSANDRA_REQUEST_TIMEOUT``.
        :raises CassandraUnavailable: if no node answers or too few replicas are alive.
        :raises RequestTimedOut: if there is no answer in time.
        :raises OutcomeUnknown: the same, for a statement that is not idempotent.
        """
        session = self.session
        with translated(subject, idempotent=getattr(query, "is_idempotent", False)):
            future = session.execute_async(query, parameters, timeout=timeout)
            first = future.result()
        rows = _Rows(future, first.current_rows)
        rows.subject = subject
        return rows

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

    def register_types(self, keyspace: str) -> None:
        """Tell the session which class stands for which user type of ``keyspace``.

        A type that the keyspace lacks is looked for again by the next call.
        """
        live = self._open()
        if keyspace in live.keyspaces:
            return
        metadata = live.cluster.metadata.keyspaces.get(keyspace)
        complete = True
        for user_type in self._types():
            if metadata is not None and user_type.type_name() in metadata.user_types:
                live.cluster.register_user_type(keyspace, user_type.type_name(), user_type)
            else:
                complete = False
        if complete:
            live.keyspaces.add(keyspace)

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
        """Drop what a forked process inherited, without a word on the parent's sockets."""
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
            attempt = self._attempt
            if attempt is None:
                attempt = self._attempt = Future()
                threading.Thread(
                    target=self._run_attempt,
                    args=(attempt, hosts, port),
                    name="cassandra-connect",
                    daemon=True,
                ).start()
        try:
            return attempt.result(timeout=self.settings.connect_timeout)
        except CancelledError:
            raise CassandraUnavailable("the connection was closed while it was opened") from None
        except FutureTimeoutError:
            seconds = self.settings.connect_timeout
            outage = CassandraUnavailable(
                f"{', '.join(hosts)} port {port}: no answer within {seconds:g} s "
                f"({PREFIX}CONNECT_TIMEOUT)"
            )
            log.warning("%s", outage)
            raise outage from None
        except NoHostAvailable as error:
            raise CassandraUnavailable(
                f"{', '.join(hosts)} port {port}: cannot connect ({_reasons(error)})"
            ) from error

    def _run_attempt(self, attempt: Future[_Live], hosts: Sequence[str], port: int) -> None:
        """Connect, in a thread of its own: the driver may take longer than anybody can wait."""
        try:
            live = self._connect(hosts, port, attempt)
        except BaseException as error:
            with self._lock:
                if self._attempt is attempt:
                    self._attempt = None
            if isinstance(error, NoHostAvailable):
                log.warning(
                    "%s port %s: cannot connect (%s)", ", ".join(hosts), port, _reasons(error)
                )
            if attempt.set_running_or_notify_cancel():
                attempt.set_exception(error)
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
            cluster = _Cluster(**cluster_options(self.settings, hosts, port))
            try:
                session = cluster.connect()
            except NoHostAvailable:
                self._check_data_centre(cluster)
                cluster.shutdown()
                out_of_time = time.monotonic() + wait > deadline
                if not self.settings.retry_connect or out_of_time or attempt.cancelled():
                    raise
                time.sleep(wait)
                wait = min(2 * wait, RETRY_LONGEST_WAIT)
            except BaseException:
                cluster.shutdown()
                raise
            else:
                break
        session.default_fetch_size = self.settings.fetch_size
        # cqlengine sends tuples as CQL tuples; the driver alone would send a list.
        session.encoder.mapping[tuple] = session.encoder.cql_encode_tuple
        for listener in self._listeners:
            session.add_request_init_listener(listener)
        return _Live(cluster, session)

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

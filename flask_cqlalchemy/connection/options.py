"""From settings to the driver's Cluster: what it is made with, and which workers it can serve."""

from __future__ import annotations

import ssl
import sys
from collections.abc import Callable, Sequence
from typing import Any

from cassandra import AuthenticationFailed, ProtocolVersion, policies
from cassandra.auth import PlainTextAuthProvider
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
from cassandra.connection import ConnectionException, ConnectionShutdown
from cassandra.metadata import Metadata
from cassandra.pool import Host
from cassandra.query import dict_factory

from ..config import Settings, SSLSettings
from ..errors import ConfigError
from .retry import RetryPolicy

#: Seconds. The driver would wait up to 600 s before it tries a returned node again.
RECONNECT_BASE_DELAY = 0.25
RECONNECT_MAX_DELAY = 2.0

#: Seconds. A frozen node counts as up until a heartbeat fails: 60 s with the driver's defaults.
HEARTBEAT_INTERVAL = 2.0
HEARTBEAT_TIMEOUT = 2.0

#: The oldest protocol in which a value can be left out of a statement (native_protocol_v4.spec, 4):
#: before, it would be null, and an INSERT would remove what it does not name.
OLDEST_PROTOCOL = ProtocolVersion.V4


class _KitConnection(Cluster.connection_class):  # type: ignore[misc]
    """Is over as soon as the server hangs up, as a proxy does whose node is not there yet.

    Under some of its event loops the driver would wait for the whole connect timeout.
    """

    def close(self) -> None:
        super().close()
        if not self.connected_event.is_set():
            error: Exception | None = self.last_error  # type: ignore[has-type]
            self.last_error = error or ConnectionShutdown("the server closed the connection")
            self.connected_event.set()


class KitCluster(Cluster):  # type: ignore[misc]
    """Begins with protocol v5, not with DSE's, and still steps down for an old server."""

    protocol_version = ProtocolVersion.V5
    connection_class = _KitConnection

    def __init__(self, *args: object, **options: object) -> None:
        super().__init__(*args, **options)
        self.metadata = _Metadata()

    def _make_connection_factory(self, host: Host, *args: object, **options: object) -> Any:
        """Have the driver go on looking for a node that refuses the password, which another change
        may make right again: for an AuthenticationFailed it would give the node up for ever.
        """
        make = super()._make_connection_factory(host, *args, **options)

        def connect() -> Any:
            try:
                return make()
            except AuthenticationFailed as error:
                raise ConnectionException(str(error), host.endpoint) from error

        return connect

    def on_schema_change(self, act: Callable[[], None]) -> None:
        """Have ``act`` called whenever the driver has read a change of the schema."""
        self.metadata.listeners.append(act)


class _Metadata(Metadata):  # type: ignore[misc]
    """The driver's picture of the schema, which says when it has changed."""

    def __init__(self) -> None:
        super().__init__()
        self.listeners: list[Callable[[], None]] = []

    def refresh(self, *args: object, **options: object) -> None:
        super().refresh(*args, **options)
        for act in self.listeners:
            act()


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
    if _uses_gevent():
        # Under gevent's event loop the driver now and then mistakes the frame that begins v5's
        # checksums ("CRC mismatch on header", tried with 3.30.1), and the connect fails.
        options["protocol_version"] = ProtocolVersion.V4
    if settings.cloud:
        options["cloud"] = {"secure_connect_bundle": str(settings.cloud)}
    elif "cloud" not in own:
        options |= {"contact_points": list(hosts), "port": port}
    if settings.username is not None:
        options["auth_provider"] = PlainTextAuthProvider(settings.username, settings.password)
    if settings.ssl:
        options["ssl_context"] = _ssl_context(settings.ssl)
    if (own.get("protocol_version") or OLDEST_PROTOCOL) < OLDEST_PROTOCOL:
        # Version 2's documentation asks for the third, for user types.
        own["protocol_version"] = OLDEST_PROTOCOL
    return options | own


def _uses_gevent() -> bool:
    """Return whether gevent had replaced the sockets when the driver chose its event loop."""
    return str(Cluster.connection_class.__name__) == "GeventConnection"


def check_workers() -> None:
    """Refuse gevent's sockets under a driver that was imported before gevent replaced them.

    The driver chooses its event loop on import. Under gunicorn's ``--preload -k gevent`` that is
    the one for threads, and the first query would wait for ever.

    :raises ConfigError: naming the workers that do work.
    """
    monkey = sys.modules.get("gevent.monkey")
    patched = monkey is not None and monkey.is_module_patched("socket")
    will_be_patched = "gunicorn.workers.ggevent" in sys.modules
    if (patched or will_be_patched) and not _uses_gevent():
        raise ConfigError(
            "The Cassandra driver was imported before gevent replaced the sockets, and would wait "
            "for ever. Start gunicorn's gevent workers without --preload, or use `-k gthread`, "
            "which works with it."
        )

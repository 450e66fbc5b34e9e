"""Whether a cluster can be used, asked of the cluster itself.

An open port is not a ready node: two seconds after the third one opened, CREATE KEYSPACE succeeded
and the next statement said that the keyspace does not exist (tried). So every node must list all
others in ``system.peers_v2``, all schema versions must agree, and CREATE, INSERT and SELECT at
consistency ALL must pass.
"""

from __future__ import annotations

import logging
import ssl
import time
from typing import TYPE_CHECKING, Any

from ..errors import LocalClusterError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .settings import LocalOptions, Manifest

#: Seconds that nodes whose ports are open may take to be ready; three take 3 to 12.
READY_TIMEOUT = 90

#: Seconds of one statement. DDL on three fresh nodes timed out at 2 s (tried).
_STATEMENT_TIMEOUT = 20

#: Seconds after which the driver's picture of the cluster is made anew: a host that it could not
#: reach at first, it may take long to find.
_ATTEMPT = 2

#: Seconds between two looks.
_POLL = 0.05

_log = logging.getLogger(__name__)

_KEYSPACE = "flask_cqlalchemy_ready"


def wait_until_ready(addresses: Sequence[str], settings: LocalOptions, made: Manifest) -> bool:
    """Wait until the nodes at ``addresses`` serve as one cluster.

    :param addresses: of all nodes that should be up.
    :returns: whether the default superuser could log in; see ``Manifest.auth_ready``.
    :raises LocalClusterError: when they are not ready after READY_TIMEOUT; says what was missing.
    """
    from cassandra import AuthenticationFailed, DriverException
    from cassandra.cluster import NoHostAvailable

    deadline = time.monotonic() + READY_TIMEOUT
    missing: object = "no connection yet"
    while time.monotonic() < deadline:
        cluster = _driver_cluster(addresses, settings, made)
        try:
            session = cluster.connect()
            attempt = min(deadline, time.monotonic() + _ATTEMPT)
            while missing := _probe(cluster, session, addresses, settings):
                if time.monotonic() > attempt:
                    break
                time.sleep(_POLL)
            else:
                return True
        except NoHostAvailable as error:
            causes = list(error.errors.values()) if isinstance(error.errors, dict) else []
            if any(isinstance(cause, AuthenticationFailed) for cause in causes):
                if made.auth_ready:
                    return False
            # The driver makes a plain OSError of ssl.SSLCertVerificationError and keeps its text.
            elif any("CERTIFICATE_VERIFY_FAILED" in str(cause) for cause in causes):
                raise LocalClusterError(
                    f"tls: the nodes' certificate was refused: {causes[0]}. "
                    "The ca file must have signed the certificate."
                ) from error
            missing = error
        except DriverException as error:
            missing = error
        finally:
            cluster.shutdown()
        _log.info("not ready: %s", missing)
        time.sleep(_POLL)
    raise LocalClusterError(f"The cluster was not ready within {READY_TIMEOUT} s: {missing}")


def _driver_cluster(addresses: Sequence[str], settings: LocalOptions, made: Manifest) -> Any:
    """A driver's Cluster that learns nothing it does not need."""
    from cassandra import ConsistencyLevel
    from cassandra.auth import PlainTextAuthProvider
    from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile
    from cassandra.policies import ConstantReconnectionPolicy, RoundRobinPolicy

    context = None
    if settings.tls:
        context = ssl.create_default_context(cafile=str(settings.tls.ca))
        context.check_hostname = False
    profile = ExecutionProfile(
        RoundRobinPolicy(),
        consistency_level=ConsistencyLevel.ALL,
        request_timeout=_STATEMENT_TIMEOUT,
    )
    return Cluster(
        list(addresses),
        port=made.port,
        protocol_version=5,
        auth_provider=PlainTextAuthProvider("cassandra", "cassandra") if settings.auth else None,
        ssl_context=context,
        execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        reconnection_policy=ConstantReconnectionPolicy(0.2, None),
        connect_timeout=_STATEMENT_TIMEOUT,
        control_connection_timeout=_STATEMENT_TIMEOUT,
        schema_metadata_enabled=False,
        token_metadata_enabled=False,
        monitor_reporting_enabled=False,
        idle_heartbeat_interval=0,
        executor_threads=len(addresses) + 2,
    )


def _probe(cluster: Any, session: Any, addresses: Sequence[str], settings: LocalOptions) -> str:
    """What is still missing; an empty text when nothing is."""
    hosts = {host.address: host for host in cluster.metadata.all_hosts()}
    if absent := set(addresses) - set(hosts):
        return f"{', '.join(sorted(absent))} not known to the others"
    if len(session.get_pools()) < len(addresses):
        # ``connect`` returns with the first; a statement for another host would fail.
        return "not all hosts connected"
    versions = set()
    for address in addresses:
        local = session.execute("SELECT schema_version FROM system.local", host=hosts[address])
        versions.add(local.one().schema_version)
        peers = session.execute(
            "SELECT peer, schema_version FROM system.peers_v2", host=hosts[address]
        )
        rows = {row.peer: row.schema_version for row in peers}
        if absent := set(addresses) - {address} - set(rows):
            return f"{address} does not list {', '.join(sorted(absent))}"
        versions |= {rows[peer] for peer in addresses if peer != address}
    if len(versions) > 1:
        return "schema versions differ"
    if len(addresses) < settings.nodes:
        # Level ALL needs the nodes that are down.
        return ""
    replication = ", ".join(
        f"'dc{number}': {len(addresses[number - 1 :: settings.data_centers])}"
        for number in range(1, settings.data_centers + 1)
    )
    session.execute(
        f"CREATE KEYSPACE IF NOT EXISTS {_KEYSPACE} WITH replication = "
        f"{{'class': 'NetworkTopologyStrategy', {replication}}} AND durable_writes = false"
    )
    session.execute(f"CREATE TABLE IF NOT EXISTS {_KEYSPACE}.probe (id int PRIMARY KEY)")
    session.execute(f"INSERT INTO {_KEYSPACE}.probe (id) VALUES (1)")
    session.execute(f"SELECT id FROM {_KEYSPACE}.probe WHERE id = 1")
    session.execute(f"DROP KEYSPACE {_KEYSPACE}")
    return ""

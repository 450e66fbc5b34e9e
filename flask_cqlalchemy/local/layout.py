"""What a node is made of: its place, its configuration files and its command line.

Everything here is computed or written before the process exists; ``process`` runs it.
"""

from __future__ import annotations

import json
import os
import shutil
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING
from xml.sax.saxutils import escape

from ..errors import LocalClusterError

if TYPE_CHECKING:
    from pathlib import Path

    from .java import Java
    from .settings import LocalOptions, Manifest

#: Largest heap of a node, in MiB.
HEAP = 256

#: Milliseconds that a node of several waits for gossip to spread; with less the second one ends
#: with "Unable to gossip with any peers" (tried). A single node has nobody to wait for.
_RING_DELAY = 2000

#: Bytes at which a log is set aside at the next start.
_LOG_LIMIT = 10_000_000

#: A skip list memtable's overhead per row in bytes. Cassandra measures it at each start, for four
#: seconds, and gets this.
_ROW_OVERHEAD = 181

_JVM_FLAGS = (
    f"-Xmx{HEAP}m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-XX:-UsePerfData",
    "-XX:+ExitOnOutOfMemoryError",
    "-Djava.net.preferIPv4Stack=true",
    "-Djdk.attach.allowAttachSelf=true",
    "-Djava.awt.headless=true",
    "-Dfile.encoding=UTF-8",
)

#: What Java 17 must open to Cassandra: its conf/jvm17-server.options.
_EXPORTS = (
    "java.base/java.lang.ref",
    "java.base/jdk.internal.misc",
    "java.base/sun.nio.ch",
    "java.management.rmi/com.sun.jmx.remote.internal.rmi",
    "java.rmi/sun.rmi.registry",
    "java.rmi/sun.rmi.server",
    "java.sql/java.sql",
    "jdk.unsupported/sun.misc",
)
_OPENS = (
    "java.base/java.io",
    "java.base/java.lang",
    "java.base/java.lang.module",
    "java.base/java.lang.reflect",
    "java.base/java.nio",
    "java.base/java.util",
    "java.base/java.util.concurrent",
    "java.base/java.util.concurrent.atomic",
    "java.base/jdk.internal.loader",
    "java.base/jdk.internal.math",
    "java.base/jdk.internal.misc",
    "java.base/jdk.internal.module",
    "java.base/jdk.internal.ref",
    "java.base/jdk.internal.reflect",
    "java.base/jdk.internal.util.jar",
    "java.base/sun.nio.ch",
    "jdk.management/com.sun.management.internal",
)

_LOGBACK = """\
<configuration>
  <appender name="file" class="ch.qos.logback.core.FileAppender">
    <file>{log}</file>
    <encoder><pattern>%-5level [%thread] %date{{ISO8601}} %F:%L - %msg%n</pattern></encoder>
  </appender>
  <root level="INFO"><appender-ref ref="file"/></root>
  <!-- Advice for servers: jemalloc, swap, read-ahead, JMX. -->
  <logger name="org.apache.cassandra.service.StartupChecks" level="ERROR"/>
  <logger name="org.apache.cassandra.utils.NativeLibrary" level="ERROR"/>
</configuration>
"""


@dataclass(frozen=True)
class Node:
    """A node's place.

    :ivar number: counted from 1.
    :ivar directory: holds all that it reads and writes.
    """

    number: int
    address: str
    data_center: str
    directory: Path

    @property
    def log(self) -> Path:
        """Cassandra's log."""
        return log_path(self.directory.parent, self.number)

    @property
    def output(self) -> Path:
        """What the JVM printed; Cassandra says there what it cannot log."""
        return self.directory / "output.log"

    @property
    def pid_file(self) -> Path:
        """The process's id, while it runs or after it was left behind."""
        return self.directory / "pid"

    @property
    def marker(self) -> str:
        """An argument that no other process has, by which one that was left behind is known."""
        return f"-Dflask_cqlalchemy.node={self.directory}"


def place_nodes(directory: Path, nodes: int, data_centers: int) -> tuple[Node, ...]:
    """The nodes of a cluster, dealt to its data centres in turn."""
    return tuple(
        Node(
            number=number,
            address=f"127.0.0.{number}",
            data_center=f"dc{(number - 1) % data_centers + 1}",
            directory=directory / f"node{number}",
        )
        for number in range(1, nodes + 1)
    )


def initial_tokens(number: int, nodes: int, tokens: int) -> str:
    """The tokens of one node, such that all nodes' are spread evenly over Murmur3's range."""
    step = 2**64 // (nodes * tokens)
    return ",".join(str(-(2**63) + (i * nodes + number - 1) * step) for i in range(tokens))


def configuration(node: Node, settings: LocalOptions, made: Manifest) -> dict[str, object]:
    """The node's cassandra.yaml. JSON is YAML, so ``write_files`` needs no library for it."""
    where = node.directory
    login = settings.auth
    document: dict[str, object] = {
        "cluster_name": "Flask-CQLAlchemy",
        "partitioner": "org.apache.cassandra.dht.Murmur3Partitioner",
        "num_tokens": settings.tokens,
        "initial_token": initial_tokens(node.number, settings.nodes, settings.tokens),
        "auto_bootstrap": False,
        # ``ready`` waits for the peers; a seed that is started again before them would for 10 s.
        "block_for_peers_timeout_in_secs": -1,
        "listen_address": node.address,
        "rpc_address": node.address,
        "native_transport_port": made.port,
        "storage_port": made.storage_port,
        "seed_provider": [
            {
                "class_name": "org.apache.cassandra.locator.SimpleSeedProvider",
                "parameters": [{"seeds": f"127.0.0.1:{made.storage_port}"}],
            }
        ],
        "endpoint_snitch": "GossipingPropertyFileSnitch",
        "data_file_directories": [str(where / "data")],
        "commitlog_directory": str(where / "commitlog"),
        "saved_caches_directory": str(where / "saved_caches"),
        "hints_directory": str(where / "hints"),
        "cdc_raw_directory": str(where / "cdc_raw"),
        "commitlog_sync": settings.commitlog_sync,
        "authenticator": "PasswordAuthenticator" if login else "AllowAllAuthenticator",
        "authorizer": "CassandraAuthorizer" if login else "AllowAllAuthorizer",
        "role_manager": "CassandraRoleManager",
        # A change of permissions is seen at once.
        "permissions_validity": "0ms",
        "roles_validity": "0ms",
        "credentials_validity": "0ms",
        "materialized_views_enabled": True,
        "user_defined_functions_enabled": True,
        "auto_snapshot": False,
        "disk_failure_policy": "die",
        "commit_failure_policy": "die",
    }
    if settings.commitlog_sync == "periodic":
        document["commitlog_sync_period"] = "10s"
    if settings.tls:
        document["client_encryption_options"] = {
            "enabled": True,
            "optional": False,
            "ssl_context_factory": {
                "class_name": "org.apache.cassandra.security.PEMBasedSslContextFactory"
            },
            "keystore": str(where / "tls.pem"),
            "truststore": str(settings.tls.ca),
        }
    return document | dict(settings.yaml)


def write_files(node: Node, settings: LocalOptions, made: Manifest) -> None:
    """Write the node's configuration, and make room for its logs and temporary files.

    :raises LocalClusterError: when the directory cannot be written or the TLS key not be read.
    """
    where = node.directory
    try:
        where.mkdir(parents=True, exist_ok=True)
        # The JVM's libraries unpack native code here, and a killed one leaves it behind.
        shutil.rmtree(where / "tmp", ignore_errors=True)
        (where / "tmp").mkdir()
        (where / "triggers").mkdir(exist_ok=True)
        for log in (node.log, node.output):
            if log.exists() and log.stat().st_size > _LOG_LIMIT:
                log.replace(log.with_suffix(".log.1"))
        (where / "cassandra.yaml").write_text(
            json.dumps(configuration(node, settings, made), indent=1)
        )
        (where / "rackdc.properties").write_text(f"dc={node.data_center}\nrack=rack1\n")
        (where / "logback.xml").write_text(_LOGBACK.format(log=escape(str(node.log))))
        if settings.tls:
            _write_tls(where / "tls.pem", settings.tls.certificate, settings.tls.key)
    except OSError as error:
        raise LocalClusterError(
            f"{error.filename or where} cannot be written: {error.strerror}. "
            "Use a directory that you can write to."
        ) from error


def _write_tls(target: Path, certificate: Path, key: Path) -> None:
    """Join certificate and key; Cassandra reads one file, and only a PKCS #8 key (RFC 5958)."""
    from cryptography.hazmat.primitives.serialization import (
        Encoding,
        NoEncryption,
        PrivateFormat,
        load_pem_private_key,
    )

    try:
        private_key = load_pem_private_key(key.read_bytes(), None)
    except (TypeError, ValueError) as error:
        raise LocalClusterError(
            f"tls: {key} is not a PEM private key without a password ({error})."
        ) from error
    pem = private_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    descriptor = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(pem.rstrip() + b"\n" + certificate.read_bytes())


def base_command(java: Java, class_path: list[str]) -> list[str]:
    """The part of a command line that a class archive must be made with."""
    return [
        str(java.path),
        *(f"--add-exports={package}=ALL-UNNAMED" for package in _EXPORTS),
        *(f"--add-opens={package}=ALL-UNNAMED" for package in _OPENS),
        *_JVM_FLAGS,
        "-cp",
        os.pathsep.join(class_path),
    ]


def command(
    node: Node, settings: LocalOptions, java: Java, class_path: list[str], archive_flags: list[str]
) -> list[str]:
    """The node's command line.

    :param archive_flags: those that use a class archive, or record what one should hold.
    """
    where, alone = node.directory, settings.nodes == 1
    properties = {
        "cassandra.config": (where / "cassandra.yaml").as_uri(),
        "cassandra-rackdc.properties": (where / "rackdc.properties").as_uri(),
        "cassandra.storagedir": where,
        "cassandra.triggers_dir": where / "triggers",
        "logback.configurationFile": (where / "logback.xml").as_uri(),
        "java.io.tmpdir": where / "tmp",
        "cassandra-foreground": "yes",
        "cassandra.memtable.row_overhead_size": _ROW_OVERHEAD,
        "cassandra.skip_wait_for_gossip_to_settle": 0,
        "cassandra.superuser_setup_delay_ms": 0,
        "cassandra.ring_delay_ms": 1 if alone else _RING_DELAY,
        # Others should hear that a node goes; a single one has none, nor messages in flight.
        "cassandra.shutdown_announce_in_ms": 0 if alone else 100,
        "cassandra.test.messagingService.nonGracefulShutdown": str(alone).lower(),
    }
    return [
        *base_command(java, class_path),
        *archive_flags,
        node.marker,
        *(f"-D{name}={value}" for name, value in properties.items()),
        "org.apache.cassandra.service.CassandraDaemon",
    ]


def log_path(directory: Path, number: int) -> Path:
    """Cassandra's log of a node."""
    return directory / f"node{number}" / "system.log"


def read_log(directory: Path, number: int, lines: int) -> str:
    """The last lines of a node's log; empty where it has none yet."""
    path = log_path(directory, number)
    if not path.exists():
        return ""
    with path.open(errors="replace") as file:
        return "".join(deque(file, lines))

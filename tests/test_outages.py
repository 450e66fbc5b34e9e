"""Outages of every kind are a 503, one line of the log and one line of ``flask cql``."""

from __future__ import annotations

import datetime as dt
import logging
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from cassandra.protocol import IsBootstrappingErrorMessage, OverloadedErrorMessage
from cassandra.query import SimpleStatement
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from flask import Flask

from flask_cqlalchemy import CassandraUnavailable, ConfigError, CQLAlchemy
from flask_cqlalchemy.connection import translated
from flask_cqlalchemy.statements.info import describe

from .local_helpers import ROOT, wait_until


@contextmanager
def make_app(config: dict[str, Any], **options: object) -> Iterator[tuple[Flask, CQLAlchemy]]:
    """An application whose view ``/`` reads a table."""
    db = CQLAlchemy()

    class Note(db.Model):
        id = db.columns.Integer(primary_key=True)

    app = Flask(__name__)
    app.config.from_mapping({**config, **options})
    db.init_app(app)

    @app.get("/")
    def index() -> str:
        connection = db.place().connection
        statement = SimpleStatement("SELECT key FROM system.local", is_idempotent=True)
        info = describe(statement.query_string, "system.local")
        return str(connection.execute(statement, info=info).one()["key"])

    try:
        yield app, db
    finally:
        with app.app_context():
            db.close()


@contextmanager
def server(
    serve: Callable[[socket.socket], None], address: tuple[str, int] = ("127.0.0.1", 0)
) -> Iterator[int]:
    """A port where ``serve`` answers each connection, in a thread of its own."""
    listener = socket.create_server(address)
    threads = []

    def answer(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            serve(connection)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                thread = threading.Thread(target=answer, args=(connection,))
                threads.append(thread)
                thread.start()

    accepting = threading.Thread(target=accept)
    accepting.start()
    try:
        yield listener.getsockname()[1]
    finally:
        # A close alone does not end an accept.
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()
        accepting.join()
        for thread in threads:
            thread.join()


class Forwarder:
    """A way to a node that can be cut."""

    def __init__(self, port: int) -> None:
        self.is_open = True
        self._target = port
        self._sockets: list[socket.socket] = []

    def serve(self, client: socket.socket) -> None:
        if not self.is_open:
            return
        with socket.create_connection(("127.0.0.1", self._target)) as node:
            self._sockets += [client, node]
            back = threading.Thread(target=self._copy, args=(node, client), daemon=True)
            back.start()
            self._copy(client, node)
            back.join()

    def _copy(self, source: socket.socket, target: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65_536):
                target.sendall(data)
        for each in (source, target):
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    def cut(self) -> None:
        """End every connection, and take no other."""
        self.is_open = False
        for each in self._sockets:
            with suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)


def hang_up(connection: socket.socket) -> None:
    del connection


def speak_http(connection: socket.socket) -> None:
    connection.recv(1024)
    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def speak_tls(connection: socket.socket) -> None:
    with tls_context().wrap_socket(connection, server_side=True) as encrypted:
        encrypted.recv(1024)


@cache
def tls_context() -> ssl.SSLContext:
    """A server's side of TLS, with a certificate that nobody else has signed."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = dt.datetime.now(dt.timezone.utc)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    with tempfile.NamedTemporaryFile() as file:
        file.write(made.public_bytes(Encoding.PEM))
        file.write(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
        file.flush()
        context.load_cert_chain(file.name)
    return context


@dataclass(frozen=True)
class Kind:
    """A kind of outage.

    :ivar reason: the classes of which the log names one.
    :ivar settings: under which it happens, beside those of the test cluster.
    :ivar serve: what is on the other side, in place of a node.
    """

    reason: str
    settings: Mapping[str, object] = field(default_factory=dict)
    serve: Callable[[socket.socket], None] | None = None


HUNG_UP = "ConnectionShutdown|ConnectionResetError|ProtocolError"

KINDS = {
    "the name does not resolve": Kind(
        "UnresolvableContactPoints", {"CASSANDRA_HOSTS": "cassandra.invalid"}
    ),
    "nothing listens": Kind("ConnectionRefusedError", {"CASSANDRA_PORT": 1}),
    # No packet may be sent to all of the network by TCP, so the system refuses at once.
    "there is no route": Kind("OSError|PermissionError", {"CASSANDRA_HOSTS": "255.255.255.255"}),
    "the server hangs up": Kind(HUNG_UP, serve=hang_up),
    "the server speaks another protocol": Kind(HUNG_UP, serve=speak_http),
    "the server wants TLS": Kind(HUNG_UP, serve=speak_tls),
    "the server refuses TLS": Kind("SSLError|ConnectionResetError", {"CASSANDRA_SSL": True}),
    "the certificate is not trusted": Kind("SSLError", {"CASSANDRA_SSL": True}, speak_tls),
    "the authority's file has no certificate": Kind(
        "SSLError", {"CASSANDRA_SSL": {"ca": str(ROOT / "pyproject.toml")}}
    ),
    "the version of the protocol is unknown": Kind(
        "DriverException", {"CASSANDRA_SETUP_KWARGS": {"protocol_version": 66}}
    ),
}


@pytest.fixture(params=KINDS.values(), ids=list(KINDS))
def outage(
    request: pytest.FixtureRequest, cassandra_config: dict[str, Any]
) -> Iterator[tuple[dict[str, Any], str]]:
    """Settings under which no connection can be made, and the class of the reason."""
    kind: Kind = request.param
    settings = {**cassandra_config, **kind.settings}
    if kind.serve is None:
        yield settings, kind.reason
        return
    with server(kind.serve) as port:
        yield {**settings, "CASSANDRA_PORT": port}, kind.reason


Outage = tuple[dict[str, Any], str]


def logged(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the kit has logged of its connections."""
    ours = [each for each in caplog.records if each.name == "flask_cqlalchemy.connection"]
    assert {each.levelname for each in ours} <= {"WARNING"}
    return [each.getMessage() for each in ours]


def test_a_request_is_answered_with_503_and_the_log_names_the_reason(
    outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    config, reason = outage
    with make_app(config) as (app, _):
        response = app.test_client().get("/")
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "2"
    assert b"The database cannot be reached at the moment." in response.data
    (line,) = logged(caplog)
    assert re.search(rf": cannot connect \(.*\b({reason}): ", line), line


def test_the_error_has_the_drivers_as_its_cause(outage: Outage) -> None:
    config, reason = outage
    with make_app(config) as (app, db), app.app_context():
        with pytest.raises(CassandraUnavailable, match=reason) as caught:
            db.connect()
        assert caught.value.__cause__ is not None


def test_retry_connect_tries_again_until_its_time_is_over(outage: Outage) -> None:
    config, reason = outage
    retry = {"CASSANDRA_RETRY_CONNECT": True, "CASSANDRA_CONNECT_TIMEOUT": 0.5}
    with make_app(config, **retry) as (app, db), app.app_context():
        start = time.monotonic()
        with pytest.raises(CassandraUnavailable, match=reason):
            db.connect()
        # The first two waits are 0.1 s and 0.2 s; a single try takes some milliseconds.
        assert 0.3 <= time.monotonic() - start < 3


COMMANDS = [["status"], ["models"], ["sync"], ["drop", "--yes"], ["truncate", "--yes"]]


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
def test_each_command_ends_with_one_line_that_says_why(outage: Outage, command: list[str]) -> None:
    config, reason = outage
    with make_app(config) as (app, _):
        result = app.test_cli_runner().invoke(args=["cql", *command])
    assert result.exit_code == 1
    assert isinstance(result.exception, SystemExit)
    assert re.fullmatch(rf"Error: .*: cannot connect \(.*\b({reason}): .*\)\n", result.output)


_PROGRAM = """
from flask import Flask
from flask_cqlalchemy import CQLAlchemy
app = Flask(__name__)
app.config.update(CASSANDRA_HOSTS="cassandra.invalid", CASSANDRA_KEYSPACE="x")
CQLAlchemy(app)
"""


def test_a_terminal_shows_that_line_and_nothing_else(tmp_path: Path) -> None:
    """Without a program's own logging, Python would print what is logged as well."""
    (tmp_path / "late.py").write_text(_PROGRAM)
    done = subprocess.run(
        [sys.executable, "-m", "flask", "--app", str(tmp_path / "late.py"), "cql", "status"],
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == (
        "Error: cassandra.invalid port 9042: cannot connect (UnresolvableContactPoints: the name "
        "cassandra.invalid does not resolve)\n"
    )


class NameServer:
    """What the system says of one name, in place of the system's own."""

    def __init__(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        self.address: str | None = None
        ask = socket.getaddrinfo

        def getaddrinfo(host: Any, *args: Any, **options: Any) -> Any:
            if host != name:
                return ask(host, *args, **options)
            if self.address is None:
                raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
            return ask(self.address, *args, **options)

        monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)


@pytest.fixture
def name_server(monkeypatch: pytest.MonkeyPatch) -> NameServer:
    return NameServer("cassandra.example", monkeypatch)


def test_a_name_that_resolves_later_needs_no_restart(
    cassandra_config: dict[str, Any], name_server: NameServer
) -> None:
    with make_app(cassandra_config, CASSANDRA_HOSTS="cassandra.example") as (app, _):
        client = app.test_client()
        assert client.get("/").status_code == 503
        name_server.address = "127.0.0.1"
        assert client.get("/").status_code == 200


def test_retry_connect_waits_for_a_name_to_resolve(
    cassandra_config: dict[str, Any], name_server: NameServer
) -> None:
    options = {"CASSANDRA_RETRY_CONNECT": True, "CASSANDRA_CONNECT_TIMEOUT": 30}
    with (
        make_app(cassandra_config, CASSANDRA_HOSTS="cassandra.example", **options) as (app, db),
        ThreadPoolExecutor(1) as pool,
    ):
        answer = pool.submit(lambda: app.test_client().get("/").status_code)
        with app.app_context():
            connection = db.place().connection
        wait_until(lambda: connection._failure, "the first try to fail")
        name_server.address = "127.0.0.1"
        assert answer.result(timeout=10) == 200


def test_a_name_that_does_not_resolve_beside_one_that_does_is_left_out(
    cassandra_config: dict[str, Any], name_server: NameServer
) -> None:
    del name_server
    hosts = ["cassandra.example", "127.0.0.1"]
    with make_app(cassandra_config, CASSANDRA_HOSTS=hosts) as (app, _):
        assert app.test_client().get("/").status_code == 200


def test_names_of_which_none_resolves_are_all_named(
    cassandra_config: dict[str, Any], name_server: NameServer
) -> None:
    del name_server
    hosts = ["cassandra.example", "cassandra.invalid"]
    with make_app(cassandra_config, CASSANDRA_HOSTS=hosts) as (app, db), app.app_context():
        with pytest.raises(CassandraUnavailable) as caught:
            db.connect()
        assert str(caught.value) == (
            f"cassandra.example, cassandra.invalid port {cassandra_config['CASSANDRA_PORT']}: "
            "cannot connect (UnresolvableContactPoints: none of the names resolves)"
        )


def test_a_node_that_is_served_later_needs_no_restart(cassandra_config: dict[str, Any]) -> None:
    forwarder = Forwarder(cassandra_config["CASSANDRA_PORT"])
    forwarder.is_open = False
    with server(forwarder.serve) as port, make_app(cassandra_config, CASSANDRA_PORT=port) as made:
        client = made[0].test_client()
        assert client.get("/").status_code == 503
        forwarder.is_open = True
        assert client.get("/").status_code == 200


def test_a_node_that_starts_again_elsewhere_is_found_by_its_name(
    cassandra_config: dict[str, Any], name_server: NameServer
) -> None:
    """A container that starts again may have another address: the driver knows the old one only."""
    port = cassandra_config["CASSANDRA_PORT"]
    forwarder = Forwarder(port)
    name_server.address = "127.0.0.9"
    with make_app(cassandra_config, CASSANDRA_HOSTS="cassandra.example") as (app, _):
        client = app.test_client()
        with server(forwarder.serve, ("127.0.0.9", port)):
            assert client.get("/").status_code == 200
            forwarder.cut()
        wait_until(lambda: client.get("/").status_code == 503, "the loss to be seen")
        name_server.address = "127.0.0.1"
        wait_until(lambda: client.get("/").status_code == 200, "the new address")


def test_a_node_lost_while_the_schema_is_read_is_an_outage(
    cassandra_config: dict[str, Any], caplog: pytest.LogCaptureFixture
) -> None:
    forwarder = Forwarder(cassandra_config["CASSANDRA_PORT"])
    with (
        server(forwarder.serve) as port,
        make_app(cassandra_config, CASSANDRA_PORT=port) as (app, db),
        app.app_context(),
    ):
        db.connect()
        forwarder.cut()
        with pytest.raises(CassandraUnavailable, match="^the schema: no node answered"):
            db.sync_db()
        assert len(logged(caplog)) == 1
        for command in COMMANDS:
            result = app.test_cli_runner().invoke(args=["cql", *command])
            if command != ["models"]:
                # It shows what the driver has read before.
                assert result.exit_code == 1, result.output
                assert re.fullmatch(r"Error: .+\n", result.output)


def test_a_process_without_room_for_a_thread_tries_again_with_the_next_request(
    cassandra_config: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start

    def refuse(self: threading.Thread) -> None:
        if self.name == "cassandra-connect":
            raise RuntimeError("can't start new thread")
        start(self)

    with make_app(cassandra_config) as (app, _):
        client = app.test_client()
        with monkeypatch.context() as patched:
            patched.setattr(threading.Thread, "start", refuse)
            assert client.get("/").status_code == 503
        assert client.get("/").status_code == 200


@pytest.mark.alone
def test_a_silent_node_is_told_with_what_the_last_try_met(
    cassandra_config: dict[str, Any], name_server: NameServer
) -> None:
    """The name resolves after the first try, and leads to a port that says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        config = {
            **cassandra_config,
            "CASSANDRA_HOSTS": "cassandra.example",
            "CASSANDRA_PORT": silent.getsockname()[1],
            "CASSANDRA_RETRY_CONNECT": True,
            "CASSANDRA_CONNECT_TIMEOUT": 0.5,
        }
        with make_app(config) as (app, db), app.app_context(), ThreadPoolExecutor(1) as pool:
            connection = db.place().connection

            def connect() -> str:
                with pytest.raises(CassandraUnavailable) as caught:
                    connection.session  # noqa: B018 - opens it
                return str(caught.value)

            connecting = pool.submit(connect)
            wait_until(lambda: connection._failure, "the first try to fail")
            name_server.address = "127.0.0.1"
            assert connecting.result(timeout=5).endswith(
                "cannot connect (TimeoutError: no answer within 0.5 s, CASSANDRA_CONNECT_TIMEOUT; "
                "the last try: UnresolvableContactPoints: the name cassandra.example does not "
                "resolve)"
            )


@pytest.mark.parametrize("error", [OverloadedErrorMessage, IsBootstrappingErrorMessage])
@pytest.mark.parametrize("idempotent", [True, False])
def test_a_node_that_takes_no_requests_is_an_outage(error: type[Any], idempotent: bool) -> None:
    refused = error(error.error_code, "too many requests", None)
    with (
        pytest.raises(CassandraUnavailable) as caught,
        translated("blog.post", idempotent=idempotent),
    ):
        raise refused
    assert str(caught.value) == (
        f"blog.post: the node takes no requests ({error.__name__}: too many requests)"
    )


def test_what_the_driver_does_not_take_is_an_error_of_the_setting(
    cassandra_config: dict[str, Any],
) -> None:
    config = {**cassandra_config, "CASSANDRA_SETUP_KWARGS": {"conviction_policy_factory": "none"}}
    with make_app(config) as (app, db), app.app_context():
        with pytest.raises(ConfigError) as caught:
            db.connect()
        assert str(caught.value) == (
            "CASSANDRA_SETUP_KWARGS is not what the driver takes: conviction_policy_factory must "
            "be callable"
        )


def test_the_password_is_not_in_what_is_logged_or_printed(
    outage: Outage, caplog: pytest.LogCaptureFixture
) -> None:
    config, _ = outage
    caplog.set_level(logging.DEBUG)
    secret = {"CASSANDRA_USERNAME": "app", "CASSANDRA_PASSWORD": "hunter2"}
    with make_app(config, **secret) as (app, _):
        result = app.test_cli_runner().invoke(args=["cql", "status"])
    assert result.exit_code == 1
    assert "hunter2" not in result.output + caplog.text

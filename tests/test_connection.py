"""Connections: lazy, of one process, bounded in time, and gone when they are closed."""

from __future__ import annotations

import gc
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeoutError
from contextlib import contextmanager
from typing import Any

import psutil
import pytest
from cassandra import ConsistencyLevel, Unavailable, WriteTimeout, WriteType
from cassandra.cluster import EXEC_PROFILE_DEFAULT, ExecutionProfile, NoHostAvailable
from cassandra.policies import (
    DCAwareRoundRobinPolicy,
    FallthroughRetryPolicy,
    RoundRobinPolicy,
    TokenAwarePolicy,
)
from cassandra.query import SimpleStatement
from flask import Flask
from flask.testing import FlaskClient

from flask_cqlalchemy import (
    CassandraUnavailable,
    ConfigError,
    CQLAlchemy,
    LocalCluster,
    OutcomeUnknown,
    RequestTimedOut,
)
from flask_cqlalchemy.config import Settings, SSLSettings
from flask_cqlalchemy.connection import RetryPolicy, cluster_options, translated
from flask_cqlalchemy.statements.info import describe

from .local_helpers import wait_until


@contextmanager
def small_app(config: dict[str, Any], **options: object) -> Iterator[tuple[Flask, CQLAlchemy]]:
    """An application whose view ``/`` reads one row of ``system.local``."""
    db = CQLAlchemy()
    app = Flask(__name__)
    app.config.from_mapping({**config, **options})
    db.init_app(app)

    @app.get("/")
    def index() -> str:
        connection = db.place().connection
        statement = SimpleStatement("SELECT cluster_name FROM system.local", is_idempotent=True)
        info = describe(statement.query_string, "system.local")
        return str(connection.execute(statement, info=info).one()["cluster_name"])

    @app.get("/plain")
    def plain() -> str:
        return "works"

    try:
        yield app, db
    finally:
        with app.app_context():
            db.close()


def sockets_to(port: int) -> int:
    """Count this process's established connections to ``port``."""
    found = psutil.Process().net_connections(kind="tcp")
    return sum(1 for each in found if each.raddr and each.raddr.port == port)


def test_the_first_query_connects(cassandra_config: dict[str, Any]) -> None:
    with small_app(cassandra_config) as (app, db):
        with app.app_context():
            assert not db.place().connection.is_open
        assert app.test_client().get("/").status_code == 200
        with app.app_context():
            assert db.place().connection.is_open


def test_connect_and_close_are_public(cassandra_config: dict[str, Any]) -> None:
    with small_app(cassandra_config) as (app, db), app.app_context():
        db.connect()
        first = db.session
        db.close()
        assert first.is_shutdown
        assert not db.place().connection.is_open
        assert db.session is not first


def test_threads_that_connect_at_once_share_one_session(cassandra_config: dict[str, Any]) -> None:
    with small_app(cassandra_config) as (app, db):
        barrier = threading.Barrier(8)

        def connect(_: int) -> int:
            barrier.wait()
            with app.app_context():
                return id(db.session)

        with ThreadPoolExecutor(8) as pool:
            assert len(set(pool.map(connect, range(8)))) == 1


def test_fifty_cycles_leak_no_thread_and_no_socket(cassandra_config: dict[str, Any]) -> None:
    port = cassandra_config["CASSANDRA_PORT"]

    def cycle() -> None:
        with small_app(cassandra_config) as (app, db), app.app_context():
            db.connect()

    cycle()
    threads, sockets = threading.active_count(), sockets_to(port)
    for _ in range(50):
        cycle()
    wait_until(lambda: sockets_to(port) <= sockets, "the sockets to close")
    wait_until(lambda: threading.active_count() <= threads, "the threads to end")


def test_an_application_that_is_forgotten_closes_its_connections(
    cassandra_config: dict[str, Any],
) -> None:
    db = CQLAlchemy()
    app: Flask | None = Flask(__name__)
    assert app is not None
    app.config.from_mapping(cassandra_config)
    db.init_app(app)
    with app.app_context():
        session = db.session
    app = None
    gc.collect()
    assert session.is_shutdown


def test_it_is_token_aware_and_keeps_to_the_data_centre(cassandra_config: dict[str, Any]) -> None:
    with small_app(cassandra_config, CASSANDRA_LOCAL_DC="dc1") as (app, db), app.app_context():
        profile = db.session.cluster.profile_manager.default
        assert isinstance(profile.load_balancing_policy, TokenAwarePolicy)
        assert isinstance(profile.load_balancing_policy._child_policy, DCAwareRoundRobinPolicy)
        assert profile.load_balancing_policy._child_policy.local_dc == "dc1"
        assert isinstance(profile.retry_policy, RetryPolicy)


def test_a_wrong_data_centre_is_named(cassandra_config: dict[str, Any]) -> None:
    with (
        small_app(cassandra_config, CASSANDRA_LOCAL_DC="dc9") as (app, db),
        app.app_context(),
        pytest.raises(ConfigError) as caught,
    ):
        db.connect()
    assert str(caught.value) == "CASSANDRA_LOCAL_DC is 'dc9'; the cluster's data centres are dc1."


def test_settings_reach_the_driver(cassandra_config: dict[str, Any]) -> None:
    config = {
        **cassandra_config,
        "CASSANDRA_CONSISTENCY": "ONE",
        "CASSANDRA_SERIAL_CONSISTENCY": "LOCAL_SERIAL",
        "CASSANDRA_REQUEST_TIMEOUT": 7,
        "CASSANDRA_FETCH_SIZE": 123,
        "CASSANDRA_SETUP_KWARGS": {"executor_threads": 1, "protocol_version": 4},
    }
    with small_app(config) as (app, db), app.app_context():
        profile = db.session.cluster.profile_manager.default
        assert profile.consistency_level == ConsistencyLevel.ONE
        assert profile.serial_consistency_level == ConsistencyLevel.LOCAL_SERIAL
        assert profile.request_timeout == 7
        assert db.session.default_fetch_size == 123
        assert db.session.cluster.protocol_version == 4


def test_policies_of_setup_kwargs_go_into_the_profile() -> None:
    balancing, retry = RoundRobinPolicy(), FallthroughRetryPolicy()
    settings = Settings(
        hosts=("a",),
        setup_kwargs={"load_balancing_policy": balancing, "default_retry_policy": retry},
    )
    options = cluster_options(settings, settings.hosts, 9042)
    profile = options["execution_profiles"][EXEC_PROFILE_DEFAULT]
    assert (profile.load_balancing_policy, profile.retry_policy) == (balancing, retry)
    assert not {"load_balancing_policy", "default_retry_policy"} & set(options)


def test_execution_profiles_of_setup_kwargs_are_merged() -> None:
    reports = ExecutionProfile(request_timeout=60)
    settings = Settings(hosts=("a",), setup_kwargs={"execution_profiles": {"reports": reports}})
    profiles = cluster_options(settings, settings.hosts, 9042)["execution_profiles"]
    assert profiles["reports"] is reports
    assert isinstance(profiles[EXEC_PROFILE_DEFAULT].retry_policy, RetryPolicy)


def test_ssl_checks_the_host_name_unless_told_otherwise() -> None:
    for check in (True, False):
        settings = Settings(hosts=("a",), ssl=SSLSettings(check_hostname=check))
        assert cluster_options(settings, ("a",), 9042)["ssl_context"].check_hostname is check


def test_a_refused_connection_is_a_503_that_says_nothing_secret(
    cassandra_config: dict[str, Any], unused_port: int, caplog: pytest.LogCaptureFixture
) -> None:
    secret = {"CASSANDRA_USERNAME": "app", "CASSANDRA_PASSWORD": "hunter2"}
    config = {**cassandra_config, **secret, "CASSANDRA_PORT": unused_port}
    caplog.set_level(logging.DEBUG)
    with small_app(config) as (app, _):
        response = app.test_client().get("/")
        assert response.status_code == 503
        assert response.headers["Retry-After"] == "2"
        assert b"The database cannot be reached at the moment." in response.data
        assert b"127.0.0.1" not in response.data
        assert app.test_client().get("/plain").data == b"works"
    assert "hunter2" not in caplog.text
    ours = [record for record in caplog.records if record.name == "flask_cqlalchemy.connection"]
    assert [record.levelname for record in ours] == ["WARNING"]
    assert f"127.0.0.1 port {unused_port}: cannot connect" in ours[0].message


@pytest.mark.alone
def test_a_silent_host_costs_no_more_than_the_connect_timeout(
    cassandra_config: dict[str, Any],
) -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        config = {
            **cassandra_config,
            "CASSANDRA_PORT": silent.getsockname()[1],
            "CASSANDRA_CONNECT_TIMEOUT": 0.5,
        }
        with small_app(config) as (app, db), app.app_context():
            start = time.monotonic()
            with pytest.raises(CassandraUnavailable) as caught:
                db.connect()
            assert time.monotonic() - start < 2
    assert "0.5" in str(caught.value)


def test_retry_connect_goes_on_until_the_connection_is_closed(
    cassandra_config: dict[str, Any], unused_port: int
) -> None:
    config = {
        **cassandra_config,
        "CASSANDRA_PORT": unused_port,
        "CASSANDRA_RETRY_CONNECT": True,
        "CASSANDRA_CONNECT_TIMEOUT": 30,
    }
    with small_app(config) as (app, db), app.app_context(), ThreadPoolExecutor(1) as pool:

        def connect() -> str:
            with app.app_context(), pytest.raises(CassandraUnavailable) as caught:
                db.connect()
            return str(caught.value)

        connecting = pool.submit(connect)
        with pytest.raises(FutureTimeoutError):
            connecting.result(timeout=1)
        db.close()
        assert connecting.result(timeout=5) == "the connection was closed while it was opened"


@pytest.mark.alone
def test_without_retry_connect_the_first_failure_is_the_answer(
    cassandra_config: dict[str, Any], unused_port: int
) -> None:
    config = {
        **cassandra_config,
        "CASSANDRA_PORT": unused_port,
        "CASSANDRA_CONNECT_TIMEOUT": 30,
    }
    with small_app(config) as (app, db), app.app_context():
        start = time.monotonic()
        with pytest.raises(CassandraUnavailable):
            db.connect()
        assert time.monotonic() - start < 5


def _in_child(work: Any) -> str:
    """Run ``work`` in a forked child and return the text that it gives."""
    read_end, write_end = os.pipe()
    pid = os.fork()
    if pid == 0:  # pragma: no cover - the child
        os.close(read_end)
        try:
            answer = str(work())
        except BaseException as error:
            answer = repr(error)
        os.write(write_end, answer.encode())
        os._exit(0)
    os.close(write_end)
    with os.fdopen(read_end) as stream:
        answer = stream.read()
    os.waitpid(pid, 0)
    return answer


def test_a_forked_child_has_a_connection_of_its_own(cassandra_config: dict[str, Any]) -> None:
    with small_app(cassandra_config) as (app, db), app.app_context():
        parent = db.session
        port = cassandra_config["CASSANDRA_PORT"]

        def child() -> str:
            before = db.place().connection.is_open
            row = db.session.execute("SELECT cluster_name FROM system.local").one()
            local_ports = {
                each.laddr.port
                for each in psutil.Process().net_connections(kind="tcp")
                if each.raddr and each.raddr.port == port
            }
            return f"{before} {db.session is parent} {bool(row)} {sorted(local_ports)}"

        parents = {
            each.laddr.port
            for each in psutil.Process().net_connections(kind="tcp")
            if each.raddr and each.raddr.port == port
        }
        answer = _in_child(child)
        was_open, same, worked, ports = answer.split(" ", 3)
        assert (was_open, same, worked) == ("False", "False", "True"), answer
        assert not parents & set(map(int, ports.strip("[]").split(", ")))
        assert parent.execute("SELECT cluster_name FROM system.local").one()


def test_children_and_parent_query_at_once(cassandra_config: dict[str, Any]) -> None:
    with small_app(cassandra_config) as (app, db), app.app_context():
        db.connect()

        def query() -> int:
            select = "SELECT cluster_name FROM system.local"
            with app.app_context():
                return sum(1 for _ in range(100) if db.session.execute(select).one())

        with ThreadPoolExecutor(3) as pool:
            children = [pool.submit(_in_child, query) for _ in range(2)]
            assert query() == 100
            assert [child.result() for child in children] == ["100", "100"]


def test_a_child_of_an_eager_application_reconnects(cassandra_config: dict[str, Any]) -> None:
    with (
        small_app(cassandra_config, CASSANDRA_LAZY_CONNECT=False) as (app, db),
        app.app_context(),
    ):
        assert db.place().connection.is_open
        assert _in_child(lambda: app.test_client().get("/").status_code) == "200"


def test_a_statement_that_takes_too_long_is_a_503(cassandra_config: dict[str, Any]) -> None:
    with small_app(cassandra_config) as (app, db), app.app_context():
        connection = db.place().connection
        read = SimpleStatement("SELECT * FROM system.local", is_idempotent=True)
        with pytest.raises(RequestTimedOut) as caught:
            connection.execute(read, timeout=1e-6, info=describe("", "system.local"))
        assert str(caught.value).startswith("system.local: no answer in time")
        write = SimpleStatement("SELECT * FROM system.local", is_idempotent=False)
        with pytest.raises(OutcomeUnknown):
            connection.execute(write, timeout=1e-6, info=describe("", "system.local"))


def test_a_missing_replica_is_explained() -> None:
    error = Unavailable(
        "few", consistency=ConsistencyLevel.QUORUM, required_replicas=2, alive_replicas=1
    )
    with pytest.raises(CassandraUnavailable) as caught, translated("blog.post", idempotent=True):
        raise error
    assert str(caught.value) == "blog.post: QUORUM needs 2 replicas, 1 are alive"
    assert caught.value.__cause__ is error


def test_an_outage_names_each_host_and_reason() -> None:
    error = NoHostAvailable("none", {"127.0.0.1:9042": OSError("refused")})
    with pytest.raises(CassandraUnavailable) as caught, translated("blog.post", idempotent=True):
        raise error
    assert str(caught.value) == "blog.post: no node answered (127.0.0.1:9042: OSError: refused)"


def test_a_write_timeout_depends_on_whether_the_write_may_be_repeated() -> None:
    error = WriteTimeout("late", write_type=WriteType.SIMPLE)
    with pytest.raises(RequestTimedOut), translated("blog.post", idempotent=True):
        raise error
    with pytest.raises(OutcomeUnknown), translated("blog.visits", idempotent=False):
        raise error


class TestRetryPolicy:
    """One policy for the kit, which knows what may be applied twice."""

    policy = RetryPolicy()
    plain = SimpleStatement("x", is_idempotent=True)
    counter = SimpleStatement("x", is_idempotent=False)

    def test_a_connection_error_goes_on_only_with_an_idempotent_statement(self) -> None:
        error = OSError()
        on_error = self.policy.on_request_error
        assert on_error(self.plain, 1, error, 0)[0] == RetryPolicy.RETRY_NEXT_HOST
        assert on_error(self.counter, 1, error, 0)[0] == RetryPolicy.RETHROW

    def test_a_write_timeout_is_repeated_only_before_the_batch_log(self) -> None:
        on_timeout = self.policy.on_write_timeout
        for query in (self.plain, self.counter):
            assert on_timeout(query, 1, WriteType.COUNTER, 1, 0, 0)[0] == RetryPolicy.RETHROW
            assert on_timeout(query, 1, WriteType.CAS, 1, 0, 0)[0] == RetryPolicy.RETHROW
            assert on_timeout(query, 1, WriteType.BATCH_LOG, 1, 0, 0)[0] == RetryPolicy.RETRY
            assert on_timeout(query, 1, WriteType.BATCH_LOG, 1, 0, 1)[0] == RetryPolicy.RETHROW

    def test_a_read_timeout_is_repeated_once_when_only_the_data_is_missing(self) -> None:
        on_timeout = self.policy.on_read_timeout
        assert on_timeout(self.plain, 1, 2, 2, False, 0) == (RetryPolicy.RETRY, 1)
        assert on_timeout(self.plain, 1, 2, 2, False, 1)[0] == RetryPolicy.RETHROW
        assert on_timeout(self.plain, 1, 2, 1, False, 0)[0] == RetryPolicy.RETHROW
        assert on_timeout(self.plain, 1, 2, 2, True, 0)[0] == RetryPolicy.RETHROW

    def test_too_few_replicas_are_asked_of_one_more_coordinator(self) -> None:
        assert self.policy.on_unavailable(self.plain, 1, 2, 1, 0)[0] == RetryPolicy.RETRY_NEXT_HOST
        assert self.policy.on_unavailable(self.plain, 1, 2, 1, 1)[0] == RetryPolicy.RETHROW


@pytest.fixture(scope="module")
def own_cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A node of this module's own, which its tests stop and freeze."""
    directory = tmp_path_factory.mktemp("own") / "cassandra"
    with LocalCluster(directory=directory, auth=True) as cluster:
        yield cluster


def config_of(cluster: LocalCluster) -> dict[str, Any]:
    return {
        "CASSANDRA_HOSTS": cluster.contact_points,
        "CASSANDRA_PORT": cluster.port,
        "CASSANDRA_KEYSPACE": "test_outage",
        "CASSANDRA_USERNAME": "cassandra",
        "CASSANDRA_PASSWORD": "cassandra",
    }


def ask(client: FlaskClient) -> int:
    return client.get("/").status_code


@pytest.mark.slow
@pytest.mark.alone
def test_an_application_that_starts_without_cassandra_finds_it_later(
    own_cluster: LocalCluster,
) -> None:
    own_cluster.kill(1)
    with small_app(config_of(own_cluster)) as (app, _):
        client = app.test_client()
        assert ask(client) == 503
        assert client.get("/plain").status_code == 200
        own_cluster.restart(1)
        assert wait_until(lambda: ask(client) == 200, "an answer") < 5


@pytest.mark.slow
@pytest.mark.alone
def test_retry_connect_finds_a_node_that_comes_up(own_cluster: LocalCluster) -> None:
    own_cluster.kill(1)
    retry = {"CASSANDRA_RETRY_CONNECT": True, "CASSANDRA_CONNECT_TIMEOUT": 60}
    with (
        small_app(config_of(own_cluster), **retry) as (app, _),
        ThreadPoolExecutor(1) as pool,
    ):
        answer = pool.submit(ask, app.test_client())
        own_cluster.restart(1)
        assert answer.result(timeout=30) == 200


@pytest.mark.slow
@pytest.mark.alone
def test_an_application_outlives_the_loss_of_cassandra(own_cluster: LocalCluster) -> None:
    with small_app(config_of(own_cluster), CASSANDRA_REQUEST_TIMEOUT=2) as (app, _):
        client = app.test_client()
        assert ask(client) == 200
        own_cluster.kill(1)
        wait_until(lambda: ask(client) == 503, "the loss to be seen")
        own_cluster.restart(1)
        assert wait_until(lambda: ask(client) == 200, "an answer") < 5


@pytest.mark.slow
@pytest.mark.alone
def test_a_frozen_node_costs_no_more_than_the_request_timeout(own_cluster: LocalCluster) -> None:
    with small_app(config_of(own_cluster), CASSANDRA_REQUEST_TIMEOUT=1) as (app, _):
        client = app.test_client()
        assert ask(client) == 200
        own_cluster.pause(1)
        try:
            start = time.monotonic()
            response = client.get("/")
            assert time.monotonic() - start < 3
            assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
        finally:
            own_cluster.resume(1)
        assert wait_until(lambda: ask(client) == 200, "an answer") < 5


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "wrong": (
        {"CASSANDRA_PASSWORD": "hunter2"},
        "AuthenticationFailed: Provided username cassandra and/or password are incorrect "
        "(CASSANDRA_USERNAME and CASSANDRA_PASSWORD)",
    ),
    "of an unknown role": (
        {"CASSANDRA_USERNAME": "nobody", "CASSANDRA_PASSWORD": "hunter2"},
        "AuthenticationFailed: Provided username nobody and/or password are incorrect "
        "(CASSANDRA_USERNAME and CASSANDRA_PASSWORD)",
    ),
    "missing": (
        {"CASSANDRA_USERNAME": None, "CASSANDRA_PASSWORD": None},
        "AuthenticationFailed: Remote end requires authentication "
        "(CASSANDRA_USERNAME and CASSANDRA_PASSWORD)",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize(("settings", "reason"), WRONG.values(), ids=WRONG)
def test_a_wrong_password_says_so(
    own_cluster: LocalCluster,
    caplog: pytest.LogCaptureFixture,
    settings: dict[str, Any],
    reason: str,
) -> None:
    caplog.set_level(logging.DEBUG)
    address = f"{own_cluster.contact_points[0]}:{own_cluster.port}"
    with small_app(config_of(own_cluster), **settings) as (app, _):
        response = app.test_client().get("/")
        assert (response.status_code, response.headers["Retry-After"]) == (503, "2")
        for command in (["status"], ["models"], ["sync"]):
            result = app.test_cli_runner().invoke(args=["cql", *command])
            if command != ["models"]:
                # The application has none, for which no connection is needed.
                assert result.exit_code == 1
                assert result.output.startswith("Error: 127.0.0.1 port ")
                assert result.output.endswith(f"cannot connect ({address}: {reason})\n")
    assert f": cannot connect ({address}: {reason})" in caplog.text
    assert "hunter2" not in caplog.text


@pytest.mark.slow
def test_a_role_that_is_made_later_needs_no_restart(own_cluster: LocalCluster) -> None:
    role = {"CASSANDRA_USERNAME": "late", "CASSANDRA_PASSWORD": "late"}
    with (
        small_app(config_of(own_cluster)) as (app, db),
        small_app(config_of(own_cluster), **role) as (late, _),
    ):
        client = late.test_client()
        assert ask(client) == 503
        with app.app_context():
            db.session.execute("CREATE ROLE late WITH PASSWORD = 'late' AND LOGIN = true")
        assert wait_until(lambda: ask(client) == 200, "an answer") < 5


@pytest.mark.slow
@pytest.mark.alone
def test_a_role_that_may_sign_in_again_needs_no_restart(
    own_cluster: LocalCluster, caplog: pytest.LogCaptureFixture
) -> None:
    """The driver alone would give up for ever a node that has refused a role."""
    role = {"CASSANDRA_USERNAME": "turned", "CASSANDRA_PASSWORD": "turned"}
    with (
        small_app(config_of(own_cluster)) as (app, db),
        small_app(config_of(own_cluster), **role) as (turned, _),
        app.app_context(),
    ):
        client = turned.test_client()
        db.session.execute("CREATE ROLE turned WITH PASSWORD = 'turned' AND LOGIN = true")
        wait_until(lambda: ask(client) == 200, "the role")
        db.session.execute("ALTER ROLE turned WITH LOGIN = false")
        own_cluster.restart(1)
        wait_until(lambda: "turned is not permitted to log in" in caplog.text, "the refusal")
        wait_until(lambda: ask(app.test_client()) == 200, "the node")
        assert ask(client) == 503
        db.session.execute("ALTER ROLE turned WITH LOGIN = true")
        # Nodes remember for two seconds what a role may do.
        assert wait_until(lambda: ask(client) == 200, "an answer") < 8

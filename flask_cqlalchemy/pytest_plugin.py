"""Fixtures that give tests a real Cassandra, beside those of pytest-flask.

One node serves a whole run, also one of pytest-xdist, in which each worker has a keyspace of its
own. After a test the tables that it wrote to are emptied, whether it used ``cql`` or not. Every
pytest run imports this module, so it imports nothing but pytest until a fixture is used; the work
is in ``testing``.
"""

from __future__ import annotations

import shlex
import uuid
from collections.abc import Generator, Iterator
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from flask import Flask

    from .extension import CQLAlchemy
    from .testing import CassandraCluster, Cleaner

#: Keyspaces of tests begin with this; the plugin touches no other.
KEYSPACE_PREFIX = "test_"

WRITES_ELSEWHERE = "cassandra_writes_elsewhere"

#: What empties tables, while the run has a cluster.
CLEANER: pytest.StashKey[Cleaner] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add the options of ``pytest --help``."""
    group = parser.getgroup("cassandra", "Cassandra (Flask-CQLAlchemy)")
    group.addoption(
        "--cassandra-hosts",
        metavar="HOST[:PORT],...",
        help="Test against this cluster instead of a local one. Keyspaces named "
        f"{KEYSPACE_PREFIX}... are created and dropped there.",
    )
    group.addoption(
        "--cassandra-nodes",
        type=int,
        default=1,
        metavar="N",
        help="Start N local nodes (default: 1).",
    )
    group.addoption(
        "--keep-cassandra",
        action="store_true",
        help="Leave the local nodes running for the next run, which then starts at once. "
        "The run's last line says how to end them.",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the marker."""
    config.addinivalue_line(
        "markers",
        f"{WRITES_ELSEWHERE}: the test writes from another process: afterwards every table of its "
        "keyspace is emptied.",
    )


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """Say how to end nodes that were left running."""
    if config.option.keep_cassandra and not config.option.cassandra_hosts:
        from .testing import kept_directory

        terminalreporter.write_line(
            "Cassandra stays up for the next run. To end it: flask cassandra stop --directory "
            f"{shlex.quote(str(kept_directory(config.rootpath)))}"
        )


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[Any], request: pytest.FixtureRequest
) -> Generator[None, Any, Any]:
    """Note what the application of the fixture ``app`` writes, whatever the fixture's scope.

    What another fixture for several tests writes is theirs, and stays.
    """
    stash = request.config.stash
    before = stash[CLEANER].written if CLEANER in stash else frozenset()
    value = yield
    if CLEANER in stash:
        if fixturedef.scope != "function":
            stash[CLEANER].forget(kept=before)
        if fixturedef.argname == "app":
            stash[CLEANER].watch(value)
    return value


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Generator[None, None, None]:
    """Empty what a test wrote to that did not use ``cql``: the next one may be any."""
    try:
        yield
    finally:
        if CLEANER in item.config.stash:
            item.config.stash[CLEANER].clean_up(everything=_writes_elsewhere(item))


def _writes_elsewhere(item: pytest.Item) -> bool:
    """Return whether another process writes in a test, which ``cql`` has not cleaned up after."""
    names: list[str] = getattr(item, "fixturenames", [])
    marked = item.get_closest_marker(WRITES_ELSEWHERE) is not None
    return "cql" not in names and (marked or "live_server" in names)


@pytest.fixture(scope="session")
def cassandra_cluster(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CassandraCluster]:
    """The cluster of this test run: a local one, or that of ``--cassandra-hosts``.

    It has ``contact_points`` (a list of addresses) and ``port``; a local one is a ``LocalCluster``.
    """
    from .testing import open_cluster

    base = tmp_path_factory.getbasetemp()
    if _worker_id(request.config) is not None:
        base = base.parent
    options = request.config.option
    with open_cluster(
        hosts=options.cassandra_hosts,
        nodes=options.cassandra_nodes,
        keep=options.keep_cassandra,
        directory=base / "cassandra",
        root=request.config.rootpath,
    ) as cluster:
        yield cluster


@pytest.fixture(scope="session")
def cassandra_config(
    request: pytest.FixtureRequest, cassandra_cluster: CassandraCluster, _cassandra_cleaner: Cleaner
) -> dict[str, Any]:
    """Settings for ``create_app()``: hosts, port, and a keyspace that this run alone uses.

    .. code-block:: python

        @pytest.fixture
        def app(cassandra_config):
            return create_app({**cassandra_config, "TESTING": True})
    """
    del _cassandra_cleaner  # which cleans up after an application that has these settings
    # Not of the environment, which a pytest that a worker starts has from that worker.
    run = _worker_input(request.config).get("testrunuid") or uuid.uuid4().hex
    worker = _worker_id(request.config) or "main"
    return {
        "CASSANDRA_HOSTS": list(cassandra_cluster.contact_points),
        "CASSANDRA_PORT": cassandra_cluster.port,
        "CASSANDRA_KEYSPACE": f"{KEYSPACE_PREFIX}{run[:8]}_{worker}",
        "CASSANDRA_REPLICATION": min(3, len(cassandra_cluster.contact_points)),
    }


@pytest.fixture(scope="session")
def _cassandra_cleaner(
    request: pytest.FixtureRequest, cassandra_cluster: CassandraCluster
) -> Iterator[Cleaner]:
    from .testing import Cleaner

    options = request.config.option
    lasting = bool(options.cassandra_hosts or options.keep_cassandra)
    with Cleaner(cassandra_cluster, KEYSPACE_PREFIX, drop_keyspaces=lasting) as cleaner:
        request.config.stash[CLEANER] = cleaner
        yield cleaner
        del request.config.stash[CLEANER]


@pytest.fixture
def cql(
    request: pytest.FixtureRequest, app: Flask, _cassandra_cleaner: Cleaner
) -> Iterator[CQLAlchemy]:
    """The application's ``CQLAlchemy`` object, with its tables synced.

    Models can be queried in the test without an application context. Afterwards the tables that the
    test wrote to are emptied; all of the keyspace's, if the test used ``live_server`` or is marked
    ``cassandra_writes_elsewhere``. A keyspace whose name does not begin with ``test_`` is refused.

    .. code-block:: python

        def test_a_post_is_saved(client, cql):
            client.post("/posts", data={"title": "Hello"})
            assert Post.objects.count() == 1
    """
    everything = (
        "live_server" in request.fixturenames
        or request.node.get_closest_marker(WRITES_ELSEWHERE) is not None
    )
    with _cassandra_cleaner.clean_after(app, everything=everything) as database:
        yield database


def _worker_id(config: pytest.Config) -> str | None:
    """Return pytest-xdist's name of this worker, or None without pytest-xdist."""
    return _worker_input(config).get("workerid")


def _worker_input(config: pytest.Config) -> dict[str, str]:
    """Return what pytest-xdist tells a worker; nothing without pytest-xdist."""
    told: dict[str, str] = getattr(config, "workerinput", {})
    return told

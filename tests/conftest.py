"""Fixtures of the kit's own tests, and how a run of them is shared between processes."""

from __future__ import annotations

import os
from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import pytest
from flask import Flask
from hypothesis import settings

from flask_cqlalchemy import CQLAlchemy, LocalCluster

from .cql_helpers import application
from .parallel import SLOWEST, ByModule, Room, in_order, workers_for

#: For a run that is about syntax and libraries: ``--hypothesis-profile few``.
settings.register_profile("few", max_examples=3)

ROOM = pytest.StashKey[Room]()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    return workers_for(config.args)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByModule | None:
    return ByModule(config, log) if config.option.dist == "loadfile" else None


def pytest_configure(config: pytest.Config) -> None:
    if hasattr(config, "workerinput"):
        # pytest-xdist gives each worker a folder in the run's own.
        config.stash[ROOM] = room = Room(Path(config.option.basetemp).parent)
        config.add_cleanup(room.close)
    elif config.option.dist != "no" and config.option.durations is None:
        config.option.durations = SLOWEST


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items[:] = in_order(items)


def is_alone(item: pytest.Item | None) -> bool:
    return item is not None and item.get_closest_marker("alone") is not None


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(
    item: pytest.Item, nextitem: pytest.Item | None
) -> Generator[None, object, object]:
    """Keep the tests of other workers away from one that is marked ``alone``."""
    room = item.config.stash.get(ROOM, None)
    if room is None:
        return (yield)
    room.enter(alone=is_alone(item))
    try:
        return (yield)
    finally:
        room.leave(next_is_alone=is_alone(nextitem))


@pytest.fixture(autouse=True)
def _push_request_context() -> None:
    """Replace pytest-flask's, which lets all clients of a test share one ``g``."""


@pytest.fixture
def database() -> CQLAlchemy:
    """A CQLAlchemy object without models; a test defines its own."""
    return CQLAlchemy()


@pytest.fixture
def app(database: CQLAlchemy, cassandra_config: dict[str, Any]) -> Iterator[Flask]:
    """An application that uses ``database``."""
    with application(database, cassandra_config) as app:
        yield app


@pytest.fixture(scope="session")
def _shared_three_nodes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    with LocalCluster(3, tmp_path_factory.mktemp("three") / "cassandra") as cluster:
        yield cluster


@pytest.fixture
def three_nodes(_shared_three_nodes: LocalCluster) -> Iterator[LocalCluster]:
    """Three nodes that the run's tests share: what one has killed or frozen is up for the next.

    A module that uses them is in ``parallel.TOGETHER``, so that a run starts them once.
    """
    yield _shared_three_nodes
    for node in _shared_three_nodes.status().nodes:
        if node.state == "paused":
            _shared_three_nodes.resume(node.number)
    _shared_three_nodes.start()


@pytest.fixture
def unused_port() -> int:
    """A TCP port of 127.0.0.1 on which nothing listens."""
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def in_ci() -> bool:
    """Whether this is a CI run, where nothing may be skipped for want of a program."""
    return os.environ.get("CI", "").lower() == "true"

"""Fixtures of the kit's own tests."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from flask_cqlalchemy import CQLAlchemy

from .cql_helpers import application


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

"""What the tests of statements share: an application, its models, and what it sends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cassandra.cluster import ResponseFuture
from cassandra.query import BatchStatement, BoundStatement
from flask import Flask

from flask_cqlalchemy import CQLAlchemy


def model(database: CQLAlchemy, name: str) -> Any:
    """The model of that name."""
    return next(known for known in database.models if known.__name__ == name)


def user_type(database: CQLAlchemy, name: str) -> Any:
    """The user type of that name."""
    return next(known for known in database.registry.types if known.__name__ == name)


@contextmanager
def application(database: CQLAlchemy, config: dict[str, Any]) -> Iterator[Flask]:
    """An application that uses ``database``, for all tests of a module."""
    app = Flask(__name__)
    app.config.from_mapping(config, TESTING=True)
    database.init_app(app)
    yield app
    with app.app_context():
        database.close()


def module_fixtures(
    models: CQLAlchemy | Callable[[CQLAlchemy], CQLAlchemy], **settings: Any
) -> tuple[Any, Any, Any]:
    """The fixtures ``cassandra_config``, ``database`` and ``app`` of one module.

    All its tests have the same application, on a keyspace that is named after the module::

        cassandra_config, database, app = module_fixtures(define, CASSANDRA_GUARDRAILS="off")

    :param models: an object that has models, or a function that gives them to one.
    """

    @pytest.fixture(scope="module")
    def cassandra_config(
        request: pytest.FixtureRequest, cassandra_config: dict[str, Any]
    ) -> dict[str, Any]:
        own = request.module.__name__.rpartition("test_")[2]
        keyspace = f"{cassandra_config['CASSANDRA_KEYSPACE']}_{own}"
        return {**cassandra_config, "CASSANDRA_KEYSPACE": keyspace, **settings}

    @pytest.fixture(scope="module")
    def database() -> CQLAlchemy:
        return models if isinstance(models, CQLAlchemy) else models(CQLAlchemy())

    @pytest.fixture(scope="module")
    def app(database: CQLAlchemy, cassandra_config: dict[str, Any]) -> Iterator[Flask]:
        with application(database, cassandra_config) as app:
            yield app

    return cassandra_config, database, app


@contextmanager
def sent(database: CQLAlchemy) -> Iterator[list[Any]]:
    """A list that fills with the driver's statements while the block runs."""
    found: list[Any] = []

    def listen(future: ResponseFuture) -> None:
        if future.query is not None:
            found.append(future.query)

    connection = database.place().connection
    connection.session  # noqa: B018 - what opens it is not the block's
    connection.add_listener(listen)
    try:
        yield found
    finally:
        connection.remove_listener(listen)


def text_of(statement: Any) -> str:
    """The CQL of a statement of ``sent``, one line for each statement of a batch."""
    if isinstance(statement, BatchStatement):
        return "BATCH"
    if isinstance(statement, BoundStatement):
        return str(statement.prepared_statement.query_string)
    return str(statement.query_string)

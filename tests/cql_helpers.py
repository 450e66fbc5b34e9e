"""What the tests of statements share: an application, its models, and what it sends."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

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

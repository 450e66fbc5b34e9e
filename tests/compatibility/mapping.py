"""The kit in the place of cqlengine, for a suite that was written for cqlengine.

Loaded only in the process that runs a suite. What is mapped, and nothing else:

- ``Model`` and ``UserType`` are those of a ``CQLAlchemy`` object with an application;
- cqlengine's default connection and keyspace, and the suite's names of connections, choose the bind
  and the keyspace of that application;
- functions of ``management`` that the kit has too are the kit's;
- ``get_session`` and ``get_cluster`` give the kit's, and where a test replaces ``Session.execute``
  by a mock, the mock is called with what the kit was about to send;
- calls of cqlengine's ``execute`` are counted by the kit's signal.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any
from unittest.mock import NonCallableMock

from cassandra.cluster import ResultSet, Session
from cassandra.cqlengine import connection, management, models, usertype
from cassandra.cqlengine.query import ContextQuery
from cassandra.query import (
    UNSET_VALUE,
    BatchStatement,
    BatchType,
    BoundStatement,
    SimpleStatement,
    dict_factory,
)
from flask import Flask
from werkzeug.local import LocalProxy

from flask_cqlalchemy import CQLAlchemy
from flask_cqlalchemy.config import DEFAULT_BIND
from flask_cqlalchemy.connection import NOT_SET, Connection, PagedRows
from flask_cqlalchemy.connection.place import Place
from flask_cqlalchemy.signals import StatementInfo, before_statement

#: The names of connections that the driver's suite registers, and where they lead: ``None`` to the
#: node, an address to where nobody listens.
NAMES = {"cluster": None, "fake_cluster": "127.0.0.100"}

#: The keyspace of the driver's suite.
KEYSPACE = "cqlengine_test"


class SuiteDatabase(CQLAlchemy):
    """A ``CQLAlchemy`` object that follows cqlengine's default connection and keyspace."""

    def place(self, bind: str = DEFAULT_BIND) -> Place:
        if bind == DEFAULT_BIND:
            default = connection._connections.get(connection.DEFAULT_CONNECTION)
            if default is not None and default.name in self.binds:
                bind = default.name
        place = super().place(bind)
        if place.keyspace == KEYSPACE and models.DEFAULT_KEYSPACE:
            place = Place(place.connection, models.DEFAULT_KEYSPACE)
        return place


def install(host: str, port: int) -> None:
    """Put the kit in cqlengine's place; before the suite is imported."""
    try:
        from tests.integration import cqlengine  # type: ignore[attr-defined]
    except ImportError:
        # The suite of Flask-CQLAlchemy 2.0, which makes its CQLAlchemy objects itself.
        _map_management(_newest())
        return
    cqlengine.execute_count = execute_count
    app = Flask("compatibility")
    app.config.update(
        TESTING=True,
        CASSANDRA_HOSTS=[host],
        CASSANDRA_PORT=port,
        CASSANDRA_KEYSPACE=KEYSPACE,
        CASSANDRA_CONSISTENCY="ONE",
        CASSANDRA_BINDS={name: {"HOSTS": at} if at else {} for name, at in NAMES.items()},
    )
    database = SuiteDatabase()
    database.init_app(app)
    app.app_context().push()
    models.Model, usertype.UserType = database.Model, database.UserType
    _map_management(database)
    _map_sessions(database)
    _map_execute()


def _newest() -> Any:
    """Return what stands for the ``CQLAlchemy`` object that was made last."""
    made: list[CQLAlchemy] = []
    init = CQLAlchemy.__init__

    @wraps(init)
    def init_and_keep(self: CQLAlchemy, *args: Any, **kwargs: Any) -> None:
        made[:] = [self]
        init(self, *args, **kwargs)

    CQLAlchemy.__init__ = init_and_keep  # type: ignore[method-assign]
    return LocalProxy(lambda: made[0])


# Schemas


def _map_management(database: CQLAlchemy) -> None:
    drop_keyspace = management.drop_keyspace
    create_in_centers = management.create_keyspace_network_topology

    def tell_cqlengine() -> None:
        """Have cqlengine's own connection, with which a test may look, read the schema again."""
        default = connection._connections.get(connection.DEFAULT_CONNECTION)
        if default is not None and default.cluster is not None:
            default.cluster.refresh_schema_metadata(max_schema_agreement_wait=0)

    def names_of(connections: Sequence[str] | None) -> list[str]:
        return [database.registry.connection_name(bind) for bind in connections or [DEFAULT_BIND]]

    def sync_table(
        model: Any, keyspaces: Sequence[str] | None = None, connections: Sequence[str] | None = None
    ) -> None:
        if not (keyspaces or connections):
            database.sync_table(model)
        names: Sequence[str | None] = connections or ([None] if keyspaces else ())
        for name in names:
            for keyspace in keyspaces or (None,):
                with ContextQuery(model, keyspace=keyspace, connection=name) as known:
                    database.sync_table(known)
        tell_cqlengine()

    def sync_type(keyspace: str, user_type: Any, bind: str = DEFAULT_BIND) -> None:
        with database.use_keyspace(keyspace, bind=bind):
            database.sync_type(user_type, bind=bind)
        tell_cqlengine()

    def create_keyspace_simple(
        name: str,
        replication_factor: int,
        durable_writes: bool = True,
        connections: Sequence[str] | None = None,
    ) -> None:
        for bind in connections or [DEFAULT_BIND]:
            database.create_keyspace_simple(name, replication_factor, bind=bind)
        tell_cqlengine()

    def create_keyspace_network_topology(*args: Any, **kwargs: Any) -> None:
        create_in_centers(*args, **{**kwargs, "connections": names_of(kwargs.get("connections"))})

    def drop_on_bind(name: str, connections: Sequence[str] | None = None) -> None:
        drop_keyspace(name, connections=names_of(connections))
        tell_cqlengine()

    management.sync_table = sync_table
    management.sync_type = sync_type
    management.create_keyspace_simple = create_keyspace_simple
    management.create_keyspace_network_topology = create_keyspace_network_topology
    management.drop_keyspace = drop_on_bind


# Sessions


def _map_sessions(database: SuiteDatabase) -> None:
    def get_session(connection: str | None = None) -> Any:
        return database.place(connection or DEFAULT_BIND).connection.session

    def get_cluster(connection: str | None = None) -> Any:
        return database.place(connection or DEFAULT_BIND).connection.cluster

    connection.get_session, connection.get_cluster = get_session, get_cluster


_inside = threading.local()


def _map_execute() -> None:
    """Have ``execute_async``, which the kit calls, call an ``execute`` that a test has replaced."""
    execute_async, add = Session.execute_async, BatchStatement.add

    @wraps(execute_async)
    def execute_or_mock(
        self: Any, query: Any, parameters: Any = None, *others: Any, **options: Any
    ) -> Any:
        replaced = self.execute
        if not isinstance(replaced, NonCallableMock) or getattr(_inside, "mock", False):
            return execute_async(self, query, parameters, *others, **options)
        _inside.mock = True
        try:
            statement, values = _as_cqlengine_sends(query, parameters)
            answer = replaced(statement, values, timeout=options.get("timeout", NOT_SET))
        finally:
            _inside.mock = False
        return _Answer(answer)

    @wraps(add)
    def add_and_keep(self: Any, statement: Any, parameters: Any = None) -> None:
        self.__dict__.setdefault("kept", []).append(statement)
        add(self, statement, parameters)

    Session.execute_async, BatchStatement.add = execute_or_mock, add_and_keep


class _Answer:
    """Stands for the driver's future of a statement that a mock has taken."""

    _col_names = _col_types = None
    has_more_pages = False
    coordinator_host = None
    row_factory = staticmethod(dict_factory)

    def __init__(self, answer: object) -> None:
        self._answer = answer

    def result(self) -> ResultSet:
        return self._answer if isinstance(self._answer, ResultSet) else ResultSet(self, [])


def _as_cqlengine_sends(query: Any, parameters: Any) -> tuple[Any, Any]:
    """Return the statement as cqlengine makes it: text with placeholders, and the values."""
    values: dict[str, object] = {}
    if isinstance(query, BoundStatement):
        text = _text(query, values)
    elif isinstance(query, BatchStatement):
        kind = {BatchType.UNLOGGED: " UNLOGGED", BatchType.COUNTER: " COUNTER"}
        lines = [f"  {_text(each, values)}" for each in query.__dict__["kept"]]
        text = "\n".join([f"BEGIN{kind.get(query.batch_type, '')} BATCH", *lines, "APPLY BATCH;"])
    else:
        return query, parameters
    return SimpleStatement(text, consistency_level=query.consistency_level), values


#: What cqlengine writes a number behind, where the kit has a marker.
_NUMBERS = ("TTL ", "TIMESTAMP ", "LIMIT ")


def _text(statement: BoundStatement, values: dict[str, object]) -> str:
    prepared = statement.prepared_statement
    first, *rest = prepared.query_string.split("?")
    parts = [first]
    for column, raw, after in zip(prepared.column_metadata, statement.values, rest, strict=True):
        is_null = raw is None or raw is UNSET_VALUE
        value = None if is_null else column.type.from_binary(raw, 5)
        if parts[-1].endswith(_NUMBERS):
            parts.append(str(value))
        else:
            parts.append(f"%({len(values)})s")
            values[str(len(values))] = value
        parts.append(after)
    return "".join(parts)


# Counts


@contextmanager
def _counted() -> Iterator[list[object]]:
    """A list that fills with what cqlengine's ``execute`` would have been called for."""
    found: list[object] = []

    def hear(sender: object, statement: StatementInfo) -> None:
        # cqlengine's functions of schemas call another `execute`, or read the driver's metadata.
        if statement.kind != "schema" and not statement.subject.startswith("system_schema."):
            found.append(statement)

    execute, start_next_page = connection.execute, PagedRows.start_next_page

    def start_unheard(self: PagedRows) -> None:
        before = len(found)
        start_next_page(self)
        # cqlengine has one call for all pages.
        del found[before:]

    send = Connection.execute

    def send_unheard(self: Connection, *args: Any, **options: Any) -> Any:
        before = len(found)
        rows = send(self, *args, **options)
        if options.get("paging_state") is not None:
            del found[before:]
        return rows

    def count(*args: Any, **kwargs: Any) -> Any:
        name = kwargs.get("connection")
        # A connection of the kit's own sends the signal, too.
        if name is None or not name.startswith("flask_cqlalchemy."):
            found.append(args[0])
        return execute(*args, **kwargs)

    connection.execute = count
    PagedRows.start_next_page = start_unheard  # type: ignore[method-assign]
    Connection.execute = send_unheard  # type: ignore[method-assign]
    try:
        with before_statement.connected_to(hear):
            yield found
    finally:
        connection.execute = execute
        PagedRows.start_next_page = start_next_page  # type: ignore[method-assign]
        Connection.execute = send  # type: ignore[method-assign]


def execute_count(expected: int) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Do what the suite's decorator of this name does, with the kit's requests counted, too."""

    def decorate(test: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(test)
        def run(*args: Any, **kwargs: Any) -> Any:
            with _counted() as found:
                result = test(*args, **kwargs)
            requests = [getattr(each, "cql", each) for each in found]
            assert len(found) == expected, f"requests: {requests}"
            return result

        return run

    return decorate

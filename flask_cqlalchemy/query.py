"""Query sets and writes of models, executed on the connection of the current application.

Stages: cqlengine builds a statement; this module says whether it may be applied twice and which
node has the data; ``connection.Connection`` executes it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from cassandra.cqlengine import query as cqlengine_query
from cassandra.cqlengine.statements import (
    BaseCQLStatement,
    CounterUpdateClause,
    DeleteStatement,
    InsertStatement,
    ListUpdateClause,
    SelectStatement,
    UpdateStatement,
)
from cassandra.query import SimpleStatement

if TYPE_CHECKING:
    from cassandra.cluster import ResultSet

    from .models import BoundModel


def is_idempotent(statement: BaseCQLStatement) -> bool:
    """Say whether applying the statement twice leaves the same rows as applying it once.

    False for conditional writes, counters, and appending to or prepending to a list
    (https://docs.datastax.com/en/developer/python-driver/latest/getting-started/#query-idempotence).
    """
    if isinstance(statement, SelectStatement):
        return True
    if isinstance(statement, InsertStatement):
        return not statement.if_not_exists
    if not isinstance(statement, UpdateStatement | DeleteStatement):
        return False
    if statement.conditionals or statement.if_exists:
        return False
    return not any(
        isinstance(clause, CounterUpdateClause | ListUpdateClause)
        for clause in getattr(statement, "assignments", ())
    )


def execute_statement(
    model: type[BoundModel],
    statement: BaseCQLStatement,
    *,
    consistency: int | None,
    timeout: float | object | None,
    connection_name: str | None,
) -> ResultSet:
    """Execute a statement that cqlengine built for ``model``.

    :param connection_name: what ``using(connection=...)`` was given: the name of a bind.
    :raises CassandraUnavailable: and the others of ``Connection.execute``.
    """
    connection = model._find_connection(connection_name)
    keyspace = model._get_keyspace()
    if keyspace:
        connection.register_types(keyspace)
    parameters: dict[str, Any] = statement.get_context()
    simple = SimpleStatement(
        str(statement),
        consistency_level=consistency,
        fetch_size=statement.fetch_size,
        is_idempotent=is_idempotent(statement),
    )
    if model._partition_key_index:
        key = statement.partition_key_values(model._partition_key_index)
        if all(value is not None for value in key):
            version = connection.cluster.protocol_version
            simple.routing_key = model._routing_key_from_values(key, version)
            simple.keyspace = keyspace
    return connection.execute(
        simple, parameters, timeout=timeout, subject=model.column_family_name()
    )


class QuerySet(cqlengine_query.ModelQuerySet):  # type: ignore[misc]
    """cqlengine's query set, on the application's connection."""

    def _select_fields(self) -> list[str]:
        # A row may be of a subclass, which has columns that this model does not know. cqlengine
        # forgets them as soon as there is a filter.
        if self.model._is_polymorphic and not self._only_fields:
            return []
        return super()._select_fields()  # type: ignore[no-any-return]

    def _execute(self, statement: BaseCQLStatement) -> ResultSet | None:
        if self._batch:
            self.model._join_batch(self._batch)
            return self._batch.add_query(statement)
        rows = execute_statement(
            self.model,
            statement,
            consistency=self._consistency,
            timeout=self._timeout,
            connection_name=self._connection,
        )
        if self._if_not_exists or self._if_exists or self._conditional:
            cqlengine_query.check_applied(rows)
        return rows


class DMLQuery(cqlengine_query.DMLQuery):  # type: ignore[misc]
    """cqlengine's writes of one instance, on the application's connection."""

    def _execute(self, statement: BaseCQLStatement) -> ResultSet | None:
        if self._batch:
            self.model._join_batch(self._batch)
            return self._batch.add_query(statement)
        rows = execute_statement(
            self.model,
            statement,
            consistency=self._consistency,
            timeout=self._timeout,
            connection_name=self.instance._connection if self.instance else None,
        )
        if self._if_not_exists or self._if_exists or self._conditional:
            cqlengine_query.check_applied(rows)
        return rows

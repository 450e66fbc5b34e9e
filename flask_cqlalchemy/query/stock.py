"""Writes through cqlengine's own statements, on the application's connection.

For whatever ``writes`` leaves to it: conditional writes, counters, static columns, collections that
were changed in place. The statements are compiled, prepared and bound like all others.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cassandra.cqlengine import columns
from cassandra.cqlengine.connection import NOT_SET
from cassandra.cqlengine.operators import EqualsOperator
from cassandra.cqlengine.query import QueryException, check_applied
from cassandra.cqlengine.statements import (
    BaseCQLStatement,
    DeleteStatement,
    MapDeleteClause,
    SelectStatement,
)

from .._cqlengine import DMLQuery as CQLEngineDMLQuery
from .._cqlengine import WhereClause
from ..batch import microseconds
from ..guardrails import check_filtering
from ..mapping.instances import managers_of
from ..statements.compiling import compile_statement, is_idempotent
from ..statements.info import StatementInfo
from ..statements.sending import bind_query
from .conditions import check_lengths

if TYPE_CHECKING:
    from cassandra.cluster import ResultSet

    from ..mapping.mapper import Mapper


def run(
    mapper: Mapper, statement: BaseCQLStatement, options: Mapping[str, Any]
) -> ResultSet | None:
    """Execute a statement that cqlengine built, or add it to a batch.

    :param options: what a query or a DML query has for the names of ``writes.OPTIONS``;
        ``_connection`` is what ``using(connection=...)`` was given: the name of a bind.
    :raises QueryException: if it would write to a view.
    :raises ValidationError: naming the column, if a value cannot be stored in it.
    :raises LWTException: if a condition of it did not hold.
    :raises CassandraUnavailable: and the others of ``Connection.execute``.
    """
    if mapper.is_view and not isinstance(statement, SelectStatement):
        raise QueryException(
            f"{mapper.name} is over a materialised view, which Cassandra keeps by itself: write to "
            "the model of its table."
        )
    batch = options.get("_batch")
    place = mapper.place(options.get("_connection"))
    rails = place.connection.settings.guardrails
    if batch and getattr(statement, "timestamp", 0) is None and not statement.conditionals:
        statement.timestamp = microseconds(batch)
    if getattr(statement, "allow_filtering", False):
        check_filtering(rails, mapper.name)
    check_lengths(rails, getattr(statement, "where_clauses", ()), mapper.name)
    cql, values = compile_statement(statement)
    kind = type(statement).__name__.removesuffix("Statement").lower()
    query = bind_query(
        place,
        StatementInfo(kind, mapper.subject(place.keyspace), cql, mapper.model),
        values,
        subject=mapper.name,
        idempotent=is_idempotent(statement),
        consistency=options.get("_consistency"),
        fetch_size=statement.fetch_size,
    )
    if batch:
        query.add_to(batch)
        return None
    rows = query.execute(timeout=options.get("_timeout", NOT_SET))
    if any(options.get(name) for name in ("_if_not_exists", "_if_exists", "_conditional")):
        check_applied(rows)
    return rows


class DMLQuery(CQLEngineDMLQuery):
    """cqlengine's writes of one instance, on the application's connection."""

    def _delete_null_columns(self, conditionals: list[WhereClause] | None = None) -> None:
        """Remove the columns set to None, and the keys that a map has lost.

        cqlengine leaves the clustering key out as soon as a map is concerned.
        """
        statement = DeleteStatement(
            self.column_family_name, conditionals=conditionals, if_exists=self._if_exists
        )
        removed = []
        for manager in managers_of(self.instance).values():
            column = manager.column
            if manager.deleted:
                statement.add_field(column.db_field_name)
                removed.append(column)
            elif isinstance(column, columns.Map):
                lost = MapDeleteClause(column.db_field_name, manager.value, manager.previous_value)
                if lost.get_context_size():
                    statement.add_field(lost)
                    removed.append(column)
        if not removed:
            return
        mapper: Mapper = self.model.__mapper__
        only_static = all(column.static for column in removed)
        keys = mapper.partition_key if only_static else mapper.primary_key
        for name, column in keys.items():
            statement.add_where(column, EqualsOperator(), getattr(self.instance, name))
        self._execute(statement)

    def _execute(self, statement: BaseCQLStatement) -> ResultSet | None:
        options = dict(vars(self))
        if self.instance:
            options["_connection"] = vars(self.instance).get("_connection")
        return run(self.model.__mapper__, statement, options)

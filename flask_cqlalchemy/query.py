"""Query sets and writes of models, executed on the connection of the current application.

Stages: a query set collects filters; its *shape*, which is all but the values, leads to the CQL
with markers, made once for each shape; the values are bound to the prepared statement;
``connection.Connection`` executes it. What has no shape here (functions, ``token()``, writes) goes
through cqlengine's statements and ``statements.compile_statement``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from cassandra.cqlengine import CQLEngineException, ValidationError, columns
from cassandra.cqlengine import query as cqlengine_query
from cassandra.cqlengine.connection import NOT_SET
from cassandra.cqlengine.functions import QueryValue
from cassandra.cqlengine.models import BaseModel
from cassandra.cqlengine.operators import (
    BaseWhereOperator,
    ContainsOperator,
    EqualsOperator,
    InOperator,
)
from cassandra.cqlengine.statements import (
    BaseCQLStatement,
    DeleteStatement,
    MapDeleteClause,
    WhereClause,
)
from cassandra.query import BoundStatement
from werkzeug.exceptions import NotFound

from .instances import make_instances
from .statements import bind, compile_statement, is_idempotent
from .writes import insert

if TYPE_CHECKING:
    from cassandra.cluster import ResultSet

    from .connection import Connection
    from .models import BoundModel
    from .pagination import Page

#: Shapes of queries that a model remembers; beyond, it forgets all and begins anew.
MAX_SHAPES = 1000


#: cqlengine's own validation of an instance, which a model may override.
_VALIDATE = BaseModel.validate


class Comparison(WhereClause):  # type: ignore[misc]
    """cqlengine's WHERE clause of a plain value, without the object that wraps the value.

    :ivar shape: the clause's CQL with a marker.
    """

    quote_field = True

    def __init__(self, shape: str, field: str, operator: BaseWhereOperator, value: Any) -> None:
        self.shape = shape
        self.field = field
        self.operator = operator
        self.value = value
        self.context_id: int | None = None

    @property
    def query_value(self) -> QueryValue:
        found = QueryValue(self.value)
        found.set_context_id(self.context_id)
        return found

    def get_context_size(self) -> int:
        return 1

    def set_context_id(self, i: int) -> None:
        self.context_id = i

    def update_context(self, ctx: dict[str, Any]) -> None:
        ctx[str(self.context_id)] = self.value


@dataclass(frozen=True)
class _Filter:
    """What ``filter`` knows of one of its arguments, such as ``price__gt``."""

    shape: str
    field: str
    operator: BaseWhereOperator
    to_database: Callable[[Any], Any]
    to_python: Callable[[Any], Any]
    is_equality: bool


@dataclass(frozen=True)
class _Select:
    """A SELECT of one shape in one keyspace."""

    cql: str
    subject: str


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
    :raises ValidationError: naming the column, if a value cannot be stored in it.
    :raises CassandraUnavailable: and the others of ``Connection.execute``.
    """
    connection, keyspace = model._resolve(connection_name)
    cql, values = compile_statement(statement)
    bound = bind(connection.prepare(cql), values, model.__name__)
    bound.consistency_level = consistency
    bound.fetch_size = statement.fetch_size
    bound.is_idempotent = is_idempotent(statement)
    return connection.execute(bound, timeout=timeout, subject=model._subject(keyspace))


def _execute_or_batch(
    query: QuerySet | DMLQuery, statement: BaseCQLStatement, connection_name: str | None
) -> ResultSet | None:
    """Execute a statement with the options of ``query``, or add it to the batch that it has.

    :raises LWTException: if a condition of it did not hold.
    """
    if query._batch:
        query.model._join_batch(query._batch)
        return query._batch.add_query(statement)
    rows = execute_statement(
        query.model,
        statement,
        consistency=query._consistency,
        timeout=query._timeout,
        connection_name=connection_name,
    )
    if query._if_not_exists or query._if_exists or query._conditional:
        cqlengine_query.check_applied(rows)
    return rows


class QuerySet(cqlengine_query.ModelQuerySet):  # type: ignore[misc]
    """cqlengine's query set, on the application's connection.

    There is no implicit LIMIT: a query without one gives every row, fetched page by page.
    """

    _result_cache: list[Any] | None

    #: The state of a fresh query set, as cqlengine makes it; the lists and sets are copied.
    _fresh: ClassVar[dict[str, Any]] = {}

    def __init__(self, model: type[BoundModel]) -> None:
        if not self._fresh:
            super().__init__(None)
            self._limit = 0
            self._fresh.update(self.__dict__)
        state = self.__dict__
        state.update(self._fresh)
        state["model"] = model
        state["_where"], state["_conditional"], state["_order"] = [], [], []
        state["_defer_fields"], state["_deferred_values"] = set(), {}

    def __deepcopy__(self, memo: dict[int, Any]) -> QuerySet:
        del memo
        return self._clone()

    def _clone(self) -> QuerySet:
        """Return a query set like this one, not executed. Its clauses are the same objects."""
        clone = object.__new__(type(self))
        state = clone.__dict__
        state.update(self.__dict__)
        state["_where"] = self._where.copy()
        state["_conditional"] = [_copy_clause(clause) for clause in self._conditional]
        state["_order"] = self._order.copy()
        state["_defer_fields"] = self._defer_fields.copy()
        state["_deferred_values"] = self._deferred_values.copy()
        state["_result_cache"] = state["_result_idx"] = state["_count"] = None
        return clone

    # Building

    def filter(self, *args: WhereClause, **kwargs: Any) -> QuerySet:
        """Return a query set that keeps the rows for which all conditions hold.

        :raises QueryException: if a column or an operator does not exist.
        """
        filters = self.model._filters
        clone = self._clone()
        if args:
            clone = super(QuerySet, clone).filter(*args)
        for argument, value in kwargs.items():
            known = filters.get(argument)
            if known is None:
                known = self._read_argument(argument)
                if known is not None:
                    # Only what the model has: arguments may come from a request.
                    filters[argument] = known
            if known is None or value is None or isinstance(value, QueryValue):
                clone = super(QuerySet, clone).filter(**{argument: value})
                continue
            clone._where.append(
                Comparison(known.shape, known.field, known.operator, known.to_database(value))
            )
            if known.is_equality:
                clone._defer_fields.add(known.field)
                # The row of the answer lacks this column, so it gets the value from here.
                clone._deferred_values[known.field] = known.to_python(value)
        return clone

    def _read_argument(self, argument: str) -> _Filter | None:
        """Return what to do with an argument of ``filter``; None leaves it to cqlengine."""
        name, operator_name = self._parse_filter_arg(argument)
        column = self.model._columns.get(name)
        if column is None:
            return None
        operator = BaseWhereOperator.get_operator(operator_name or "EQ")()
        if isinstance(operator, InOperator | ContainsOperator):
            return None
        field = column.db_field_name
        return _Filter(
            f'"{field}" {operator} ?',
            field,
            operator,
            column.to_database,
            column.to_python,
            operator_name is None,
        )

    def limit(self, v: int | None) -> QuerySet:
        """Return a query set of at most ``v`` rows; None or 0 is without a limit.

        :raises TypeError: if ``v`` is no whole number.
        :raises QueryException: if it is negative.
        """
        if v is not None and (not isinstance(v, int) or isinstance(v, bool)):
            raise TypeError(f"limit() takes a whole number or None, not {v!r}")
        if v is not None and v < 0:
            raise cqlengine_query.QueryException("Negative limit is not allowed")
        clone = self._clone()
        clone._limit = v or 0
        return clone

    def _select_fields(self) -> list[str]:
        # A row may be of a subclass, which has columns that this model does not know. cqlengine
        # forgets them as soon as there is a filter.
        if self.model._is_polymorphic and not self._only_fields:
            return []
        if self._defer_fields or self._only_fields:
            return super()._select_fields()  # type: ignore[no-any-return]
        # Never `*`: then a row has no column that the model does not know.
        return [column.db_field_name for column in self.model._columns.values()]

    # Writing

    def create(self, **kwargs: Any) -> Any:
        """Insert a row and return its instance.

        :raises ValidationError: naming the column that does not exist or whose value cannot be
            stored.
        """
        model = self.model
        unknown = kwargs.keys() - model._columns.keys()
        if unknown:
            raise ValidationError(
                f"{model.__name__} has no column {sorted(unknown)[0]}; its columns are "
                f"{', '.join(model._columns)}."
            )
        plan = model._write_plan
        if plan is None or self._has_write_options or model.validate is not _VALIDATE:
            return super().create(**kwargs)
        return insert(model, plan, kwargs)

    def update(self, **values: Any) -> None:
        """Write columns of the rows that the filters name; None removes a value.

        :raises ValidationError: naming the column that does not exist, belongs to the key, or whose
            value cannot be stored.
        """
        # cqlengine would remove the column with the attribute's name, not that in CQL.
        known = self.model._columns
        nulled = [
            known[name]
            for name, value in values.items()
            if value is None and name in known and not known[name].is_primary_key
        ]
        for column in nulled:
            column.validate(None)
        written = {
            name: value
            for name, value in values.items()
            if name not in known or known[name] not in nulled
        }
        super().update(**written)
        if nulled:
            fields = {known[name].db_field_name for name in written if name in known}
            self._execute(
                DeleteStatement(
                    self.column_family_name,
                    fields=[column.db_field_name for column in nulled],
                    where=self._where,
                    timestamp=self._timestamp,
                    conditionals=[each for each in self._conditional if each.field not in fields],
                    if_exists=self._if_exists,
                )
            )

    @property
    def _has_write_options(self) -> bool:
        return bool(
            self._batch
            or self._ttl
            or self._timestamp
            or self._consistency is not None
            or self._if_not_exists
            or self._if_exists
            or self._conditional
            or self._connection
            or self._timeout is not NOT_SET
        )

    # Executing

    def _execute(self, statement: BaseCQLStatement) -> ResultSet | None:
        return _execute_or_batch(self, statement, self._connection)

    def _select(
        self, limit: int, *, paging_state: bytes | None = None, fetch_size: int | None = None
    ) -> ResultSet:
        """Execute the SELECT with ``limit`` in place of the query set's own; 0 is none."""
        if self._batch:
            raise CQLEngineException(
                "Only inserts, updates, and deletes are available in batch mode"
            )
        model = self.model
        connection, keyspace = model._resolve(self._connection)
        shape = self._shape(keyspace, bool(limit))
        if shape is None:
            plan, values = self._make_plan(limit)
        else:
            plans = model._plans
            plan = plans.get(shape)
            if plan is None:
                plan, _ = self._make_plan(limit)
                if len(plans) >= MAX_SHAPES:
                    plans.clear()
                plans[shape] = plan
            values = [clause.value for clause in self._where]
            if limit:
                values.append(limit)
        bound = self._bind(connection, plan, values)
        if fetch_size is not None:
            bound.fetch_size = fetch_size
        return connection.execute(
            bound, timeout=self._timeout, subject=plan.subject, paging_state=paging_state
        )

    def _shape(self, keyspace: str | None, limited: bool) -> tuple[Any, ...] | None:
        """Return all of the SELECT but its values; None if a clause is more than a comparison."""
        where = []
        for clause in self._where:
            if clause.__class__ is not Comparison:
                return None
            where.append(clause.shape)
        return (
            keyspace,
            tuple(where),
            tuple(self._order),
            limited,
            self._allow_filtering,
            tuple(self._only_fields),
            frozenset(self._defer_fields) if self._defer_fields else None,
            tuple(self._distinct_fields) if self._distinct_fields else None,
        )

    def _make_plan(self, limit: int) -> tuple[_Select, list[Any]]:
        statement = self._select_query()
        statement.limit = limit
        cql, values = compile_statement(statement)
        return _Select(cql, self.model.column_family_name()), values

    def _bind(self, connection: Connection, plan: _Select, values: list[Any]) -> BoundStatement:
        bound = bind(connection.prepare(plan.cql), values, self.model.__name__)
        bound.is_idempotent = True
        if self._consistency is not None:
            bound.consistency_level = self._consistency
        if self._fetch_size is not None:
            bound.fetch_size = self._fetch_size
        return bound

    def _construct_page(self, rows: list[dict[str, Any]]) -> list[Any]:
        if self.model._is_plain and not self._values_list:
            return make_instances(self.model, rows, self._deferred_values)
        construct = self._maybe_inject_deferred(self._get_result_constructor())
        return [construct(row) for row in rows]

    def _construct_all(self, found: ResultSet) -> list[Any]:
        instances = self._construct_page(found.current_rows)
        while found.has_more_pages:
            found.fetch_next_page()
            instances += self._construct_page(found.current_rows)
        return instances

    def _execute_query(self) -> list[Any]:
        """Return all instances of the query, which is executed once."""
        found = self._result_cache
        if found is None:
            found = self._result_cache = self._construct_all(self._select(self._limit))
            self._count = len(found)
        return found

    # Reading

    def __iter__(self) -> Iterator[Any]:
        return iter(self._execute_query())

    def __len__(self) -> int:
        return len(self._execute_query())

    def __getitem__(self, s: int | slice) -> Any:
        if not isinstance(s, int | slice):
            raise TypeError("QuerySet indices must be integers")
        return self._execute_query()[s]

    def first(self) -> Any:
        """Return the first row, or None."""
        if self._result_cache is not None:
            return self._result_cache[0] if self._result_cache else None
        found = self._construct_all(self._select(1))
        return found[0] if found else None

    def get(self, *args: WhereClause, **kwargs: Any) -> Any:
        """Return the one row for which all conditions hold.

        :raises DoesNotExist: if there is none.
        :raises MultipleObjectsReturned: if there are several.
        """
        query = self.filter(*args, **kwargs) if args or kwargs else self
        limit = min(query._limit, 2) if query._limit else 2
        found = query._construct_all(query._select(limit))
        if not found:
            raise self.model.DoesNotExist(f"There is no {self.model.__name__} for this query.")
        if len(found) > 1:
            raise self.model.MultipleObjectsReturned("Multiple objects found")
        return found[0]

    def one(self) -> Any:
        """Return the one row of the query: ``get()`` without conditions."""
        return self.get()

    def get_or_404(self, *args: WhereClause, **kwargs: Any) -> Any:
        """Return the one row for which all conditions hold, or end the request with a 404."""
        try:
            return self.get(*args, **kwargs)
        except self.model.DoesNotExist:
            raise NotFound from None

    def first_or_404(self) -> Any:
        """Return the first row, or end the request with a 404."""
        found = self.first()
        if found is None:
            raise NotFound
        return found

    def paginate(self, **options: Any) -> Page[Any]:
        """Return one page; the options are those of ``db.paginate``."""
        page: Page[Any] = self.model._database.paginate(self, **options)
        return page

    def exists(self) -> bool:
        """Say whether there is a row, by asking for one."""
        return self._select(1).one() is not None

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows as dictionaries by the columns' names in CQL, without instances."""
        query = self._clone()
        query._defer_fields = set()
        found = query._select(self._limit)
        rows: list[dict[str, Any]] = found.current_rows
        while found.has_more_pages:
            found.fetch_next_page()
            rows += found.current_rows
        return rows

    def iter(self, fetch_size: int | None = None) -> Iterator[Any]:
        """Yield instances page by page, the next page being fetched while this one is read.

        Holds two pages at most, however many rows there are.

        :param fetch_size: rows of a page; ``CASSANDRA_FETCH_SIZE`` if not given.
        """
        query = self._clone() if fetch_size is None else self.fetch_size(fetch_size)
        found = query._select(self._limit)
        while True:
            page, future = found.current_rows, found.response_future
            has_more = found.has_more_pages
            if has_more:
                future.start_fetching_next_page()
            yield from query._construct_page(page)
            if not has_more:
                return
            found.take_next_page()


def _copy_clause(clause: Any) -> Any:
    """Return a copy: rendering numbers a condition, and threads may share this one."""
    copied = object.__new__(type(clause))
    copied.__dict__.update(clause.__dict__)
    return copied


class DMLQuery(cqlengine_query.DMLQuery):  # type: ignore[misc]
    """cqlengine's writes of one instance, on the application's connection."""

    def _delete_null_columns(self, conditionals: list[WhereClause] | None = None) -> None:
        """Remove the columns set to None, and the keys that a map has lost.

        cqlengine leaves the clustering key out as soon as a map is concerned.
        """
        statement = DeleteStatement(
            self.column_family_name, conditionals=conditionals, if_exists=self._if_exists
        )
        removed = []
        for manager in self.instance._values.values():
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
        only_static = all(column.static for column in removed)
        keys = self.model._partition_keys if only_static else self.model._primary_keys
        for name, column in keys.items():
            statement.add_where(column, EqualsOperator(), getattr(self.instance, name))
        self._execute(statement)

    def _execute(self, statement: BaseCQLStatement) -> ResultSet | None:
        name = self.instance._connection if self.instance else None
        return _execute_or_batch(self, statement, name)

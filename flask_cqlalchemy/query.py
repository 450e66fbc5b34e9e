"""Query sets and writes of models, executed on the connection of the current application.

Stages: a query set collects filters; its *shape*, which is all but the values, leads to the CQL
with markers, made once for each shape; the values are bound to the prepared statement;
``connection.Connection`` executes it. What has no shape here (functions, ``token()``, writes) goes
through cqlengine's statements and ``statements.compile_statement``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence, Sized
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from cassandra.cqlengine import CQLEngineException, columns
from cassandra.cqlengine import query as cqlengine_query
from cassandra.cqlengine.connection import NOT_SET
from cassandra.cqlengine.functions import QueryValue
from cassandra.cqlengine.operators import EqualsOperator, InOperator
from cassandra.cqlengine.statements import (
    BaseCQLStatement,
    DeleteStatement,
    MapDeleteClause,
    SelectStatement,
)
from werkzeug.exceptions import NotFound

from ._cqlengine import BatchQuery, ModelQuerySet, WhereClause
from ._cqlengine import DMLQuery as CQLEngineDMLQuery
from .batch import add_to_batch, microseconds
from .conversions import as_stored
from .guardrails import check_filtering, check_in, check_rows
from .instances import make_instances, mark_unread
from .protocol import mark_for_instances
from .selects import Comparison, copy_clause, find_filter
from .signals import StatementInfo
from .statements import bind, compile_statement, is_idempotent
from .writes import check_columns, insert

if TYPE_CHECKING:
    from cassandra.cluster import ResultSet
    from cassandra.query import BoundStatement
    from typing_extensions import Self, Unpack

    from .connection import Connection
    from .models import BoundModel
    from .pagination import Page, PageOptions
    from .schemas import Schema


#: A model, and what a query set gives: instances of it, or else what ``values_list()`` asks for.
M = TypeVar("M", bound="BoundModel")
if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    T_co = TypeVarWithDefault("T_co", covariant=True, default=Any)
else:
    T_co = TypeVar("T_co", covariant=True)


def _run(
    query: QuerySet | DMLQuery, statement: BaseCQLStatement, bind_name: str | None
) -> ResultSet | None:
    """Execute a statement that cqlengine built, or add it to the batch of ``query``.

    :param bind_name: what ``using(connection=...)`` was given: the name of a bind.
    :raises ValidationError: naming the column, if a value cannot be stored in it.
    :raises LWTException: if a condition of it did not hold.
    :raises CassandraUnavailable: and the others of ``Connection.execute``.
    """
    model, batch = query.model, query._batch
    connection, keyspace = model._resolve(bind_name)
    if batch and getattr(statement, "timestamp", 0) is None and not statement.conditionals:
        statement.timestamp = microseconds(batch)
    cql, values = compile_statement(statement)
    bound = bind(connection.prepare(cql), values, model.__name__)
    bound.consistency_level = query._consistency
    bound.fetch_size = statement.fetch_size
    bound.is_idempotent = is_idempotent(statement)
    if getattr(statement, "allow_filtering", False):
        check_filtering(connection.settings.guardrails, model.__name__)
    kind = type(statement).__name__.removesuffix("Statement").lower()
    info = StatementInfo(kind, model._subject(keyspace), cql, model)
    _check_in(connection, statement, model)
    if batch:
        add_to_batch(batch, connection, bound, info)
        return None
    rows = connection.execute(bound, timeout=query._timeout, subject=info)
    if query._if_not_exists or query._if_exists or query._conditional:
        cqlengine_query.check_applied(rows)
    return rows


def _check_in(connection: Connection, statement: BaseCQLStatement, model: type[BoundModel]) -> None:
    for clause in getattr(statement, "where_clauses", ()):
        if isinstance(clause.operator, InOperator) and isinstance(clause.value, Sized):
            subject = f"{model.__name__}.{clause.field}"
            check_in(connection.settings.guardrails, len(clause.value), subject)


class QuerySet(ModelQuerySet, Generic[T_co]):
    """cqlengine's query set, on the application's connection.

    ``Post.objects`` is a ``QuerySet[Post]``: iterating over it gives instances of ``Post``.

    There is no implicit LIMIT: a query without one gives every row, fetched page by page.
    """

    # What a fresh query set has. None of it is changed in place: `__deepcopy__`, with which each of
    # cqlengine's methods begins, makes lists and sets of the clone's own.
    _where: Sequence[Any] = ()
    _conditional: Sequence[Any] = ()
    _order: Sequence[str] = ()
    _only_fields: Sequence[str] = ()
    _defer_fields: AbstractSet[str] = frozenset()
    _deferred_values: Mapping[str, Any] = MappingProxyType({})
    _distinct_fields: Sequence[str] | None = None
    _values_list = _flat_values_list = False
    _allow_filtering = _if_not_exists = _if_exists = False
    _limit = 0
    _result_cache: list[Any] | None = None
    _batch: BatchQuery | None = None
    _ttl = _consistency = _timestamp = _fetch_size = _connection = _count = None
    _timeout: Any = NOT_SET

    def __init__(self, model: type[BoundModel]) -> None:
        self.model = model

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        del memo
        clone = self._derive()
        clone._where = list(self._where)
        clone._conditional = list(self._conditional)
        clone._order = list(self._order)
        clone._defer_fields = set(self._defer_fields)
        return clone

    def _derive(self) -> Self:
        """Return a query set like this one, not executed, which shares all that it is made of."""
        clone = object.__new__(self.__class__)
        state = self.__dict__.copy()
        if self._result_cache is not None or self._count is not None:
            state["_result_cache"] = state["_count"] = None
        clone.__dict__ = state
        return clone

    def _own_clauses(self) -> Self:
        """Return a query set like this one whose conditions may be numbered, to make a statement of
        them, while another thread does so with this one's.
        """
        clone = self._derive()
        clone._where = [copy_clause(clause) for clause in self._where]
        clone._conditional = [copy_clause(clause) for clause in self._conditional]
        return clone

    # Building

    def filter(self, *args: WhereClause, **kwargs: object) -> Self:
        """Return a query set that keeps the rows for which all conditions hold.

        :raises QueryException: if a column or an operator does not exist.
        """
        query = self
        where = list(self._where)
        if args:
            query = super().filter(*args)
            where = list(query._where)
        filters = self.model._filters
        for argument, value in kwargs.items():
            known = None
            if value is not None and not isinstance(value, QueryValue):
                known = filters.get(argument)
                if known is None:
                    known = find_filter(self.model, argument)
                    if known is not None:
                        # Only what the model has: arguments may come from a request.
                        filters[argument] = known
            if known is not None:
                where.append(Comparison(known, value))
            else:
                query = query._derive()
                query._where = where
                query = super(QuerySet, query).filter(**{argument: value})
                where = list(query._where)
        clone = self._derive()
        clone._where = where
        return clone

    def batch(self, batch_obj: BatchQuery | None) -> Self:
        """Return a query set whose writes are added to a batch.

        :raises CQLEngineException: if it is no batch, or the query set has a connection of its own.
        """
        if self._connection:
            raise CQLEngineException("Cannot specify the connection on model in batch mode.")
        if batch_obj is not None and not isinstance(batch_obj, BatchQuery):
            raise CQLEngineException("batch_obj must be a BatchQuery instance or None")
        clone = self._derive()
        clone._batch = batch_obj
        return clone

    def distinct(self, distinct_fields: Sequence[str] | None = None) -> Self:
        """Return a query set of the distinct values of columns.

        :param distinct_fields: names of columns; the partition key if not given.
        :raises QueryException: if one of them does not exist.
        """
        by_name = self.model._columns
        fields = []
        for name in distinct_fields or self.model._partition_keys:
            known = by_name.get(self.model._db_map.get(name, name))
            if known is None:
                raise cqlengine_query.QueryException(f"Can't resolve column name: '{name}'")
            fields.append(known.db_field_name)
        clone = self._derive()
        clone._distinct_fields = fields
        return clone

    def limit(self, v: int | None) -> Self:
        """Return a query set of at most ``v`` rows; None or 0 is without a limit.

        :raises TypeError: if ``v`` is no whole number.
        :raises QueryException: if it is negative.
        """
        if v is not None and (not isinstance(v, int) or isinstance(v, bool)):
            raise TypeError(f"limit() takes a whole number or None, not {v!r}")
        if v is not None and v < 0:
            raise cqlengine_query.QueryException("Negative limit is not allowed")
        clone = self._derive()
        clone._limit = v or 0
        return clone

    def _select_fields(self) -> list[str]:
        # A row may be of a subclass, which has columns that this model does not know. cqlengine
        # forgets them as soon as there is a filter.
        if self.model._is_polymorphic and not self._only_fields:
            return []
        if self._defer_fields or self._only_fields:
            return super()._select_fields()
        # Never `*`: then a row has no column that the model does not know.
        return [column.db_field_name for column in self.model._columns.values()]

    # Writing

    def create(self: QuerySet[M], **kwargs: object) -> M:
        """Insert a row and return its instance.

        :raises ValidationError: naming the column that does not exist or whose value cannot be
            stored.
        """
        model: Any = self.model
        check_columns(model, kwargs)
        plan = model._write_plan
        made: M
        if plan is None or self._has_write_options:
            made = super().create(**kwargs)
        else:
            made = insert(model, plan, kwargs, batch=self._batch, ttl=self._ttl)
        return made

    @property
    def _has_write_options(self) -> bool:
        """Whether a write needs cqlengine's statements: all but a batch and a TTL do."""
        return bool(
            self._timestamp
            or self._consistency is not None
            or self._if_not_exists
            or self._if_exists
            or self._conditional
            or self._connection
            or self._timeout is not NOT_SET
        )

    def update(self, **values: object) -> None:
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
        query = self._own_clauses()
        super(QuerySet, query).update(**written)
        if nulled:
            fields = {known[name].db_field_name for name in written if name in known}
            query = self._own_clauses()
            query._execute(
                DeleteStatement(
                    self.column_family_name,
                    fields=[column.db_field_name for column in nulled],
                    where=query._where,
                    timestamp=self._timestamp,
                    conditionals=[each for each in query._conditional if each.field not in fields],
                    if_exists=self._if_exists,
                )
            )

    def delete(self) -> None:
        """Delete the rows that the filters name: a partition, a range in one, or a row.

        :raises QueryException: if a column of the partition key has no filter.
        """
        super(QuerySet, self._own_clauses()).delete()

    # Executing

    def _execute(self, statement: BaseCQLStatement) -> ResultSet | None:
        return _run(self, statement, self._connection)

    def _select(
        self,
        limit: int,
        *,
        paging_state: bytes | None = None,
        fetch_size: int | None = None,
        for_instances: bool = True,
    ) -> ResultSet:
        """Execute the SELECT with ``limit`` in place of the query set's own; 0 is none.

        :param for_instances: whether nobody but instances will see the rows.
        """
        connection, bound, info = self._bind_select(limit, for_instances=for_instances)
        if fetch_size is not None:
            bound.fetch_size = fetch_size
        return connection.execute(
            bound, timeout=self._timeout, subject=info, paging_state=paging_state
        )

    def _bind_select(
        self, limit: int, *, for_instances: bool = True
    ) -> tuple[Connection, BoundStatement, StatementInfo]:
        """Make the SELECT that ``_select`` executes."""
        if self._batch:
            raise CQLEngineException(
                "Only inserts, updates, and deletes are available in batch mode"
            )
        model = self.model
        connection, keyspace = model._resolve(self._connection)
        rails = connection.settings.guardrails
        if self._allow_filtering:
            check_filtering(rails, model.__name__)
        shape = self._shape(keyspace, bool(limit))
        if shape is None:
            statement = self._own_clauses()._make_select(limit)
            _check_in(connection, statement, model)
            cql, values = compile_statement(statement)
            info = StatementInfo("select", model._subject(keyspace), cql, model)
        else:
            known: StatementInfo | None = model._plans.get(shape)
            if known is None:
                cql, _ = compile_statement(self._own_clauses()._make_select(limit))
                known = model._remember(shape, cql)
            info = known
            values = [clause.value for clause in self._where]
            if limit:
                values.append(limit)
        bound = bind(connection.prepare(info.cql), values, model.__name__)
        bound.is_idempotent = True
        if self._consistency is not None:
            bound.consistency_level = self._consistency
        if self._fetch_size is not None:
            bound.fetch_size = self._fetch_size
        if for_instances and model._is_plain and not self._values_list:
            mark_for_instances(bound)
        return connection, bound, info

    def _shape(self, keyspace: str | None, limited: bool) -> tuple[Any, ...] | None:
        """Return all of the SELECT but its values; None if a clause is more than a comparison."""
        where = []
        for clause in self._where:
            if clause.__class__ is not Comparison:
                return None
            where.append(clause.known.shape)
        state = self.__dict__
        if where and len(state) - ("_limit" in state) == 2:
            # The model and the conditions: most queries have no more.
            return (keyspace, "select", limited, *where)
        return (
            keyspace,
            "select",
            limited,
            tuple(where),
            tuple(self._order),
            self._allow_filtering,
            tuple(self._only_fields),
            frozenset(self._defer_fields),
            tuple(self._distinct_fields or ()),
        )

    def _make_select(self, limit: int) -> SelectStatement:
        statement = self._select_query()
        statement.limit = limit
        return statement

    def known_values(self) -> dict[str, Any]:
        """Return the values, by CQL name, that rows may lack because the query fixes them.

        They count as read, whether ``only()`` and ``defer()`` ask for them or not.
        """
        if not (self._only_fields or self._defer_fields):
            return {}
        return {
            clause.field: as_stored(clause.known.to_python(clause.given))
            for clause in self._where
            if clause.__class__ is Comparison and clause.known.is_equality
        }

    def _construct_page(self, rows: list[dict[str, Any]]) -> list[Any]:
        known = self.known_values()
        if self.model._is_plain and not self._values_list:
            return make_instances(self.model, rows, known)
        construct = self._get_result_constructor()
        made = [construct(known | row) for row in rows]
        if not self._values_list and (self._only_fields or self._defer_fields):
            for instance, row in zip(made, rows, strict=True):
                given = {
                    self.model._db_map.get(field, field) for field in known.keys() | row.keys()
                }
                mark_unread(instance, instance._columns.keys() - given)
        return made

    def _construct_all(self, found: ResultSet) -> list[T_co]:
        return self._read_all(found, self._construct_page)

    def _read_all(
        self, found: ResultSet, make: Callable[[list[dict[str, Any]]], list[Any]]
    ) -> list[Any]:
        """Return what ``make`` makes of each page.

        :raises GuardrailError: if there are more rows than may be read without a limit.
        """
        made: list[Any] = []
        while True:
            before = len(made)
            made += make(found.current_rows)
            if not self._limit:
                rails = found.connection.settings.guardrails
                check_rows(rails, before, len(made), self.model.__name__)
            if not found.has_more_pages:
                return made
            found.fetch_next_page()

    def _execute_query(self) -> list[T_co]:
        """Return all instances of the query, which is executed once."""
        found = self._result_cache
        if found is None:
            found = self._result_cache = self._construct_all(self._select(self._limit))
            self._count = len(found)
        return found

    # Reading

    def __iter__(self) -> Iterator[T_co]:
        return iter(self._execute_query())

    def __len__(self) -> int:
        return len(self._execute_query())

    @overload
    def __getitem__(self, s: int) -> T_co: ...
    @overload
    def __getitem__(self, s: slice) -> list[T_co]: ...
    def __getitem__(self, s: int | slice) -> T_co | list[T_co]:
        if not isinstance(s, int | slice):
            raise TypeError("QuerySet indices must be integers")
        return self._execute_query()[s]

    def first(self) -> T_co | None:
        """Return the first row, or None."""
        if self._result_cache is not None:
            return self._result_cache[0] if self._result_cache else None
        found = self._construct_all(self._select(1))
        return found[0] if found else None

    def get(self, *args: WhereClause, **kwargs: object) -> T_co:
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

    def one(self) -> T_co:
        """Return the one row of the query: ``get()`` without conditions."""
        return self.get()

    def get_or_404(self, *args: WhereClause, **kwargs: object) -> T_co:
        """Return the one row for which all conditions hold, or end the request with a 404."""
        try:
            return self.get(*args, **kwargs)
        except self.model.DoesNotExist:
            raise NotFound from None

    def first_or_404(self) -> T_co:
        """Return the first row, or end the request with a 404."""
        found = self.first()
        if found is None:
            raise NotFound
        return found

    def paginate(self, **options: Unpack[PageOptions]) -> Page[T_co]:
        """Return one page; the options are those of ``db.paginate``."""
        page: Page[Any] = self.model._database.paginate(self, **options)
        return page

    def exists(self) -> bool:
        """Say whether there is a row, by asking for one."""
        return self._select(1).one() is not None

    def to_json(self, schema: Schema | None = None) -> bytes:
        """Return the rows as JSON, without making instances of them: see ``db.to_json``."""
        return self.model._database.to_json(self, schema)

    def raw_rows(self) -> list[dict[str, Any]]:
        """Return the rows as instances are made of them: collections are lists and dictionaries."""
        return self._read_all(self._select(self._limit), lambda rows: rows)

    def rows(self) -> list[dict[str, Any]]:
        """Return the rows as dictionaries by the columns' names in CQL, without instances."""
        return self._read_all(self._select(self._limit, for_instances=False), lambda rows: rows)

    def iter(self, fetch_size: int | None = None) -> Iterator[T_co]:
        """Yield instances page by page, the next page being fetched while this one is read.

        Holds two pages at most, however many rows there are.

        :param fetch_size: rows of a page; ``CASSANDRA_FETCH_SIZE`` if not given.
        """
        query = self._derive() if fetch_size is None else self.fetch_size(fetch_size)
        found = query._select(self._limit)
        while True:
            page = found.current_rows
            has_more = found.has_more_pages
            if has_more:
                found.start_next_page()
            yield from query._construct_page(page)
            if not has_more:
                return
            found.take_next_page()


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
        return _run(self, statement, name)

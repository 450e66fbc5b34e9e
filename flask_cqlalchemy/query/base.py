"""``Query``: cqlengine's query set, on the connection of the current application.

Stages: a query collects conditions; its *shape*, which is all but the values, leads to the CQL with
markers, made once for each shape; the values are bound to the prepared statement, which is sent.
What has no shape here (functions, ``token()``, writes) goes through cqlengine's statements.

What pages, JSON, bulk reads and the like need of a query has a name: ``narrowed``, ``read_page``,
``make_items``, ``binding`` and the properties beside them.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from cassandra.cqlengine import CQLEngineException
from cassandra.cqlengine import query as cqlengine_query
from cassandra.cqlengine.connection import NOT_SET
from cassandra.cqlengine.functions import QueryValue
from cassandra.cqlengine.statements import (
    BaseCQLStatement,
    DeleteStatement,
    SelectStatement,
)
from werkzeug.exceptions import NotFound

from .._cqlengine import BatchQuery, Model, ModelQuerySet, WhereClause
from ..guardrails import check_filtering, check_rows
from ..mapping.conversions import as_stored
from ..mapping.instances import make_instances, mark_unread
from ..mapping.naming import naming_model
from ..protocol import mark_for_instances
from ..statements.compiling import compile_statement
from ..statements.info import StatementInfo
from ..statements.sending import BoundQuery, bind_query
from .conditions import Comparison, check_lengths, copy_clause
from .stock import run
from .writes import OPTIONS, check_columns, choose_writer, insert, options_of

if TYPE_CHECKING:
    from cassandra.cluster import ResultSet
    from typing_extensions import Self

    from ..connection import PagedRows
    from ..connection.place import Place
    from ..mapping.mapper import Mapper, StatementKey

#: A model, and what a query gives: instances of it, or else what ``values_list()`` asks for.
M = TypeVar("M", bound=Model)
if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    T_co = TypeVarWithDefault("T_co", covariant=True, default=Any)
else:
    T_co = TypeVar("T_co", covariant=True)

#: A row as the driver gives it: values by the names of columns in CQL.
Row = dict[str, Any]


@dataclass(frozen=True)
class RowPage:
    """Rows that Cassandra has returned at once.

    :ivar paging_state: where the rest begins; None at the end.
    """

    rows: list[Row]
    paging_state: bytes | None


class Query(ModelQuerySet, Generic[T_co]):
    """cqlengine's query set, on the application's connection.

    There is no implicit LIMIT: a query without one gives every row, fetched page by page.
    """

    # What a fresh query set has. None of it is changed in place: `__deepcopy__`, with which each of
    # cqlengine's methods begins, makes lists and sets of the clone's own.
    _where: Sequence[Any] = ()
    _conditional: Sequence[Any] = ()
    _order: Sequence[str] = ()
    _only_fields: Sequence[str] = ()
    _defer_fields: AbstractSet[str] = frozenset()
    _deferred_values: Mapping[str, object] = MappingProxyType({})
    _distinct_fields: Sequence[str] | None = None
    _values_list = _flat_values_list = False
    _allow_filtering = _if_not_exists = _if_exists = False
    _limit = 0
    _result_cache: list[Any] | None = None
    _batch: BatchQuery | None = None
    _ttl = _consistency = _timestamp = _fetch_size = _connection = _count = None
    _timeout: Any = NOT_SET

    #: Whether a subclass has defaults of its own for options.
    _has_own_options = False

    def __init_subclass__(cls, **arguments: object) -> None:
        super().__init_subclass__(**arguments)
        cls._has_own_options = cls._has_own_options or not OPTIONS.isdisjoint(vars(cls))

    def __init__(self, model: type[Model]) -> None:
        self.model = model

    def __deepcopy__(self, memo: dict[int, object]) -> Self:
        del memo
        clone = self._derive()
        clone._where = list(self._where)
        clone._conditional = list(self._conditional)
        clone._order = list(self._order)
        clone._defer_fields = set(self._defer_fields)
        return clone

    def _derive(self) -> Self:
        """Return a query set like this one, not executed, with the same conditions and options."""
        clone = object.__new__(self.__class__)
        state = self.__dict__.copy()
        if self._result_cache is not None or self._count is not None:
            state["_result_cache"] = state["_count"] = None
        clone.__dict__ = state
        return clone

    def _options(self) -> Mapping[str, object]:
        return {name: getattr(self, name, None) for name in OPTIONS}

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
        mapper = self.mapper
        for argument, value in kwargs.items():
            known = None
            if value is not None and not isinstance(value, QueryValue):
                known = mapper.filters.get(argument) or mapper.filter(argument)
            if known is not None:
                where.append(Comparison(known, value))
            else:
                query = query._derive()
                query._where = where
                query = super(Query, query).filter(**{argument: value})
                where = list(query._where)
        clone = self._derive()
        clone._where = where
        return clone

    def batch(self, batch_obj: BatchQuery | None) -> Self:
        """Return a query set whose writes are added to a batch.

        :raises CQLEngineException: if it is not a batch, or the query has a connection of its own.
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
        mapper = self.mapper
        fields = []
        for name in distinct_fields or mapper.partition_key:
            known = mapper.columns.get(mapper.attributes.get(name, name))
            if known is None:
                raise cqlengine_query.QueryException(f"Can't resolve column name: '{name}'")
            fields.append(known.db_field_name)
        clone = self._derive()
        clone._distinct_fields = fields
        return clone

    def limit(self, v: int | None) -> Self:
        """Return a query set of at most ``v`` rows; None or 0 is without a limit.

        :raises TypeError: if ``v`` is not a whole number.
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
        if self.mapper.is_polymorphic and not self._only_fields:
            return []
        if self._defer_fields or self._only_fields:
            return super()._select_fields()
        # Never `*`: then a row has no column that the model does not know.
        return [column.db_field_name for column in self.mapper.columns.values()]

    # Writing

    def create(self: Query[M], **kwargs: object) -> M:
        """Insert a row and return its instance.

        :raises ValidationError: naming the column that does not exist or whose value cannot be
            stored.
        """
        mapper = self.mapper
        check_columns(mapper, kwargs)
        options = self._options() if self._has_own_options else self.__dict__
        writer = choose_writer(mapper, "insert", options_of(options))
        made: M
        if writer is None:
            made = super().create(**kwargs)
        else:
            model: Any = self.model
            made = insert(model, writer, kwargs, batch=self._batch, ttl=self._ttl)
        return made

    def update(self, **values: object) -> None:
        """Write columns of the rows that the filters name; None removes a value.

        :raises ValidationError: naming the column that does not exist, belongs to the key, or whose
            value cannot be stored.
        """
        # cqlengine would remove the column with the attribute's name, not that in CQL.
        known = self.mapper.columns
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
        with naming_model(self.mapper.name, known):
            super(Query, query).update(**written)
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
        super(Query, self._own_clauses()).delete()

    # Executing

    def _execute(self, statement: BaseCQLStatement) -> ResultSet | None:
        return run(self.mapper, statement, self._options())

    def bound_select(
        self, limit: int | None = None, *, for_instances: bool = True, fetch_size: int | None = None
    ) -> BoundQuery:
        """Return the SELECT, ready to be sent.

        :param limit: in place of the query's own; 0 is none.
        :param for_instances: whether the rows only become instances, and are not shown.
        :param fetch_size: rows of a page, in place of the query's own.
        :raises CQLEngineException: if the query is for a batch.
        """
        if self._batch:
            raise CQLEngineException(
                "Only inserts, updates, and deletes are available in batch mode"
            )
        if limit is None:
            limit = self._limit
        mapper = self.mapper
        place = mapper.place(self._connection)
        rails = place.connection.settings.guardrails
        if self._allow_filtering:
            check_filtering(rails, mapper.name)
        shape = self._shape(place.keyspace, bool(limit))
        if shape is None:
            statement = self._own_clauses()._make_select(limit)
            check_lengths(rails, statement.where_clauses, mapper.name)
            cql, values = compile_statement(statement)
            info = StatementInfo("select", mapper.subject(place.keyspace), cql, mapper.model)
        else:
            known = mapper.statements.get(shape)
            if known is None:
                cql, _ = compile_statement(self._own_clauses()._make_select(limit))
                known = mapper.remember(shape, cql)
            info = known
            values = [clause.value for clause in self._where]
            if limit:
                values.append(limit)
        query = bind_query(
            place,
            info,
            values,
            subject=mapper.name,
            idempotent=True,
            consistency=self._consistency,
            fetch_size=self._fetch_size if fetch_size is None else fetch_size,
        )
        if for_instances and mapper.makes_light and not self._values_list:
            mark_for_instances(query.statement)
        return query

    def _select(self, limit: int | None = None, *, for_instances: bool = True) -> PagedRows:
        """Execute the SELECT; the parameters are those of ``bound_select``."""
        query = self.bound_select(limit, for_instances=for_instances)
        return query.execute(timeout=self._timeout)

    def _shape(self, keyspace: str | None, limited: bool) -> StatementKey | None:
        """Return the SELECT's shape, or None if a clause is more than a comparison."""
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

    # What pages, JSON and bulk reads work with

    @property
    def mapper(self) -> Mapper:
        """What the kit knows of the model."""
        return self.model.__mapper__

    @property
    def conditions(self) -> Sequence[WhereClause]:
        """The conditions that a row must meet."""
        return self._where

    @property
    def order(self) -> Sequence[str]:
        """What ``order_by()`` asked for, as CQL writes it; empty for the table's own order."""
        return self._order

    @property
    def row_limit(self) -> int | None:
        """What ``limit()`` was given; None for all rows."""
        return self._limit or None

    @property
    def is_distinct(self) -> bool:
        """Whether ``distinct()`` was asked for."""
        return bool(self._distinct_fields)

    @property
    def listed(self) -> list[str] | None:
        """The attributes whose values ``values_list()`` asks for; None if it does not."""
        if not self._values_list:
            return None
        attributes = self.mapper.attributes
        return [attributes.get(field, field) for field in self._only_fields]

    @property
    def is_flat(self) -> bool:
        """Whether ``values_list()`` asks for bare values of one column."""
        return bool(self._flat_values_list)

    @property
    def has_items(self) -> bool:
        """Whether the query has been executed, and keeps what it gave."""
        return self._result_cache is not None

    def place(self) -> Place:
        """Return where the query goes.

        :raises NoAppError: if there is no current application.
        """
        return self.mapper.place(self._connection)

    def narrowed(
        self, where: Sequence[WhereClause], order: Sequence[str], columns: Sequence[str]
    ) -> Self:
        """Return this query with other conditions and another order.

        :param order: as CQL writes it.
        :param columns: what it is to read, by CQL name, in spite of ``only()`` and ``defer()``.
        """
        clone = self._derive()
        clone._where = copy.deepcopy(list(where))
        clone._order = list(order)
        clone._defer_fields = self._defer_fields - set(columns)
        if self._only_fields:
            clone._only_fields = [*self._only_fields, *columns]
        return clone

    def read_page(self, fetch_size: int, paging_state: bytes | None) -> RowPage:
        """Ask Cassandra once, for at most ``fetch_size`` rows, without the query's limit.

        :param paging_state: where the rows begin; it must come from Cassandra.
        """
        most = self._fetch_size or self.place().connection.settings.fetch_size
        query = self.bound_select(0, fetch_size=min(fetch_size, most))
        found = query.execute(timeout=self._timeout, paging_state=paging_state)
        rows = list(found.current_rows)
        _count_from_zero(self.mapper, rows)
        return RowPage(rows, found.paging_state)

    def binding(self) -> list[object]:
        """Return what tells this query from others, for a cursor that belongs to it.

        Its values are such that ``pagination.cursors.digest_of`` has a lasting text for them.
        """
        mapper, statement = self.mapper, self._select_query()
        return [
            self.model.__name__,
            self._connection or self.model.__connection__ or mapper.bind,
            statement.table,
            [
                (
                    column.db_field_name,
                    column.db_type,
                    column.partition_key,
                    column.clustering_order,
                )
                for column in mapper.primary_key.values()
            ],
            [str(clause) for clause in statement.where_clauses],
            statement.get_context(),
            self._order,
            self.row_limit,
            self._distinct_fields,
            self._allow_filtering,
        ]

    def known_values(self) -> Row:
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

    def make_items(self, rows: list[Row]) -> list[T_co]:
        """Return what iterating gives of these rows, which become the instances."""
        known = self.known_values()
        mapper = self.mapper
        _count_from_zero(mapper, rows)
        if mapper.makes_light and not self._values_list:
            return make_instances(mapper, rows, known)
        construct = self._get_result_constructor()
        made = [construct(known | row) for row in rows]
        if not self._values_list and (self._only_fields or self._defer_fields):
            for instance, row in zip(made, rows, strict=True):
                given = {mapper.attributes.get(field, field) for field in known.keys() | row.keys()}
                mark_unread(instance, instance.__mapper__.columns.keys() - given)
        return made

    def _construct_all(self, found: PagedRows) -> list[T_co]:
        return self._read_all(found, self.make_items)

    def _read_all(self, found: PagedRows, make: Callable[[list[Row]], list[Any]]) -> list[Any]:
        """Return what ``make`` makes of each page.

        :raises GuardrailError: if there are more rows than may be read without a limit.
        """
        made: list[Any] = []
        while True:
            before = len(made)
            _count_from_zero(self.mapper, found.current_rows)
            made += make(found.current_rows)
            if not self._limit:
                rails = found.connection.settings.guardrails
                check_rows(rails, before, len(made), self.mapper.name)
            if not found.has_more_pages:
                return made
            found.fetch_next_page()

    def _execute_query(self) -> list[T_co]:
        """Return all instances of the query, which is executed once."""
        found = self._result_cache
        if found is None:
            found = self._result_cache = self._construct_all(self._select())
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

        :raises DoesNotExist: if there is no row.
        :raises MultipleObjectsReturned: if there are several rows.
        """
        query = self.filter(*args, **kwargs) if args or kwargs else self
        limit = min(query._limit, 2) if query._limit else 2
        found = query._construct_all(query._select(limit))
        if not found:
            raise self.model.DoesNotExist(f"There is no {self.mapper.name} for this query.")
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

    def exists(self) -> bool:
        """Return whether there is a row, by asking for one."""
        return self._select(1).one() is not None

    def raw_rows(self) -> list[Row]:
        """Return the rows from which instances are made: collections are lists and dictionaries."""
        return self._read_all(self._select(), lambda rows: rows)

    def rows(self) -> list[Row]:
        """Return the rows as dictionaries by the columns' names in CQL, without instances."""
        return self._read_all(self._select(for_instances=False), lambda rows: rows)

    def iter(self, fetch_size: int | None = None) -> Iterator[T_co]:
        """Yield instances page by page, the next page being fetched while this one is read.

        Holds two pages at most, however many rows there are.

        :param fetch_size: rows of a page; ``CASSANDRA_FETCH_SIZE`` if not given.
        """
        query = self._derive() if fetch_size is None else self.fetch_size(fetch_size)
        found = query._select()
        while True:
            page = found.current_rows
            has_more = found.has_more_pages
            if has_more:
                found.start_next_page()
            yield from query.make_items(page)
            if not has_more:
                return
            found.take_next_page()


def _count_from_zero(mapper: Mapper, rows: list[Row]) -> None:
    """Have a counter that was never changed, and is null, read as 0."""
    for name in mapper.counters:
        field = mapper.columns[name].db_field_name
        for row in rows:
            if field in row and row[field] is None:
                row[field] = 0

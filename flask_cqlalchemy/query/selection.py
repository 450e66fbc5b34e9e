"""``Selection``: what a query asks, and the SELECT that it comes to.

Stages: a query collects conditions, options, an order and columns; its *shape*, which is all but
the values, leads to the CQL with markers, made once for each shape; the values are bound to the
prepared statement. What has no shape here (functions, ``token()``) goes through cqlengine's
statements. Nothing here asks Cassandra for rows: ``base`` does.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from cassandra.cqlengine import CQLEngineException
from cassandra.cqlengine import query as cqlengine_query
from cassandra.cqlengine.connection import NOT_SET
from cassandra.cqlengine.functions import QueryValue
from cassandra.cqlengine.statements import SelectStatement

from .._cqlengine import BatchQuery, Model, ModelQuerySet, WhereClause
from ..guardrails import check_filtering
from ..mapping.texts import show_condition
from ..protocol import mark_for_instances
from ..statements.compiling import compile_statement
from ..statements.info import StatementInfo
from ..statements.sending import BoundQuery, bind_query
from .conditions import Comparison, check_lengths, copy_clause

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..connection.place import Place
    from ..mapping.mapper import Mapper, StatementKey


class Selection(ModelQuerySet):
    """What a query set asks: rows of which conditions, which columns, in what order, how many."""

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
    _ttl = _consistency = _timestamp = _fetch_size = _connection = None
    _count: int | None = None
    _timeout: Any = NOT_SET

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

    def _own_clauses(self) -> Self:
        """Return a query set like this one whose conditions may be numbered, to make a statement of
        them, while another thread does so with this one's.
        """
        clone = self._derive()
        clone._where = [copy_clause(clause) for clause in self._where]
        clone._conditional = [copy_clause(clause) for clause in self._conditional]
        return clone

    def __repr__(self) -> str:
        """Return the model and the conditions, without a query or an application."""
        attributes = self.mapper.attributes
        text = f"<{type(self).__name__} of {self.mapper.name}"
        for word, clauses in ((" where ", self._where), (" if ", self._conditional)):
            if clauses:
                text += word + " and ".join(show_condition(each, attributes) for each in clauses)
        if self._order:
            text += f" ordered by {', '.join(self._order)}"
        return f"{text} limit {self._limit}>" if self._limit else f"{text}>"

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
                query = super(Selection, query).filter(**{argument: value})
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

    # The SELECT

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

    # What others ask of a query

    @property
    def mapper(self) -> Mapper:
        """What the kit knows of the model."""
        return self.model.__mapper__

    @property
    def conditions(self) -> Sequence[WhereClause]:
        """The conditions that a row must meet."""
        return self._where

    @property
    def is_filtered(self) -> bool:
        """Whether it has conditions beside those with which the model's query sets begin."""
        return len(self._where) > len(self.model.objects.conditions)

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

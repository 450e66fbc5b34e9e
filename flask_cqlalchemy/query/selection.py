"""``Selection``: what a query asks, and the SELECT that it comes to.

Stages: a query collects conditions, options, an order and columns; its *shape*, which is all but
the values, leads to the CQL with markers, made once for each shape; the values are bound to the
prepared statement. What has no shape here (functions, ``token()``) goes through cqlengine's
statements. Nothing here asks Cassandra for rows: ``base`` does.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, ClassVar

from cassandra import InvalidRequest
from cassandra.cqlengine import CQLEngineException, ValidationError
from cassandra.cqlengine import query as cqlengine_query
from cassandra.cqlengine.connection import NOT_SET
from cassandra.cqlengine.functions import QueryValue
from cassandra.cqlengine.operators import ContainsOperator, InOperator
from cassandra.cqlengine.statements import BaseClause, SelectStatement

from .._cqlengine import BatchQuery, Model, ModelQuerySet, WhereClause
from ..guardrails import check_filtering
from ..mapping.filters import find_column
from ..mapping.texts import show_condition
from ..protocol import mark_for_instances
from ..statements.compiling import compile_statement
from ..statements.info import StatementInfo
from ..statements.sending import BoundQuery, bind_query
from .conditions import (
    Comparison,
    check_lengths,
    compare,
    copy_clause,
    find_impossible,
    make_condition,
    with_article,
)
from .restrictions import Question, explain, explained, not_ordered_by

if TYPE_CHECKING:
    from typing_extensions import Self

    from ..connection.place import Place
    from ..mapping.mapper import Mapper, StatementKey
    from .items import Items

#: Characters of a value that an error repeats.
_MOST_OF_A_VALUE = 50

#: The words of ``filter`` for the operators whose values cqlengine's expressions leave as they are.
_WORDS = {InOperator: "in", ContainsOperator: "contains"}


#: A row as the driver gives it: values by the names of columns in CQL.
Row = dict[str, Any]


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
    _items: Items[Any] | None = None
    _batch: BatchQuery | None = None
    _ttl = _consistency = _timestamp = _fetch_size = _connection = None
    _count: int | None = None
    _timeout: Any = NOT_SET

    #: Rows that a query may give in an order over several partitions: Cassandra gathers and sorts
    #: them all, and sends them at once.
    most_gathered: ClassVar[int] = 10_000

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

    def __getstate__(self) -> dict[str, object]:
        # What has been read is read again: its pages belong to this process.
        return self._derive().__dict__

    def _derive(self) -> Self:
        """Return a query set like this one, not executed, with the same conditions and options."""
        clone = object.__new__(self.__class__)
        state = self.__dict__.copy()
        # What the query has given is not what the other one will give.
        state.pop("_items", None)
        state.pop("_count", None)
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

        :raises QueryException: if a column does not exist, or a condition has no name.
        :raises QueryOperatorException: if an operator does not exist.
        :raises ValidationError: naming the column that cannot have such a value. If it is of the
            primary key, and the value a text or a number, it is a 404 where nothing catches it.
        """
        query = self
        where = list(self._where)
        mapper = self.mapper
        if args:
            for given in args:
                if not isinstance(given, WhereClause):
                    raise cqlengine_query.QueryException(_without_name(mapper, given))
            query = super().filter(*args)
            where = [*where, *map(self._converted, query._where[len(where) :])]
        for argument, value in kwargs.items():
            known = mapper.filters.get(argument) or mapper.filter(argument)
            if value is None:
                raise CQLEngineException(
                    f"{mapper.name}: {argument}=None is not a filter, as CQL has no condition for "
                    "a value that is missing."
                )
            if known is not None and not isinstance(value, QueryValue):
                where.append(compare(known, value))
            else:
                query = query._derive()
                query._where = where
                query = super(Selection, query).filter(**{argument: value})
                where = list(query._where)
        clone = self._derive()
        clone._where = where
        return clone

    def _converted(self, clause: WhereClause) -> WhereClause:
        """Return a condition that was made of ``Model.column``, its values converted."""
        name = self.mapper.attributes.get(clause.field)
        word = _WORDS.get(type(clause.operator))
        is_bare = type(clause) is WhereClause and not isinstance(clause.value, QueryValue)
        known = self.mapper.filter(f"{name}__{word}") if name and word and is_bare else None
        return clause if known is None else compare(known, clause.value)

    def iff(self, *args: WhereClause, **kwargs: object) -> Self:
        """Return a query set whose ``update()`` and ``delete()`` are applied only if conditions
        hold, which are written as those of ``filter()``. None is for a column without a value.

        :raises QueryException: if a column or an operator does not exist.
        """
        conditions = list(self._conditional)
        for clause in args:
            if not isinstance(clause, BaseClause):
                raise cqlengine_query.QueryException(
                    f"{self.mapper.name}: iff() takes conditions, such as iff(title='x'); not "
                    f"{clause!r}."
                )
            conditions.append(clause)
        mapper = self.mapper
        conditions += [make_condition(mapper, name, value) for name, value in kwargs.items()]
        clone = self._derive()
        clone._conditional = conditions
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

    def distinct(self, distinct_fields: str | Iterable[str] | None = None) -> Self:
        """Return a query set of the distinct values of columns.

        :param distinct_fields: names of columns, or the name of one; the partition key if not
            given.
        :raises QueryException: if one of them does not exist.
        """
        mapper = self.mapper
        clone = self._derive()
        clone._distinct_fields = [
            find_column(
                mapper.name, mapper.columns, mapper.attributes.get(name, name)
            ).db_field_name
            for name in _names(distinct_fields or mapper.partition_key)
        ]
        return clone

    def only(self, fields: str | Iterable[str]) -> Self:
        """Return a query set that reads these columns alone.

        :param fields: names of columns, or the name of one.
        :raises QueryException: if one of them does not exist, or ``only()`` was called before.
        """
        return super().only(self._checked(fields))

    def defer(self, fields: str | Iterable[str]) -> Self:
        """Return a query set that does not read these columns.

        :param fields: names of columns, or the name of one.
        :raises QueryException: if one of them does not exist.
        """
        return super().defer(self._checked(fields))

    def _checked(self, fields: str | Iterable[str]) -> list[str]:
        names = _names(fields)
        for name in names:
            find_column(self.mapper.name, self.mapper.columns, name)
        return names

    def _get_ordering_condition(self, colname: str) -> tuple[str, str]:
        # What cqlengine's order_by() asks for each name.
        mapper = self.mapper
        if not isinstance(colname, str):
            raise cqlengine_query.QueryException(
                f"{mapper.name}: order_by() takes names of columns, such as 'at' or '-at'; not "
                f"{colname!r}."
            )
        name = colname.removeprefix("-")
        column = find_column(mapper.name, mapper.columns, name)
        if name not in mapper.clustering_key:
            raise cqlengine_query.QueryException(not_ordered_by(mapper, name))
        return column.db_field_name, "DESC" if colname.startswith("-") else "ASC"

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
        if self.mapper.is_polymorphic:
            return self._fields_of_kinds()
        if self._defer_fields or self._only_fields:
            return super()._select_fields()
        # Never `*`: then a row has no column that the model does not know.
        return [column.db_field_name for column in self.mapper.columns.values()]

    def _validate_select_where(self) -> None:
        # cqlengine's check of what it does not send.
        try:
            super()._validate_select_where()
        except cqlengine_query.QueryException as error:
            raise cqlengine_query.QueryException(explain(self._question(), str(error))) from None

    def _question(self) -> Question:
        return Question(
            self.mapper,
            self._where,
            order=self._order,
            distinct=self._distinct_fields or (),
            is_filtering=self._allow_filtering,
        )

    def refusal(self, error: InvalidRequest) -> InvalidRequest:
        """Return what to raise for an error of Cassandra's about the query."""
        return explained(self._question(), error)

    def _fields_of_kinds(self) -> list[str]:
        # A row may be of a subclass, which has columns that this model does not know. cqlengine
        # forgets them as soon as there is a filter.
        mapper = self.mapper
        if self._only_fields:
            fields = super()._select_fields()
        elif self._defer_fields:
            fields = [name for name in mapper.fields_of_kinds() if name not in self._defer_fields]
        else:
            # Not by name: the table may not have those of every model yet.
            return []
        added = self.added_field
        return fields if added is None else [*fields, added]

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
        is_gathered = bool(self._order) and self.is_gathered
        if is_gathered:
            # One more says that there are more.
            limit = min(limit or self.most_gathered + 1, self.most_gathered + 1)
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
        try:
            query = bind_query(
                place,
                info,
                values,
                subject=mapper.name,
                idempotent=True,
                consistency=self._consistency,
                fetch_size=self._fetch_size if fetch_size is None else fetch_size,
            )
        except ValidationError as error:
            # Before InvalidRequest, which such an error may be, too.
            raise find_impossible(self._where, error, mapper.name) from error
        except InvalidRequest as error:
            raise self.refusal(error) from error
        if is_gathered:
            # Without pages, which Cassandra does not give of rows that it sorts itself.
            query.statement.fetch_size = None
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

    def count_statement(self) -> SelectStatement:
        """Return the SELECT of the number of rows, without a limit, which CQL would not heed."""
        statement = self._select_query()
        statement.count = True
        return statement

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
    def is_gathered(self) -> bool:
        """Whether Cassandra gathers and sorts the rows of several partitions, which it does not do
        page by page.
        """
        if not self._order:
            return False
        key = {column.db_field_name for column in self.mapper.partition_key.values()}
        return any(
            isinstance(clause.operator, InOperator) and clause.field in key
            for clause in self._where
        )

    @property
    def distinct_fields(self) -> tuple[str, ...]:
        """The columns, by CQL name, that ``distinct()`` was given."""
        return tuple(self._distinct_fields or ())

    @property
    def allows_filtering(self) -> bool:
        """Whether ``allow_filtering()`` was asked for."""
        return bool(self._allow_filtering)

    @property
    def added_field(self) -> str | None:
        """The discriminator's name in CQL, if the query reads it without being asked to: it says of
        which model a row is.
        """
        kind = self.mapper.kind
        if kind is None:
            return None
        asked = self._distinct_fields or self._only_fields
        is_asked = kind.field in asked if asked else kind.field not in self._defer_fields
        return None if is_asked else kind.field

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

    def row_by_row(self) -> Self:
        """Return this query of distinct values as one that has them of each row."""
        clone = self._derive()
        clone._only_fields, clone._distinct_fields = list(self.distinct_fields), None
        clone._defer_fields = frozenset()
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


def _names(fields: str | Iterable[str]) -> list[str]:
    return [fields] if isinstance(fields, str) else list(fields)


def _without_name(mapper: Mapper, given: object) -> str:
    """Return what an error says of a condition that is only a value, as in ``get(1)``."""
    names = list(mapper.primary_key)
    example = ", ".join(f"{name}=..." for name in names)
    if len(names) == 1 and isinstance(given, str | int) and len(repr(given)) <= _MOST_OF_A_VALUE:
        example = f"{names[0]}={given!r}"
    return (
        f"{mapper.name}: a filter has a name: write {example}; {with_article(given)} alone is not "
        "a condition."
    )

"""``Query``: cqlengine's query set, on the connection of the current application.

What it asks is in ``selection``; here the rows are read, become instances, and are written.

What pages, JSON, bulk reads and the like need of a query has a name: ``narrowed``, ``read_page``,
``make_items``, ``binding`` and the properties beside them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Generic, TypeVar, overload

from cassandra import InvalidRequest
from cassandra.cqlengine import CQLEngineException, ValidationError
from cassandra.cqlengine.query import QueryException
from cassandra.cqlengine.statements import BaseCQLStatement
from werkzeug.exceptions import NotFound

from .._cqlengine import Model, WhereClause
from ..guardrails import check_filtering, check_rows
from ..mapping.conversions import as_stored
from ..mapping.instances import make_instances, mark_unread
from ..statements.compiling import compile_statement
from ..statements.info import StatementInfo
from ..statements.sending import bind_query
from .conditions import Comparison, check_lengths, find_impossible
from .items import Items
from .kinds import KeptRows, of_own_kind, own_conditions
from .options import OPTIONS, WriteOptions, give_options, options_of
from .saving import delete_rows, insert, update_rows
from .selection import Row as Row
from .selection import Selection
from .writes import check_columns, makes_itself

if TYPE_CHECKING:
    from ..connection import PagedRows
    from ..mapping.mapper import Mapper
    from ..statements.sending import BoundQuery

#: A model, and what a query gives: instances of it, or else what ``values_list()`` asks for.
M = TypeVar("M", bound=Model)
if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    T_co = TypeVarWithDefault("T_co", covariant=True, default=Any)
else:
    T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class RowPage:
    """Rows that Cassandra has returned at once.

    :ivar paging_state: where the rest begins; None at the end.
    """

    rows: list[Row]
    paging_state: bytes | None


class Query(Selection, Generic[T_co]):
    """cqlengine's query set, on the application's connection.

    There is no implicit LIMIT: a query without one gives every row, fetched page by page.
    """

    #: Whether a subclass has defaults of its own for options.
    _has_own_options = False

    def __init_subclass__(cls, **arguments: object) -> None:
        super().__init_subclass__(**arguments)
        cls._has_own_options = cls._has_own_options or not OPTIONS.isdisjoint(vars(cls))

    def _options(self) -> WriteOptions:
        if self._has_own_options:
            return options_of({name: getattr(self, name, None) for name in OPTIONS})
        return options_of(self.__dict__)

    # Writing

    def create(self: Query[M], **kwargs: object) -> M:
        """Insert a row and return its instance.

        :raises ValidationError: naming the column that does not exist or whose value cannot be
            stored.
        :raises LWTException: after ``if_not_exists()``, if there is such a row.
        """
        mapper, options = self.mapper, self._options()
        check_columns(mapper, kwargs)
        model: Any = self.model
        made: M
        if makes_itself(mapper, "insert"):
            made = insert(model, kwargs, options)
        else:
            made = model(**kwargs)
            give_options(made, options)
            made.save()
        return made

    def update(self, **values: object) -> None:
        """Write columns of the rows that the filters name; None removes a value.

        :raises ValidationError: naming the column that does not exist, belongs to the key, or whose
            value cannot be stored.
        :raises QueryException: naming the columns of the key that have no filter.
        :raises LWTException: if a condition did not hold.
        """
        update_rows(self.mapper, own_conditions(self, deletes=False), values, self._options())

    def delete(self) -> None:
        """Delete the rows that the filters name: a partition, a range in one, or a row.

        :raises QueryException: if a column of the partition key has no filter; or any of the
            primary key, where the model shares a table with others.
        :raises LWTException: if a condition did not hold.
        """
        delete_rows(self.mapper, own_conditions(self, deletes=True), self._options())

    # Executing

    def _execute(self, statement: BaseCQLStatement) -> PagedRows:
        # For count(), whose SELECT is cqlengine's.
        place = self.mapper.place(self._connection)
        rails = place.connection.settings.guardrails
        if self._allow_filtering:
            check_filtering(rails, self.mapper.name)
        check_lengths(rails, statement.where_clauses, self.mapper.name)
        cql, values = compile_statement(statement)
        info = StatementInfo("select", self.mapper.subject(place.keyspace), cql, self.model)
        query = bind_query(
            place,
            info,
            values,
            subject=self.mapper.name,
            idempotent=True,
            consistency=self._consistency,
            fetch_size=statement.fetch_size,
        )
        return query.execute(timeout=self._timeout)

    def _select(self, limit: int | None = None, *, for_instances: bool = True) -> PagedRows:
        """Execute the SELECT; the parameters are those of ``bound_select``."""
        if limit is None:
            limit = self._limit
        query, kept = of_own_kind(self)
        select = query.bound_select(0 if kept else limit, for_instances=for_instances)
        found = query.send(select)
        return KeptRows(found, kept, limit) if kept else found

    def send(self, select: BoundQuery, paging_state: bytes | None = None) -> PagedRows:
        """Ask Cassandra for rows of the query.

        :param select: what ``bound_select`` returned.
        :param paging_state: where the rows begin; it must come from Cassandra.
        :raises QueryException: if the table is not made for the question, or if there are more rows
            than Cassandra may sort.
        """
        try:
            found = select.execute(timeout=self._timeout, paging_state=paging_state)
        except InvalidRequest as error:
            raise self.refusal(error) from error
        if self.is_gathered and len(found.current_rows) > self.most_gathered:
            most = self.most_gathered
            raise QueryException(
                f"{self.mapper.name}: order_by() over several partitions gives {most:,} rows at "
                "most, which Cassandra sorts and sends at once, and here are more. Use limit() or "
                "narrower filters, or ask each partition by itself."
            )
        return found

    # What pages, JSON and bulk reads work with

    @property
    def has_items(self) -> bool:
        """Whether the query has been executed, and keeps what it gave."""
        return self._items is not None

    def read_page(self, fetch_size: int, paging_state: bytes | None) -> RowPage:
        """Ask Cassandra once, for at most ``fetch_size`` rows, without the query's limit.

        :param paging_state: where the rows begin; it must come from Cassandra.
        """
        most = self._fetch_size or self.place().connection.settings.fetch_size
        query, kept = of_own_kind(self)
        if kept is not None and kept.unique:
            raise QueryException(
                f"{self.mapper.name}: there are no pages of distinct() where models share a table. "
                "Iterate over the query, or ask the model that owns the table."
            )
        found = query.send(query.bound_select(0, fetch_size=min(fetch_size, most)), paging_state)
        rows = kept.of(found.current_rows) if kept else list(found.current_rows)
        _count_from_zero(self.mapper, rows)
        return RowPage(rows, found.paging_state)

    def first_rows(self, count: int) -> list[Row]:
        """Ask Cassandra once, for the first ``count`` rows, in place of the query's limit."""
        return list(self._select(count).current_rows)

    def read_after(self, page: PagedRows | None) -> PagedRows:
        """Read the page after another one; the first one after None."""
        return self._select() if page is None else page.following()

    def known_values(self) -> Row:
        """Return the values, by CQL name, that rows may lack because the query fixes them.

        They count as read, whether ``only()`` and ``defer()`` ask for them or not.
        """
        if not (self._only_fields or self._defer_fields):
            return {}
        # The condition on the discriminator may be the model's.
        not_asked = self.added_field if self.mapper.is_kind else None
        return {
            clause.field: as_stored(clause.known.to_python(clause.given))
            for clause in self._where
            if clause.__class__ is Comparison
            and clause.known.is_equality
            and clause.field != not_asked
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
        if not self._values_list and (
            self._only_fields or self._defer_fields or self._distinct_fields
        ):
            added = self.added_field
            for instance, row in zip(made, rows, strict=True):
                given = known.keys() | {field for field in row if field != added}
                own = instance.__mapper__.attributes
                mark_unread(instance, [name for field, name in own.items() if field not in given])
        return made

    def make_page(self, page: PagedRows, before: int) -> list[T_co]:
        """Return what iterating gives of a page.

        :param before: how many items there are already.
        :raises GuardrailError: if there are more rows than may be read without a limit.
        """
        self._check_count(page, before, before + len(page.current_rows))
        return self.make_items(page.current_rows)

    def _check_count(self, page: PagedRows, before: int, count: int) -> None:
        if not self._limit:
            check_rows(page.connection.settings.guardrails, before, count, self.mapper.name)

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
            self._check_count(found, before, len(made))
            if not found.has_more_pages:
                return made
            found.fetch_next_page()

    def _kept(self) -> Items[T_co]:
        """Return the items of the query, which is executed once, by whichever thread is first."""
        items = self._items
        if items is None:
            made: Items[T_co] = Items(self._derive())
            items = self.__dict__.setdefault("_items", made)
        return items

    # Reading

    def __iter__(self) -> Iterator[T_co]:
        return iter(self._kept())

    def __len__(self) -> int:
        return len(self._kept().all())

    def __bool__(self) -> bool:
        return self._kept().has(0)

    @overload
    def __getitem__(self, s: int) -> T_co: ...
    @overload
    def __getitem__(self, s: slice) -> list[T_co]: ...
    def __getitem__(self, s: int | slice) -> T_co | list[T_co]:
        if not isinstance(s, int | slice):
            raise TypeError("QuerySet indices must be integers")
        kept = self._kept()
        if isinstance(s, slice):
            end = _end_of(s)
            if end is None:
                return kept.all()[s]
            kept.has(end - 1)
            return kept.known[s]
        if s < 0:
            return kept.all()[s]
        if not kept.has(s):
            raise IndexError(f"{self.mapper.name}: there are {len(kept.known)} rows, no row {s}.")
        return kept.known[s]

    def first(self) -> T_co | None:
        """Return the first row, or None."""
        if self._items is not None:
            return self._items.known[0] if self._items.has(0) else None
        found = self._construct_all(self._select(1))
        return found[0] if found else None

    def count(self) -> int:
        """Return how many rows there are, which Cassandra counts; no more than ``limit()``.

        With a limit, of ``distinct()``, and where those of a model are found among others of the
        table only here, the keys of the rows are read and counted.

        :raises CQLEngineException: if the query is for a batch.
        """
        if self._batch:
            raise CQLEngineException(
                "Only inserts, updates, and deletes are available in batch mode"
            )
        if self._items is not None and self._items.is_complete:
            return len(self._items.known)
        if self._count is None:
            self._count = self._count_rows()
        return self._count

    def _count_rows(self) -> int:
        query = self._own_clauses()
        # A number does not depend on it, and it may take the pages away.
        query._order = ()
        if not (self._limit or self._distinct_fields or of_own_kind(self)[1]):
            try:
                found = query._execute(query.count_statement())
            except ValidationError as error:
                raise find_impossible(self._where, error, self.mapper.name) from error
            except InvalidRequest as error:
                raise self.refusal(error) from error
            count: int = found.one()["count"]
            return count
        if not self._distinct_fields:
            query._only_fields = [
                column.db_field_name for column in self.mapper.partition_key.values()
            ]
            query._defer_fields = frozenset()
        page = query._select(for_instances=False)
        total = len(page.current_rows)
        while page.has_more_pages:
            page.fetch_next_page()
            total += len(page.current_rows)
        return total

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
        """Return the one row for which all conditions hold, or end the request with a 404.

        A key that no row can have, such as a text that is not a date, is a 404, too.
        """
        given = self.mapper.primary_key.keys() & kwargs.keys()
        if any(kwargs[name] is None for name in given):
            raise NotFound
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
        found = self._read_all(self._select(for_instances=False), lambda rows: rows)
        mapper = self.mapper
        if mapper.kind is None:
            return found
        # Those of a shared table are read with the columns of all that share it.
        known = {*mapper.fields_of_kinds()} - {self.added_field}
        return [{name: row[name] for name in row if name in known} for row in found]

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


def _end_of(s: slice) -> int | None:
    """Return how many items a slice needs; None if that depends on how many there are.

    :raises TypeError: if it is not made of whole numbers.
    """
    _: list[object] = [][s]
    start, stop, step = s.start or 0, s.stop, s.step or 1
    return None if stop is None or min(start, stop, step) < 0 else int(stop)

"""Many rows, one statement each, a number of them under way at a time.

One loop serves every bulk operation: the calling thread takes an item, makes its statement, sends
it, and waits only while ``concurrency`` statements are under way. So an iterable of any length is
read no faster than Cassandra takes it, in constant memory, and in the context of the caller.
"""

from __future__ import annotations

import copy
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeVar

from cassandra.cqlengine import CQLEngineException, ValidationError
from cassandra.cqlengine.query import QueryException

from .batch import Batch
from .connection import kit_error
from .errors import BulkError, CassandraUnavailable, CQLAlchemyError, OutcomeUnknown
from .mapping.instances import given_values, make_light, mark_deleted, mark_saved
from .query.kinds import of_own_kind
from .query.options import WriteOptions, take_options
from .query.saving import check_unchanged_key
from .query.writes import (
    bind_change,
    bind_insert,
    bind_removal,
    check_changes,
    check_columns,
    check_key,
    makes_itself,
)
from .results import BulkFailure as BulkFailure
from .results import BulkResult as BulkResult
from .signals import Observation, is_observed

if TYPE_CHECKING:
    from cassandra.cluster import ResponseFuture

    from ._cqlengine import Model
    from .connection import Connection
    from .mapping.mapper import Mapper
    from .query.base import Query
    from .statements.sending import BoundQuery

    M = TypeVar("M", bound=Model)

log = logging.getLogger(__name__)

#: Statements under way at a time: enough to keep a node busy, and not so many that they queue in it
#: until they time out (its ``native_transport_max_threads`` is 128).
CONCURRENCY = 100

#: Failures after which a bulk write takes no more rows: the reason is not in the rows.
MAX_FAILURES = 1000

#: Seconds between two calls of ``on_progress``.
PROGRESS_INTERVAL = 0.1

#: Called with the rows written and the rows failed so far.
Progress = Callable[[int, int], object]


@dataclass(frozen=True)
class _Request:
    """A query to send, and what for.

    :ivar observation: what tells of it, if anybody listens.
    """

    item: Any
    query: BoundQuery
    observation: Observation | None = None


class _Pipeline:
    """Sends requests, and yields their answers in the order in which they come."""

    def __init__(self, connection: Connection, concurrency: int) -> None:
        if concurrency < 1:
            raise ValueError(f"concurrency must be at least 1, not {concurrency!r}")
        self._connection = connection
        self._concurrency = concurrency
        self._answers: deque[tuple[_Request, Any, ResponseFuture, Exception | None]] = deque()
        #: Answers for which the sender waits. It sleeps until half of those under way are there:
        #: to be woken for each would cost more than the requests.
        self._awaited = 0
        self._enough = threading.Event()

    def run(self, requests: Iterable[_Request]) -> Iterator[tuple[_Request, Any, Exception | None]]:
        """Yield each request with its rows, or with the kit's error for what went wrong."""
        under_way = 0
        half = (self._concurrency + 1) // 2
        for request in requests:
            self._send(request)
            under_way += 1
            if under_way >= self._concurrency:
                self._wait_for(half)
            while self._answers:
                under_way -= 1
                yield self._take()
        while under_way:
            self._wait_for(min(half, under_way))
            while self._answers:
                under_way -= 1
                yield self._take()

    def _send(self, request: _Request) -> None:
        find_app = self._connection.find_app
        if is_observed(find_app):
            request = replace(request, observation=Observation(find_app(), request.query.info))
        future = self._connection.session.execute_async(request.query.statement)
        future.add_callbacks(
            self._succeed,
            self._fail,
            callback_args=(request, future),
            errback_args=(request, future),
        )

    # In the driver's thread

    def _succeed(self, rows: Any, request: _Request, future: ResponseFuture) -> None:
        self._answer(request, rows, future, None)

    def _fail(self, error: Exception, request: _Request, future: ResponseFuture) -> None:
        self._answer(request, None, future, error)

    def _answer(
        self, request: _Request, rows: Any, future: ResponseFuture, error: Exception | None
    ) -> None:
        if request.observation is not None:
            request.observation.stop()
        self._answers.append((request, rows, future, error))
        if 0 < self._awaited <= len(self._answers):
            self._enough.set()

    # In the caller's

    def _wait_for(self, count: int) -> None:
        # Every request is answered or times out in the client, so this ends.
        self._enough.clear()
        self._awaited = count
        if len(self._answers) < count:
            self._enough.wait()
        self._awaited = 0

    def _take(self) -> tuple[_Request, Any, Exception | None]:
        request, rows, future, raised = self._answers.popleft()
        # The callbacks and the request refer to each other.
        future.clear_callbacks()
        error = raised
        if raised is not None:
            idempotent = bool(request.query.statement.is_idempotent)
            error = kit_error(raised, request.query.info.subject, idempotent=idempotent)
        if request.observation is not None:
            request.observation.note(rows, future)
            request.observation.end(error)
        return request, rows, error


# Writing


@dataclass(frozen=True)
class _Row:
    """A row of a bulk write.

    :ivar stored: its columns as they are written, for an instance to keep.
    """

    index: int
    given: Any
    stored: dict[str, object] | None = None


#: Makes the query of a row.
_Maker = Callable[[int, Any], _Request]


def bulk_create(
    model: type[M],
    rows: Iterable[Mapping[str, object] | M],
    *,
    concurrency: int = CONCURRENCY,
    ttl: int | None = None,
    on_progress: Progress | None = None,
    max_failures: int = MAX_FAILURES,
) -> BulkResult:
    """Insert many rows, of any iterable, in constant memory.

    :param rows: mappings of columns to values, or new instances. Taken no faster than Cassandra
        takes them.
    :param concurrency: statements under way at a time.
    :param ttl: seconds until the rows vanish.
    :param on_progress: called with the rows written and those failed, ten times a second at
        most and once at the end.
    :param max_failures: after so many no more rows are taken.
    :returns: how many rows were written.
    :raises BulkError: if not all of them; its ``result`` says how many were, and which failed
        why. What ``rows`` itself raises is its cause.
    """
    mapper = model.__mapper__
    place, options = mapper.place(), WriteOptions(ttl=ttl or None)
    itself = makes_itself(mapper, "insert")
    _refuse(mapper, "create", "bulk_create", "save()")

    def make(index: int, row: object) -> _Request:
        given = _given(mapper, row)
        is_instance = isinstance(row, model)
        if itself:
            own = _options_of(mapper, row, ttl) if isinstance(row, model) else options
            query, stored = bind_insert(mapper, place, given, own, defaults=not is_instance)
            return _Request(_Row(index, row, stored if is_instance else None), query)
        if isinstance(row, model):
            # A copy: what has been collected counts as stored, and this one is not yet.
            instance = copy.deepcopy(row)
            query = _collect(mapper, lambda batch: instance.batch(batch).ttl(ttl).save())
        else:
            objects = model.objects
            query = _collect(mapper, lambda batch: objects.batch(batch).ttl(ttl).create(**given))
        return _Request(_Row(index, row), query)

    return _write(
        mapper, place.connection, rows, make, _mark_created, concurrency, on_progress, max_failures
    )


def bulk_update(
    model: type[Model],
    rows: Iterable[Mapping[str, object]],
    *,
    concurrency: int = CONCURRENCY,
    on_progress: Progress | None = None,
    max_failures: int = MAX_FAILURES,
) -> BulkResult:
    """Write columns of many rows, without reading them.

    :param rows: mappings, each with the whole primary key and the columns to write; None
        removes a value. The other parameters, the result and the errors are ``bulk_create``'s.
    """
    mapper = model.__mapper__
    place, itself = mapper.place(), makes_itself(mapper, "update")
    _refuse(mapper, "update", "bulk_update", "the update() of a query set")

    def make(index: int, row: object) -> _Request:
        given = _given(mapper, row)
        check_changes(mapper, given)
        if itself:
            return _Request(_Row(index, row), bind_change(mapper, place, given))
        key = {name: value for name, value in given.items() if name in mapper.primary_key}
        changes = {name: value for name, value in given.items() if name not in key}
        query = _collect(mapper, lambda batch: model.objects(**key).batch(batch).update(**changes))
        return _Request(_Row(index, row), query)

    return _write(
        mapper, place.connection, rows, make, _ignore, concurrency, on_progress, max_failures
    )


def bulk_delete(
    model: type[Model],
    keys: Iterable[object],
    *,
    concurrency: int = CONCURRENCY,
    on_progress: Progress | None = None,
    max_failures: int = MAX_FAILURES,
) -> BulkResult:
    """Delete many rows.

    :param keys: whole primary keys, as in ``get_many``, or instances. The other parameters, the
        result and the errors are ``bulk_create``'s.
    """
    mapper = model.__mapper__
    place, itself = mapper.place(), makes_itself(mapper, "delete")

    def make(index: int, given: object) -> _Request:
        key = _key_of(mapper, given)
        if isinstance(given, model):
            check_unchanged_key(given)
        if isinstance(given, model) and "delete" in mapper.overridden:
            instance = copy.deepcopy(given)
            query = _collect(mapper, lambda batch: instance.batch(batch).delete())
            return _Request(_Row(index, given), query)
        if itself:
            return _Request(_Row(index, given), bind_removal(mapper, place, key))
        query = _collect(mapper, lambda batch: model.objects(**key).batch(batch).delete())
        return _Request(_Row(index, given), query)

    return _write(
        mapper,
        place.connection,
        keys,
        make,
        lambda row: mark_deleted(row.given),
        concurrency,
        on_progress,
        max_failures,
    )


def _options_of(mapper: Mapper, row: Model, ttl: int | None) -> WriteOptions:
    """Return the options of a row that is an instance, which are for this write.

    :raises CQLEngineException: if they ask for what a bulk write does not tell.
    """
    own = take_options(row)
    if own.is_conditional or own.batch is not None:
        raise CQLEngineException(
            f"{mapper.name}: an instance of a bulk write has no batch and no condition, such as "
            "if_not_exists(): save() it."
        )
    return WriteOptions(
        ttl=own.ttl if ttl is None else ttl or None,
        timestamp=own.timestamp,
        consistency=own.consistency,
    )


def _refuse(mapper: Mapper, name: str, what: str, instead: str) -> None:
    """Refuse to pass by a method that only a program can call."""
    if name in mapper.overridden:
        raise CQLEngineException(
            f"{mapper.name} has a {name}() of its own, which db.{what}() would not call. Call it "
            f"for each row, or override {instead}, which is called."
        )


def _write(
    mapper: Mapper,
    connection: Connection,
    rows: Iterable[object],
    make: _Maker,
    done: Callable[[_Row], object],
    concurrency: int,
    on_progress: Progress | None,
    max_failures: int,
) -> BulkResult:
    """Write all rows.

    :param make: makes the query of a row.
    :param done: called with each that was written and is an instance.
    """
    if max_failures < 1:
        raise ValueError(f"max_failures must be at least 1, not {max_failures!r}")
    written = 0
    failures: list[BulkFailure] = []
    broken: Exception | None = None

    def requests() -> Iterator[_Request]:
        nonlocal broken
        iterator = enumerate(rows)
        while len(failures) < max_failures:
            try:
                index, row = next(iterator)
            except StopIteration:
                return
            except Exception as error:
                broken = error
                return
            try:
                request = make(index, row)
            except (CassandraUnavailable, OutcomeUnknown) as error:
                # Nothing can be prepared: the row is not at fault.
                if index == 0:
                    raise
                broken = error
                return
            except Exception as error:
                failures.append(BulkFailure(index, row, error))
            else:
                yield request

    last = time.monotonic()
    for request, _, error in _Pipeline(connection, concurrency).run(requests()):
        row: _Row = request.item
        if error is not None:
            failures.append(BulkFailure(row.index, row.given, error))
        else:
            written += 1
            if isinstance(row.given, mapper.model):
                done(row)
        if on_progress is not None and time.monotonic() - last >= PROGRESS_INTERVAL:
            last = time.monotonic()
            on_progress(written, len(failures))
    if on_progress is not None:
        on_progress(written, len(failures))
    failures.sort(key=lambda failure: failure.index)
    result = BulkResult(written, tuple(failures))
    if failures or broken:
        raise BulkError(_message(mapper, result, broken, max_failures), result) from broken
    return result


def _mark_created(row: _Row) -> None:
    if row.stored is None:
        mark_saved(row.given)
    else:
        make_light(row.given, row.stored)


def _ignore(row: _Row) -> None:
    """Leave what was given as it is: it is a mapping."""


def _message(mapper: Mapper, result: BulkResult, broken: Exception | None, most: int) -> str:
    parts = [f"{mapper.name}: {result.written} rows were written"]
    if result.failures:
        first = result.failures[0]
        parts.append(
            f"{len(result.failures)} were not; the first is row {first.index}: {first.error}"
        )
    if len(result.failures) >= most:
        parts.append(f"after {most} failures no more rows were taken")
    if broken is not None:
        parts.append(f"the iterable raised {type(broken).__name__}: {broken}")
    text = "; ".join(parts)
    if any(isinstance(failure.error, CQLAlchemyError) for failure in result.failures):
        log.warning("%s", text)
    return text


def _given(mapper: Mapper, row: Any) -> Mapping[str, object]:
    if isinstance(row, mapper.model):
        return given_values(row)
    if not isinstance(row, Mapping):
        raise ValidationError(
            f"{mapper.name}: a row is a mapping of columns to values, or an instance; not "
            f"{type(row).__name__}."
        )
    check_columns(mapper, row)
    return row


def _collect(mapper: Mapper, act: Callable[[Batch], object]) -> BoundQuery:
    """Return the query that the model's own methods make."""
    batch = Batch("counter" if mapper.has_counters else "unlogged")
    act(batch)
    return batch.to_query()


# Reading


def get_many(
    model: type[M], keys: Iterable[object], *, concurrency: int = CONCURRENCY
) -> list[M | None]:
    """Read many rows by their keys, each from the nodes that have it.

    :param keys: whole primary keys: mappings, tuples in the key's order, or the values of the
        only column.
    :param concurrency: statements under way at a time.
    :returns: an instance for each key, in the order of the keys; None where there is no row.
    :raises ValidationError: naming the column that a key lacks.
    :raises CassandraUnavailable: if one of the rows cannot be read.
    """
    mapper = model.__mapper__
    return _read_all(model.objects, (_key_of(mapper, given) for given in keys), concurrency)


def read_by_key(query: Query[M], keys: Iterable[object]) -> dict[Any, M]:
    """Do what ``QuerySet.in_bulk`` says."""
    mapper = query.mapper
    if query.is_filtered or query.row_limit or query.is_distinct or query.listed is not None:
        raise QueryException(
            f"{mapper.name}: in_bulk() reads instances by whole primary keys, but the query set "
            "has conditions, a limit, distinct() or values_list(). Leave them out."
        )
    wanted = {}
    for given in keys:
        key = _key_of(mapper, given)
        values = [key[name] for name in mapper.primary_key]
        try:
            wanted[tuple(values) if len(values) > 1 else values[0]] = key
        except TypeError:
            raise QueryException(
                f"{mapper.name}: a key with a collection cannot be the key of a dictionary, which "
                "in_bulk() returns. db.get_many() returns a list."
            ) from None
    found = _read_all(query, wanted.values(), CONCURRENCY)
    return {
        key: instance for key, instance in zip(wanted, found, strict=True) if instance is not None
    }


def _read_all(
    query: Query[M], keys: Iterable[Mapping[str, object]], concurrency: int
) -> list[M | None]:
    """Return the instance of each key, in their order; None where there is no row."""
    found: list[M | None] = []

    def requests() -> Iterator[_Request]:
        for index, key in enumerate(keys):
            one = query.filter(**key)
            asked, kept = of_own_kind(one)
            request = _Request((index, one, kept), asked.bound_select(0))
            found.append(None)
            yield request

    pipeline = _Pipeline(query.place().connection, concurrency)
    for request, rows, error in pipeline.run(requests()):
        if error is not None:
            raise error
        index, one, kept = request.item
        items = one.make_items(kept.of(rows) if kept else rows or [])
        if items:
            (found[index],) = items
    return found


def _key_of(mapper: Mapper, given: object) -> Mapping[str, object]:
    """Return a whole primary key: from a mapping, an instance, a tuple in the key's order, or the
    value of the only column.

    :raises ValidationError: naming the column that is missing, or that is not in the key.
    """
    names = tuple(mapper.primary_key)
    if isinstance(given, mapper.model):
        return {name: getattr(given, name) for name in names}
    if not isinstance(given, Mapping):
        values: Sequence[Any] = given if isinstance(given, tuple) else (given,)
        if len(values) != len(names):
            raise ValidationError(
                f"{mapper.name}: the primary key has {len(names)} columns, "
                f"{', '.join(names)}; the key given has {len(values)}."
            )
        given = dict(zip(names, values, strict=True))
    key: Mapping[str, object] = given
    check_key(mapper, key)
    others = key.keys() - set(names)
    if others:
        raise ValidationError(
            f"{mapper.name}.{min(others)} is not in the primary key, which is {', '.join(names)}."
        )
    return key

"""Many rows, one statement each, a number of them under way at a time.

One loop serves every bulk operation: the calling thread takes an item, makes its statement, sends
it, and waits only while ``concurrency`` statements are under way. So an iterable of any length is
read no faster than Cassandra takes it, in constant memory, and in the context of whoever calls.
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

from cassandra.cqlengine import ValidationError
from cassandra.query import Statement

from .batch import Batch
from .connection import kit_error
from .errors import BulkError, CassandraUnavailable, CQLAlchemyError, OutcomeUnknown
from .instances import given_values, make_light
from .signals import Observation, StatementInfo, is_observed
from .writes import (
    bind_delete,
    bind_insert,
    bind_update,
    check_changes,
    check_columns,
    check_key,
)

if TYPE_CHECKING:
    from cassandra.cluster import ResponseFuture

    from .connection import Connection
    from .models import BoundModel

    M = TypeVar("M", bound=BoundModel)

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
class BulkFailure:
    """A row that Cassandra has not acknowledged.

    :ivar index: of the row in the iterable, from 0.
    :ivar row: as it was given.
    :ivar error: a ``ValidationError`` if nothing was sent. After a ``RequestTimedOut`` the row may
        have been written, and writing it again does no harm; after an ``OutcomeUnknown`` it would.
    """

    index: int
    row: Any
    error: Exception


@dataclass(frozen=True)
class BulkResult:
    """What a bulk write did.

    :ivar written: rows that Cassandra has acknowledged.
    :ivar failures: the other rows that were taken, in their order.
    """

    written: int
    failures: tuple[BulkFailure, ...] = ()


@dataclass(frozen=True)
class _Request:
    """A statement to send, and what for.

    :ivar observation: what tells of it, if anybody listens.
    """

    item: Any
    statement: Statement
    info: StatementInfo
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
            request = replace(request, observation=Observation(find_app(), request.info))
        future = self._connection.session.execute_async(request.statement)
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
        # They refer to the request and the request to them.
        future.clear_callbacks()
        error = raised
        if raised is not None:
            idempotent = bool(request.statement.is_idempotent)
            error = kit_error(raised, request.info.subject, idempotent=idempotent)
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
    stored: dict[str, Any] | None = None


#: Makes the statement of a row.
_Maker = Callable[[int, Any], _Request]


def write(
    model: type[BoundModel],
    rows: Iterable[Any],
    make: _Maker,
    *,
    concurrency: int,
    on_progress: Progress | None,
    max_failures: int,
) -> BulkResult:
    """Write all rows.

    :param make: one of ``inserts``, ``updates`` and ``deletes``.
    :raises BulkError: with the result, if a row was not written; its cause is what the iterable
        raised, if it did.
    """
    if max_failures < 1:
        raise ValueError(f"max_failures must be at least 1, not {max_failures!r}")
    connection, _ = model._resolve()
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
                # Nothing can be prepared, which is no fault of this row.
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
            if isinstance(row.given, model):
                _mark_as_stored(row)
        if on_progress is not None and time.monotonic() - last >= PROGRESS_INTERVAL:
            last = time.monotonic()
            on_progress(written, len(failures))
    if on_progress is not None:
        on_progress(written, len(failures))
    failures.sort(key=lambda failure: failure.index)
    result = BulkResult(written, tuple(failures))
    if failures or broken:
        raise BulkError(_message(model, result, broken, max_failures), result) from broken
    return result


def _mark_as_stored(row: _Row) -> None:
    instance = row.given
    if row.stored is None:
        instance._set_persisted()
    else:
        make_light(instance, row.stored)


def _message(
    model: type[BoundModel], result: BulkResult, broken: Exception | None, most: int
) -> str:
    parts = [f"{model.__name__}: {result.written} rows were written"]
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


def _given(model: type[BoundModel], row: Any) -> Mapping[str, Any]:
    if isinstance(row, model):
        return given_values(row)
    if not isinstance(row, Mapping):
        raise ValidationError(
            f"{model.__name__}: a row is a mapping of columns to values, or an instance; not "
            f"{type(row).__name__}."
        )
    check_columns(model, row)
    return row


def _collect(act: Callable[[Batch], object], model: type[BoundModel]) -> tuple[Any, StatementInfo]:
    """Return the statement that cqlengine's own code makes, for what the kit has no plan for."""
    batch = Batch("counter" if model._has_counter else "unlogged")
    act(batch)
    return batch.to_statement()


def inserts(model: type[BoundModel], ttl: int | None) -> _Maker:
    """Return what makes the INSERT of a row.

    :param ttl: seconds until it vanishes.
    """
    connection, keyspace = model._resolve()
    plan = model._write_plan

    def make(index: int, row: Any) -> _Request:
        given = _given(model, row)
        is_instance = isinstance(row, model)
        if plan is None:
            # A copy: saving marks an instance as stored, which this one is not yet.
            instance = copy.deepcopy(row) if is_instance else model(**given)
            statement, info = _collect(lambda batch: instance.batch(batch).ttl(ttl).save(), model)
            return _Request(_Row(index, row), statement, info)
        statement, info, stored = bind_insert(
            model, plan, given, connection, keyspace, ttl=ttl, defaults=not is_instance
        )
        return _Request(_Row(index, row, stored if is_instance else None), statement, info)

    return make


def updates(model: type[BoundModel]) -> _Maker:
    """Return what makes the UPDATE of a row that was not read."""
    connection, keyspace = model._resolve()
    plan = model._write_plan

    def make(index: int, row: Any) -> _Request:
        given = _given(model, row)
        check_changes(model, given)
        if plan is not None:
            statement, info = bind_update(model, plan, given, connection, keyspace)
        else:
            key = {name: value for name, value in given.items() if name in model._primary_keys}
            changes = {name: value for name, value in given.items() if name not in key}
            statement, info = _collect(
                lambda batch: model.objects(**key).batch(batch).update(**changes), model
            )
        return _Request(_Row(index, row), statement, info)

    return make


def deletes(model: type[BoundModel]) -> _Maker:
    """Return what makes the DELETE of a row, by its whole primary key."""
    connection, keyspace = model._resolve()
    plan = model._write_plan

    def make(index: int, given: Any) -> _Request:
        key = _key_of(model, given)
        if plan is not None:
            statement, info = bind_delete(model, plan, key, connection, keyspace)
        else:
            statement, info = _collect(
                lambda batch: model.objects(**key).batch(batch).delete(), model
            )
        return _Request(_Row(index, given), statement, info)

    return make


# Reading


def get_many(
    model: type[M], keys: Iterable[object], *, concurrency: int = CONCURRENCY
) -> list[M | None]:
    """Read rows by their keys; see ``CQLAlchemy.get_many``."""
    connection, _ = model._resolve()
    found: list[M | None] = []

    def requests() -> Iterator[_Request]:
        for index, given in enumerate(keys):
            query = model.objects.filter(**_key_of(model, given))
            _, statement, info = query._bind_select(0)
            found.append(None)
            yield _Request(index, statement, info)

    everything = model.objects
    for request, rows, error in _Pipeline(connection, concurrency).run(requests()):
        if error is not None:
            raise error
        if rows:
            (found[request.item],) = everything._construct_page(rows)
    return found


def _key_of(model: type[BoundModel], given: Any) -> Mapping[str, Any]:
    """Return a whole primary key: from a mapping, an instance, a tuple in the key's order, or the
    value of the only column.

    :raises ValidationError: naming the column that is missing, or that is none of the key.
    """
    names = tuple(model._primary_keys)
    if isinstance(given, model):
        return {name: getattr(given, name) for name in names}
    if not isinstance(given, Mapping):
        values: Sequence[Any] = given if isinstance(given, tuple) else (given,)
        if len(values) != len(names):
            raise ValidationError(
                f"{model.__name__}: the primary key has {len(names)} columns, "
                f"{', '.join(names)}; the key given has {len(values)}."
            )
        given = dict(zip(names, values, strict=True))
    key: Mapping[str, Any] = given
    check_key(model, key)
    others = key.keys() - set(names)
    if others:
        raise ValidationError(
            f"{model.__name__}.{min(others)} is not in the primary key, which is "
            f"{', '.join(names)}."
        )
    return key

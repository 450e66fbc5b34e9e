"""Options of a write: what ``ttl()``, ``timestamp()``, ``iff()``, ``batch()`` and the like ask for.

A query set keeps its options, and each of its writes has them. An instance gives them to its next
write, whatever becomes of it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import Any, NamedTuple

from cassandra.cqlengine import ValidationError
from cassandra.cqlengine.connection import NOT_SET

from .._cqlengine import BatchQuery, Model, WhereClause
from ..statements.sending import contents_of

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


class WriteOptions(NamedTuple):
    """What a write is asked for beside its values. (A tuple: one is made for each in a batch.)

    :ivar ttl: seconds.
    :ivar timestamp: as ``timestamp()`` was given it.
    :ivar conditions: what ``iff()`` was given.
    :ivar consistency: a level; None is the model's own.
    :ivar timeout: seconds; None waits for ever, and NOT_SET is the application's.
    :ivar connection: the name of a bind.
    """

    batch: BatchQuery | None = None
    ttl: int | None = None
    timestamp: datetime | timedelta | int | None = None
    conditions: Sequence[WhereClause] = ()
    if_exists: bool = False
    if_not_exists: bool = False
    consistency: int | None = None
    timeout: float | object | None = NOT_SET
    connection: str | None = None

    @property
    def bind(self) -> str | None:
        """The bind that the write itself, or its batch, names in place of the model's."""
        if self.connection is None and self.batch is not None:
            return self.batch._connection
        return self.connection

    @property
    def is_conditional(self) -> bool:
        """Whether Cassandra says if the write was applied."""
        return bool(self.conditions or self.if_exists or self.if_not_exists)

    @property
    def is_wanted(self) -> bool:
        """Whether they are a reason to write what has not changed."""
        return self.ttl is not None or self.timestamp is not None or self.is_conditional

    def microseconds(self) -> int | None:
        """Return the timestamp of the write, since 1970: its own, or that of its batch."""
        if self.timestamp is not None:
            return since_1970(self.timestamp)
        if self.batch is None or self.is_conditional:
            return None
        return timestamp_of(self.batch)


#: What most writes have.
PLAIN: WriteOptions = WriteOptions()

#: The fields of ``WriteOptions``, by the names under which cqlengine keeps them.
_FIELDS: Mapping[str, str] = {
    "_batch": "batch",
    "_ttl": "ttl",
    "_timestamp": "timestamp",
    "_conditional": "conditions",
    "_if_exists": "if_exists",
    "_if_not_exists": "if_not_exists",
    "_consistency": "consistency",
    "__consistency__": "consistency",
    "_timeout": "timeout",
    "_connection": "connection",
}

#: The names under which cqlengine keeps options, of a query set or an instance.
OPTIONS = frozenset(_FIELDS)

#: Where an instance's rows are is not an option of one write.
_LASTING = frozenset({"_connection"})


def options_of(state: Mapping[str, Any]) -> WriteOptions:
    """Return the options in the ``__dict__`` of a query set or an instance."""
    if OPTIONS.isdisjoint(state):
        return PLAIN
    found = {
        _FIELDS[name]: given
        for name, given in state.items()
        if name in OPTIONS and (given or name == "_timeout" or given == 0)
    }
    if not found.get("ttl"):
        # As in cqlengine: no time to live.
        found.pop("ttl", None)
    return WriteOptions(**found)


def take_options(instance: Model) -> WriteOptions:
    """Return an instance's options, which are for one write and end with this."""
    state = instance.__dict__
    if OPTIONS.isdisjoint(state):
        return PLAIN
    options = options_of(state)
    for name in OPTIONS - _LASTING:
        # The class has what holds without them.
        state.pop(name, None)
    return options


def give_options(instance: Model, options: WriteOptions) -> None:
    """Give an instance the options for its next write."""
    state = instance.__dict__
    for name, field in _FIELDS.items():
        if name != "_consistency":
            state[name] = getattr(options, field)


# Timestamps


def since_1970(given: object) -> int:
    """Return a timestamp in microseconds since 1970.

    :param given: the same, a datetime (local time if it is naive), or a timedelta from now.
    :raises ValidationError: if it is neither.
    """
    if isinstance(given, timedelta):
        given = datetime.now(timezone.utc) + given
    if isinstance(given, datetime):
        return (given.astimezone(timezone.utc) - _EPOCH) // timedelta(microseconds=1)
    if isinstance(given, int) and not isinstance(given, bool):
        return given
    raise ValidationError(
        "A timestamp is a datetime, a timedelta from now or microseconds since 1970, not "
        f"{given!r}."
    )


def timestamp_of(batch: BatchQuery) -> int | None:
    """Return the timestamp that a batch gives to its writes, since 1970: one for all of them."""
    given = batch.timestamp
    if given is None or isinstance(given, int):
        return given
    contents = contents_of(batch)
    if contents.timestamp is None:
        contents.timestamp = since_1970(given)
    return contents.timestamp

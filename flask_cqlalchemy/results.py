"""What a bulk write did, row by row."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


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

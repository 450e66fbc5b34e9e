"""Stand-ins for cells that Python cannot represent, and the calendar arithmetic they need."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from functools import total_ordering
from uuid import UUID

EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - the driver gives naive UTC
_AWARE_EPOCH = EPOCH.replace(tzinfo=timezone.utc)
MILLISECOND = timedelta(milliseconds=1)
_FIRST_MILLISECOND = (datetime.min - EPOCH) // MILLISECOND  # noqa: DTZ901
_LAST_MILLISECOND = (datetime.max - EPOCH) // MILLISECOND  # noqa: DTZ901

MILLISECONDS_OF_DAY = 86_400_000

#: Years and days after which the Gregorian calendar repeats.
CYCLE_YEARS, CYCLE_DAYS = 400, 146_097


@total_ordering
@dataclass(frozen=True, slots=True)
class OutOfRangeTimestamp:
    """A ``timestamp`` before year 1 or after year 9999, which no ``datetime`` can hold.

    It sorts before or after every ``datetime``. To write it, bind ``milliseconds``, which the
    driver takes for a timestamp.

    :ivar milliseconds: since 1970-01-01T00:00:00Z.
    """

    milliseconds: int

    def __post_init__(self) -> None:
        if _FIRST_MILLISECOND <= self.milliseconds <= _LAST_MILLISECOND:
            raise ValueError(f"{self.milliseconds} ms since 1970 can be held by a datetime.")

    def __str__(self) -> str:
        cycles, rest = divmod(self.milliseconds, CYCLE_DAYS * MILLISECONDS_OF_DAY)
        moment = EPOCH + rest * MILLISECOND
        year = moment.year + CYCLE_YEARS * cycles
        return f"{year:+05}{moment:-%m-%dT%H:%M:%S}.{moment.microsecond // 1000:03}Z"

    def __lt__(self, other: object) -> bool:
        if isinstance(other, OutOfRangeTimestamp):
            return self.milliseconds < other.milliseconds
        if isinstance(other, datetime):
            return self.milliseconds < 0
        return NotImplemented


@dataclass(frozen=True, slots=True)
class UndecodableValue:
    """Stands for a cell, or a part of one, whose bytes are not a value of its type.

    It never holds the bytes. To see them, select ``type_as_blob(column)``.

    :ivar type_name: the type in CQL.
    :ivar size: of the value, in bytes.
    :ivar reason: what is wrong with it.
    """

    type_name: str
    size: int
    reason: str

    def __str__(self) -> str:
        return f"undecodable {self.type_name} of {self.size} bytes: {self.reason}"


def moment_of(milliseconds: int) -> datetime | OutOfRangeTimestamp:
    """Return the timestamp of so many milliseconds since 1970: naive, in UTC."""
    try:
        return EPOCH + milliseconds * MILLISECOND
    except OverflowError:
        return OutOfRangeTimestamp(milliseconds)


def milliseconds_of(moment: datetime) -> int:
    """Return the milliseconds since 1970 of a moment, rounded down; a naive one is in UTC."""
    epoch = EPOCH if moment.utcoffset() is None else _AWARE_EPOCH
    return (moment - epoch) // MILLISECOND


def has_time(uuid: UUID) -> bool:
    """Return whether Cassandra takes a UUID for one of version 1.

    ``UUID.version`` is None for those of ``maxTimeuuid()``, whose variant no RFC has.
    """
    return (uuid.int >> 76) & 0xF == 1

"""How single values look in JSON, both ways.

The forms are those of standards: RFC 3339 for timestamps and times, ISO 8601 for durations and for
years beyond 9999, RFC 4648 for bytes, RFC 4122 for UUIDs. Every ``encode_...`` returns what
``orjson`` and ``json`` write alike; every ``decode_...`` takes what they read, or raises a
``ValueError`` whose text never quotes the value, so that it may be shown to whoever sent it.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import math
import re
import socket
import struct
from collections.abc import Callable
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from typing import NoReturn
from uuid import UUID

from cassandra.util import Date, Duration, Time

from ..protocol import OutOfRangeTimestamp, has_time
from ..protocol.values import (
    CYCLE_DAYS,
    CYCLE_YEARS,
    EPOCH,
    MILLISECONDS_OF_DAY,
    milliseconds_of,
    moment_of,
)

_EPOCH_ORDINAL = EPOCH.toordinal()

#: A year beyond those that have four digits needs a sign (ISO 8601, 4.1.2.4).
_DATE = r"([+-][0-9]{4,9}|[0-9]{4})-([0-9]{2})-([0-9]{2})"
_TIME = r"([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,9}))?)?"
_DATE_PATTERN = re.compile(_DATE)
_TIME_PATTERN = re.compile(_TIME)
_TIMESTAMP_PATTERN = re.compile(rf"{_DATE}[Tt ]{_TIME}([Zz]|([+-])([0-9]{{2}}):([0-9]{{2}}))")
_DURATION_PATTERN = re.compile(
    r"(-?)P(?=.)(?:(\d{1,10})Y)?(?:(\d{1,10})M)?(?:(\d{1,10})W)?(?:(\d{1,10})D)?"
    r"(?:T(?=.)(?:(\d{1,19})H)?(?:(\d{1,19})M)?(?:(\d{1,19})(?:\.(\d{1,9}))?S)?)?",
    re.ASCII,
)
_UUID_PATTERN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)
_INTEGER_PATTERN = re.compile(r"-?[0-9]+")
_NUMBER_PATTERN = re.compile(r"-?[0-9]+(\.[0-9]+)?([Ee][+-]?[0-9]+)?")
_DECIMAL_PATTERN = re.compile(r"-?[0-9]+(\.[0-9]+)?([Ee][+-]?[0-9]{1,11})?")

#: Numbers that JSON lacks (RFC 8259, 6), as ProtoJSON writes them.
_NOT_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}

#: Most digits of a ``decimal`` or ``varint``: Python's own limit for turning text into an integer
#: (``sys.int_info.default_max_str_digits``), which the driver meets when it writes the value.
MAX_DIGITS = 4_300

#: Elements that cqlengine allows in a collection.
MOST_ELEMENTS = 65_535

#: Significant digits that a double always keeps (IEEE 754; C calls it DBL_DIG).
_EXACT_DIGITS = 15

_TOO_MANY_DIGITS = f"More than {MAX_DIGITS} digits."

#: Characters of a decimal's text besides its digits: a sign, a point, and an exponent.
_LONGEST_EXPONENT = len("-.E-12345678901")

#: The smallest integer with more than ``MAX_DIGITS`` digits.
_TOO_LONG = 10**MAX_DIGITS

#: Characters that fill up a base64 text.
_MOST_PADDING = 2

_INT32 = 2**31
_INT64 = 2**63
_NANOSECONDS = 1_000_000_000


def refuse(problem: str) -> Callable[[object], NoReturn]:
    """Return a decoder that refuses every value."""

    def decode(_value: object) -> NoReturn:
        raise ValueError(problem)

    return decode


# Text


def decode_text(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("Not a valid string.")
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise ValueError(
                f"Not valid Unicode: half of a surrogate pair at position {error.start}."
            ) from None
    return value


def decode_ascii(value: object) -> str:
    text = decode_text(value)
    if not text.isascii():
        position = next(index for index, letter in enumerate(text) if ord(letter) > 127)
        raise ValueError(f"Not an ASCII string: another character at position {position}.")
    return text


def encode_inet(value: str) -> str:
    return value if value.__class__ is str else str(ipaddress.ip_address(value))


def decode_inet(value: object) -> str:
    """Take an address in any form of IPv4 or IPv6, and give Cassandra's."""
    try:
        address = ipaddress.ip_address(value) if isinstance(value, str) else None
    except ValueError:
        address = None
    if address is None:
        raise ValueError("Not a valid IP address.")
    if getattr(address, "scope_id", None) is not None:
        raise ValueError("IP addresses with a zone cannot be stored.")
    family = socket.AF_INET if address.version == 4 else socket.AF_INET6
    return socket.inet_ntop(family, address.packed)


def encode_blob(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def decode_blob(value: object) -> bytes:
    # Before Python 3.13 the library accepts too much padding.
    if (
        isinstance(value, str)
        and len(value) % 4 == 0
        and len(value) - len(value.rstrip("=")) <= _MOST_PADDING
    ):
        try:
            return base64.b64decode(value.encode("ascii"), validate=True)
        except (binascii.Error, UnicodeEncodeError):
            pass
    raise ValueError("Not valid base64 (RFC 4648, section 4).")


def encode_uuid(value: UUID | str) -> str:
    return str(value if value.__class__ is UUID else UUID(str(value)))


def decode_uuid(value: object) -> UUID:
    if isinstance(value, str) and _UUID_PATTERN.fullmatch(value):
        return UUID(value)
    raise ValueError("Not a valid UUID.")


def decode_time_uuid(value: object) -> UUID:
    uuid = decode_uuid(value)
    if not has_time(uuid):
        raise ValueError("Not a version 1 UUID, the kind with a time.")
    return uuid


# Numbers


def decode_boolean(value: object) -> bool:
    if isinstance(value, bool):
        return value
    raise ValueError("Not a valid boolean: true or false.")


def parse_boolean(text: str) -> object:
    return {"true": True, "false": False}.get(text, text)


def decode_integer(value: object) -> int:
    """Take a whole number or, for those beyond JavaScript's 2**53, its digits."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    if isinstance(value, float) and value.is_integer() and abs(value) <= 2**53:
        return int(value)
    if isinstance(value, str) and len(value) <= 20 and _INTEGER_PATTERN.fullmatch(value):
        return int(value)
    raise ValueError("Not a valid integer.")


def _as_exact_decimal(value: object) -> Decimal | None:
    """Return a number that came as text, or as a JSON number that no double has changed."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        if abs(value) >= _TOO_LONG:
            raise ValueError(_TOO_MANY_DIGITS)
        return Decimal(value)
    if isinstance(value, float):
        number = Decimal(repr(value)) if math.isfinite(value) else None
        if number is not None and len(number.normalize().as_tuple().digits) > _EXACT_DIGITS:
            raise ValueError(
                f"A number of more than {_EXACT_DIGITS} digits must be a string, or it is rounded."
            )
        return number
    if not isinstance(value, str):
        return None
    if not _DECIMAL_PATTERN.fullmatch(value):
        return None
    if len(value) > MAX_DIGITS + _LONGEST_EXPONENT:
        raise ValueError(_TOO_MANY_DIGITS)
    number = Decimal(value)
    if len(number.as_tuple().digits) > MAX_DIGITS:
        raise ValueError(_TOO_MANY_DIGITS)
    return number


def encode_decimal(value: Decimal | float) -> str:
    return str(value if value.__class__ is Decimal else Decimal(value))


def decode_decimal(value: object) -> Decimal:
    try:
        number = _as_exact_decimal(value)
    except InvalidOperation:
        number = None
    if number is None:
        raise ValueError("Not a valid decimal, such as 12.50.")
    exponent = number.as_tuple().exponent
    if not isinstance(exponent, int) or not -_INT32 < exponent <= _INT32:
        raise ValueError("A decimal's exponent is at most 2147483647, with either sign.")
    return number


def encode_varint(value: int) -> str:
    # Python writes at most 4,300 digits; a Decimal any number of them.
    return str(value) if value.bit_length() < 10_000 else str(Decimal(value))


def decode_varint(value: object) -> int:
    if isinstance(value, str):
        exact = _as_exact_decimal(value) if _INTEGER_PATTERN.fullmatch(value) else None
        if exact is not None:
            return int(exact)
        raise ValueError("Not a valid integer.")
    number = decode_integer(value)
    if abs(number) >= _TOO_LONG:
        raise ValueError(_TOO_MANY_DIGITS)
    return number


def encode_float(value: float) -> float | str:
    if math.isfinite(value):
        return value
    return "NaN" if value != value else "Infinity" if value > 0 else "-Infinity"


def decode_double(value: object) -> float:
    if isinstance(value, str) and value in _NOT_FINITE:
        return _NOT_FINITE[value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        try:
            number = float(value)
        except OverflowError:
            number = math.inf
        if math.isfinite(number):
            return number
        if math.isnan(number):
            raise ValueError('JSON has no NaN; send the string "NaN".')
        # Python also reads a JSON number beyond a double's range as infinity.
        raise ValueError(
            'Too large for a double: at most 1.8e308. For infinity send the string "Infinity".'
        )
    raise ValueError("Not a valid number.")


def decode_float(value: object) -> float:
    number = decode_double(value)
    try:
        struct.pack(">f", number)
    except OverflowError:
        raise ValueError("Too large for a float: at most 3.4e38.") from None
    return number


def decode_finite(decode: Callable[[object], float]) -> Callable[[object], float]:
    """Return a decoder of numbers that refuses NaN and infinity."""

    def decode_number(value: object) -> float:
        number = decode(value)
        if not math.isfinite(number):
            raise ValueError("Not a finite number.")
        return number

    return decode_number


def parse_number(text: str) -> object:
    """Return the number in a text, or the text itself if it is not a JSON number."""
    return float(text) if _NUMBER_PATTERN.fullmatch(text) else text


# Dates and times


def _days(year: str, month: str, day: str) -> int:
    """Return the days since 1970-01-01 of a date in any year."""
    cycles, rest = divmod(int(year), CYCLE_YEARS)
    # The calendar of the years 2000 to 2399.
    moved = date(2000 + rest, int(month), int(day)).toordinal() - _EPOCH_ORDINAL
    return moved + (cycles - 5) * CYCLE_DAYS


def _nanoseconds(hour: str, minute: str, second: str | None, fraction: str | None) -> int:
    """Return the nanoseconds since midnight.

    :raises ValueError: if there is no such time.
    """
    seconds = int(second or 0)
    if int(hour) > 23 or int(minute) > 59 or seconds > 59:
        raise ValueError
    whole = (int(hour) * 60 + int(minute)) * 60 + seconds
    return whole * _NANOSECONDS + int((fraction or "").ljust(9, "0"))


def _write_day(days: int) -> str:
    ordinal = days + _EPOCH_ORDINAL
    if 1 <= ordinal <= date.max.toordinal():
        return date.fromordinal(ordinal).isoformat()
    cycles, rest = divmod(days, CYCLE_DAYS)
    moved = date.fromordinal(rest + _EPOCH_ORDINAL)
    return f"{moved.year + cycles * CYCLE_YEARS:+05}{moved:-%m-%d}"


def encode_date(value: Date) -> str:
    known = value if isinstance(value, Date) else Date(value)
    return _write_day(known.days_from_epoch)


def decode_date(value: object) -> Date:
    match = _DATE_PATTERN.fullmatch(value) if isinstance(value, str) else None
    try:
        days = _days(match[1], match[2], match[3]) if match else None
    except ValueError:
        days = None
    if days is None:
        raise ValueError("Not a valid date, such as 2030-12-31.")
    if not -_INT32 <= days < _INT32:
        raise ValueError("Not a date from -5877641-06-23 to +5881580-07-11.")
    return Date(days)


def encode_time(value: Time) -> str:
    return str(value if isinstance(value, Time) else Time(value))


def decode_time(value: object) -> Time:
    match = _TIME_PATTERN.fullmatch(value) if isinstance(value, str) else None
    try:
        if match:
            return Time(_nanoseconds(*match.groups()))
    except ValueError:
        pass
    raise ValueError(
        "Not a valid time, such as 23:59:59.999, with at most nine digits after the point."
    )


def encode_timestamp(value: date | OutOfRangeTimestamp) -> str:
    """Write a timestamp in UTC with milliseconds, rounded down as Cassandra stores it."""
    moment: datetime | OutOfRangeTimestamp
    if isinstance(value, datetime):
        moment = value if value.tzinfo is None else moment_of(milliseconds_of(value))
    elif isinstance(value, OutOfRangeTimestamp):
        moment = value
    else:
        moment = datetime(value.year, value.month, value.day)  # noqa: DTZ001
    if isinstance(moment, OutOfRangeTimestamp):
        return str(moment)
    return f"{moment.isoformat(timespec='milliseconds')}Z"


def decode_timestamp(value: object) -> datetime | OutOfRangeTimestamp:
    """Take a timestamp with any offset, and give it in UTC, rounded down to a millisecond."""
    match = _TIMESTAMP_PATTERN.fullmatch(value) if isinstance(value, str) else None
    try:
        if match is None or match[6] is None:
            raise ValueError
        nanoseconds = _nanoseconds(*match.groups()[3:7])
        offset = 0
        if match[9]:
            offset = _nanoseconds(match[10], match[11], None, None) // 1_000_000
            offset = -offset if match[9] == "-" else offset
        milliseconds = (
            _days(match[1], match[2], match[3]) * MILLISECONDS_OF_DAY
            + nanoseconds // 1_000_000
            - offset
        )
    except ValueError:
        raise ValueError(
            "Not a valid timestamp: RFC 3339 with an offset, such as 2030-12-31T23:59:59.999Z."
        ) from None
    if not -_INT64 <= milliseconds < _INT64:
        raise ValueError("Too far from 1970: a timestamp has 64 bits of milliseconds.")
    return moment_of(milliseconds)


def encode_duration(value: Duration) -> str:
    parts = (value.months, value.days, value.nanoseconds)
    seconds, fraction = divmod(abs(value.nanoseconds), _NANOSECONDS)
    minutes, seconds = divmod(seconds, 60)
    hours, minutes = divmod(minutes, 60)
    precise = f"{seconds}.{fraction:09}".rstrip("0") if fraction else str(seconds)
    day = f"{abs(value.months)}M" * bool(value.months) + f"{abs(value.days)}D" * bool(value.days)
    time = f"{hours}H" * bool(hours) + f"{minutes}M" * bool(minutes)
    time += f"{precise}S" * bool(seconds or fraction)
    sign = "-" if min(parts) < 0 else ""
    return f"{sign}P{day}T{time}" if time else f"{sign}P{day}" if day else "PT0S"


def decode_duration(value: object) -> Duration:
    match = _DURATION_PATTERN.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError("Not a valid ISO 8601 duration, such as P1M2DT3H4M5.6S.")
    years, months, weeks, days, hours, minutes, seconds = (
        int(number or 0) for number in match.groups()[1:8]
    )
    sign = -1 if match[1] else 1
    whole = (hours * 60 + minutes) * 60 + seconds
    nanoseconds = whole * _NANOSECONDS + int((match[9] or "").ljust(9, "0"))
    duration = Duration(sign * (years * 12 + months), sign * (weeks * 7 + days), sign * nanoseconds)
    check_duration(duration)
    return duration


def check_duration(duration: Duration) -> None:
    """Hold a duration to Cassandra's limits.

    :raises ValueError: naming the limit that it breaks.
    """
    parts = (duration.months, duration.days, duration.nanoseconds)
    if min(parts) < 0 < max(parts):
        raise ValueError("The months, days and nanoseconds of a duration must have the same sign.")
    for name, part, limit in zip(
        ("months", "days", "nanoseconds"), parts, (_INT32, _INT32, _INT64), strict=True
    ):
        if not -limit <= part < limit:
            raise ValueError(f"A duration has at most {limit - 1} {name}.")

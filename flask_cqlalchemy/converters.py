"""URL converters for what a primary key can be and Flask has no converter for.

``<date:day>`` in a rule takes what ``url_for`` wrote of a row's ``day``, and gives a view a value
to ask for. The texts are those of JSON (``columns.formats``); any other text is a 404. Flask itself
has ``int`` and ``float``, both with ``signed=True``, and ``uuid``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from cassandra.util import Date, Time
from flask import Flask
from werkzeug.routing import BaseConverter, ValidationError

from .columns import formats as f


def _decode_date(text: object) -> date:
    return f.decode_date(text).date()  # type: ignore[no-any-return]


def _decode_timestamp(text: object) -> datetime:
    found = f.decode_timestamp(text)
    if isinstance(found, datetime):
        return found
    raise ValueError("beyond the years of Python")


def _encode_day(day: date | Date) -> str:
    if isinstance(day, datetime):
        raise TypeError("a datetime has more than a day")
    return f.encode_date(day)


@dataclass(frozen=True)
class _Type:
    """What a converter is for.

    :ivar name: what stands before the colon in a rule: the type's name in CQL.
    :ivar example: a text in a URL.
    :ivar kinds: the types of the values that ``url_for`` takes, beside such a text.
    :ivar decode: from a text to the value that a view gets; raises ``ValueError``.
    :ivar encode: the other way.
    """

    name: str
    example: str
    kinds: tuple[type[Any], ...]
    decode: Callable[[object], Any]
    encode: Callable[[Any], str]


class _KeyConverter(BaseConverter):
    type: ClassVar[_Type]

    def to_python(self, value: str) -> Any:
        """Return the value of a text in a URL.

        :raises ValidationError: if it is none, which Flask answers with a 404.
        """
        try:
            return self.type.decode(value)
        except (ValueError, OverflowError):
            raise ValidationError from None

    def to_url(self, value: Any) -> str:
        """Return the text of a value in a URL.

        :raises ValueError: if it is not of the type.
        """
        kind = self.type
        try:
            known = kind.decode(value) if isinstance(value, str) else value
            if not isinstance(known, kind.kinds):
                raise TypeError
            text = kind.encode(known)
            # A link that leads to a 404 is found here, not by a visitor.
            kind.decode(text)
        except (TypeError, ValueError, OverflowError):
            kinds = " or ".join(each.__name__ for each in kind.kinds)
            raise ValueError(
                f"<{kind.name}:...> in a URL takes a {kinds}, or a text such as {kind.example}; "
                f"not {value!r}"
            ) from None
        return super().to_url(text)


class DateConverter(_KeyConverter):
    """A ``date``, such as 2030-12-31. A view gets a ``datetime.date``."""

    type = _Type("date", "2030-12-31", (date, Date), _decode_date, _encode_day)


class TimestampConverter(_KeyConverter):
    """A ``timestamp`` in RFC 3339 with an offset. A view gets a naive ``datetime`` in UTC."""

    type = _Type(
        "timestamp", "2030-12-31T23:59:59.999Z", (datetime,), _decode_timestamp, f.encode_timestamp
    )


class TimeConverter(_KeyConverter):
    """A ``time``. A view gets a ``cassandra.util.Time``, which has nanoseconds."""

    type = _Type("time", "23:59:59.999", (Time,), f.decode_time, f.encode_time)


class TimeUUIDConverter(_KeyConverter):
    """A ``timeuuid``: a UUID of version 1."""

    type = _Type(
        "timeuuid",
        "6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        (UUID,),
        f.decode_time_uuid,
        f.encode_uuid,
    )


class DecimalConverter(_KeyConverter):
    """A ``decimal``, of as many digits as there are. A view gets a ``Decimal``."""

    type = _Type("decimal", "-12.50", (Decimal, int), f.decode_decimal, f.encode_decimal)


class InetConverter(_KeyConverter):
    """An ``inet``: an address of IPv4 or IPv6. A view gets Cassandra's text of it."""

    type = _Type("inet", "2001:db8::1", (str,), f.decode_inet, f.encode_inet)


#: Every converter; an application finds them by their names.
CONVERTERS: tuple[type[_KeyConverter], ...] = (
    DateConverter,
    TimestampConverter,
    TimeConverter,
    TimeUUIDConverter,
    DecimalConverter,
    InetConverter,
)


def install(app: Flask) -> None:
    """Give an application the converters, but for those whose names it has given to its own."""
    for converter in CONVERTERS:
        app.url_map.converters.setdefault(converter.type.name, converter)

"""What each type of column takes, and what it makes of a value.

A value becomes what a row has that is read: an equal value of the column's own type (5.0 becomes 5,
the text of a UUID the UUID, a timestamp with a time zone the same moment in UTC) or, where a type
is less fine than Python's, the nearest that it can keep: a timestamp is rounded down to its
millisecond, a ``datetime`` for a date to its day, and a float to 32 bits. Whatever else would have
to be changed is refused, with what the type takes.

``TAKES`` has the single values, by the name of the type in CQL, and ``CONVERSIONS`` those that have
others inside.
"""

from __future__ import annotations

import math
import operator
import re
import struct
from collections.abc import Callable, Iterable, Mapping
from copy import deepcopy
from datetime import date, datetime, time, timedelta
from decimal import Decimal, InvalidOperation
from ipaddress import IPv4Address, IPv6Address, ip_address
from numbers import Integral, Real
from typing import Any, Literal
from uuid import UUID

from cassandra import InvalidRequest, util
from cassandra.cqlengine import ValidationError, columns
from cassandra.cqlengine.usertype import BaseUserType

from ..protocol import OutOfRangeTimestamp, UndecodableValue, has_time
from ..protocol.values import EPOCH, milliseconds_of, moment_of
from ..words import describe, unknown_name
from .formats import MOST_ELEMENTS, check_duration, decode_inet

#: Which of a column's methods converts the values inside a collection.
Method = Literal["to_python", "validate", "to_database"]

#: From the name of a type in CQL and a value to what a row has.
Take = Callable[[str, Any], Any]

#: From a column and a value that is not null to what a method of the column makes of it.
Convert = Callable[[Any, Any, Method], Any]

_INT8, _INT16, _INT32, _INT64 = (2 ** (bits - 1) for bits in (8, 16, 32, 64))

#: The whole numbers of a type: from minus this one to this one less one.
_LIMITS = {
    "tinyint": _INT8,
    "smallint": _INT16,
    "int": _INT32,
    "bigint": _INT64,
    "counter": _INT64,
}

#: Digits of the greatest varint that is made of a number in another form.
_MOST_DIGITS_OF_OTHERS = 4_300

#: What a type takes, in an error.
WORDS = {
    "ascii": "ASCII text",
    "bigint": "a whole number from -2^63 to 2^63-1",
    "blob": "bytes",
    "boolean": "True or False",
    "counter": "a whole number from -2^63 to 2^63-1",
    "date": "a date from -5877641-06-23 to +5881580-07-11",
    "decimal": "a decimal number of at most 4300 digits",
    "double": "a number",
    "duration": "a Duration",
    "float": "a number up to 3.4e38",
    "inet": "an IP address",
    "list": "a list",
    "map": "a dict",
    "set": "a set",
    "tuple": "a tuple",
    "int": "a whole number from -2^31 to 2^31-1",
    "smallint": "a whole number from -2^15 to 2^15-1",
    "text": "text",
    "time": "a time of day without a time zone",
    "timestamp": "a datetime",
    "timeuuid": "a UUID of version 1, the kind with a time",
    "tinyint": "a whole number from -2^7 to 2^7-1",
    "uuid": "a UUID",
    "varchar": "text",
    "varint": "a whole number",
}

#: The names in ``TAKES`` of the types that are something else as elements of a collection.
IN_COLLECTION = {"inet": "inet in a collection"}
WORDS[IN_COLLECTION["inet"]] = WORDS["inet"]


class Refusal(ValidationError):  # type: ignore[misc]  # noqa: N818 - what it is, as InvalidCursor
    """A value that a column does not take: to programs, a ``ValidationError``.

    :ivar where: the column, and the part of its value: ``Post.tags[3]``.
    :ivar problem: the rest of the sentence.
    """

    def __init__(self, problem: str, where: str = "") -> None:
        self.problem, self.where = problem, where
        separator = "" if problem.startswith(":") or not where else " "
        super().__init__(f"{where}{separator}{problem}")

    def __reduce__(self) -> tuple[type[ValidationError], tuple[str]]:
        return ValidationError, (str(self),)

    def within(self, where: str) -> Refusal:
        """Return the same about a part of something."""
        return type(self)(self.problem, where + self.where)


class _WrongType(Refusal, TypeError, ValueError):  # noqa: N818
    """For the types of whose values Python itself complains in cqlengine."""


class _OutOfRange(Refusal, InvalidRequest):  # type: ignore[misc]
    """For what Cassandra itself complains about to cqlengine."""


for _kind in (Refusal, _WrongType, _OutOfRange):
    # What programs, and whoever reads their logs, know it as.
    _kind.__name__ = _kind.__qualname__ = ValidationError.__name__

#: The types of ``_WrongType``.
_CONVERTED_BY_PYTHON = frozenset({"date", "duration", "time", "timestamp"})


def within(where: str, error: Exception) -> Refusal:
    """Return what a part's own error is of the whole."""
    if isinstance(error, Refusal):
        return error.within(where)
    return Refusal(f": {error}", where)


def named(column: columns.Column, error: Exception) -> Refusal:
    """Return a column's error with its name; one inside another has none."""
    return within(column.column_name or "", error)


def _class_of(kind: str) -> type[Refusal]:
    return _WrongType if kind in _CONVERTED_BY_PYTHON else Refusal


def refusal(kind: str, value: object) -> Refusal:
    """Return the error of a value that is not of a type, by its name in CQL."""
    return _class_of(kind)(f"takes {WORDS.get(kind, kind)}, not {describe(value)}")


def _but(kind: str, problem: str) -> Refusal:
    return _class_of(kind)(f"takes {WORDS[kind]}; {problem}")


def _out_of_range(kind: str, problem: str) -> Refusal:
    return _OutOfRange(f"takes {WORDS[kind]}; {problem}")


def why_not(kind: str, value: Any) -> Refusal:
    """Return why a value cannot be bound to a marker of a type, by its name in CQL."""
    take = TAKES.get(kind)
    try:
        taken = value if take is None else take(kind, value)
    except Refusal as refused:
        return refused
    if isinstance(taken, Decimal):
        return _but(kind, "this one has more, or an exponent of more than 32 bits")
    # A model would make of it what the type takes; plain CQL is bound as it was given.
    return refusal(kind, value)


# Text


def _take_text(kind: str, value: Any) -> str:
    if value.__class__ is not str:
        if not isinstance(value, str):
            raise refusal(kind, value)
        # Of a subclass, such as an enumeration, the text itself.
        value = str.__str__(value)
    if not value.isascii():
        try:
            value.encode()
        except UnicodeEncodeError as error:
            raise _but(kind, f"half of a surrogate pair is at position {error.start}") from None
    return value  # type: ignore[no-any-return]


def _take_ascii(kind: str, value: Any) -> str:
    text = _take_text(kind, value)
    if not text.isascii():
        position = next(index for index, letter in enumerate(text) if ord(letter) > 127)
        raise _but(kind, f"another character is at position {position}")
    return text


def _take_blob(kind: str, value: Any) -> bytes:
    if not isinstance(value, bytes | bytearray | memoryview):
        raise refusal(kind, value)
    return bytes(value)


def _take_inet(kind: str, value: Any) -> str:
    if not isinstance(value, str | IPv4Address | IPv6Address):
        raise refusal(kind, value)
    try:
        return decode_inet(str(value))
    except ValueError:
        raise _but(
            kind,
            "this text is not one, or has a zone" if isinstance(value, str) else "it has a zone",
        ) from None


def _take_inet_in_collection(kind: str, value: Any) -> str:
    # There Cassandra makes an IPv4 address of a mapped one: Java's InetAddress does.
    text = _take_inet(kind, value)
    return str(getattr(ip_address(text), "ipv4_mapped", None) or text)


def _take_uuid(kind: str, value: Any) -> UUID:
    if not isinstance(value, UUID):
        if not isinstance(value, str):
            raise refusal(kind, value)
        try:
            value = UUID(value)
        except ValueError:
            raise _but(kind, "this text is not one") from None
    if kind == "timeuuid" and not has_time(value):
        raise _but(kind, f"this one is of version {value.version or 'none'}")
    return value  # type: ignore[no-any-return]


# Numbers


def _take_boolean(kind: str, value: Any) -> bool:
    if value is True or value is False:
        return value
    try:
        # A number, such as 1, and what a library has for a truth value.
        no, yes = bool(value == False), bool(value == True)  # noqa: E712 - of another class
        if no != yes:
            return yes
    except Exception:
        raise refusal(kind, value) from None
    if isinstance(value, Real | Decimal):
        raise _but(kind, "a number is taken if it is 0 or 1")
    raise refusal(kind, value)


def _take_whole(kind: str, value: Any) -> int:
    number = value if value.__class__ is int else _as_whole(kind, value)
    limit = _LIMITS.get(kind)
    if limit is not None and not -limit <= number < limit:
        raise _out_of_range(kind, f"this one is too {'small' if number < 0 else 'large'}")
    return number


def _as_whole(kind: str, value: Any) -> int:
    if isinstance(value, Integral):
        return int(operator.index(value))
    if isinstance(value, str):
        try:
            return int(value)
        except ValueError:
            raise _but(kind, "this text is not one") from None
    if not isinstance(value, Real | Decimal):
        raise refusal(kind, value)
    if not _is_finite(value):
        raise _but(kind, "this one is not finite")
    if isinstance(value, Decimal):
        if value.adjusted() > _MOST_DIGITS_OF_OTHERS:
            # It would have all of its digits at once.
            raise _out_of_range(kind, "this one is too large")
        whole: Any = value.to_integral_value()
    else:
        whole = math.floor(value)
    if whole != value:
        raise _but(kind, "this one has a fraction")
    return int(whole)


def _is_finite(value: Any) -> bool:
    return value.is_finite() if isinstance(value, Decimal) else math.isfinite(value)


def _take_double(kind: str, value: Any) -> float:
    if value.__class__ is float:
        return value
    if isinstance(value, str):
        try:
            exact: Any = Decimal(value)
        except InvalidOperation:
            raise _but(kind, "this text is not one") from None
    elif isinstance(value, Real | Decimal):
        exact = value
    else:
        raise refusal(kind, value)
    number = math.inf
    try:
        number = float(exact)
        is_lost = not math.isfinite(number) and _is_finite(exact)
    except (OverflowError, ValueError):
        is_lost = True
    if is_lost:
        raise _but(kind, "this one is too large for a double")
    if math.isfinite(number):
        kept = Decimal(repr(number)) if isinstance(exact, Decimal) else number
        if kept != exact:
            raise _but(kind, "this one has more digits than a double keeps")
    return number


_SINGLE = struct.Struct(">f")


def _take_float(kind: str, value: Any) -> float:
    number = _take_double(kind, value)
    try:
        (single,) = _SINGLE.unpack(_SINGLE.pack(number))
    except OverflowError:
        raise _out_of_range(kind, "this one is too large") from None
    if single != number and isinstance(value, Integral):
        raise _but(kind, "this one has more digits than 32 bits keep")
    return single  # type: ignore[no-any-return]


def _take_decimal(kind: str, value: Any) -> Decimal:
    if value.__class__ is not Decimal:
        value = _as_decimal(kind, value)
    if not value.is_finite():
        raise _but(kind, "this one is not a finite number")
    if not value:
        # Cassandra has no negative zero.
        return value.copy_abs()  # type: ignore[no-any-return]
    return value  # type: ignore[no-any-return]


def _as_decimal(kind: str, value: Any) -> Decimal:
    if isinstance(value, Decimal):
        return Decimal(value)
    if isinstance(value, float):
        return Decimal(float.__repr__(value))
    if isinstance(value, Integral):
        return Decimal(operator.index(value))
    if isinstance(value, str):
        try:
            return Decimal(value)
        except InvalidOperation:
            raise _but(kind, "this text is not one") from None
    raise refusal(kind, value)


# Dates and times


def _take_timestamp(kind: str, value: Any) -> datetime | OutOfRangeTimestamp:
    if isinstance(value, datetime):
        if value.__class__ is datetime and value.tzinfo is None and not value.microsecond % 1000:
            return value
        return moment_of(milliseconds_of(value))
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day)  # noqa: DTZ001
    if isinstance(value, OutOfRangeTimestamp):
        if not -_INT64 <= value.milliseconds < _INT64:
            raise _but(kind, "this one is too far from 1970 for 64 bits of milliseconds")
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refusal(kind, value)
    try:
        moment = EPOCH + timedelta(seconds=value)
    except (OverflowError, ValueError):
        raise _but(
            kind, "a number is of seconds since 1970, and this one leaves the years 1 to 9999"
        ) from None
    return moment_of(milliseconds_of(moment))


def _take_date(kind: str, value: Any) -> util.Date:
    if not isinstance(value, util.Date):
        if isinstance(value, bool) or not isinstance(value, int | date | str):
            raise refusal(kind, value)
        try:
            value = util.Date(value)
        except (ValueError, IndexError):
            raise _but(kind, "this text is not one, such as 2030-12-31") from None
    if not -_INT32 <= value.days_from_epoch < _INT32:
        raise _but(kind, "this one is outside")
    return value


_TIME = re.compile(r"(\d{1,2}):(\d{1,2}):(\d{1,2})(?:\.(\d{1,9}))?", re.ASCII)


def _take_time(kind: str, value: Any) -> util.Time:
    if isinstance(value, time):
        if value.tzinfo is not None:
            raise _but(kind, "this one has one")
        return util.Time(value)
    if isinstance(value, str):
        return _time_of(kind, value)
    nanoseconds = value.nanosecond_time if isinstance(value, util.Time) else value
    if isinstance(nanoseconds, bool) or not isinstance(nanoseconds, int):
        raise refusal(kind, value)
    if not 0 <= nanoseconds < util.Time.DAY:
        raise _but(kind, f"{nanoseconds} ns are not within a day")
    return value if isinstance(value, util.Time) else util.Time(nanoseconds)


def _time_of(kind: str, text: str) -> util.Time:
    match = _TIME.fullmatch(text)
    try:
        if match is not None:
            known = util.Time(time(int(match[1]), int(match[2]), int(match[3])))
            return util.Time(known.nanosecond_time + int((match[4] or "").ljust(9, "0")))
    except ValueError:
        pass
    raise _but(kind, "this text is not one, such as 23:59:59.999999999")


def _take_duration(kind: str, value: Any) -> util.Duration:
    if not isinstance(value, util.Duration):
        raise refusal(kind, value)
    try:
        check_duration(value)
    except (TypeError, ValueError) as problem:
        raise _WrongType(f": {problem}") from None
    return value


#: What makes of a value what a row has, by the name of a type in CQL.
TAKES: Mapping[str, Take] = {
    "ascii": _take_ascii,
    "bigint": _take_whole,
    "blob": _take_blob,
    "boolean": _take_boolean,
    "counter": _take_whole,
    "date": _take_date,
    "decimal": _take_decimal,
    "double": _take_double,
    "duration": _take_duration,
    "float": _take_float,
    "inet": _take_inet,
    "int": _take_whole,
    "smallint": _take_whole,
    "text": _take_text,
    "time": _take_time,
    "timestamp": _take_timestamp,
    "timeuuid": _take_uuid,
    "tinyint": _take_whole,
    "uuid": _take_uuid,
    "varchar": _take_text,
    "varint": _take_whole,
    IN_COLLECTION["inet"]: _take_inet_in_collection,
}


def _to_milliseconds(value: datetime | OutOfRangeTimestamp) -> int:
    # cqlengine multiplies seconds by 1000 in doubles, and stores six in a thousand timestamps as
    # the millisecond before.
    if isinstance(value, OutOfRangeTimestamp):
        return int(value.milliseconds)
    return milliseconds_of(value)


def _to_days(value: util.Date) -> int:
    found: int = value.days_from_epoch + _INT32
    return found


#: What the driver takes of a value that a row has, by the name of a type in CQL; for the others it
#: is the value.
BINDS: Mapping[str, Callable[[Any], Any]] = {"timestamp": _to_milliseconds, "date": _to_days}


# Single columns. Each function stands for a column's method of its name; ``kind`` is the name of
# the column's type in ``TAKES``.


def to_python(kind: str, column: columns.Column, value: Any) -> Any:
    """Return a value as a row has it; what cannot be decoded stays as it is."""
    if value is None:
        return 0 if kind == "counter" else None
    if value.__class__ is UndecodableValue:
        return value
    return _take(kind, column, value)


def validate(kind: str, column: columns.Column, value: Any) -> Any:
    """Return a value as a row has it, held to the rules of its column."""
    columns.Column.validate(column, value)
    taken = None if value is None else _take(kind, column, value)
    if isinstance(column, columns.Text):
        size = len(taken or "")
        if column.max_length is not None and size > column.max_length:
            raise named(column, Refusal(f"is longer than {column.max_length} characters"))
        if column.min_length and size < column.min_length:
            raise named(column, Refusal(f"is shorter than {column.min_length} characters"))
    return taken


def to_database(kind: str, column: columns.Column, value: Any) -> Any:
    """Return what the driver takes of a value."""
    if value is None:
        return None
    taken = _take(kind, column, value)
    bind = BINDS.get(kind)
    return taken if bind is None else bind(taken)


def _take(kind: str, column: columns.Column, value: Any) -> Any:
    try:
        return TAKES[kind](kind, value)
    except Refusal as error:
        raise named(column, error) from None


# Collections and user types, for which ``method`` says which of the columns' methods is meant


def convert(make: Convert, method: Method, column: Any, value: Any) -> Any:
    """Do what a column's method does with a value that has others inside.

    :param make: one of ``CONVERSIONS``.
    """
    if value is None:
        if method == "validate":
            columns.Column.validate(column, None)
        empty = _EMPTY.get(make) if method == "to_python" else None
        return None if empty is None else empty()
    if method == "to_python" and value.__class__ is UndecodableValue:
        return value
    try:
        return make(column, value, method)
    except ValidationError as error:
        raise named(column, error) from error


def _elements(value: Any, kind: str) -> Iterable[Any]:
    if isinstance(value, str | bytes | bytearray | memoryview | Mapping | UndecodableValue) or (
        not isinstance(value, Iterable)
    ):
        raise Refusal(f"takes a {kind}, not {describe(value)}")
    return value


def _check_size(made: Any, method: Method) -> None:
    if method == "validate" and len(made) > MOST_ELEMENTS:
        raise Refusal(f"has {len(made)} elements, and may have {MOST_ELEMENTS}")


def _null(kind: str, where: str) -> Refusal:
    return Refusal(f"is None, and a {kind} has no null", where)


def _convert_list(column: Any, value: Any, method: Method) -> list[Any]:
    convert = getattr(column.value_col, method)
    is_read = method == "to_python"
    made = []
    for index, element in enumerate(_elements(value, "list")):
        if element is None and not is_read:
            raise _null("list", f"[{index}]")
        try:
            made.append(None if element is None else convert(element))
        except ValidationError as error:
            raise within(f"[{index}]", error) from error
    _check_size(made, method)
    return made


def _convert_set(column: Any, value: Any, method: Method) -> set[Any]:
    convert = getattr(column.value_col, method)
    is_read = method == "to_python"
    made = set()
    for element in _elements(value, "set"):
        if element is None and not is_read:
            raise _null("set", " (an element)")
        try:
            made.add(None if element is None else convert(element))
        except ValidationError as error:
            raise within(" (an element)", error) from error
        except TypeError:
            raise Refusal("has an element that cannot be one of a Python set") from None
    _check_size(made, method)
    return made


def _convert_map(column: Any, value: Any, method: Method) -> dict[Any, Any]:
    if not isinstance(value, Mapping):
        raise Refusal(f"takes a dict, not {describe(value)}")
    convert_key, convert_value = getattr(column.key_col, method), getattr(column.value_col, method)
    made = {}
    for key, each in _pairs(value):
        if key is None and method != "to_python":
            raise _null("map", " (a key)")
        if each is None and method == "validate":
            # cqlengine gives keys to remove as those of a map of None.
            raise _null("map", " (a value)")
        try:
            converted = convert_key(key)
        except ValidationError as error:
            raise within(" (a key)", error) from error
        try:
            made[converted] = None if each is None else convert_value(each)
        except ValidationError as error:
            raise within(" (a value)", error) from error
        except TypeError:
            raise Refusal("has a key that cannot be one of a Python dict") from None
    # What the driver has read keeps whatever Cassandra has.
    if not isinstance(value, util.OrderedMap) and len(made) < len(value):
        raise Refusal("has two keys that are equal once they are of the key's type")
    _check_size(made, method)
    return made


def _pairs(value: Any) -> Iterable[tuple[Any, Any]]:
    if value.__class__ is util.OrderedMapSerializedKey:
        # As a mapping it would serialize each key to find its value.
        return value._items  # type: ignore[no-any-return]
    return value.items()  # type: ignore[no-any-return]


def _convert_tuple(column: Any, value: Any, method: Method) -> tuple[Any, ...] | None:
    size = len(column.types)
    if not isinstance(value, list | tuple):
        raise Refusal(f"takes a tuple of {size}, not {describe(value)}")
    if not value:
        # Inside another type an empty tuple would be bytes that Cassandra cannot read.
        return None
    if len(value) > size:
        raise Refusal(f"takes a tuple of {size}; this one has {len(value)} values")
    made = []
    # Cassandra reads what is missing as null.
    for index, (inner, element) in enumerate(
        zip(column.types, (*value, *[None] * (size - len(value))), strict=True)
    ):
        try:
            converted = getattr(inner, method)(element)
        except ValidationError as error:
            raise within(f"[{index}]", error) from error
        made.append(_as_read(inner, converted) if method == "validate" else converted)
    return tuple(made)


def _as_read(column: columns.Column, value: Any) -> Any:
    """Return a part of a value as it is read: an absent collection is an empty one."""
    if value is None and isinstance(column, columns.BaseContainerColumn):
        return column.to_python(None)
    return value


def convert_vector(column: Any, value: Any, method: Method) -> list[Any]:
    if isinstance(value, set | frozenset):
        raise Refusal(f"takes a list of {column.dimension}, not {describe(value)}")
    made = _convert_list(column, _elements(value, f"list of {column.dimension}"), method)
    if method != "to_python" and len(made) != column.dimension:
        raise Refusal(f"takes a list of {column.dimension}; this one has {len(made)} values")
    return made


def _convert_user_type(column: Any, value: Any, method: Method) -> Any:
    kind = column.user_type
    is_new = value.__class__ is not kind
    if is_new:
        value = _make_user_type(kind, value)
    fields = kind._fields
    try:
        if method == "validate":
            value.validate()
            for name, field in fields.items():
                value[name] = _as_read(field, value[name])
            return value
        made = value if is_new else deepcopy(value)
        for name, field in fields.items():
            if made[name] is not None or isinstance(field, columns.BaseContainerColumn):
                made[name] = getattr(field, method)(made[name])
    except ValidationError as error:
        raise within(".", error) from error
    return made


def _fields_in_row(kind: Any, value: Any) -> Mapping[str, Any] | None:
    """Return the fields, by their names in CQL, of what the driver makes of a user type whose class
    its session does not know: a named tuple, or the class that another model has for the type.
    """
    if isinstance(value, BaseUserType):
        if value.type_name() != kind.type_name():
            return None
        return {field.db_field_name: value[name] for name, field in value._fields.items()}
    as_dict = getattr(value, "_asdict", None) if isinstance(value, tuple) else None
    return None if as_dict is None else as_dict()


def _make_user_type(kind: Any, value: Any) -> Any:
    given, in_row = value, _fields_in_row(kind, value)
    if in_row is not None:
        # The type in the keyspace may have fields that the class has not.
        names = {field.db_field_name for field in kind._fields.values()}
        given = {name: each for name, each in in_row.items() if name in names}
    if not isinstance(given, Mapping):
        raise Refusal(
            f"takes the user type {kind.__name__}, or a dict of its fields, not {describe(value)}"
        )
    for name in given:
        if name not in kind._fields and name not in kind._db_map:
            raise Refusal(f": {unknown_name(kind.__name__, name, kind._fields, 'field')}")
    try:
        return kind(**given)
    except ValidationError as error:
        known = within("", error)
        raise type(known)(
            known.problem, f".{known.where.removeprefix(f'{kind.__name__}.')}"
        ) from error


#: What converts the values of columns that have others inside.
CONVERSIONS: Mapping[type[columns.Column], Convert] = {
    columns.List: _convert_list,
    columns.Set: _convert_set,
    columns.Map: _convert_map,
    columns.Tuple: _convert_tuple,
    columns.UserDefinedType: _convert_user_type,
}

#: What an absent collection reads as.
_EMPTY: Mapping[Convert, Callable[[], Any]] = {
    _convert_list: list,
    _convert_set: set,
    _convert_map: dict,
}

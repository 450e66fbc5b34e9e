"""Values on their way to Cassandra, to JSON, to the text of a cell, and back: what they lose.

Every type of column has values that a step on the way could change: a sign, a digit, an exponent,
an end of a range. Each of them takes the whole way, alone and in every collection, as do others
that hypothesis finds. ``exactly`` says when two values are the same.
"""

from __future__ import annotations

import datetime
import enum
import ipaddress
import itertools
import json
import logging
import math
import random
import socket
import struct
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cache
from typing import Any

import orjson
import pytest
from cassandra.cqlengine import ValidationError as CQLEngineValidationError
from cassandra.cqlengine.usertype import BaseUserType
from cassandra.util import Date, Duration, OrderedMap, OrderedMapSerializedKey, SortedSet, Time
from flask import Flask, jsonify
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from marshmallow import ValidationError

from flask_cqlalchemy import CQLAlchemy, columns
from flask_cqlalchemy.errors import EncodingError
from flask_cqlalchemy.json import CassandraJSONProvider
from flask_cqlalchemy.protocol import OutOfRangeTimestamp, UndecodableValue
from flask_cqlalchemy.schemas import Schema, schema_class_for, schema_for

from .cql_helpers import module_fixtures

#: While hypothesis draws values, the driver's threads may draw random numbers, too.
pytestmark = pytest.mark.filterwarnings(
    "ignore:Do not use the `random` module:hypothesis.errors.HypothesisDeprecationWarning"
)

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1)
MILLISECOND = datetime.timedelta(milliseconds=1)
LAST_MOMENT = datetime.datetime(9999, 12, 31, 23, 59, 59, 999_999)
FIRST_MILLISECOND = (datetime.datetime(1, 1, 1) - EPOCH) // MILLISECOND
LAST_MILLISECOND = (LAST_MOMENT - EPOCH) // MILLISECOND

#: Fixtures are shared by all examples of a test, as are the tables.
all_checks: Any = list(HealthCheck)


def reproducible(*, max_examples: int) -> settings:
    """The same examples in every run, and no more than the profile allows.

    None is made smaller, which would take minutes of requests: pytest says which column differs.
    """
    return settings(
        max_examples=min(max_examples, settings().max_examples),
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=all_checks,
    )


# Values


@dataclass(frozen=True)
class Kind:
    """What is generated for one type of column.

    :ivar extremes: values that a step on the way could change.
    :ivar others: any value of the type.
    """

    extremes: list[Any]
    others: st.SearchStrategy[Any]

    def only(self, is_good: Callable[[Any], bool]) -> Kind:
        """Return the kind without the values for which ``is_good`` is false."""
        return Kind([*filter(is_good, self.extremes)], self.others.filter(is_good))


def moment(milliseconds: int) -> datetime.datetime | OutOfRangeTimestamp:
    """The timestamp so many milliseconds after 1970 began, as the kit gives it."""
    try:
        return EPOCH + milliseconds * MILLISECOND
    except OverflowError:
        return OutOfRangeTimestamp(milliseconds)


def time_uuid(number: int) -> uuid.UUID:
    return uuid.UUID(int=number, version=1)


def offset(minutes: int) -> datetime.timezone:
    return datetime.timezone(datetime.timedelta(minutes=minutes))


def signed(sign: int, months: int, days: int, nanoseconds: int) -> Duration:
    return Duration(sign * months, sign * days, sign * nanoseconds)


def from_four_bytes(bits: int) -> float:
    (value,) = struct.unpack(">f", struct.pack(">I", bits))
    return float(value)


def whole_numbers(bits: int) -> Kind:
    least, most = -(2 ** (bits - 1)), 2 ** (bits - 1) - 1
    # JavaScript and other readers of JSON have doubles, whose integers end at 2**53.
    extremes = [least, least + 1, -(2**53) - 1, -1, 0, 1, 2**31, 2**32, 2**53 + 1, most - 1, most]
    return Kind([each for each in extremes if least <= each <= most], st.integers(least, most))


#: Texts that look like something else, to JSON or in a cell.
TEXTS = [
    "",
    " ",
    "\0",
    "a\0b",
    '"',
    '"quoted"',
    '"unfinished',
    'say "so"',
    "'",
    "\\",
    "\\u0000",
    "\r\n",
    "\t,;",
    "null",
    "true",
    "NaN",
    "1",
    "-0",
    '{"a": 1}',
    "[1, 2]",
    "\x7f",
]

FLOATS = [0.0, -0.0, 0.1, math.nan, math.inf, -math.inf]

KINDS: dict[type[columns.Column], Kind] = {
    columns.Ascii: Kind(TEXTS, st.text(st.characters(max_codepoint=127))),
    columns.Text: Kind(
        [
            *TEXTS,
            "\ufeffbyte order mark",
            "\u2028\u2029",
            "\N{GRINNING FACE}",
            # Two ways to write one letter: nobody may normalise them.
            "e\u0301 \u00e9",
            "\ud7ff\ue000\uffff\U0010ffff",
        ],
        st.text(),
    ),
    columns.Inet: Kind(
        [
            "0.0.0.0",
            "255.255.255.255",
            "::",
            "::1",
            "::192.0.2.1",
            "64:ff9b::192.0.2.33",
            "2001:DB8:0:0:0::1",
            "::ffff:192.0.2.1",
            "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
        ],
        st.ip_addresses().map(str),
    ),
    columns.Blob: Kind(
        [b"", b"\0", b"\xff", b'"', b"sixteen bytes ..", bytes(range(256))], st.binary()
    ),
    columns.Boolean: Kind([False, True], st.booleans()),
    columns.TinyInt: whole_numbers(8),
    columns.SmallInt: whole_numbers(16),
    columns.Integer: whole_numbers(32),
    columns.BigInt: whole_numbers(64),
    columns.VarInt: Kind(
        [
            0,
            -1,
            *(2**bits - least for bits in (7, 8, 63, 64) for least in (0, 1)),
            *(-(2**bits) - most for bits in (7, 8, 63, 64) for most in (0, 1)),
            2**53 + 1,
        ],
        st.integers(),
    ),
    columns.Decimal: Kind(
        [
            Decimal("0"),
            Decimal("-0"),
            Decimal("0E+10"),
            Decimal("0.000"),
            Decimal("-0E-7"),
            Decimal("1.50"),
            Decimal("-150E-2"),
            Decimal("1E+2"),
            Decimal("1E-2147483647"),
            Decimal("-1E+2147483648"),
            Decimal("123456789012345678901234567890E-40"),
            Decimal("-123456789012345678901234567890E+40"),
            Decimal(f"{'9' * 300}E+1000"),
            Decimal(f"-1.{'0123456789' * 30}E-1000"),
        ],
        st.decimals(allow_nan=False, allow_infinity=False),
    ),
    columns.Float: Kind(
        [
            *FLOATS,
            2.0**24 + 1,
            1.401298464324817e-45,
            -1.1754942106924411e-38,
            1.1754943508222875e-38,
            3.4028234663852886e38,
        ],
        st.integers(0, 2**32 - 1).map(from_four_bytes),
    ),
    columns.Double: Kind(
        [
            *FLOATS,
            2.0**53 + 2,
            1e16,
            1e22,
            5e-324,
            -2.225073858507201e-308,
            2.2250738585072014e-308,
            1.7976931348623157e308,
        ],
        st.floats(),
    ),
    columns.UUID: Kind(
        [uuid.UUID(int=0), uuid.UUID(int=2**128 - 1), uuid.uuid5(uuid.NAMESPACE_DNS, "localhost")],
        st.uuids(),
    ),
    columns.TimeUUID: Kind(
        [time_uuid(0), time_uuid(2**128 - 1)], st.integers(0, 2**128 - 1).map(time_uuid)
    ),
    columns.DateTime: Kind(
        [
            moment(-(2**63)),
            moment(FIRST_MILLISECOND - 1),
            moment(FIRST_MILLISECOND),
            # Those that cqlengine, which calculates in doubles, takes for the millisecond before.
            moment(-2_168_919_675_469),
            moment(2_168_919_675_469),
            moment(-1),
            moment(0),
            moment(1),
            moment(LAST_MILLISECOND),
            moment(LAST_MILLISECOND + 1),
            moment(2**63 - 1),
            datetime.datetime(1, 1, 1, 0, 0, 0, 999),
            datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999),
            datetime.datetime(2024, 2, 29, 12, 0, 0, 1_999),
            LAST_MOMENT,
            datetime.datetime(2024, 2, 29, 1, 2, 3, 4_000, tzinfo=UTC),
            datetime.datetime(2024, 3, 1, 1, 2, 3, 4_567, tzinfo=offset(345)),
            # In UTC these are in the years 0 and 10,000.
            datetime.datetime(1, 1, 1, tzinfo=offset(840)),
            LAST_MOMENT.replace(tzinfo=offset(-720)),
        ],
        st.datetimes()
        | st.datetimes(timezones=st.integers(-1439, 1439).map(offset))
        | st.integers(-(2**63), 2**63 - 1).map(moment),
    ),
    columns.Date: Kind(
        [
            Date(-(2**31)),
            Date(-719_163),
            Date(-719_162),
            Date(-1),
            Date(0),
            Date(2_932_896),
            Date(2_932_897),
            Date(2**31 - 1),
            datetime.date.min,
            datetime.date(2024, 2, 29),
            datetime.date.max,
        ],
        st.dates() | st.integers(-(2**31), 2**31 - 1).map(Date),
    ),
    columns.Time: Kind(
        [
            Time(0),
            Time(1),
            Time(999_999_999),
            Time(43_200_000_000_001),
            Time(86_399_999_999_999),
            datetime.time(23, 59, 59, 999_999),
        ],
        st.times() | st.integers(0, 86_399_999_999_999).map(Time),
    ),
    columns.Duration: Kind(
        [
            Duration(),
            Duration(2**31 - 1, 2**31 - 1, 2**63 - 1),
            Duration(-(2**31), -(2**31), -(2**63)),
            Duration(1, 2, 3),
            Duration(-14, 0, -1),
            Duration(0, -8, 0),
            Duration(12, 0, 0),
            Duration(0, 7, 0),
            Duration(0, 0, 3_600_000_000_000),
            Duration(0, 0, -59_999_999_999),
        ],
        st.builds(
            signed,
            st.sampled_from([1, -1]),
            st.integers(0, 2**31 - 1),
            st.integers(0, 2**31 - 1),
            st.integers(0, 2**63 - 1),
        ),
    ),
}


#: Values of a size that some reader or writer has a limit for. They are few, as the cluster of the
#: tests is small.
LONG: dict[type[columns.Column], list[Any]] = {
    columns.Ascii: ["a" * 70_000],
    columns.Text: ["\N{GRINNING FACE}" * 20_000],
    columns.Blob: [bytes(range(256)) * 400],
    # As many digits as Python turns into a number, and the schema takes.
    columns.VarInt: [10**4_300 - 1, 1 - 10**4_300],
    columns.Decimal: [Decimal(f"-{'1234567890' * 430}E-4000"), Decimal(f"{'9' * 4300}E+4000")],
}


def is_no_mapped_address(text: str) -> bool:
    address = ipaddress.ip_address(text)
    return address.version == 4 or address.ipv4_mapped is None


#: What stands in collections: see test_cassandra_makes_an_ipv4_address_of_a_mapped_one.
ELEMENTS = {**KINDS, columns.Inet: KINDS[columns.Inet].only(is_no_mapped_address)}

#: What stands in a vector, whose schema takes no NaN and no infinity.
FINITE = {
    **ELEMENTS,
    columns.Float: KINDS[columns.Float].only(math.isfinite),
    columns.Double: KINDS[columns.Double].only(math.isfinite),
}

#: What stands in a primary key: Cassandra need not compare numbers of two thousand million digits.
KEYS = {
    **KINDS,
    columns.Decimal: KINDS[columns.Decimal].only(lambda value: abs(value.adjusted()) < 10_000),
}

Kinds = Mapping[type[columns.Column], Kind]


# Models

db = CQLAlchemy()


def name_of(kind: type[columns.Column]) -> str:
    return f"of_{kind.__name__.lower()}"


class Corner(db.UserType):
    __type_name__ = "round_trip_corner"

    x = db.columns.Double()
    y = db.columns.Decimal(db_field="why")
    label = db.columns.Text()


class Shape(db.UserType):
    __type_name__ = "round_trip_shape"

    name = db.columns.Text()
    first = db.columns.UserDefinedType(Corner)
    corners = db.columns.List(db.columns.UserDefinedType(Corner))
    by_name = db.columns.Map(db.columns.Text, db.columns.UserDefinedType(Corner))
    tags = db.columns.Set(db.columns.Text)
    pair = db.columns.Tuple(db.columns.Integer, db.columns.Text)
    vector = db.columns.Vector(2)
    seen = db.columns.DateTime()


Everything: Any = type(db.UserType)(
    "Everything",
    (db.UserType,),
    {
        "__module__": __name__,
        "__type_name__": "round_trip_everything",
        **{name_of(kind): kind() for kind in KINDS},
    },
)


def define(name: str, **values: columns.Column) -> Any:
    """A model with these columns, and a key under which there is room for a copy."""
    key = {
        "id": columns.Integer(partition_key=True),
        "copy": columns.Integer(primary_key=True),
    }
    return type(db.Model)(name, (db.Model,), {"__module__": __name__, **key, **values})


#: Cassandra does not compare durations.
COMPARABLE = [kind for kind in KINDS if kind is not columns.Duration]

Scalars = define("Scalars", **{name_of(kind): kind() for kind in KINDS})
Lists = define("Lists", **{name_of(kind): columns.List(kind) for kind in KINDS})
Sets = define("Sets", **{name_of(kind): columns.Set(kind) for kind in COMPARABLE})
Maps = define("Maps", **{name_of(kind): columns.Map(columns.Text, kind) for kind in KINDS})
MapKeys = define(
    "MapKeys", **{name_of(kind): columns.Map(kind, columns.Integer) for kind in COMPARABLE}
)
Tuples = define("Tuples", **{name_of(kind): columns.Tuple(kind, columns.Text) for kind in KINDS})
Vectors = define("Vectors", **{name_of(kind): columns.Vector(2, kind) for kind in KINDS})
Records = define("Records", record=columns.UserDefinedType(Everything))
Nested = define(
    "Nested",
    shape=columns.UserDefinedType(Shape, db_field="s"),
    shapes=columns.Map(columns.Text, columns.List(columns.UserDefinedType(Shape)), db_field="ss"),
    tuple_of_collections=columns.Tuple(
        columns.Set(columns.Double),
        columns.Map(columns.Date, columns.Float),
        columns.List(columns.Text),
    ),
    tuple_of_tuples=columns.Tuple(
        columns.Tuple(columns.Integer, columns.Text), columns.Tuple(columns.Double)
    ),
    tuple_of_types=columns.Tuple(columns.UserDefinedType(Corner), columns.Vector(2)),
    list_of_tuples=columns.List(columns.Tuple(columns.Text, columns.Double, columns.DateTime)),
    list_of_lists=columns.List(columns.List(columns.List(columns.DateTime))),
    list_of_sets=columns.List(columns.Set(columns.Tuple(columns.Integer, columns.Text))),
    list_of_vectors=columns.List(columns.Vector(2)),
    list_of_types=columns.List(columns.UserDefinedType(Corner)),
    set_of_tuples=columns.Set(columns.Tuple(columns.Integer, columns.Text)),
    set_of_types=columns.Set(columns.UserDefinedType(Corner)),
    map_of_sets=columns.Map(columns.Integer, columns.Set(columns.Double)),
    map_of_maps=columns.Map(columns.Text, columns.Map(columns.Double, columns.Decimal)),
    map_of_texts=columns.Map(columns.Text, columns.Map(columns.Text, columns.Text)),
    map_by_tuple=columns.Map(columns.Tuple(columns.Integer, columns.Text), columns.Text),
    map_by_tuples=columns.Map(
        columns.Tuple(
            columns.Tuple(columns.Double, columns.Boolean), columns.UUID, columns.DateTime
        ),
        columns.Set(columns.Date),
    ),
    map_by_type=columns.Map(columns.UserDefinedType(Corner), columns.Integer),
    vector_of_vectors=columns.Vector(2, columns.Vector(3, columns.Double)),
    vector_of_lists=columns.Vector(2, columns.List(columns.Text)),
    vector_of_sets=columns.Vector(2, columns.Set(columns.Time)),
    vector_of_maps=columns.Vector(2, columns.Map(columns.Inet, columns.VarInt)),
    vector_of_tuples=columns.Vector(2, columns.Tuple(columns.Integer, columns.Text)),
    vector_of_types=columns.Vector(2, columns.UserDefinedType(Corner)),
)

MODELS = [Scalars, Lists, Sets, Maps, MapKeys, Tuples, Vectors, Records, Nested]


class Keyed(db.Model):
    """A row whose key has a value of every type that a key may have."""

    number = db.columns.Integer(partition_key=True)
    of_blob = db.columns.Blob(partition_key=True)
    of_text = db.columns.Text(partition_key=True)
    of_ascii = db.columns.Ascii(primary_key=True)
    of_inet = db.columns.Inet(primary_key=True)
    of_boolean = db.columns.Boolean(primary_key=True)
    of_tinyint = db.columns.TinyInt(primary_key=True)
    of_smallint = db.columns.SmallInt(primary_key=True)
    of_integer = db.columns.Integer(primary_key=True)
    of_bigint = db.columns.BigInt(primary_key=True)
    of_varint = db.columns.VarInt(primary_key=True)
    of_decimal = db.columns.Decimal(primary_key=True)
    of_float = db.columns.Float(primary_key=True)
    of_double = db.columns.Double(primary_key=True)
    of_uuid = db.columns.UUID(primary_key=True)
    of_timeuuid = db.columns.TimeUUID(primary_key=True)
    of_datetime = db.columns.DateTime(primary_key=True)
    of_date = db.columns.Date(primary_key=True)
    of_time = db.columns.Time(primary_key=True)
    of_tuple = db.columns.Tuple(db.columns.Double, db.columns.Text, primary_key=True)
    of_vector = db.columns.Vector(2, primary_key=True)
    of_type = db.columns.UserDefinedType(Corner, primary_key=True)
    value = db.columns.Integer()


#: The driver's C parser cannot make a dictionary with lists in its keys, as ``odd`` would be one:
#: the page is then decoded cell by cell.
SlowlyRead = define(
    "SlowlyRead",
    odd=columns.Map(columns.Tuple(columns.List(columns.Integer)), columns.Integer),
    **{
        f"{model.__name__.lower()}_{name}": column
        for model in MODELS
        for name, column in (
            (name, type(known)(*known.types))
            for name, known in model._columns.items()
            if type(known) in (columns.List, columns.Set, columns.Map, columns.Tuple)
        )
    },
)


class Group(db.UserType):
    __type_name__ = "round_trip_group"

    members = db.columns.Set(db.columns.Integer)


class ByGroup(db.Model):
    id = db.columns.Integer(partition_key=True)
    group = db.columns.UserDefinedType(Group, primary_key=True)
    value = db.columns.Integer()


class Tally(db.Model):
    id = db.columns.Integer(primary_key=True)
    count = db.columns.Counter()


class Shared(db.Model):
    id = db.columns.Integer(partition_key=True)
    at = db.columns.Integer(primary_key=True)
    tags = db.columns.Set(db.columns.Text, static=True)
    notes = db.columns.List(db.columns.Text)
    pair = db.columns.Tuple(db.columns.Integer, db.columns.Text)


def columns_of(model: Any) -> dict[str, columns.Column]:
    """The columns of a model beside those of the key under which its rows are stored."""
    return {
        name: column
        for name, column in model._columns.items()
        if name not in ("id", "copy", "number", "odd")
    }


def row_of(instance: Any) -> dict[str, Any]:
    return {name: instance[name] for name in columns_of(type(instance))}


# Values of columns


def any_of(column: columns.Column, kinds: Kinds) -> st.SearchStrategy[Any]:
    """Any value of a column, or none."""
    return st.none() | value_of(column, kinds)


def value_of(column: Any, kinds: Kinds) -> st.SearchStrategy[Any]:
    """Any value of a column."""
    kind = type(column)
    if kind is columns.List:
        return st.lists(value_of(column.value_col, ELEMENTS), max_size=3)
    if kind is columns.Set:
        return st.sets(value_of(column.value_col, ELEMENTS), max_size=3)
    if kind is columns.Map:
        pairs = st.dictionaries(
            value_of(column.key_col, ELEMENTS), value_of(column.value_col, ELEMENTS), max_size=3
        )
        return pairs.map(lambda value: with_keys_apart(column, value))
    if kind is columns.Vector:
        size = column.dimension
        return st.lists(value_of(column.value_col, FINITE), min_size=size, max_size=size)
    if kind is columns.Tuple:
        return st.tuples(*(any_of(each, kinds) for each in column.types))
    if kind is columns.UserDefinedType:
        fields = column.user_type._fields.items()
        return st.builds(column.user_type, **{name: any_of(field, kinds) for name, field in fields})
    found = kinds[kind]
    return st.sampled_from(found.extremes) | found.others


@cache
def _all_rows_of(model: Any) -> st.SearchStrategy[dict[str, Any]]:
    row = {name: any_of(column, KINDS) for name, column in columns_of(model).items()}
    return st.fixed_dictionaries(row)


@cache
def _all_keys_of(model: Any) -> st.SearchStrategy[dict[str, Any]]:
    keys = {
        name: value_of(column, KEYS)
        for name, column in columns_of(model).items()
        if column.primary_key
    }
    return st.fixed_dictionaries(keys)


# hypothesis warns of a strategy that takes 38 kB to print. These print their names.


@st.composite
def rows_of(draw: st.DrawFn, model: Any) -> dict[str, Any]:
    """A row of a model, without its key."""
    return draw(_all_rows_of(model))


@st.composite
def keys_of(draw: st.DrawFn, model: Any) -> dict[str, Any]:
    """A primary key of a model."""
    return draw(_all_keys_of(model))


def extreme_of(column: Any, number: int, kinds: Kinds) -> Any:
    """A value made of extremes: a scalar column gets another for each number, a collection of
    scalars gets all of them.
    """
    kind = type(column)
    if kind in (columns.List, columns.Set, columns.Map):
        first = column.types[0]
        is_deep = any(type(each) not in ELEMENTS for each in column.types)
        size = 2 if is_deep else len(ELEMENTS[type(first)].extremes)
        elements = [extreme_of(first, number + index, ELEMENTS) for index in range(size)]
        if kind is columns.Map:
            return with_keys_apart(
                column,
                {
                    key: extreme_of(column.value_col, number + index, ELEMENTS)
                    for index, key in enumerate(elements)
                },
            )
        return set(elements) if kind is columns.Set else elements
    if kind is columns.Vector:
        return [
            extreme_of(column.value_col, number + index, FINITE)
            for index in range(column.dimension)
        ]
    if kind is columns.Tuple:
        return tuple(
            extreme_of(each, number + index, kinds) for index, each in enumerate(column.types)
        )
    if kind is columns.UserDefinedType:
        fields = column.user_type._fields.items()
        return column.user_type(
            **{
                name: extreme_of(field, number + index, kinds)
                for index, (name, field) in enumerate(fields)
            }
        )
    extremes = kinds[kind].extremes
    return extremes[number % len(extremes)]


def extremes_of(model: Any, number: int) -> dict[str, Any]:
    return {name: extreme_of(column, number, KINDS) for name, column in columns_of(model).items()}


def with_keys_apart(column: Any, value: dict[Any, Any]) -> dict[Any, Any]:
    """A map without the keys that are stored as another of it: such a map is refused."""
    by_stored = {stored(column.key_col, key): key for key in value}
    return {key: value[key] for key in by_stored.values()}


MOST_EXTREMES = max(len(kind.extremes) for kind in KINDS.values())


def stored(column: Any, value: Any) -> Any:
    """What Cassandra keeps of a value."""
    kind = type(column)
    if kind is columns.List:
        return [stored(column.value_col, each) for each in value or ()]
    if kind is columns.Set:
        return {stored(column.value_col, each) for each in value or ()}
    if kind is columns.Map:
        items = (value or {}).items()
        return {stored(column.key_col, key): stored(column.value_col, each) for key, each in items}
    if value is None:
        return None
    if kind is columns.Vector:
        return [stored(column.value_col, each) for each in value]
    if kind is columns.Tuple:
        return tuple(stored(each, part) for each, part in zip(column.types, value, strict=True))
    if kind is columns.UserDefinedType:
        fields = column.user_type._fields.items()
        return column.user_type(**{name: stored(field, value[name]) for name, field in fields})
    return STORED[kind](value) if kind in STORED else value


def in_milliseconds(value: Any) -> Any:
    """A timestamp of UTC without what is finer than a millisecond."""
    if isinstance(value, OutOfRangeTimestamp):
        return value
    epoch = EPOCH if value.tzinfo is None else EPOCH.replace(tzinfo=UTC)
    return moment((value - epoch) // MILLISECOND)


def in_four_bytes(value: float) -> float:
    """The nearest number of 32 bits."""
    (nearest,) = struct.unpack(">f", struct.pack(">f", value))
    return float(nearest)


def in_shortest_form(text: str) -> str:
    """An address as the C library writes it."""
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    return socket.inet_ntop(family, socket.inet_pton(family, text))


#: What is stored of a scalar, where that is not the value itself.
STORED: dict[type[columns.Column], Callable[[Any], Any]] = {
    columns.Float: in_four_bytes,
    # Java's BigDecimal has no negative zero.
    columns.Decimal: lambda value: value or value.copy_abs(),
    columns.DateTime: in_milliseconds,
    columns.Inet: in_shortest_form,
    columns.Date: lambda value: value if isinstance(value, Date) else Date(value),
    columns.Time: lambda value: value if isinstance(value, Time) else Time(value),
}


def exactly(value: Any) -> Any:
    """Return what is equal only for values that do not differ at all.

    To ``==``, 0.0 and -0.0 are equal, and so are 1, 1.0 and True, and 1.0 and 1.00 of ``Decimal``,
    but NaN and NaN are not.
    """
    name = type(value).__name__
    if isinstance(value, float):
        return name, "nan" if math.isnan(value) else value.hex()
    if isinstance(value, int):
        # In hexadecimal, since Python does not print one of 5,000 digits.
        return name, hex(value)
    if isinstance(value, Decimal):
        return name, value.as_tuple()
    if isinstance(value, datetime.datetime):
        return name, value, value.tzinfo
    if isinstance(value, Date):
        return name, value.days_from_epoch
    if isinstance(value, Time):
        return name, value.nanosecond_time
    if isinstance(value, Duration):
        return name, value.months, value.days, value.nanoseconds
    if isinstance(value, tuple):
        return name, *map(exactly, value)
    if isinstance(value, list):
        return name, [exactly(each) for each in value]
    if isinstance(value, set):
        return name, sorted(map(exactly, value), key=repr)
    if isinstance(value, Mapping):
        items = [(exactly(key), exactly(each)) for key, each in value.items()]
        return name, sorted(items, key=repr)
    if isinstance(value, BaseUserType):
        return name, {field: exactly(value[field]) for field in value}
    assert isinstance(value, str | bytes | uuid.UUID | OutOfRangeTimestamp | None)
    return name, value


def each_exactly(row: Mapping[str, Any]) -> dict[str, Any]:
    """Return ``exactly`` of every value of a row, so that pytest says which column differs."""
    return {name: exactly(value) for name, value in row.items()}


# The database


cassandra_config, database, app = module_fixtures(
    db, CASSANDRA_GUARDRAILS="off", SECRET_KEY="of the tests"
)


@pytest.fixture(scope="module")
def fast_app(app: Flask, database: CQLAlchemy) -> Iterator[Flask]:
    """An application with the kit's own JSON provider."""
    fast_app = Flask(__name__)
    fast_app.config.from_mapping(app.config)
    fast_app.json = CassandraJSONProvider(fast_app)
    database.init_app(fast_app)
    yield fast_app
    with fast_app.app_context():
        database.close()


@pytest.fixture(scope="module")
def apps(app: Flask, fast_app: Flask) -> list[Flask]:
    """One with each JSON provider."""
    return [app, fast_app]


numbers = itertools.count(1)


#: Maps whose keys do not compare: see test_a_map_is_updated_whatever_its_keys_are.
NOT_UPDATED = ("map_by_tuple", "map_by_tuples", "map_by_type")


def field_of(model: Any, name: str) -> columns.ColumnField:
    field = schema_for(model).fields[name]
    assert isinstance(field, columns.ColumnField)
    return field


def loader_of(model: Any) -> Schema:
    return schema_class_for(model)(load_instance=True)


def assert_round_trip(apps: list[Flask], model: Any, row: Mapping[str, Any]) -> None:
    """Send a row all the way, and compare it after every step."""
    number = next(numbers)
    schema = schema_for(model)
    expected = each_exactly(
        {name: stored(column, row.get(name)) for name, column in columns_of(model).items()}
    )

    row = {**dict.fromkeys(columns_of(model)), **row}
    created = model.create(id=number, copy=0, **row)
    read = model.objects.get(id=number, copy=0)
    assert each_exactly(row_of(read)) == expected

    dumped = schema.dump(read)
    text = json.dumps(dumped, allow_nan=False)
    assert each_exactly(json.loads(text)) == each_exactly(dumped)
    assert each_exactly(row_of(created)) == expected
    assert each_exactly(schema.dump(created)) == each_exactly(dumped)

    loaded = loader_of(model).loads(text)
    assert each_exactly(row_of(loaded)) == expected
    assert each_exactly(schema.dump(loaded)) == each_exactly(dumped)

    loaded.copy = 1
    loaded.save()
    again = model.objects.get(id=number, copy=1)
    assert each_exactly(row_of(again)) == expected

    # An update takes another way than an insert.
    changed = model.create(id=number, copy=2)
    changes = {key: value for key, value in dumped.items() if key not in NOT_UPDATED}
    schema.load({**changes, "copy": 2}, instance=changed).save()
    again = model.objects.get(id=number, copy=2)
    for name, value in row_of(again).items():
        assert exactly(value) == (exactly({}) if name in NOT_UPDATED else expected[name]), name

    assert_cells_are_read(read)
    copies = [dumped, {**dumped, "copy": 1}, schema.dump(again)]
    assert_json_is_the_same(apps, model.objects(id=number), copies)


def assert_cells_are_read(instance: Any) -> None:
    for name in schema_for(type(instance)).fields:
        field, value = field_of(type(instance), name), instance[name]
        cell = field.to_cell(value)
        assert (cell == "") == (value is None)
        assert exactly(field.deserialize(field.from_cell(cell))) == exactly(value), name


def assert_json_is_the_same(apps: list[Flask], query: Any, dumped: list[dict[str, Any]]) -> None:
    """Compare whatever writes the rows of a query as JSON."""
    expected = exactly(dumped)
    instances = list(query)
    assert exactly(schema_for(query.model).dump(instances, many=True)) == expected
    # From instances that the query has already, and from rows that it has to read.
    assert exactly(orjson.loads(query.to_json())) == expected
    assert exactly(orjson.loads(query.all().to_json())) == expected
    page = query.paginate()
    assert exactly(orjson.loads(page.to_json())["items"]) == expected
    for app in apps:
        with app.app_context():
            assert [exactly(jsonify(each).json) for each in instances] == expected[1]
            assert exactly(jsonify(page).json) == exactly(orjson.loads(page.to_json()))
    # From here on the page has items, and makes no use of its rows.
    assert len(page.items) == len(dumped)
    assert exactly(orjson.loads(page.to_json())["items"]) == expected


# Rows


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
@reproducible(max_examples=25)
@given(data=st.data())
def test_a_row_comes_back_as_it_was(
    cql: CQLAlchemy, apps: list[Flask], model: Any, data: st.DataObject
) -> None:
    assert_round_trip(apps, model, data.draw(rows_of(model)))


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_every_extreme_comes_back_as_it_was(cql: CQLAlchemy, apps: list[Flask], model: Any) -> None:
    # A collection has all of them at once, or nearly: of 0.0 and -0.0 a set has the first.
    times = 2 if model in (Lists, Sets, Maps, MapKeys, Nested) else MOST_EXTREMES
    for number in range(times):
        assert_round_trip(apps, model, extremes_of(model, number))


def test_what_is_absent_stays_absent(cql: CQLAlchemy, apps: list[Flask]) -> None:
    for model in MODELS:
        assert_round_trip(apps, model, {})
    assert_round_trip(apps, Tuples, dict.fromkeys(columns_of(Tuples), (None, None)))
    assert_round_trip(apps, Records, {"record": Everything()})
    row = {
        "shape": Shape(),
        "tuple_of_collections": (None, None, None),
        "tuple_of_tuples": ((None, None), (None,)),
        "tuple_of_types": (None, None),
        "list_of_tuples": [(None, None, None)],
        "list_of_types": [Corner()],
        "set_of_tuples": {(None, None)},
        "set_of_types": {Corner()},
        "map_by_tuple": {(None, None): ""},
        "map_by_type": {Corner(): 1},
        "vector_of_tuples": [(None, None), (None, None)],
        "vector_of_types": [Corner(), Corner()],
    }
    assert_round_trip(apps, Nested, row)


@pytest.mark.parametrize("empty", [None, "of its type"])
def test_an_absent_collection_is_an_empty_one(cql: CQLAlchemy, empty: str | None) -> None:
    row = {
        "shape": Shape(),
        "tuple_of_collections": (None, None, None),
        "list_of_lists": None,
        "set_of_tuples": None,
        "map_of_maps": None,
    }
    if empty:
        row = {
            "shape": Shape(corners=[], by_name={}, tags=set()),
            "tuple_of_collections": (set(), {}, []),
            "list_of_lists": [],
            "set_of_tuples": set(),
            "map_of_maps": {},
        }
    Nested.create(id=1, copy=0, **row)
    read = Nested.objects.get(id=1, copy=0)
    dumped = schema_for(Nested).dump(read)
    assert (read.list_of_lists, dumped["list_of_lists"]) == ([], [])
    assert (read.set_of_tuples, dumped["set_of_tuples"]) == (set(), [])
    assert (read.map_of_maps, dumped["map_of_maps"]) == ({}, {})
    assert read.tuple_of_collections == (set(), {}, [])
    assert dumped["tuple_of_collections"] == [[], {}, []]
    assert (read.shape.corners, read.shape.by_name, read.shape.tags) == ([], {}, set())
    assert dumped["s"] == {
        "name": None,
        "first": None,
        "corners": [],
        "by_name": {},
        "tags": [],
        "pair": None,
        "vector": None,
        "seen": None,
    }


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.parametrize(
    ("model", "wrap"),
    [
        (Scalars, lambda value: value),
        (Lists, lambda value: [value]),
        (Maps, lambda value: {"a": value}),
        (Tuples, lambda value: (value, None)),
    ],
    ids=["alone", "in a list", "in a map", "in a tuple"],
)
def test_a_long_value_comes_back_as_it_was(
    cql: CQLAlchemy, apps: list[Flask], model: Any, wrap: Callable[[Any], Any], number: int
) -> None:
    row = {name_of(kind): wrap(values[number % len(values)]) for kind, values in LONG.items()}
    assert_round_trip(apps, model, row)


@pytest.mark.parametrize("kind", [columns.VarInt, columns.Decimal])
def test_a_number_of_many_digits_is_an_element_and_a_key(
    cql: CQLAlchemy, apps: list[Flask], kind: type[columns.Column]
) -> None:
    assert_round_trip(apps, Sets, {name_of(kind): set(LONG[kind])})
    assert_round_trip(apps, MapKeys, {name_of(kind): dict.fromkeys(LONG[kind], 1)})


@reproducible(max_examples=50)
@given(data=st.data())
def test_a_key_comes_back_as_it_was(
    cql: CQLAlchemy, apps: list[Flask], data: st.DataObject
) -> None:
    keys = {name: column for name, column in columns_of(Keyed).items() if column.primary_key}
    drawn = data.draw(keys_of(Keyed))
    key = {"number": next(numbers), **drawn}
    expected = each_exactly({name: stored(keys[name], drawn[name]) for name in drawn})
    schema = schema_for(Keyed)

    Keyed.create(**key, value=1)
    read = Keyed.objects.get(**key)
    dumped = schema.dump(read)
    loaded = loader_of(Keyed).loads(json.dumps(dumped, allow_nan=False))
    for instance in (read, loaded):
        assert each_exactly({name: instance[name] for name in drawn}) == expected

    # If the key had changed in any bit, it would be another row's.
    assert schema.load(dumped, instance=read) is read
    loaded.value = 2
    loaded.save()
    partition = {name: key[name] for name in ("number", "of_blob", "of_text")}
    assert_json_is_the_same(apps, Keyed.objects(**partition), [{**dumped, "value": 2}])
    assert_cells_are_read(read)


def test_a_time_uuid_of_cassandras_own_is_loaded(cql: CQLAlchemy, apps: list[Flask]) -> None:
    # Its last bytes are the greatest there are, which no RFC has.
    cql.execute(
        f"INSERT INTO {Scalars.column_family_name()} (id, copy, of_timeuuid) "
        "VALUES (1, 0, maxTimeuuid('2024-02-29'))"
    )
    read = Scalars.objects.get(id=1, copy=0)
    assert_round_trip(apps, Scalars, {"of_timeuuid": read.of_timeuuid})


def test_a_tuple_in_a_tuple_may_be_absent(cql: CQLAlchemy) -> None:
    Nested.create(id=1, copy=0, tuple_of_tuples=(None, (1.0,)))
    table = Nested.column_family_name()
    (row,) = cql.execute(f"SELECT JSON tuple_of_tuples FROM {table} WHERE id = 1")
    assert json.loads(row["[json]"]) == {"tuple_of_tuples": [None, [1.0]]}


def test_a_counter_comes_back_as_it_was(cql: CQLAlchemy, apps: list[Flask]) -> None:
    for number, count in enumerate([2**53 + 1, 2**63 - 1, 1 - 2**63, 0]):
        Tally.objects(id=number).update(count=count)
        dumped = [{"id": number, "count": count}]
        assert_json_is_the_same(apps, Tally.objects(id=number), dumped)
        assert field_of(Tally, "count").to_cell(count) == str(count)


# The ways to JSON


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_part_of_a_row_is_written_as_in_the_whole(cql: CQLAlchemy, model: Any) -> None:
    model.create(id=1, copy=0, **extremes_of(model, 4))
    schema = schema_for(model)
    dumped = schema.dump(model.objects.get(id=1, copy=0))
    keys = {name: field.data_key or name for name, field in schema.fields.items()}
    some = [name for name in keys if name != "id"][::2]
    for query in (model.objects(id=1).only(some), model.objects(id=1).defer(some)):
        (written,) = orjson.loads(query.all().to_json())
        assert each_exactly(written) == each_exactly(schema.dump(query.get()))
        assert each_exactly(written) == each_exactly({key: dumped[key] for key in written})
    values = [dumped[keys[name]] for name in some]
    query = model.objects(id=1).values_list(*some)
    assert exactly(orjson.loads(query.to_json())) == exactly([values])
    query = model.objects(id=1).values_list(some[-1], flat=True)
    assert exactly(orjson.loads(query.to_json())) == exactly([values[-1]])


def test_a_page_that_is_decoded_cell_by_cell_gives_the_same_json(
    cql: CQLAlchemy, caplog: pytest.LogCaptureFixture
) -> None:
    schema = schema_class_for(SlowlyRead)(exclude=["odd"])
    query = SlowlyRead.objects(id=1)
    for number in range(3):
        SlowlyRead.create(id=1, copy=number, **extremes_of(SlowlyRead, number))
    expected = exactly(orjson.loads(query.to_json(schema)))
    with caplog.at_level(logging.DEBUG, "flask_cqlalchemy.protocol"):
        cql.execute(
            f"UPDATE {SlowlyRead.column_family_name()} SET odd = {{([1]): 2}} "
            "WHERE id = 1 AND copy = 1"
        )
        assert caplog.messages == []
        assert exactly(orjson.loads(query.all().to_json(schema))) == expected
    assert caplog.messages == ["Decoding a page again, cell by cell"]
    assert exactly(orjson.loads(query.paginate().to_json(schema))["items"]) == expected
    assert exactly(schema.dump(list(query), many=True)) == expected


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_many_rows_are_written_as_each_of_them(
    cql: CQLAlchemy, apps: list[Flask], model: Any
) -> None:
    rows = [extremes_of(model, number) for number in range(0, MOST_EXTREMES, 7)]
    # Others have nothing, or only this or that.
    rows += [{}, *({name: rows[0][name]} for name in list(rows[0])[::5])]
    for number, row in enumerate(rows):
        model.create(id=1, copy=number, **row)
    dumped = [
        schema_for(model).dump(model.objects.get(id=1, copy=number)) for number in range(len(rows))
    ]
    assert_json_is_the_same(apps, model.objects(id=1), dumped)
    for app in apps:
        with app.app_context():
            assert exactly(jsonify(model.objects(id=1)).json) == exactly(dumped)


def test_a_schema_may_write_whole_numbers_as_strings(cql: CQLAlchemy) -> None:
    class Digits(db.AutoSchema):
        class Meta:
            model = Scalars
            load_instance = True
            fields = ("id", "copy", "of_bigint")

        of_bigint = db.auto_field(as_string=True)

    for number, value in enumerate([*KINDS[columns.BigInt].extremes, None]):
        Scalars.create(id=1, copy=number, of_bigint=value)
        query = Scalars.objects(id=1, copy=number)
        (written,) = orjson.loads(query.to_json(Digits()))
        text = None if value is None else str(value)
        assert written == Digits().dump(query.get()) == {"id": 1, "copy": number, "of_bigint": text}
        assert Digits().load(written).of_bigint == value


def test_a_partition_without_rows_is_written_alike(cql: CQLAlchemy, apps: list[Flask]) -> None:
    cql.execute(f"INSERT INTO {Shared.column_family_name()} (id, tags) VALUES (1, {{'b', 'a'}})")
    dumped = [{"id": 1, "at": None, "tags": ["a", "b"], "notes": [], "pair": None}]
    assert_json_is_the_same(apps, Shared.objects(id=1), dumped)


def test_both_zeros_of_a_set_are_written_alike(cql: CQLAlchemy, apps: list[Flask]) -> None:
    # Cassandra tells them apart, Python's set does not.
    cql.execute(
        f"INSERT INTO {Sets.column_family_name()} (id, copy, of_double) "
        "VALUES (1, 0, {-0.0, 0.0})"
    )
    dumped = schema_for(Sets).dump(Sets.objects.get(id=1, copy=0))
    assert_json_is_the_same(apps, Sets.objects(id=1), [dumped])


@pytest.mark.parametrize("name", [name_of(kind) for kind in COMPARABLE])
def test_equal_sets_are_written_alike(name: str) -> None:
    field = field_of(Sets, name)
    elements = extremes_of(Sets, 0)[name]
    expected = field.encoded(elements)
    for seed in range(10):
        shuffled = sorted(elements, key=repr)
        random.Random(seed).shuffle(shuffled)
        assert json.dumps(field.encoded(set(shuffled))) == json.dumps(expected)
        assert json.dumps(field.encoded(shuffled)) == json.dumps(expected)


#: The columns whose values look like the schema's wherever a provider finds them. Others are
#: numbers, which a provider writes itself, or timestamps, for which Flask has a form of its own.
ALIKE = [
    kind
    for kind in COMPARABLE
    if kind not in (columns.Float, columns.Double, columns.VarInt, columns.DateTime)
]


@pytest.mark.parametrize("kind", [*ALIKE, columns.Duration], ids=lambda kind: kind.__name__)
def test_a_value_is_written_as_in_a_row(apps: list[Flask], kind: type[columns.Column]) -> None:
    field = field_of(Scalars, name_of(kind))
    values = [stored(Scalars._columns[name_of(kind)], value) for value in KINDS[kind].extremes]
    for app in apps:
        with app.app_context():
            for value in values:
                assert exactly(jsonify(value).json) == exactly(field.encoded(value))
                assert exactly(jsonify([{"a": value}]).json) == exactly(
                    [{"a": field.encoded(value)}]
                )


@pytest.mark.parametrize("kind", ALIKE, ids=lambda kind: kind.__name__)
def test_a_set_is_written_as_in_a_row(
    cql: CQLAlchemy, apps: list[Flask], kind: type[columns.Column]
) -> None:
    name = name_of(kind)
    instance = Sets.create(id=1, copy=0, **{name: extremes_of(Sets, 0)[name]})
    (row,) = Sets.objects(id=1).rows()
    dumped = exactly(schema_for(Sets).dump(Sets.objects.get(id=1, copy=0))[name])
    assert type(row[name]) is SortedSet
    for app in apps:
        with app.app_context():
            assert exactly(jsonify(row[name]).json) == dumped
            assert exactly(jsonify(frozenset(row[name])).json) == dumped
            assert exactly(jsonify(Sets.objects.get(id=1, copy=0)[name]).json) == dumped
    assert instance.id == 1


@pytest.mark.parametrize("kind", COMPARABLE, ids=lambda kind: kind.__name__)
def test_a_map_of_the_driver_is_written_as_in_a_row(
    cql: CQLAlchemy, apps: list[Flask], kind: type[columns.Column]
) -> None:
    name = name_of(kind)
    MapKeys.create(id=1, copy=0, **{name: extremes_of(MapKeys, 0)[name]})
    (row,) = MapKeys.objects(id=1).rows()
    dumped = exactly(schema_for(MapKeys).dump(MapKeys.objects.get(id=1, copy=0))[name])
    assert type(row[name]) is OrderedMapSerializedKey
    for app in apps:
        with app.app_context():
            assert exactly(jsonify(row[name]).json) == dumped


@pytest.mark.parametrize("name", ["set_of_tuples", "set_of_types"])
def test_a_set_of_composed_values_is_written_as_in_a_row(
    cql: CQLAlchemy, apps: list[Flask], name: str
) -> None:
    Nested.create(id=1, copy=0, **{name: extremes_of(Nested, 0)[name]})
    (row,) = Nested.objects(id=1).rows()
    read = Nested.objects.get(id=1, copy=0)
    dumped = exactly(schema_for(Nested).dump(read)[name])
    for app in apps:
        with app.app_context():
            assert exactly(jsonify(row[name]).json) == dumped
            assert exactly(jsonify(read[name]).json) == dumped


@pytest.mark.parametrize("name", ["map_by_tuple", "map_by_type"])
def test_a_map_of_the_driver_with_composed_keys_is_written_as_in_a_row(
    cql: CQLAlchemy, apps: list[Flask], name: str
) -> None:
    Nested.create(id=1, copy=0, **{name: extremes_of(Nested, 0)[name]})
    (row,) = Nested.objects(id=1).rows()
    dumped = exactly(schema_for(Nested).dump(Nested.objects.get(id=1, copy=0))[name])
    for app in apps:
        with app.app_context():
            assert exactly(jsonify(row[name]).json) == dumped


def test_a_timestamp_that_is_out_of_range_is_written_as_in_a_row(apps: list[Flask]) -> None:
    for app in apps:
        with app.app_context():
            assert jsonify(OutOfRangeTimestamp(2**63 - 1)).json == "+292278994-08-17T07:12:55.807Z"


def test_a_value_that_cannot_be_decoded_is_never_written(apps: list[Flask]) -> None:
    for app in apps:
        with app.app_context(), pytest.raises(EncodingError) as error:
            jsonify(UndecodableValue("time", 8, "outside the 24 hours of a day"))
        message = "undecodable time of 8 bytes: outside the 24 hours of a day"
        assert str(error.value) == message


def test_a_timestamp_that_the_fast_provider_writes_is_read_by_a_schema(fast_app: Flask) -> None:
    column = Scalars._columns["of_datetime"]
    field = field_of(Scalars, "of_datetime")
    for value in KINDS[columns.DateTime].extremes:
        if isinstance(value, datetime.datetime) and isinstance(
            stored(column, value), datetime.datetime
        ):
            with fast_app.app_context():
                written = jsonify(value).json
            assert exactly(field.deserialize(written)) == exactly(stored(column, value))


# What is changed, and what is refused


def test_a_uuid_may_be_given_as_text_in_capitals(cql: CQLAlchemy) -> None:
    text = "6BA7B810-9DAD-11D1-80B4-00C04FD430C8"
    known = uuid.UUID(text)
    row = {"of_uuid": text, "of_timeuuid": text}
    created = Scalars.create(id=1, copy=0, **row)
    loaded = loader_of(Scalars).load({"id": 1, "copy": 0, **row})
    for instance in (created, Scalars.objects.get(id=1, copy=0), loaded):
        assert (instance.of_uuid, instance.of_timeuuid) == (known, known)
        assert schema_for(Scalars).dump(instance)["of_uuid"] == text.lower()
    Lists.create(id=1, copy=0, of_uuid=[text])
    Sets.create(id=1, copy=0, of_uuid={text})
    MapKeys.create(id=1, copy=0, of_uuid={text: 1})
    assert Lists.objects.get(id=1, copy=0).of_uuid == [known]
    assert Sets.objects.get(id=1, copy=0).of_uuid == {known}
    assert MapKeys.objects.get(id=1, copy=0).of_uuid == {known: 1}


class Letter(str, enum.Enum):
    A = "a"


class Digit(enum.IntEnum):
    ONE = 1


@pytest.mark.parametrize(
    ("model", "name", "given", "value"),
    [
        (Scalars, "of_text", Letter.A, "a"),
        (Scalars, "of_ascii", Letter.A, "a"),
        (Scalars, "of_blob", bytearray(b"a"), b"a"),
        (Scalars, "of_boolean", 1, True),
        (Scalars, "of_boolean", 0.0, False),
        (Scalars, "of_integer", True, 1),
        (Scalars, "of_integer", Digit.ONE, 1),
        (Scalars, "of_integer", "1", 1),
        (Scalars, "of_integer", 1.0, 1),
        (Scalars, "of_varint", "1", 1),
        (Scalars, "of_varint", Digit.ONE, 1),
        (Scalars, "of_decimal", 1, Decimal("1")),
        (Scalars, "of_decimal", 0.1, Decimal("0.1")),
        (Scalars, "of_decimal", "1.50", Decimal("1.50")),
        (Scalars, "of_float", 1, 1.0),
        (Scalars, "of_float", "0.5", 0.5),
        (Scalars, "of_double", Decimal("0.5"), 0.5),
        (Scalars, "of_double", True, 1.0),
        (Scalars, "of_inet", ipaddress.ip_address("192.0.2.1"), "192.0.2.1"),
        (Scalars, "of_inet", ipaddress.ip_address("2001:db8::1"), "2001:db8::1"),
        (Scalars, "of_date", "2024-02-29", Date(19_782)),
        (Scalars, "of_date", datetime.datetime(2024, 2, 29, 12), Date(19_782)),
        (Scalars, "of_time", "00:00:00.000000789", Time(789)),
        (Scalars, "of_time", 789, Time(789)),
        (Scalars, "of_datetime", datetime.date(2024, 2, 29), datetime.datetime(2024, 2, 29)),
        (Scalars, "of_datetime", 1, EPOCH + 1_000 * MILLISECOND),
        (Lists, "of_integer", (1, "2"), [1, 2]),
        (Lists, "of_inet", [ipaddress.ip_address("::1")], ["::1"]),
        (Sets, "of_integer", SortedSet([2, True]), {1, 2}),
        (Sets, "of_blob", {b"a"}, {b"a"}),
        (Maps, "of_integer", OrderedMap([("b", 1), ("a", "2")]), {"a": 2, "b": 1}),
        (MapKeys, "of_time", {"00:00:00.000000789": "1"}, {Time(789): 1}),
        (MapKeys, "of_date", {datetime.date(1970, 1, 1): 1}, {Date(0): 1}),
        (Tuples, "of_integer", ["1", "a"], (1, "a")),
        (Tuples, "of_integer", (1,), (1, None)),
        (Vectors, "of_float", (1, "0.5"), [1.0, 0.5]),
    ],
)
def test_a_value_of_another_class_is_written_as_it_is_stored(
    cql: CQLAlchemy, apps: list[Flask], model: Any, name: str, given: Any, value: Any
) -> None:
    created = model.create(id=1, copy=0, **{name: given})
    read = model.objects.get(id=1, copy=0)
    assert exactly(read[name]) == exactly(value)
    dumped = schema_for(model).dump(read)
    for app in apps:
        with app.app_context():
            assert exactly(jsonify(created).json) == exactly(jsonify(read).json) == exactly(dumped)


def test_cassandra_makes_an_ipv4_address_of_a_mapped_one(cql: CQLAlchemy) -> None:
    # In a list, set or map: Java's InetAddress does. Elsewhere the bytes stay as they are.
    mapped = "::ffff:192.0.2.1"
    Lists.create(id=1, copy=0, of_inet=[mapped])
    Tuples.create(id=1, copy=0, of_inet=(mapped, None))
    assert Lists.objects.get(id=1, copy=0).of_inet == ["192.0.2.1"]
    assert Tuples.objects.get(id=1, copy=0).of_inet == (mapped, None)


class Moment(datetime.datetime):
    """A timestamp as libraries have their own."""


@pytest.mark.parametrize(
    ("given", "written"),
    [
        (datetime.datetime(2024, 2, 29, 12, 0, 0, 1_999), "2024-02-29T12:00:00.001Z"),
        (datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999), "1969-12-31T23:59:59.999Z"),
        (
            datetime.datetime(2024, 3, 1, 0, 0, 0, 999, tzinfo=offset(345)),
            "2024-02-29T18:15:00.000Z",
        ),
        (
            datetime.datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
            "1969-12-31T23:59:59.999Z",
        ),
        (datetime.date(2024, 2, 29), "2024-02-29T00:00:00.000Z"),
        (Moment(2024, 2, 29, 1, 2, 3, 4_567), "2024-02-29T01:02:03.004Z"),
        (Moment(2024, 2, 29, 1, 2, 3, 4_567, tzinfo=UTC), "2024-02-29T01:02:03.004Z"),
    ],
)
def test_a_timestamp_is_written_as_it_is_stored(cql: CQLAlchemy, given: Any, written: str) -> None:
    created = Scalars.create(id=1, copy=0, of_datetime=given)
    read = Scalars.objects.get(id=1, copy=0)
    for instance in (created, read):
        assert schema_for(Scalars).dump(instance)["of_datetime"] == written


def test_a_fraction_of_a_millisecond_is_rounded_down() -> None:
    load = schema_for(Scalars).fields["of_datetime"].deserialize
    assert load("1970-01-01T00:00:00.000999999Z") == EPOCH
    assert load("1969-12-31T23:59:59.999999999Z") == EPOCH - MILLISECOND
    assert load("0000-12-31T23:59:59.999999999Z") == OutOfRangeTimestamp(FIRST_MILLISECOND - 1)


def test_a_list_of_tuples_has_no_null(cql: CQLAlchemy) -> None:
    with pytest.raises(CQLEngineValidationError) as error:
        Nested.create(id=1, copy=0, list_of_tuples=[None])
    assert str(error.value) == "Nested.list_of_tuples[0] is None, and a list has no null"


SURROGATE = "Not valid Unicode: half of a surrogate pair at position 1."


@pytest.mark.parametrize(
    ("model", "row", "messages"),
    [
        (Scalars, {"of_text": "a\ud800"}, {"of_text": [SURROGATE]}),
        (Scalars, {"of_text": "a\udfff\ud800"}, {"of_text": [SURROGATE]}),
        (Scalars, {"of_ascii": "a\ud800"}, {"of_ascii": [SURROGATE]}),
        (Lists, {"of_text": ["a", "a\ud800"]}, {"of_text": {1: [SURROGATE]}}),
        (Sets, {"of_text": ["a\ud800"]}, {"of_text": {0: [SURROGATE]}}),
        (Maps, {"of_text": {"b": "a\ud800"}}, {"of_text": {"b": [SURROGATE]}}),
        (
            Maps,
            {"of_text": {"a\ud800": "b"}},
            {"of_text": {"a\ud800": [f"The key: {SURROGATE}"]}},
        ),
        (Tuples, {"of_integer": [1, "a\ud800"]}, {"of_integer": {1: [SURROGATE]}}),
        (Vectors, {"of_text": ["a", "a\ud800"]}, {"of_text": {1: [SURROGATE]}}),
        (Records, {"record": {"of_text": "a\ud800"}}, {"record": {"of_text": [SURROGATE]}}),
    ],
)
def test_half_a_surrogate_pair_is_refused(
    model: Any, row: dict[str, Any], messages: dict[str, Any]
) -> None:
    with pytest.raises(ValidationError) as error:
        schema_for(model).loads(json.dumps({"id": 1, "copy": 0, **row}))
    assert error.value.messages == messages


@pytest.mark.parametrize("address", ["fe80::1%eth0", "fe80::1%25", "::ffff:192.0.2.1%1"])
def test_an_address_with_a_zone_is_refused(address: str) -> None:
    problem = "IP addresses with a zone cannot be stored."
    with pytest.raises(ValidationError) as error:
        schema_for(Scalars).load({"id": 1, "copy": 0, "of_inet": address})
    assert error.value.messages == {"of_inet": [problem]}
    with pytest.raises(ValidationError) as error:
        schema_for(MapKeys).load({"id": 1, "copy": 0, "of_inet": {address: 1}})
    assert error.value.messages == {"of_inet": {address: [f"The key: {problem}"]}}


@pytest.mark.parametrize("name", ["of_float", "of_double"])
@pytest.mark.parametrize("text", ["NaN", "Infinity", "-Infinity"])
def test_a_vector_takes_finite_numbers(name: str, text: str) -> None:
    with pytest.raises(ValidationError) as error:
        schema_for(Vectors).load({"id": 1, "copy": 0, name: [1.0, text]})
    assert error.value.messages == {name: {1: ["Not a finite number."]}}


@pytest.mark.parametrize(
    ("name", "first", "second"),
    [
        ("of_uuid", "6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6BA7B810-9DAD-11D1-80B4-00C04FD430C8"),
        ("of_inet", "::1", "0:0::1"),
        ("of_inet", "2001:db8::1", "2001:DB8::1"),
        ("of_varint", "1", "01"),
        ("of_decimal", "1.0", "1.00"),
        ("of_decimal", "0", "-0"),
        ("of_double", "1", "1e0"),
        ("of_double", "0.0", "-0.0"),
        ("of_datetime", "2024-02-29T00:00:00Z", "2024-02-29T01:00:00+01:00"),
        ("of_datetime", "2024-02-29T00:00:00.0001Z", "2024-02-29T00:00:00.0009Z"),
        ("of_date", "2024-02-29", "+2024-02-29"),
        ("of_time", "12:00", "12:00:00.000"),
    ],
)
def test_a_key_that_is_there_twice_in_two_forms_is_refused(
    name: str, first: str, second: str
) -> None:
    with pytest.raises(ValidationError) as error:
        schema_for(MapKeys).load({"id": 1, "copy": 0, name: {first: 1, second: 2}})
    assert error.value.messages == {name: {second: ["Another key has the same value."]}}


# What is wrong


def test_a_varint_of_many_digits_is_written_and_not_loaded(cql: CQLAlchemy) -> None:
    Scalars.create(id=1, copy=0, of_varint=10**5_000 - 1)
    read = Scalars.objects.get(id=1, copy=0)
    dumped = schema_for(Scalars).dump(read)

    assert dumped["of_varint"] == "9" * 5_000
    with pytest.raises(ValidationError) as caught:
        schema_for(Scalars).load({"id": 1, "copy": 0, "of_varint": dumped["of_varint"]})
    assert caught.value.messages == {"of_varint": ["More than 4300 digits."]}


def test_a_decimal_of_more_digits_than_the_driver_writes_is_refused(cql: CQLAlchemy) -> None:
    with pytest.raises(CQLEngineValidationError) as error:
        Scalars.create(id=1, copy=0, of_decimal=Decimal(f"{'9' * 5_000}E-2500"))
    assert str(error.value) == (
        "Scalars.of_decimal takes a decimal number of at most 4300 digits; this one has more, or "
        "an exponent of more than 32 bits"
    )


@pytest.mark.parametrize(
    ("name", "given"),
    [
        ("map_by_tuple", {(None, "a"): "a", (1, "a"): "b"}),
        ("map_by_type", {Corner(x=1.0): 1, Corner(x=2.0): 2}),
    ],
)
def test_a_map_is_updated_whatever_its_keys_are(
    cql: CQLAlchemy, name: str, given: dict[Any, Any]
) -> None:
    row = Nested.create(id=1, copy=0)
    row[name] = given
    row.save()
    assert Nested.objects.get(id=1, copy=0)[name] == given


def test_equal_sets_in_a_key_are_one_key(cql: CQLAlchemy) -> None:
    # Of these two numbers, a set has that first which came first.
    ByGroup.create(id=1, group=Group(members={8} | {0}), value=1)
    loaded = loader_of(ByGroup).loads(
        json.dumps(schema_for(ByGroup).dump(ByGroup.objects.get(id=1)))
    )
    loaded.value = 2
    loaded.save()
    assert [row.value for row in ByGroup.objects(id=1)] == [2]


@pytest.mark.parametrize(
    ("model", "row", "message"),
    [
        (
            Nested,
            {"map_of_texts": {"a": {"b": None}}},
            "Nested.map_of_texts (a value) (a value) is None, and a map has no null",
        ),
        (
            Nested,
            {"list_of_vectors": [[1.0]]},
            "Nested.list_of_vectors[0] takes a list of 2; this one has 1 values",
        ),
        (Lists, {"of_blob": [b"a", "a"]}, "Lists.of_blob[1] takes bytes, not a str"),
        (
            Lists,
            {"of_duration": [Duration(1, -1, 0)]},
            "Lists.of_duration[0]: The months, days and nanoseconds of a duration must have the "
            "same sign.",
        ),
        (
            Nested,
            {"shapes": {"a": [Shape(), {"corners": [{"x": "far"}]}]}},
            "Nested.shapes (a value)[1].corners[0].x takes a number; this text is not one",
        ),
    ],
)
def test_what_is_wrong_inside_a_value_is_said_of_the_column(
    cql: CQLAlchemy, model: Any, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(CQLEngineValidationError) as error:
        model.create(id=1, copy=0, **row)
    assert str(error.value) == message

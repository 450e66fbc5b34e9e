"""What a visitor may send instead of what a schema asks for: an error that says where and why, and
quotes nothing.
"""

from __future__ import annotations

import json
import math
import sys
import uuid
from datetime import datetime, timezone
from decimal import Decimal
from typing import Any

import pytest
from marshmallow import ValidationError

from flask_cqlalchemy import CQLAlchemy
from flask_cqlalchemy.errors import InvalidJSON
from flask_cqlalchemy.schemas import schema_for

from .cql_helpers import model, module_fixtures
from .every_type import columns_of_every_type

schemas = CQLAlchemy()
c = schemas.columns


class Place(schemas.UserType):
    street = c.Text(required=True)
    number = c.Integer()
    tags = c.List(c.Text(max_length=3))


class Trip(schemas.UserType):
    start = c.UserDefinedType(Place, required=True)
    stops = c.List(c.UserDefinedType(Place))


Every: Any = type(schemas.Model)(
    "Every",
    (schemas.Model,),
    {
        "id": c.Integer(primary_key=True),
        **columns_of_every_type(Place),
        "c_vector": c.Vector(2),
        "c_trip": c.UserDefinedType(Trip),
        "c_lists": c.Map(c.Text, c.List(c.Integer)),
        "c_places": c.List(c.UserDefinedType(Place)),
    },
)


class Maps(schemas.Model):
    id = c.Integer(primary_key=True)
    by_ascii = c.Map(c.Ascii, c.Integer)
    by_blob = c.Map(c.Blob, c.Integer)
    by_boolean = c.Map(c.Boolean, c.Integer)
    by_date = c.Map(c.Date, c.Integer)
    by_decimal = c.Map(c.Decimal, c.Integer)
    by_double = c.Map(c.Double, c.Integer)
    by_inet = c.Map(c.Inet, c.Integer)
    by_integer = c.Map(c.Integer, c.Integer)
    by_text = c.Map(c.Text(min_length=2, max_length=3), c.Integer)
    by_time = c.Map(c.Time, c.Integer)
    by_timestamp = c.Map(c.DateTime, c.Integer)
    by_tuple = c.Map(c.Tuple(c.Integer, c.Text), c.Integer)
    by_uuid = c.Map(c.UUID, c.Integer)
    by_varint = c.Map(c.VarInt, c.Integer)


class Needed(schemas.Model):
    id = c.Integer(primary_key=True)
    c_ascii = c.Ascii(required=True)
    c_blob = c.Blob(required=True)
    c_boolean = c.Boolean(required=True)
    c_datetime = c.DateTime(required=True)
    c_decimal = c.Decimal(required=True)
    c_double = c.Double(required=True)
    c_duration = c.Duration(required=True)
    c_inet = c.Inet(required=True)
    c_integer = c.Integer(required=True)
    c_list = c.List(c.Integer, required=True)
    c_map = c.Map(c.Text, c.Integer, required=True)
    c_set = c.Set(c.Text, required=True)
    c_text = c.Text(required=True)
    c_tuple = c.Tuple(c.Integer, c.Text, required=True)
    c_udt = c.UserDefinedType(Place, required=True)
    c_uuid = c.UUID(required=True)
    c_vector = c.Vector(2, required=True)


class Sized(schemas.Model):
    id = c.Integer(primary_key=True)
    short = c.Text(max_length=3)
    long = c.Text(min_length=2)
    both = c.Ascii(min_length=2, max_length=3)
    needed = c.Text(required=True)
    inside = c.List(c.Text(max_length=3))


class Visits(schemas.Model):
    page = c.Text(primary_key=True)
    number = c.Counter()


class Renamed(schemas.Model):
    key = c.Text(partition_key=True, db_field="id")
    part = c.Integer(primary_key=True)
    text = c.Text(db_field="body")


class TwoPartKey(schemas.Model):
    blog = c.Text(partition_key=True)
    year = c.Ascii(partition_key=True)
    slug = c.Blob(primary_key=True)


class ByBlob(schemas.Model):
    key = c.Blob(primary_key=True)


class ByDecimal(schemas.Model):
    key = c.Decimal(primary_key=True)


class ByTuple(schemas.Model):
    key = c.Tuple(c.Integer, c.Text, partition_key=True)


def messages_of(table: type[Any], data: Any, **options: Any) -> Any:
    """What the schema of ``table`` finds wrong with ``data``."""
    with pytest.raises(ValidationError) as caught:
        schema_for(table).load(data, **options)
    return caught.value.messages


def outcome(table: type[Any], data: Any) -> Any:
    """What is loaded, or the messages, where a test is content with either."""
    try:
        return schema_for(table).load(data)
    except ValidationError as error:
        return error.messages


def load(table: type[Any], **data: Any) -> Any:
    """What the schema of ``table`` makes of a row that it takes."""
    return schema_for(table).load({"id": 1, **data})


# Values of one column

INTEGER = "Not a valid integer."
NUMBER = "Not a valid number."
STRING = "Not a valid string."
LIST = "Not a valid list."
OBJECT = "Not a valid object."
UUID = "Not a valid UUID."
BASE64 = "Not valid base64 (RFC 4648, section 4)."
BOOLEAN = "Not a valid boolean: true or false."
DATE = "Not a valid date, such as 2030-12-31."
TIME = "Not a valid time, such as 23:59:59.999, with at most nine digits after the point."
TIMESTAMP = "Not a valid timestamp: RFC 3339 with an offset, such as 2030-12-31T23:59:59.999Z."
DURATION = "Not a valid ISO 8601 duration, such as P1M2DT3H4M5.6S."
DECIMAL = "Not a valid decimal, such as 12.50."
NO_ADDRESS = "Not a valid IP address."
UNKNOWN = "Unknown field."
NULL = "Field may not be null."
MISSING = "Missing data for required field."
NOT_A_NUMBER = 'JSON has no NaN; send the string "NaN".'
TOO_LARGE = 'Too large for a double: at most 1.8e308. For infinity send the string "Infinity".'
DAYS = "Not a date from -5877641-06-23 to +5881580-07-11."
EXPONENT = "A decimal's exponent is at most 2147483647, with either sign."
DIGITS = "More than 4300 digits."
TOO_MANY = "Longer than maximum length 65535."
ROUNDED = "A number of more than 15 digits must be a string, or it is rounded."

#: Digits of Arabic, which Python's ``int`` takes.
OTHER_DIGITS = "١٢"

TRUTHS: list[Any] = [True, False]
NUMBERS: list[Any] = [1, 1.5]
CONTAINERS: list[Any] = [[], {}]


def out_of(bits: int) -> str:
    """The message for an integer that does not fit."""
    return (
        f"Must be greater than or equal to {-(2 ** (bits - 1))} and less than or equal to "
        f"{2 ** (bits - 1) - 1}."
    )


def wrong_integers(bits: int) -> dict[str, list[Any]]:
    """What no integer column of so many bits takes."""
    too_large, too_small = 2 ** (bits - 1), -(2 ** (bits - 1)) - 1
    return {
        INTEGER: [
            *[*TRUTHS, 1.5, *CONTAINERS, "x", "", " 1", "1 ", "1\n", "+1", "1_000", "0x1", "1.0"],
            *["1e3", "NaN", OTHER_DIGITS, "9" * 10**5, math.nan, math.inf, -math.inf, 1e300],
        ],
        out_of(bits): [too_large, too_small, str(too_large), str(too_small), 10**5000],
    }


def wrong_numbers() -> dict[str, list[Any]]:
    """What neither ``float`` nor ``double`` takes."""
    return {
        NUMBER: [*TRUTHS, *CONTAINERS, "x", "", "1", "1.5", "nan", "inf", "-NaN", "+Infinity"],
        NOT_A_NUMBER: [math.nan],
        TOO_LARGE: [math.inf, -math.inf, 10**400, -(10**400)],
    }


def wrong_uuids() -> list[Any]:
    return [
        *[*TRUTHS, *NUMBERS, *CONTAINERS, "x", "", "6ba7b8109dad11d180b400c04fd430c8"],
        *[
            "{6ba7b810-9dad-11d1-80b4-00c04fd430c8}",
            "urn:uuid:6ba7b810-9dad-11d1-80b4-00c04fd430c8",
        ],
        *["6ba7b810-9dad-11d1-80b4-00c04fd430c", "6ba7b810-9dad-11d1-80b4-00c04fd430c88"],
        *["6ba7b810-9dad-11d1-80b4-00c04fd430cg", "6ba7b810-9dad-11d1-80b4-00c04fd430c8\n"],
        *[" 6ba7b810-9dad-11d1-80b4-00c04fd430c8", "6ba7b810-9dad-11d1-80b4-00c04fd430c" + "٨"],
    ]


#: By column and message, the values that are answered with it.
WRONG: dict[str, dict[str, list[Any]]] = {
    "c_ascii": {
        STRING: [*TRUTHS, *NUMBERS, *CONTAINERS],
        "Not an ASCII string: another character at position 1.": ["aé", "a\x80b", "a😀"],
        "Not valid Unicode: half of a surrogate pair at position 1.": ["a\ud800", "a\udfff"],
    },
    "c_bigint": wrong_integers(64),
    "c_blob": {
        BASE64: [
            *[*TRUTHS, *NUMBERS, *CONTAINERS, "x", "QQ", "QQ=", "QQ===", "QQQQQ", "=QQ=", "Q=Q="],
            *["QQ==QQ==", "_-8=", "QQ==\n", "QQ ==", " QQ==", "Q\nQ==", "é", "QQ==\u00a0"],
            "QQ\ud800=",
        ],
    },
    "c_boolean": {BOOLEAN: [*NUMBERS, 0, "true", "false", "x", "", "on", *CONTAINERS]},
    "c_date": {
        DATE: [
            *[*TRUTHS, *NUMBERS, *CONTAINERS, "x", "", "2023-02-30", "2023-02-29", "1900-02-29"],
            *["2023-00-01", "2023-13-01", "2023-01-00", "2023-01-32", "2023-1-1", "20230101"],
            *["01.02.2023", "2023-01-01T00:00:00Z", "2023-W01-1", "2023-001", "10000-01-01"],
            *[
                "2023-01-01 ",
                "2023-01-01\n",
                "+10000000000-01-01",
                "-999-01-01",
                f"{OTHER_DIGITS * 2}-01-01",
            ],
        ],
        DAYS: ["+5881580-07-12", "-5877641-06-22", "+999999999-12-31", "-999999999-01-01"],
    },
    "c_datetime": {
        TIMESTAMP: [
            *[*TRUTHS, *NUMBERS, *CONTAINERS, "x", "", "2023-01-01", "2023-01-01T00:00:00"],
            *["2023-02-30T00:00:00Z", "2023-01-01T24:00:00Z", "2023-01-01T00:60:00Z"],
            *["2016-12-31T23:59:60Z", "2023-01-01T00:00:00+25:00", "2023-01-01T00:00:00+24:00"],
            *["2023-01-01T00:00:00+01:60", "2023-01-01T00:00:00+0100", "2023-01-01T00:00:00+01"],
            *["2023-01-01T00:00Z", "2023-01-01T00:00:00.Z", "2023-01-01T00:00:00.1234567890Z"],
            *["2023-01-01T00:00:00,5Z", "2023-01-01T00:00:00Z[UTC]", "2023-01-01T00:00:00 Z"],
            *["2023-01-01T00:00:00ZZ", "2023-01-01T00:00:00Z\n", "Sun, 01 Jan 2023 00:00:00 GMT"],
            *["1672531200000", "2023-01-01T0\u0660:00:00Z", "2023-01-01_00:00:00Z"],
        ],
        "Too far from 1970: a timestamp has 64 bits of milliseconds.": [
            *["+292278994-08-17T07:12:55.808Z", "-292275055-05-16T16:47:04.191Z"],
            "+999999999-01-01T00:00:00Z",
        ],
    },
    "c_decimal": {
        DECIMAL: [
            *[*TRUTHS, *CONTAINERS, "x", "", "NaN", "sNaN", "Infinity", "-Infinity", "inf", " 1"],
            *["1 ", "1\n", "1_000", OTHER_DIGITS, "1.", ".1", "+1", "1,5", "1e", "1e1.5", "0x1"],
            *["--1", "-", "e5", "1e999999999999", math.nan, math.inf, -math.inf],
        ],
        EXPONENT: ["1e99999999999", "1e-99999999999", "1e2147483649", "1e-2147483648"],
        DIGITS: ["9" * 10**5, "0." + "0" * 10**5],
        ROUNDED: [0.1234567890123456, 1234567890123456.0],
    },
    "c_double": wrong_numbers(),
    "c_duration": {
        DURATION: [
            *[*TRUTHS, *NUMBERS, *CONTAINERS, "x", "", "P", "-P", "PT", "P1DT", "1D", "P1", "P1H"],
            *["PT1D", "P1D1M", "P1M1Y", "P-1D", "P1M-2D", "-P1M-2D", "+P1D", "P1.5D", "PT1.5H"],
            *["PT.5S", "PT1.S", "PT1.1234567890S", "PT1,5S", "P1D ", "P1D\n", "p1d", "P\u0661D"],
            *["P12345678901M", "1d", "P1S", "PT1S1S"],
        ],
        "A duration has at most 2147483647 months.": [
            *["P2147483648M", "-P2147483649M", "P178956970Y8M", "P9999999999Y"],
        ],
        "A duration has at most 2147483647 days.": ["P2147483648D", "-P2147483649D", "P306783379W"],
        "A duration has at most 9223372036854775807 nanoseconds.": [
            *["PT9223372036.854775808S", "-PT9223372036.854775809S", "PT9999999999999999999H"],
        ],
    },
    "c_float": {
        **wrong_numbers(),
        "Too large for a float: at most 3.4e38.": [3.5e38, -3.5e38, 1e300],
    },
    "c_inet": {
        NO_ADDRESS: [
            *TRUTHS,
            *NUMBERS,
            *CONTAINERS,
            *["%", "::1%", "\ud800"],
            *["x", "", "localhost", "256.0.0.1", "01.2.3.4", "1.2.3.04", "1.2.3", "1.2.3.4.5"],
            *["1.2.3.4/32", " 1.2.3.4", "1.2.3.4\n", "16909060", "0x1.2.3.4", "1::2::3", ":::"],
            *["12345::", "g::", "[::1]", "::1/128", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9"],
            *["1.2.3." + "٤", "::1.2.3.256"],
        ],
        "IP addresses with a zone cannot be stored.": ["fe80::1%eth0"],
    },
    "c_integer": wrong_integers(32),
    "c_list": {
        LIST: [*TRUTHS, *NUMBERS, "x", "[1]", {}, {"0": 1}],
        TOO_MANY: [[1] * 65_536],
    },
    "c_map": {
        OBJECT: [*TRUTHS, *NUMBERS, "x", "{}", [], [["a", 1]]],
        TOO_MANY: [{f"k{number}": number for number in range(65_536)}],
    },
    "c_set": {
        LIST: [*TRUTHS, *NUMBERS, "x", {}, {"a": 1}],
        TOO_MANY: [[f"{number}" for number in range(65_536)]],
    },
    "c_smallint": wrong_integers(16),
    "c_text": {
        STRING: [*TRUTHS, *NUMBERS, *CONTAINERS],
        "Not valid Unicode: half of a surrogate pair at position 2.": ["aa\ud800", "aa\udc00é"],
        "Not valid Unicode: half of a surrogate pair at position 0.": ["\udc00\ud800"],
    },
    "c_time": {
        TIME: [
            *[
                *TRUTHS,
                *NUMBERS,
                *CONTAINERS,
                "x",
                "",
                "24:00:00",
                "23:60:00",
                "23:59:60",
                "1:00:00",
            ],
            *["12:00:00.", "12:00:00.1234567890", "12:00:00Z", "12:00:00+01:00", "12:00:00,5"],
            *["T12:00:00", "120000", "12", "-01:00:00", "12:00:00\n", "12:0\u0660:00", "12:00 PM"],
        ],
    },
    "c_timeuuid": {
        UUID: wrong_uuids(),
        "Not a version 1 UUID, the kind with a time.": [
            *["3f2504e0-4f89-41d3-9a0c-0305e82c3301", "00000000-0000-0000-0000-000000000000"],
            "ffffffff-ffff-ffff-ffff-ffffffffffff",
            "017f22e2-79b0-7cc3-98c4-dc0c0c07398f",
        ],
    },
    "c_tinyint": wrong_integers(8),
    "c_tuple": {
        LIST: [*TRUTHS, *NUMBERS, "x", "xy", {}, {"0": 1, "1": "x"}],
        "Length must be 2.": [[], [1], [1, "x", None], [1, "x", "y"], ["x"] * 10**5],
    },
    "c_udt": {OBJECT: [*TRUTHS, *NUMBERS, "x", "{}", [], ["x", 1, []]]},
    "c_uuid": {UUID: wrong_uuids()},
    "c_varint": {
        INTEGER: [
            *[*TRUTHS, *CONTAINERS, 1.5, "x", "", " 1", "1\n", "+1", "-", "--1", "1_000", "1e3"],
            *["1.0", "NaN", OTHER_DIGITS, math.nan, math.inf],
        ],
        DIGITS: ["9" * 10**5, "-" + "9" * 10**5],
    },
    "c_vector": {
        LIST: [*TRUTHS, *NUMBERS, "x", {}, {"0": 1}],
        "Length must be 2.": [[], [1], [1, 2, 3], [1.5] * 10_000],
    },
}


def label(value: Any) -> str:
    if isinstance(value, int) and value.bit_length() > 256:
        return "a long integer"
    return ascii(value)[:30]


@pytest.mark.parametrize(
    ("name", "message", "value"),
    [
        pytest.param(name, message, value, id=f"{name} {label(value)}")
        for name, answers in WRONG.items()
        for message, values in answers.items()
        for value in values
    ],
)
def test_a_wrong_value_is_refused_with_its_reason(name: str, message: str, value: Any) -> None:
    assert messages_of(Every, {"id": 1, name: value}) == {name: [message]}


def test_every_type_of_column_is_tested() -> None:
    tested = {type(Every._columns[name]) for name in WRONG}
    all_types = {getattr(c, name) for name in dir(c) if isinstance(getattr(c, name), type)}
    columns = {kind for kind in all_types if issubclass(kind, c.Column)}
    assert columns - tested == {
        *(c.Column, c.BaseCollectionColumn, c.BaseContainerColumn),
        # Tested on its own: a visitor may not set it at all.
        c.Counter,
    }


@pytest.mark.parametrize(
    ("name", "value", "loaded"),
    [
        ("c_tinyint", 127, 127),
        ("c_tinyint", "-128", -128),
        ("c_smallint", 2**15 - 1, 2**15 - 1),
        ("c_integer", -(2**31), -(2**31)),
        ("c_integer", 1.0, 1),
        ("c_bigint", str(2**63 - 1), 2**63 - 1),
        ("c_bigint", -(2**63), -(2**63)),
        ("c_varint", "-0", 0),
        ("c_decimal", "1e2147483648", Decimal("1e2147483648")),
        ("c_decimal", "1e-2147483647", Decimal("1e-2147483647")),
        ("c_decimal", 0.1, Decimal("0.1")),
        ("c_double", "Infinity", math.inf),
        ("c_float", 3.4028234663852886e38, 3.4028234663852886e38),
        ("c_blob", "", b""),
        ("c_blob", "+/8=", b"\xfb\xff"),
        ("c_datetime", "2023-01-01T00:00:00+23:59", datetime(2022, 12, 31, 0, 1)),
        ("c_datetime", "2023-01-01t00:00:00.9999999z", datetime(2023, 1, 1, 0, 0, 0, 999_000)),
        ("c_inet", "::FFFF:1.2.3.4", "::ffff:1.2.3.4"),
        ("c_list", [2**31 - 1] * 65_535, [2**31 - 1] * 65_535),
        ("c_tuple", [None, None], (None, None)),
    ],
    ids=label,
)
def test_the_last_good_value_is_taken(name: str, value: Any, loaded: Any) -> None:
    assert load(Every, **{name: value})[name] == loaded


@pytest.mark.parametrize("value", [1, "1", None, True, []], ids=label)
def test_a_counter_is_no_field_of_what_is_sent(value: Any) -> None:
    assert messages_of(Visits, {"page": "a", "number": value}) == {"number": [UNKNOWN]}


def test_an_integer_is_not_rounded_on_its_way_into_a_decimal() -> None:
    number = 10**11_000 + 1
    found = outcome(Every, {"id": 1, "c_decimal": number})
    assert found == {"c_decimal": [DIGITS]} or int(found["c_decimal"]) == number


def test_too_much_padding_is_not_base64() -> None:
    for text in ("QQQQ=", "QQQQ==", "=", "=="):
        assert outcome(Every, {"id": 1, "c_blob": text}) == {"c_blob": [BASE64]}


def test_a_number_of_json_that_is_too_large_is_called_too_large() -> None:
    with pytest.raises(ValidationError) as caught:
        schema_for(Every).loads('{"id": 1, "c_double": 1e400}')
    assert caught.value.messages == {"c_double": [TOO_LARGE]}


def test_all_integers_take_a_whole_number_with_a_point() -> None:
    assert load(Every, c_integer=1.0, c_varint=1.0) == {"id": 1, "c_integer": 1, "c_varint": 1}


# Values inside others

INSIDE: dict[str, tuple[dict[str, Any], Any]] = {
    "a list": ({"c_list": [1, "x", 2**31]}, {"c_list": {1: [INTEGER], 2: [out_of(32)]}}),
    "null in a list": ({"c_list": [1, None]}, {"c_list": {1: [NULL]}}),
    "a set": (
        {"c_set": ["a", 5, "\ud800"]},
        {
            "c_set": {
                1: [STRING],
                2: ["Not valid Unicode: half of a surrogate pair at position 0."],
            }
        },
    ),
    "null in a set": ({"c_set": [None]}, {"c_set": {0: [NULL]}}),
    "a list in a set": ({"c_set": [["a"]]}, {"c_set": {0: [STRING]}}),
    "a map": (
        {"c_map": {"a": "x", "b": 1, "": 1.5}},
        {"c_map": {"a": [INTEGER], "": [INTEGER]}},
    ),
    "null in a map": ({"c_map": {"a": None}}, {"c_map": {"a": [NULL]}}),
    "a tuple": ({"c_tuple": ["x", 5]}, {"c_tuple": {0: [INTEGER], 1: [STRING]}}),
    "a vector": (
        {"c_vector": ["1", "NaN"]},
        {"c_vector": {0: [NUMBER], 1: ["Not a finite number."]}},
    ),
    "nan in a vector": ({"c_vector": [math.nan, 1]}, {"c_vector": {0: [NOT_A_NUMBER]}}),
    "null in a vector": ({"c_vector": [1, None]}, {"c_vector": {1: [NULL]}}),
    "a number too large for a vector": (
        {"c_vector": [1e39, 0]},
        {"c_vector": {0: ["Too large for a float: at most 3.4e38."]}},
    ),
    "a user type": (
        {"c_udt": {"number": "x", "other": 1}},
        {"c_udt": {"street": [MISSING], "number": [INTEGER], "other": [UNKNOWN]}},
    ),
    "null in a user type": ({"c_udt": {"street": None}}, {"c_udt": {"street": [NULL]}}),
    "a list in a user type": (
        {"c_udt": {"street": "a", "tags": ["abc", "abcd", None]}},
        {"c_udt": {"tags": {1: ["Longer than maximum length 3."], 2: [NULL]}}},
    ),
    "user types in a list": (
        {"c_places": [{"street": "a"}, {}, "x", None]},
        {"c_places": {1: {"street": [MISSING]}, 2: [OBJECT], 3: [NULL]}},
    ),
    "a user type in another": (
        {"c_trip": {"start": {"street": 5}, "stops": [{"street": "a", "tags": [1]}], "x": 1}},
        {
            "c_trip": {
                "start": {"street": [STRING]},
                "stops": {0: {"tags": {0: [STRING]}}},
                "x": [UNKNOWN],
            }
        },
    ),
    "a list in a map": (
        {"c_lists": {"a": [1, "x"], "b": 1, "c": None, "d": [None]}},
        {"c_lists": {"a": {1: [INTEGER]}, "b": [LIST], "c": [NULL], "d": {0: [NULL]}}},
    ),
}


@pytest.mark.parametrize("name", INSIDE)
def test_an_error_says_where_inside_it_is(name: str) -> None:
    data, messages = INSIDE[name]
    assert messages_of(Every, {"id": 1, **data}) == messages


def test_every_problem_is_said_at_once() -> None:
    data = {"id": None, "c_ascii": 1, "c_list": ["x"], "c_udt": {"x": 1}, "nothing": 1}
    assert messages_of(Every, data) == {
        "id": [NULL],
        "c_ascii": [STRING],
        "c_list": {0: [INTEGER]},
        "c_udt": {"street": [MISSING], "x": [UNKNOWN]},
        "nothing": [UNKNOWN],
    }


@pytest.mark.parametrize("name", ["c_list", "c_set", "c_vector"])
def test_a_list_that_is_too_long_is_not_read_to_its_end(name: str) -> None:
    message = "Length must be 2." if name == "c_vector" else TOO_MANY
    assert messages_of(Every, {"id": 1, name: [[]] * 65_536}) == {name: [message]}


def test_a_map_that_is_too_large_is_not_read_to_its_end() -> None:
    entries = {f"k{number}": "x" for number in range(65_536)}
    assert messages_of(Every, {"id": 1, "c_map": entries}) == {"c_map": [TOO_MANY]}


def test_a_set_of_what_has_no_hash_is_no_accident() -> None:
    database = CQLAlchemy()
    body = {"id": c.Integer(primary_key=True), "found": c.Set(c.Tuple(c.List(c.Integer), c.Text))}
    table: Any = type(database.Model)("Odd", (database.Model,), body)

    assert messages_of(table, {"id": 1, "found": [[[1], "a"]]}) == {
        "found": ["Elements of this kind cannot be put in a set."]
    }


@pytest.mark.parametrize("kind", [c.UUID, c.VarInt, c.Decimal])
def test_values_that_are_made_for_one_hash_are_refused(kind: type[Any]) -> None:
    """Python takes the remainder of an integer by this for its hash."""
    one_hash = [number * sys.hash_info.modulus for number in range(1, 1_101)]
    texts = [str(uuid.UUID(int=n)) if kind is c.UUID else str(n) for n in one_hash]
    database = CQLAlchemy()
    body = {"id": c.Integer(primary_key=True), "a": c.Set(kind), "b": c.Map(kind, c.Integer)}
    table: Any = type(database.Model)("Hashed", (database.Model,), body)
    message = "Too many of its values have the same hash."

    assert messages_of(table, {"id": 1, "a": texts, "b": dict.fromkeys(texts, 1)}) == {
        "a": [message],
        "b": [message],
    }
    assert schema_for(table).load({"id": 1, "a": [texts[0]] * 2_000})["a"]


# Keys of maps

TWICE = "Another key has the same value."

#: By column, keys of an object and what is said of the last of them.
KEYS: dict[str, list[tuple[list[str], str]]] = {
    "by_ascii": [(["é"], "The key: Not an ASCII string: another character at position 0.")],
    "by_blob": [(["Q"], f"The key: {BASE64}"), (["QQ==", "QR=="], TWICE)],
    "by_boolean": [([key], f"The key: {BOOLEAN}") for key in ("True", "1", "", "null", '"true"')],
    "by_date": [(["2023-02-30"], f"The key: {DATE}"), (["2023-01-01", "+2023-01-01"], TWICE)],
    "by_decimal": [
        (["x"], f"The key: {DECIMAL}"),
        (["9" * 10**5], f"The key: {DIGITS}"),
        (["1.0", "1.00"], TWICE),
    ],
    "by_double": [
        (["x"], f"The key: {NUMBER}"),
        (["true"], f"The key: {NUMBER}"),
        (["9" * 10**5], f"The key: {TOO_LARGE}"),
        (["1", "1.0"], TWICE),
        (["0", "-0.0"], TWICE),
    ],
    "by_inet": [(["x"], f"The key: {NO_ADDRESS}"), (["::1", "0:0::1"], TWICE)],
    "by_integer": [
        *(([key], f"The key: {INTEGER}") for key in ("x", "", "null", "true", "1.0", "1e2", "[]")),
        (["2147483648"], f"The key: {out_of(32)}"),
        (["1", "01"], TWICE),
        (["0", "-0"], TWICE),
    ],
    "by_text": [
        (["a"], "The key: Length must be between 2 and 3."),
        (["null"], "The key: Length must be between 2 and 3."),
        (["\ud800\ud800"], "The key: Not valid Unicode: half of a surrogate pair at position 0."),
    ],
    "by_time": [(["24:00:00"], f"The key: {TIME}"), (["01:00", "01:00:00"], TWICE)],
    "by_timestamp": [
        (["x"], f"The key: {TIMESTAMP}"),
        (["2030-01-01T00:00:00Z", "2030-01-01T01:00:00+01:00"], TWICE),
        (["2030-01-01T00:00:00.001Z", "2030-01-01T00:00:00.0019Z"], TWICE),
    ],
    "by_tuple": [
        (["x"], f"The key: {LIST}"),
        (["[1]"], "The key: Length must be 2."),
        ([f'[{"9" * 10**5}, "a"]'], f"The key: {LIST}"),
        (["[" * 10**5], f"The key: {LIST}"),
        (["null"], f"The key: {NULL}"),
        (['[1,"a"]', '[1, "a"]'], TWICE),
        (["[1,null]", "[1, null]"], TWICE),
    ],
    "by_uuid": [
        (["x"], f"The key: {UUID}"),
        (["6BA7B810-9dad-11d1-80b4-00c04fd430c8", "6ba7b810-9dad-11d1-80b4-00c04fd430c8"], TWICE),
    ],
    "by_varint": [(["9" * 10**5], f"The key: {DIGITS}"), (["7", "007"], TWICE)],
}


@pytest.mark.parametrize(
    ("name", "keys", "message"),
    [
        pytest.param(name, keys, message, id=f"{name} {label(keys)}")
        for name, cases in KEYS.items()
        for keys, message in cases
    ],
)
def test_a_key_that_makes_no_key_is_refused(name: str, keys: list[str], message: str) -> None:
    data = {"id": 1, name: dict.fromkeys(keys, 1)}
    assert messages_of(Maps, data) == {name: {keys[-1]: [message]}}


def test_a_bad_key_hides_no_other_problem() -> None:
    assert messages_of(Maps, {"id": 1, "by_integer": {"x": "x", "1": "x", "2": 2}}) == {
        "by_integer": {"x": [f"The key: {INTEGER}"], "1": [INTEGER]}
    }


def test_a_deeply_nested_key_is_no_number() -> None:
    key = "[" * 10**5
    assert messages_of(Maps, {"id": 1, "by_double": {key: 1}}) == {
        "by_double": {key: [f"The key: {NUMBER}"]}
    }


@pytest.mark.parametrize("key", ["Infinity", "-Infinity"])
def test_a_key_may_be_a_number_that_json_lacks(key: str) -> None:
    schema = schema_for(Maps)
    dumped = schema.dump({"id": 1, "by_double": {float(key): 1}})
    assert dumped == {"id": 1, "by_double": {key: 1}}
    assert schema.load(dumped) == {"id": 1, "by_double": {float(key): 1}}


def test_what_is_wrong_inside_a_key_is_a_sentence() -> None:
    messages = messages_of(Maps, {"id": 1, "by_tuple": {'["x",5]': 1}})
    assert messages["by_tuple"]['["x",5]'] == [f"The key: {INTEGER}", f"The key: {STRING}"]


# Fields


@pytest.mark.parametrize("name", [name for name in Needed._columns if name != "id"])
@pytest.mark.parametrize(("given", "message"), [({}, MISSING), (None, NULL)], ids=["out", "null"])
def test_a_needed_column_is_neither_left_out_nor_null(name: str, given: Any, message: str) -> None:
    values = {other: [MISSING] for other in Needed._columns if other not in ("id", name)}
    sent = {"id": 1, **({} if given == {} else {name: None})}
    assert messages_of(Needed, sent) == {**values, name: [message]}


def test_what_is_not_needed_may_be_null() -> None:
    nulls = {name: None for name in Every._columns if name != "id"}
    assert load(Every, **nulls) == {"id": 1, **nulls}


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("short", "abcd", "Longer than maximum length 3."),
        ("short", "éééé", "Longer than maximum length 3."),
        ("short", "x" * 10**6, "Longer than maximum length 3."),
        ("long", "a", "Shorter than minimum length 2."),
        ("long", "", "Shorter than minimum length 2."),
        ("both", "a", "Length must be between 2 and 3."),
        ("both", "abcd", "Length must be between 2 and 3."),
        ("needed", "", "Shorter than minimum length 1."),
    ],
    ids=label,
)
def test_a_text_has_the_length_of_its_column(name: str, value: str, message: str) -> None:
    assert messages_of(Sized, {"id": 1, "needed": "x", name: value}) == {name: [message]}


def test_the_length_of_a_text_inside_is_checked() -> None:
    assert messages_of(Sized, {"id": 1, "needed": "x", "inside": ["abc", "abcd"]}) == {
        "inside": {1: ["Longer than maximum length 3."]}
    }


@pytest.mark.parametrize("data", [None, True, 1, 1.5, "x", [], [{"id": 1}]], ids=label)
def test_a_row_is_an_object(data: Any) -> None:
    assert messages_of(Every, data) == {"_schema": ["Invalid input type."]}


@pytest.mark.parametrize("data", [None, True, 1, "x", {}, {"0": {"id": 1}}], ids=label)
def test_many_rows_are_a_list(data: Any) -> None:
    assert messages_of(Every, data, many=True) == {"_schema": ["Invalid input type."]}


def test_the_problems_of_many_rows_are_told_by_row() -> None:
    data = [{"id": 1}, {"id": "x"}, {}, 5, {"id": 2, "c_list": ["x"]}, {"id": 3, "other": 1}]
    assert messages_of(Every, data, many=True) == {
        1: {"id": [INTEGER]},
        2: {"id": [MISSING]},
        3: {"_schema": ["Invalid input type."]},
        4: {"c_list": {0: [INTEGER]}},
        5: {"other": [UNKNOWN]},
    }


@pytest.mark.parametrize(
    "name",
    ["nothing", "", "_schema", "__class__", "_values", "save", "key", "é", "\ud800"],
    ids=label,
)
def test_an_unknown_field_is_refused(name: str) -> None:
    data = {"id": "a", "part": 1, name: 1}
    assert messages_of(Renamed, data) == {name: [UNKNOWN]}


@pytest.mark.parametrize(
    ("name", "meant"), [("ID", "id"), ("id ", "id"), ("bdoy", "body"), ("PART", "part")]
)
def test_an_unknown_field_is_answered_with_the_close_one(name: str, meant: str) -> None:
    data = {"id": "a", "part": 1, name: 1}
    message = f"Unknown field of Renamed (did you mean {meant}?)."
    assert messages_of(Renamed, data) == {name: [message]}
    assert messages_of(Renamed, [data], many=True) == {0: {name: [message]}}


def test_an_error_names_a_column_as_it_is_called_outside() -> None:
    assert messages_of(Renamed, {"id": 5, "part": 1, "body": 5, "text": "x"}) == {
        "id": [STRING],
        "body": [STRING],
        "text": [UNKNOWN],
    }


# Keys of rows

TOO_LONG = "Longer than the 65535 bytes of a key."
TOGETHER = "Together longer than the 65535 bytes of a partition key."
EMPTY = "A partition key cannot be empty."


@pytest.mark.parametrize("key", ["a" * 65_536, "é" * 32_768, "😀" * 16_384], ids=label)
def test_a_partition_key_has_at_most_65535_bytes(key: str) -> None:
    assert messages_of(Renamed, {"id": key, "part": 1}) == {"id": [TOO_LONG]}


@pytest.mark.parametrize("key", ["a" * 65_535, "é" * 32_767], ids=label)
def test_the_longest_partition_key_is_taken(key: str) -> None:
    assert schema_for(Renamed).load({"id": key, "part": 1}) == {"key": key, "part": 1}


def test_an_empty_partition_key_is_refused() -> None:
    assert messages_of(Renamed, {"id": "", "part": 1}) == {"id": [EMPTY]}
    assert messages_of(ByBlob, {"key": ""}) == {"key": [EMPTY]}


def test_one_part_of_a_partition_key_may_be_empty() -> None:
    row = {"blog": "", "year": "", "slug": ""}
    assert schema_for(TwoPartKey).load(row) == {"blog": "", "year": "", "slug": b""}


def test_the_parts_of_a_partition_key_have_65535_bytes_together() -> None:
    row = {"blog": "b" * 40_000, "year": "y" * 25_530, "slug": ""}
    assert messages_of(TwoPartKey, row) == {"blog": [TOGETHER], "year": [TOGETHER]}
    row["year"] = "y" * 25_529
    assert schema_for(TwoPartKey).load(row) == {**row, "slug": b""}


def test_a_part_that_is_too_long_alone_is_named_alone() -> None:
    row = {"blog": "b", "year": "y" * 65_536, "slug": ""}
    assert messages_of(TwoPartKey, row) == {"year": [TOO_LONG]}


def test_a_clustering_key_has_at_most_65535_bytes_of_its_own() -> None:
    row = {"blog": "b" * 40_000, "year": "y", "slug": "AAAA" * 21_845}
    assert len(schema_for(TwoPartKey).load(row)["slug"]) == 65_535
    row["slug"] += "AA=="
    assert messages_of(TwoPartKey, row) == {"slug": [TOO_LONG]}


def test_a_key_that_is_a_tuple_is_measured_whole() -> None:
    assert messages_of(ByTuple, {"key": [None, "a" * 65_528]}) == {"key": [TOO_LONG]}
    assert schema_for(ByTuple).load({"key": [None, "a" * 65_527]})["key"][0] is None


def test_the_keys_of_many_rows_are_checked() -> None:
    assert messages_of(ByBlob, [{"key": "QQ=="}, {"key": ""}], many=True) == {1: {"key": [EMPTY]}}


def test_a_part_of_a_row_is_held_to_the_same_limits() -> None:
    assert messages_of(TwoPartKey, {"year": "y" * 65_536}, partial=True) == {"year": [TOO_LONG]}
    assert messages_of(Renamed, {"id": ""}, partial=True) == {"id": [EMPTY]}


def test_a_decimal_of_many_digits_may_be_a_key_or_is_refused() -> None:
    number = "1" * 4_301
    assert list(outcome(ByDecimal, {"key": number})) == ["key"]


# Texts that are not JSON

SECRET = "s3cret"

#: By text, what is said of it.
NO_JSON: dict[str, tuple[str | bytes | bytearray, str]] = {
    "an empty text": ("", "Not valid JSON: Expecting value (line 1, column 1)."),
    "no bytes": (b"", "Not valid JSON: Expecting value (line 1, column 1)."),
    "blanks": (" \n\n ", "Not valid JSON: Expecting value (line 3, column 2)."),
    "a word": (SECRET, "Not valid JSON: Expecting value (line 1, column 1)."),
    "a truncated object": (
        '{"s3cret": ',
        "Not valid JSON: Expecting value (line 1, column 12).",
    ),
    "a truncated string": (
        '{\n"id": "s3cret',
        "Not valid JSON: Unterminated string starting at (line 2, column 7).",
    ),
    "an open object": (
        '{"id": 1',
        "Not valid JSON: Expecting ',' delimiter (line 1, column 9).",
    ),
    "apostrophes": (
        "{'s3cret': 1}",
        "Not valid JSON: Expecting property name enclosed in double quotes (line 1, column 2).",
    ),
    "more after the end": (
        bytearray(b'{"id": 1} s3cret'),
        "Not valid JSON: Extra data (line 1, column 11).",
    ),
    "a bad escape": ('"s3cret\\q"', "Not valid JSON: Invalid \\escape (line 1, column 8)."),
    "a line feed in a string": (
        '"s3cret\n"',
        "Not valid JSON: Invalid control character at (line 1, column 8).",
    ),
    "NaN": ('{"id": NaN}', "NaN is not a JSON number."),
    "Infinity": ('{"id": Infinity}', "Infinity is not a JSON number."),
    "-Infinity": ('{"id": [-Infinity]}', "-Infinity is not a JSON number."),
    "a key twice": ('{"s3cret": 1, "s3cret": 1}', "A key appears twice in the same object."),
    "a key twice inside": (
        '{"id": 1, "c_udt": {"street": "a", "street": "b"}}',
        "A key appears twice in the same object.",
    ),
    "a key twice, once escaped": (
        '{"id": 1, "\\u0069d": 2}',
        "A key appears twice in the same object.",
    ),
    "invalid UTF-8": (b'{"id": "s3cret\xff"}', "Not valid JSON: not in UTF-8."),
    "a truncated letter": (b'"s3cret\xc3', "Not valid JSON: not in UTF-8."),
    "an overlong letter": (b'"\xc0\xaf"', "Not valid JSON: not in UTF-8."),
    "Latin-1": ('"s3crét"'.encode("latin-1"), "Not valid JSON: not in UTF-8."),
    "an integer of 100,000 digits": (
        '{"id": ' + "9" * 10**5 + "}",
        "Not valid JSON: a number has too many digits.",
    ),
    "a negative one": ("[-" + "9" * 10**5 + "]", "Not valid JSON: a number has too many digits."),
    "10,000 arrays": ("[" * 10_000 + "]" * 10_000, "Nested too deeply."),
    "10,000 arrays without an end": ("[" * 10_000, "Nested too deeply."),
    "10,000 objects": ('{"a":' * 10_000 + "1" + "}" * 10_000, "Nested too deeply."),
    "10,000 of both": ('[{"a":' * 10_000 + "1" + "}]" * 10_000, "Nested too deeply."),
    "100,000 arrays in bytes": (b"[" * 100_000, "Nested too deeply."),
    "a byte order mark": (
        '\ufeff{"id": 1}',
        "Not valid JSON: Unexpected UTF-8 BOM (decode using utf-8-sig) (line 1, column 1).",
    ),
    "a lone bracket": ("]", "Not valid JSON: Expecting value (line 1, column 1)."),
    "a null character": ("\x00", "Not valid JSON: Expecting value (line 1, column 1)."),
}


@pytest.mark.parametrize("name", NO_JSON)
def test_what_is_no_json_is_a_bad_request(name: str) -> None:
    text, message = NO_JSON[name]
    with pytest.raises(InvalidJSON) as caught:
        schema_for(Every).loads(text)
    assert (caught.value.code, caught.value.description) == (400, message)
    assert str(caught.value) == message
    assert SECRET not in message
    assert caught.value.__cause__ is None


def test_bytes_may_begin_with_a_byte_order_mark() -> None:
    assert schema_for(Every).loads(b'\xef\xbb\xbf{"id": 1}') == {"id": 1}


@pytest.mark.parametrize("bracket", ["[]", "{}"])
def test_a_value_that_is_nested_less_deeply_is_looked_at(bracket: str) -> None:
    opened = "[" if bracket == "[]" else '{"a":'
    text = opened * 500 + "1" + bracket[1] * 500
    with pytest.raises(ValidationError) as caught:
        schema_for(Every).loads(f'{{"id": 1, "c_text": {text}, "c_decimal": {text}}}')
    assert caught.value.messages == {"c_text": [STRING], "c_decimal": [DECIMAL]}


def test_half_of_a_surrogate_pair_is_found_however_it_came() -> None:
    message = "Not valid Unicode: half of a surrogate pair at position 1."
    for text in ('{"id": 1, "c_text": "a\\ud800"}', b'{"id": 1, "c_text": "a\xed\xa0\x80"}'):
        with pytest.raises(ValidationError) as caught:
            schema_for(Every).loads(text)
        assert caught.value.messages == {"c_text": [message]}


def test_the_longest_integer_that_python_reads_is_out_of_range() -> None:
    with pytest.raises(ValidationError) as caught:
        schema_for(Every).loads('{"id": 1, "c_bigint": ' + "9" * 4_300 + "}")
    assert caught.value.messages == {"c_bigint": [out_of(64)]}


def test_loads_takes_what_load_takes() -> None:
    schema = schema_for(Every)
    assert schema.loads('[{"id": 1}]', many=True) == [{"id": 1}]
    assert schema.loads("{}", partial=True) == {}
    assert schema.loads('{"id": 1, "other": 2}', unknown="exclude") == {"id": 1}


# Texts that are large


@pytest.mark.parametrize("name", sorted(set(WRONG) - {"c_boolean"}))
@pytest.mark.parametrize("letter", ["A", "9", ":"])
def test_a_text_of_ten_megabytes_is_taken_or_refused(name: str, letter: str) -> None:
    text = f'{{"id": 1, "{name}": "{letter * 10**7}"}}'
    if name in ("c_text", "c_ascii") or (name == "c_blob" and letter != ":"):
        assert len(schema_for(Every).loads(text)[name]) >= 7_500_000
        return
    with pytest.raises(ValidationError) as caught:
        schema_for(Every).loads(text)
    assert list(caught.value.messages_dict) == [name]
    assert len(str(caught.value)) < 120


def test_a_list_of_a_million_numbers_is_too_long() -> None:
    text = json.dumps({"id": 1, "c_list": list(range(10**6))})
    with pytest.raises(ValidationError) as caught:
        schema_for(Every).loads(text)
    assert caught.value.messages == {"c_list": [TOO_MANY]}


def test_a_hundred_thousand_unknown_fields_are_all_told() -> None:
    names = [f"k{number}" for number in range(10**5)]
    unknown = dict.fromkeys(names, 1)
    messages = {name: [UNKNOWN] for name in names}
    assert messages_of(Every, {"id": 1, **unknown}) == messages
    assert messages_of(Every, {"id": 1, "c_udt": {"street": "a", **unknown}}) == {"c_udt": messages}


def test_ten_thousand_bad_rows_are_all_told() -> None:
    assert messages_of(ByBlob, [{}] * 10**4, many=True) == {
        number: {"key": [MISSING]} for number in range(10**4)
    }


# Rows that are there

rows = CQLAlchemy()


class Post(rows.Model):
    blog = c.Text(partition_key=True, db_field="weblog")
    at = c.DateTime(primary_key=True)
    weight = c.Double(primary_key=True)
    title = c.Text(required=True, max_length=10)
    tags = c.Set(c.Text)
    views = c.Integer()


class Price(rows.Model):
    id = c.Integer(primary_key=True)
    amount = c.Decimal()
    atoms = c.VarInt()


cassandra_config, database, app = module_fixtures(rows, CASSANDRA_GUARDRAILS="off")


AT = datetime(2030, 1, 1, 12, 30, 0, 5_000)
UNCHANGED = "The primary key of a row cannot be changed."
KEY: dict[str, Any] = {"weblog": "b", "at": "2030-01-01T12:30:00.005Z", "weight": 1.5}


def make_post(cql: CQLAlchemy) -> Any:
    """A row as a program reads it."""
    post = model(cql, "Post")
    post.create(blog="b", at=AT, weight=1.5, title="old", tags={"x"}, views=1)
    return post.get(blog="b", at=AT, weight=1.5)


@pytest.mark.parametrize(
    ("name", "value"),
    [("weblog", "other"), ("at", "2030-01-01T12:30:00.006Z"), ("weight", "NaN"), ("weight", 2)],
    ids=label,
)
def test_the_key_of_a_row_stays(cql: CQLAlchemy, name: str, value: Any) -> None:
    row = make_post(cql)
    with pytest.raises(ValidationError) as caught:
        schema_for(type(row)).load({**KEY, "title": "new", name: value}, instance=row)
    assert caught.value.messages == {name: [UNCHANGED]}
    assert (row.blog, row.at, row.weight, row.title) == ("b", AT, 1.5, "old")


def test_every_part_of_a_key_that_would_change_is_named(cql: CQLAlchemy) -> None:
    data = {"weblog": "x", "at": "2030-01-01T00:00:00Z", "weight": 0}
    row = make_post(cql)
    with pytest.raises(ValidationError) as caught:
        schema_for(type(row)).load(data, instance=row)
    assert caught.value.messages == {name: [UNCHANGED] for name in data}


@pytest.mark.parametrize("name", ["weblog", "at", "weight", "title"])
def test_what_a_row_needs_is_not_made_null(cql: CQLAlchemy, name: str) -> None:
    row = make_post(cql)
    with pytest.raises(ValidationError) as caught:
        schema_for(type(row)).load({name: None}, instance=row)
    assert caught.value.messages == {name: [NULL]}


def test_a_row_is_changed_whole_or_not_at_all(cql: CQLAlchemy) -> None:
    row = make_post(cql)
    with pytest.raises(ValidationError) as caught:
        schema_for(type(row)).load(
            {"title": "new", "tags": ["y", None], "views": "x", "other": 1}, instance=row
        )
    assert caught.value.messages == {
        "tags": {1: [NULL]},
        "views": [INTEGER],
        "other": [UNKNOWN],
    }
    assert (row.title, row.tags, row.views) == ("old", {"x"}, 1)


def test_a_row_may_be_sent_with_its_own_key(cql: CQLAlchemy) -> None:
    row = make_post(cql)
    schema_for(type(row)).load({**KEY, "at": "2030-01-01T13:30:00.005+01:00"}, instance=row).save()
    schema_for(type(row)).load({"title": "new"}, instance=row).save()
    (stored,) = model(cql, "Post").all()
    assert (stored.title, stored.tags, stored.views) == ("new", {"x"}, 1)


def test_an_attribute_of_the_program_is_no_field(cql: CQLAlchemy) -> None:
    row = make_post(cql)
    for name in ("blog", "_is_persisted", "_values", "__class__", "save"):
        with pytest.raises(ValidationError) as caught:
            schema_for(type(row)).load({name: None}, instance=row)
        messages: Any = caught.value.messages
        assert [*messages] == [name]
        assert messages[name][0].startswith("Unknown field")


@pytest.mark.parametrize(
    ("at", "weight"),
    [
        (AT.replace(tzinfo=timezone.utc), 1.5),
        (AT.replace(microsecond=5_678), 1.5),
        (AT, math.nan),
    ],
    ids=["a time zone", "microseconds", "NaN"],
)
def test_a_row_just_made_may_be_sent_with_its_own_key(
    cql: CQLAlchemy, at: datetime, weight: float
) -> None:
    row = model(cql, "Post").create(blog="b", at=at, weight=weight, title="old")
    key = {**KEY, "weight": "NaN" if math.isnan(weight) else weight}
    assert schema_for(type(row)).load({**key, "title": "new"}, instance=row).title == "new"


def test_a_long_varint_that_is_taken_can_be_stored(cql: CQLAlchemy) -> None:
    price = model(cql, "Price")
    number = "-" + "9" * 4_300
    price.create(**schema_for(price).load({"id": 1, "atoms": number}))
    assert price.get(id=1).atoms == 1 - 10**4_300


def test_a_long_decimal_that_is_taken_can_be_stored_and_read(cql: CQLAlchemy) -> None:
    price = model(cql, "Price")
    number = "0." + "9" * 4_301
    found = outcome(price, {"id": 1, "amount": number})
    if list(found) != ["amount"]:
        price.create(**found)
        assert price.get(id=1).amount == Decimal(number)

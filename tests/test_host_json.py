"""A host's own JSON beside the kit: unchanged by ``init_app``, and what is opted into."""

from __future__ import annotations

import collections
import dataclasses
import enum
import json
import math
import uuid
from collections.abc import Callable
from datetime import date, datetime, time, timedelta, timezone
from decimal import Decimal
from functools import cache
from typing import Any

import orjson
import pytest
from cassandra import util
from flask import Blueprint, Flask, Response, jsonify, render_template_string, request
from flask.json.provider import DefaultJSONProvider, JSONProvider
from flask.sessions import session_json_serializer
from flask.testing import FlaskClient
from markupsafe import Markup
from marshmallow import ValidationError
from werkzeug.datastructures import WWWAuthenticate
from werkzeug.exceptions import (
    Forbidden,
    Gone,
    HTTPException,
    NotFound,
    TooManyRequests,
    Unauthorized,
)
from werkzeug.routing import RequestRedirect
from werkzeug.test import TestResponse

from flask_cqlalchemy import CQLAlchemy, InvalidCursor, OutcomeUnknown, RequestTimedOut
from flask_cqlalchemy.errors import EncodingError, InvalidJSON
from flask_cqlalchemy.json import CassandraJSONProvider
from flask_cqlalchemy.problems import init_app as answer_with_problems
from flask_cqlalchemy.protocol import OutOfRangeTimestamp, UndecodableValue
from flask_cqlalchemy.rows import write
from flask_cqlalchemy.schemas import schema_for

from .cql_helpers import module_fixtures, sent

db = CQLAlchemy()
c = db.columns


class Writer(db.UserType):
    name = c.Text(required=True)
    born = c.Integer()


class Book(db.Model):
    id = c.Integer(primary_key=True)
    title = c.Text()
    printed = c.DateTime()
    writer = c.UserDefinedType(Writer)
    writers = c.List(c.UserDefinedType(Writer))
    pages = c.Map(c.Text, c.Integer)
    marks = c.Map(c.Text, c.List(c.Integer))
    place = c.Tuple(c.Integer, c.Text)
    points = c.Set(c.Tuple(c.Integer, c.Text))


CONFIG: dict[str, Any] = {
    "SECRET_KEY": "signs sessions, and seals cursors",
    "CASSANDRA_HOSTS": ["127.0.0.1"],
    "CASSANDRA_PORT": 1,
    "CASSANDRA_KEYSPACE": "test_host_json",
}


def make_app(
    provider: type[JSONProvider] | None = None, *, database: CQLAlchemy | None = None, **config: Any
) -> Flask:
    """A host's application: with a provider of its own, and with the kit if there is a database."""
    app = Flask(__name__)
    app.config.from_mapping(CONFIG, **config)
    if provider is not None:
        app.json = provider(app)
    if database is not None:
        database.init_app(app)
    return app


def outcome(act: Callable[[], Any]) -> Any:
    """What ``act`` gives, or the type and the text of what it raises."""
    try:
        return act()
    except Exception as error:
        return type(error), str(error)


# The providers and the values of hosts


class Money:
    """A host's own class."""

    def __init__(self, amount: int) -> None:
        self.amount = amount


class MoneyError(TypeError):
    """A host's own error."""


class OwnDefault(DefaultJSONProvider):
    """Writes sets, bytes, times and models in its own way, and has errors of its own."""

    def default(self, o: Any) -> Any:
        if isinstance(o, set | frozenset):
            return {"set": sorted(o)}
        if isinstance(o, bytes):
            return o.hex()
        if isinstance(o, datetime):
            return o.timestamp() if o.tzinfo else "naive"
        if isinstance(o, db.Model):
            return f"a {type(o).__name__}"
        if isinstance(o, util.Date):
            return "a date of Cassandra's"
        if isinstance(o, Money):
            raise MoneyError(f"{o.amount} is a secret")
        return DefaultJSONProvider.default(o)


class OnOrjson(JSONProvider):
    """Has no ``default``."""

    def dumps(self, obj: Any, **options: Any) -> str:
        del options
        return orjson.dumps(obj, option=orjson.OPT_NON_STR_KEYS).decode()

    def loads(self, s: str | bytes, **options: Any) -> Any:
        del options
        return orjson.loads(s)


class OtherOptions(DefaultJSONProvider):
    ensure_ascii = False
    sort_keys = False
    compact = False
    mimetype = "application/vnd.host+json"


class AlwaysCompact(DefaultJSONProvider):
    compact = True


PROVIDERS: dict[str, type[JSONProvider]] = {
    "Flask's": DefaultJSONProvider,
    "one with its own default": OwnDefault,
    "one on orjson": OnOrjson,
    "one with other options": OtherOptions,
    "one that is always compact": AlwaysCompact,
}


@dataclasses.dataclass
class Point:
    x: int
    _y: int = 2
    when: datetime | None = None


@dataclasses.dataclass
class Tagged:
    x: int

    def __html__(self) -> str:
        return "<i>"


class Html:
    def __html__(self) -> str:
        return "<b>bold</b>"


class Colour(enum.Enum):
    RED = 1


class Level(enum.IntEnum):
    LOW = 1


class Word(str, enum.Enum):
    YES = "yes"


class Name(str):
    __slots__ = ()


class Number(int):
    pass


class Moment(datetime):
    """As pendulum's or freezegun's."""


Pair = collections.namedtuple("Pair", "left right")  # noqa: PYI024 - a host's own

AWARE = datetime(2030, 1, 2, 3, 4, 5, 678_901, tzinfo=timezone(timedelta(hours=2)))
NAIVE = datetime(2030, 1, 2, 3, 4, 5, 678_901)

#: What JSON or Flask knows.
VALUES: dict[str, Any] = {
    "null": None,
    "true": True,
    "a number": 1,
    "a float": 1.5,
    "a large float": 1e22,
    "minus zero": -0.0,
    "2**53 + 1": 2**53 + 1,
    "2**63": 2**63,
    "2**64": 2**64,
    "-(2**63) - 1": -(2**63) - 1,
    "an integer of 100 digits": 10**100,
    "a text": "é\u2028</script>😀",
    "half a surrogate pair": "a\ud800",
    "an object": {"b": 1, "a": {"d": [2], "c": None}},
    "a list": [1, [2.5, [None, "x"]], {}],
    "a tuple": (1, (2, 3)),
    "a named tuple": Pair(1, 2),
    "a UUID": uuid.UUID(int=5),
    "a decimal": Decimal("1.10"),
    "a decimal that is no number": Decimal("NaN"),
    "Markup": Markup("<b>") + "<",
    "what has __html__": Html(),
    "a dataclass that has __html__": Tagged(1),
    "an IntEnum": Level.LOW,
    "an enum of texts": Word.YES,
    "a subclass of str": Name("x"),
    "a subclass of int": Number(7),
    "an OrderedDict": collections.OrderedDict(b=1, a=2),
    "a defaultdict": collections.defaultdict(int, a=1),
    "keys that are numbers": {2: 1, 1: 2},
    "keys that are floats": {1.5: 1},
    "a key that is true": {True: 1},
    "a key that is null": {None: 1},
    "a key that is a subclass of str": {Name("x"): 1},
    "nested": {"a": [Decimal(1), {"b": (Number(2), Markup("x"), {3: uuid.UUID(int=1)})}]},
    # And what neither knows.
    "an object of no kind": object(),
    "a complex number": 1j,
    "a class": Money,
    "an iterator": iter([]),
    "a range": range(3),
    "a timedelta": timedelta(1),
    "a memoryview": memoryview(b"x"),
    "a key that is a tuple": {(1, 2): 3},
    "keys that do not compare": {1: 1, "a": 2},
    "a host's class": Money(3),
    "a host's class, nested": {"a": [Money(3)]},
}

#: What Flask writes in its own way, which the faster provider changes on purpose.
TIMES: dict[str, Any] = {
    "a naive datetime": NAIVE,
    "a datetime": AWARE,
    "a date": date(2030, 1, 2),
    "a subclass of datetime": Moment(2030, 1, 2, 3, 4, 5),
    "times, nested": {"a": [NAIVE, {"b": AWARE}]},
}

#: What it refuses, or writes in a way that is hard to better.
OTHERS: dict[str, Any] = {
    "an enum": Colour.RED,
    "a time": time(1, 2, 3),
    "a dataclass": Point(1),
    "a dataclass with a time": Point(1, when=NAIVE),
    "NaN": math.nan,
    "Infinity": [math.inf, {"a": -math.inf}],
}

ALL_VALUES = {**VALUES, **TIMES, **OTHERS}


@cache
def without_and_with_kit(provider: str) -> tuple[Flask, Flask]:
    """Two applications that differ in ``db.init_app(app)``."""
    kind = PROVIDERS[provider]
    return make_app(kind), make_app(kind, database=CQLAlchemy())


def circle() -> list[Any]:
    endless: list[Any] = []
    endless.append(endless)
    return endless


@pytest.mark.parametrize("name", ALL_VALUES)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_host_s_values_are_written_as_before(provider: str, name: str) -> None:
    value = ALL_VALUES[name]
    before, after = without_and_with_kit(provider)
    assert outcome(lambda: after.json.dumps(value)) == outcome(lambda: before.json.dumps(value))


@pytest.mark.parametrize("name", ALL_VALUES)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_host_s_answers_are_as_before(provider: str, name: str) -> None:
    def answer(app: Flask) -> Any:
        with app.test_request_context():
            response = jsonify({"value": ALL_VALUES[name], "a": 1})
            return response.status, list(response.headers), response.data

    before, after = without_and_with_kit(provider)
    for debug in (True, False):
        before.debug = after.debug = debug
        assert outcome(lambda: answer(after)) == outcome(lambda: answer(before))


#: Texts of JSON, and some that are none.
TEXTS: dict[str, str | bytes] = {
    "an object": '{"b": [1, 2.5, null, true], "a": {"x": "\\u00e9"}}',
    "bytes": b'{"a": "\xc3\xa9"}',
    "blanks": " \n1\t",
    "the same key twice": '{"a": 1, "a": 2}',
    "2**63": "9223372036854775808",
    "2**64": "18446744073709551616",
    "40 digits": "-" + "1234567890" * 4,
    "40 digits and more": '{"a": [' + "1234567890" * 4 + ', 1.5, "x"]}',
    "a float of 40 digits": "1234567890123456789012345678901234567890.5",
    "digits behind the point": "0.1234567890123456789012345678901234567890",
    "40 digits with an exponent": "12345678901234567890e5",
    "40 digits in a text": '"1234567890123456789012345678901234567890"',
    "-0": "-0",
    "-0.0": "-0.0",
    "a small float": "2.2250738585072011e-308",
    "an underflow": "1e-400",
    "500 arrays": "[" * 500 + "]" * 500,
    "a truncated text": '{"a": ',
    "an integer of 5,000 digits": "9" * 5_000,
    "an empty text": "",
    "two values": "1 2",
    "apostrophes": "{'a': 1}",
    "NaN": "[NaN, Infinity, -Infinity]",
    "an overflow": "1e400",
    "half a surrogate pair": '"\\ud800"',
    "half a surrogate pair, bare": '"\ud800"',
    "half a surrogate pair in bytes": b'"\xed\xa0\x80"',
    "a byte order mark in bytes": b"\xef\xbb\xbf[1]",
    "UTF-16": "[1]".encode("utf-16"),
}


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_host_s_texts_are_read_as_before(provider: str, name: str) -> None:
    before, after = without_and_with_kit(provider)
    found = outcome(lambda: after.json.loads(TEXTS[name]))
    assert repr(found) == repr(outcome(lambda: before.json.loads(TEXTS[name])))


def test_options_are_passed_on_as_before() -> None:
    app = make_app(database=CQLAlchemy())
    value = {"b": Money(1), "a": "é"}
    assert app.json.dumps(value, default=lambda money: money.amount, sort_keys=False) == (
        '{"b": 1, "a": "\\u00e9"}'
    )
    assert app.json.dumps({"b": 1, "a": "é"}, indent=1, ensure_ascii=False) == (
        '{\n "a": "é",\n "b": 1\n}'
    )
    assert app.json.loads("[1.5]", parse_float=str) == ["1.5"]


def test_a_circle_is_found_as_before() -> None:
    app = make_app(database=CQLAlchemy())
    with pytest.raises(ValueError, match="Circular reference detected"):
        app.json.dumps(circle())


# Sessions

SESSION_VALUES: dict[str, Any] = {
    **VALUES,
    **TIMES,
    **OTHERS,
    "bytes": b"\x00\xff",
    "bytes, nested": {"a": [b"x", (b"y",)]},
    "a dictionary that looks like a tag": {" t": [1]},
    "a dictionary with a tag's name": {" b": "x", "a": 1},
}


@pytest.mark.parametrize("name", SESSION_VALUES)
@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_cookie_is_written_and_read_as_before(provider: str, name: str) -> None:
    def cookie(app: Flask) -> Any:
        with app.app_context():
            text = session_json_serializer.dumps({"value": SESSION_VALUES[name]})
            return text, repr(session_json_serializer.loads(text))

    before, after = without_and_with_kit(provider)
    assert outcome(lambda: cookie(after)) == outcome(lambda: cookie(before))


SENT_BACK: dict[str, Any] = {
    "integers": [2**53 + 1, 2**64, -(10**40)],
    "a datetime": datetime(2030, 1, 2, 3, 4, 5, tzinfo=timezone.utc),
    "bytes": b"\x00\xff",
    "tuples": (1, (2, [3])),
    "Markup": Markup("<b>é</b>"),
    "a UUID": uuid.UUID(int=7),
    "a text of digits": "12345678901234567890123",
    "nested": {"a": [(b"x", {"b": Markup("y")}), 2**70, 1.5, None]},
}


def sent_back(app: Flask, value: Any) -> Any:
    """What a request finds in the session that the one before has left."""

    @app.get("/leave")
    def leave() -> str:
        from flask import session

        session["value"] = value
        return "left"

    @app.get("/find")
    def find() -> str:
        from flask import session

        found.append(session.get("value", "nothing at all"))
        return "found"

    found: list[Any] = []
    client = app.test_client()
    assert (client.get("/leave").text, client.get("/find").text) == ("left", "found")
    return found[0]


@pytest.mark.parametrize("name", SENT_BACK)
@pytest.mark.parametrize("provider", [None, OwnDefault, CassandraJSONProvider])
def test_a_session_comes_back(provider: type[JSONProvider] | None, name: str) -> None:
    app = make_app(provider, database=CQLAlchemy(), TESTING=True)
    found = sent_back(app, SENT_BACK[name])
    assert (found, type(found)) == (SENT_BACK[name], type(SENT_BACK[name]))


def test_keys_of_a_session_become_texts_as_before() -> None:
    for provider in (None, CassandraJSONProvider):
        assert sent_back(make_app(provider, database=CQLAlchemy()), {1: "a"}) == {"1": "a"}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param(math.inf, id="Infinity"),
        pytest.param("\ud800", id="half a surrogate pair"),
    ],
)
def test_no_value_ends_a_session(value: Any) -> None:
    """It does not with Flask's provider."""
    assert sent_back(make_app(CassandraJSONProvider, database=CQLAlchemy()), value) == value


# What init_app adds

KIT_DATACLASS = "a timestamp beyond the year 9999"

ADDED: dict[str, tuple[Any, str]] = {
    "a set": ({2, 1}, "[1, 2]"),
    "a set of different types": ({2, "a", 1.5}, '[1.5, 2, "a"]'),
    "a frozenset in a set": ({frozenset({1})}, "[[1]]"),
    "bytes": (b"x", '"eA=="'),
    "a date of Cassandra's": (util.Date("2030-01-02"), '"2030-01-02"'),
    "a time of Cassandra's": (util.Time("01:02:03.000000004"), '"01:02:03.000000004"'),
    "a duration": (util.Duration(1, 2, 3_000_000_000), '"P1M2DT3S"'),
    "a sorted set": (util.SortedSet([2, 1]), "[1, 2]"),
    "an ordered map": (util.OrderedMap([((1), "a")]), '{"1": "a"}'),
    KIT_DATACLASS: (
        OutOfRangeTimestamp(253_402_300_800_000),
        '"+10000-01-01T00:00:00.000Z"',
    ),
    "a user type": (Writer(name="A", born=None), '{"name": "A", "born": null}'),
    "an instance": (
        [Book(id=1, points={(1, "a")})],
        '[{"id": 1, "title": null, "printed": null, "writer": null, "writers": [], "pages": {}, '
        '"marks": {}, "place": null, "points": [[1, "a"]]}]',
    ),
}


@pytest.mark.parametrize(
    ("provider", "name"),
    [
        pytest.param(
            provider,
            name,
        )
        for provider in (None, CassandraJSONProvider)
        for name in ADDED
    ],
)
def test_what_cassandra_has_is_written(provider: type[JSONProvider] | None, name: str) -> None:
    value, text = ADDED[name]
    app = make_app(provider, database=CQLAlchemy())
    assert json.loads(app.json.dumps(value)) == json.loads(text)
    if provider is None:
        assert app.json.dumps(value) == text


@pytest.mark.parametrize("name", ADDED)
def test_a_provider_without_a_default_is_left_alone(name: str) -> None:
    before, after = make_app(OnOrjson), make_app(OnOrjson, database=CQLAlchemy())
    value = ADDED[name][0]
    assert outcome(lambda: after.json.dumps(value)) == outcome(lambda: before.json.dumps(value))


def test_what_a_host_s_default_knows_it_writes() -> None:
    app = make_app(OwnDefault, database=CQLAlchemy())
    value = {"a": {1}, "b": b"\xff", "c": Book(id=1), "d": util.Date(0), "e": NAIVE}
    assert app.json.dumps(value) == (
        '{"a": {"set": [1]}, "b": "ff", "c": "a Book", "d": "a date of Cassandra\'s", "e": "naive"}'
    )
    assert app.json.dumps([util.Time(0), util.Duration()]) == '["00:00:00.000000000", "PT0S"]'


def test_an_error_of_a_host_s_default_is_the_host_s() -> None:
    app = make_app(OwnDefault, database=CQLAlchemy())
    with pytest.raises(MoneyError) as caught:
        app.json.dumps({"a": [Money(3)]})
    assert str(caught.value) == "3 is a secret"


def test_bytes_that_make_no_value_are_an_error() -> None:
    app = make_app(database=CQLAlchemy())
    with pytest.raises(EncodingError):
        app.json.dumps([UndecodableValue("text", 3, "invalid start byte")])


def test_a_bytearray_is_written_as_bytes_are() -> None:
    assert make_app(database=CQLAlchemy()).json.dumps(bytearray(b"x")) == '"eA=="'


@pytest.mark.parametrize(
    ("value", "written"),
    [
        pytest.param({(3, "b"), (1, "a")}, [[1, "a"], [3, "b"]], id="tuples"),
        pytest.param({None}, [None], id="None"),
        pytest.param({Level.LOW, "a"}, [1, "a"], id="an IntEnum and a text"),
    ],
)
def test_a_set_may_have_whatever_json_has(value: set[Any], written: list[Any]) -> None:
    app = make_app(database=CQLAlchemy())
    assert json.loads(app.json.dumps(value)) == written


class ReadOnlyDefault(DefaultJSONProvider):
    @property
    def default(self) -> Any:  # type: ignore[override]
        return str


def test_a_host_s_default_may_be_a_property() -> None:
    app = make_app(ReadOnlyDefault, database=CQLAlchemy())
    assert app.json.dumps(timedelta(1)) == '"1 day, 0:00:00"'


def test_one_application_s_json_is_not_another_s() -> None:
    with_kit, without = make_app(database=CQLAlchemy()), make_app()
    assert with_kit.json.dumps({1}) == "[1]"
    with pytest.raises(TypeError, match="Object of type set is not JSON serializable"):
        without.json.dumps({1})
    with pytest.raises(TypeError, match="Object of type set is not JSON serializable"):
        DefaultJSONProvider(without).dumps({1})


def test_a_provider_that_two_applications_share_works_in_both() -> None:
    first, second = make_app(), make_app()
    second.json = first.json
    for app in (first, second):
        CQLAlchemy().init_app(app)
    assert [app.json.dumps([{1}, Book(id=1).id, NAIVE]) for app in (first, second)] == [
        '[[1], 1, "Wed, 02 Jan 2030 03:04:05 GMT"]'
    ] * 2


# The faster provider


def faster(**config: Any) -> Flask:
    return make_app(CassandraJSONProvider, database=CQLAlchemy(), **config)


#: Where orjson says something else than the standard library, and the docstring does not say so.
#: Numbers that JSON lacks: Flask's provider writes what is no JSON.
NOT_FINITE = {"NaN", "Infinity"}


def test_numbers_that_json_lacks_are_null() -> None:
    assert faster().json.dumps([math.nan, math.inf, -math.inf]) == "[null,null,null]"


@pytest.mark.parametrize("name", sorted(VALUES.keys() - NOT_FINITE))
def test_the_faster_provider_says_what_flask_s_says(name: str) -> None:
    def written(app: Flask) -> Any:
        return repr(json.loads(app.json.dumps(ALL_VALUES[name])))

    found = outcome(lambda: written(faster()))
    assert found == outcome(lambda: written(make_app(database=CQLAlchemy())))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (NAIVE, '"2030-01-02T03:04:05.678901Z"'),
        (datetime(2030, 1, 2), '"2030-01-02T00:00:00Z"'),
        (AWARE, '"2030-01-02T03:04:05.678901+02:00"'),
        (date(2030, 1, 2), '"2030-01-02"'),
        (Colour.RED, "1"),
        (time(1, 2, 3), '"01:02:03"'),
    ],
    ids=repr,
)
def test_the_faster_provider_writes_times_as_rfc_3339(value: Any, text: str) -> None:
    app = faster()
    assert app.json.dumps(value) == text
    # And so does the standard library, behind an integer that orjson refuses.
    assert app.json.dumps([2**64, value]) == f"[18446744073709551616, {text}]"


def test_a_value_looks_the_same_beside_one_that_orjson_refuses() -> None:
    app, value = faster(), ALL_VALUES["a dataclass"]
    written = app.json.dumps([value])
    beside = app.json.dumps([2**64, value])
    assert repr(json.loads(written)) == repr(json.loads(beside)[1:])


def test_a_subclass_of_datetime_is_the_same_moment() -> None:
    assert faster().json.dumps(Moment(2030, 1, 2, 3, 4, 5)) == faster().json.dumps(
        datetime(2030, 1, 2, 3, 4, 5)
    )


@pytest.mark.parametrize("provider", [None, CassandraJSONProvider])
def test_a_model_keeps_the_hour_of_a_subclass_of_datetime(
    provider: type[JSONProvider] | None,
) -> None:
    app = make_app(provider, database=CQLAlchemy())
    book = Book(id=1, printed=Moment(2030, 1, 2, 3, 4, 5))
    assert json.loads(app.json.dumps(book))["printed"] == "2030-01-02T03:04:05.000Z"


def test_an_offset_of_seconds_is_not_rounded() -> None:
    local_time = datetime(1930, 1, 1, tzinfo=timezone(timedelta(minutes=19, seconds=32)))
    text = json.loads(faster().json.dumps(local_time))
    assert datetime.fromisoformat(text.replace("Z", "+00:00")) == local_time


def test_keys_are_sorted_unless_told_otherwise() -> None:
    app = faster()
    value = {"b": 1, "a": {"d": 1, "c": 2}}
    assert app.json.dumps(value) == '{"a":{"c":2,"d":1},"b":1}'
    provider = app.json
    assert isinstance(provider, CassandraJSONProvider)
    provider.sort_keys = False
    assert app.json.dumps(value) == '{"b":1,"a":{"d":1,"c":2}}'
    assert json.loads(app.json.dumps({**value, 1: 2}), object_pairs_hook=list) == [
        ("b", 1),
        ("a", [("d", 1), ("c", 2)]),
        ("1", 2),
    ]


def test_the_options_of_json_dumps_are_honoured() -> None:
    app = faster()
    assert app.json.dumps({"b": 1, "a": "é"}, indent=1) == '{\n "a": "\\u00e9",\n "b": 1\n}'
    assert app.json.dumps({"b": 1, "a": "é"}, sort_keys=False, ensure_ascii=False) == (
        '{"b": 1, "a": "é"}'
    )
    assert app.json.dumps([1, {"a": 2}], separators=(",", ":")) == '[1,{"a":2}]'
    assert app.json.dumps([Money(5)], default=lambda money: money.amount) == "[5]"
    assert app.json.dumps([Book(id=1).id, {1}, b"x"], indent=None) == '[1, [1], "eA=="]'
    with pytest.raises(ValueError, match="Out of range float values are not JSON compliant"):
        app.json.dumps(math.nan, allow_nan=False)


def test_the_options_of_json_loads_are_honoured() -> None:
    app = faster()
    assert app.json.loads("[1.5]", parse_float=str) == ["1.5"]
    assert app.json.loads('{"a": 1}', object_pairs_hook=tuple) == (("a", 1),)


FLASK_S_ONLY = {
    "NaN",
    "an overflow",
    "half a surrogate pair",
    "half a surrogate pair, bare",
    "half a surrogate pair in bytes",
    "a byte order mark in bytes",
    "UTF-16",
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(
            name,
        )
        for name in TEXTS
    ],
)
def test_the_faster_provider_reads_what_flask_s_reads(name: str) -> None:
    found = outcome(lambda: faster().json.loads(TEXTS[name]))
    before = outcome(lambda: make_app().json.loads(TEXTS[name]))
    if isinstance(before, tuple):
        assert isinstance(found, tuple)
        assert issubclass(found[0], ValueError)
    else:
        assert repr(found) == repr(before)


@pytest.mark.parametrize("text", ["", "[", "[1,]", '"\x00"', "[" * 10_000, "9" * 5_000, b"\xff"])
def test_what_is_no_json_is_a_value_error(text: str | bytes) -> None:
    """As Flask expects it of a provider, to answer 400."""
    app = faster()
    with pytest.raises((ValueError, RecursionError)):
        app.json.loads(text)


def test_integers_of_any_size_are_exact_in_a_request() -> None:
    app = faster(TESTING=True)

    @app.post("/")
    def echo() -> Any:
        return jsonify(request.get_json())

    value = {"a": [10**40, -(2**63) - 1, 2**64 - 1, {"b": 1.5, "c": "1234567890" * 4}]}
    response = app.test_client().post("/", json=value)
    assert response.get_json() == value
    assert str(10**40) in response.text


@pytest.mark.parametrize("value", [1, 2**64], ids=["orjson", "the standard library"])
def test_an_answer_is_indented_in_debug_mode(value: int) -> None:
    app = faster()
    with app.test_request_context():
        assert jsonify(b=value, a=[1]).data == f'{{"a":[1],"b":{value}}}\n'.encode()
        app.debug = True
        assert jsonify(b=value, a=[1]).data == (
            f'{{\n  "a": [\n    1\n  ],\n  "b": {value}\n}}\n'.encode()
        )


@pytest.mark.parametrize("value", [1, 2**64], ids=["orjson", "the standard library"])
@pytest.mark.parametrize(("compact", "debug"), [(True, True), (False, False)])
def test_compact_comes_before_debug_mode(value: int, compact: bool, debug: bool) -> None:
    app = faster()
    app.debug = debug
    assert isinstance(app.json, CassandraJSONProvider)
    app.json.compact = compact
    with app.test_request_context():
        text = jsonify(a=value).data.decode()
    assert text == (f'{{"a":{value}}}\n' if compact else f'{{\n  "a": {value}\n}}\n')


@pytest.mark.parametrize("value", [1, 2**64], ids=["orjson", "the standard library"])
def test_an_answer_has_the_provider_s_media_type(value: int) -> None:
    app = faster()
    assert isinstance(app.json, CassandraJSONProvider)
    app.json.mimetype = "application/vnd.host+json"
    with app.test_request_context():
        response = jsonify(value)
    assert (response.mimetype, response.data) == (
        "application/vnd.host+json",
        f"{value}\n".encode(),
    )


def test_an_answer_has_the_arguments_of_jsonify() -> None:
    app = faster()
    with app.test_request_context():
        assert jsonify().data == b"null\n"
        assert jsonify(1, 2).data == b"[1,2]\n"
        assert jsonify(a=1).data == b'{"a":1}\n'
        with pytest.raises(TypeError, match="app.json.response"):
            jsonify(1, a=2)


def test_a_template_s_json_is_safe_in_html() -> None:
    app = faster()
    with app.test_request_context():
        text = render_template_string("{{ value|tojson }}", value={"a": "</script>&'é"})
    assert text == '{"a": "\\u003c/script\\u003e\\u0026\\u0027\\u00e9"}'


@pytest.mark.parametrize("order", ["before", "after"])
def test_the_provider_may_be_set_before_init_app_or_after(order: str) -> None:
    app = make_app()
    if order == "before":
        app.json = CassandraJSONProvider(app)
    CQLAlchemy().init_app(app)
    if order == "after":
        app.json = CassandraJSONProvider(app)
    value = [util.Date(0), {1}, Writer(name="A"), NAIVE]
    assert app.json.dumps(value) == (
        '["1970-01-01",[1],{"name":"A","born":null},"2030-01-02T03:04:05.678901Z"]'
    )


def test_a_provider_works_without_the_kit() -> None:
    app = make_app(CassandraJSONProvider)
    assert app.json.dumps([{1}, NAIVE]) == '[[1],"2030-01-02T03:04:05.678901Z"]'


def test_two_applications_may_have_different_providers() -> None:
    database = CQLAlchemy()
    first = make_app(CassandraJSONProvider, database=database)
    second = make_app(database=database)
    value = [{1}, NAIVE]
    assert first.json.dumps(value) == '[[1],"2030-01-02T03:04:05.678901Z"]'
    assert second.json.dumps(value) == '[[1], "Wed, 02 Jan 2030 03:04:05 GMT"]'


class Extended(CassandraJSONProvider):
    """A host's own classes, on the faster provider."""

    @staticmethod
    def default(o: Any) -> Any:
        if isinstance(o, Money):
            return o.amount
        return CassandraJSONProvider.default(o)


def test_a_host_may_extend_the_faster_provider() -> None:
    app = make_app(Extended, database=CQLAlchemy())
    assert app.json.dumps([Money(5), {1}, Writer(name="A")]) == ('[5,[1],{"name":"A","born":null}]')


@pytest.mark.parametrize(
    "act",
    [lambda value: faster().json.dumps(value), write],
    ids=["the provider", "to_json"],
)
def test_bytes_that_make_no_value_are_not_written_in_parts(act: Callable[[Any], Any]) -> None:
    with pytest.raises(EncodingError):
        act([UndecodableValue("text", 3, "invalid start byte")])


# A page, of a table that is there


cassandra_config, database, app = module_fixtures(
    db, SECRET_KEY=CONFIG["SECRET_KEY"], CASSANDRA_GUARDRAILS="off"
)


@pytest.mark.parametrize(
    "provider_of",
    [
        pytest.param(lambda app: app.json, id="Flask's provider"),
        pytest.param(
            CassandraJSONProvider,
            id="the faster provider",
        ),
    ],
)
def test_a_page_is_written_without_the_rest_of_its_table(
    cql: CQLAlchemy, app: Flask, provider_of: Callable[[Flask], JSONProvider]
) -> None:
    for number in range(5):
        Book.create(id=number)
    with app.test_request_context():
        page = Book.objects.only(["id"]).paginate(per_page=2)
        with sent(cql) as statements:
            written = json.loads(provider_of(app).dumps(page))
    assert statements == []
    assert written == json.loads(page.to_json())
    assert len(written["items"]) == 2


# Problem documents

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,*/*;q=0.8"


def raise_error(kind: str) -> str:
    raise {
        "cursor": InvalidCursor("a secret of the log"),
        "json": InvalidJSON("Not valid JSON: not in UTF-8."),
        "timeout": RequestTimedOut("a secret of the log"),
        "unknown": OutcomeUnknown("a secret of the log"),
        "whole": ValidationError("These two do not fit."),
        "nested": ValidationError({"a": {0: {"b": {"_schema": ["One.", "Two."]}}}}),
    }[kind]


def load_book() -> str:
    schema = schema_for(Book)
    return repr(schema.loads(request.get_data(), many="many" in request.args))


def add_views(app: Flask | Blueprint) -> None:
    app.add_url_rule("/errors/<kind>", view_func=raise_error)
    app.add_url_rule("/books", view_func=load_book, methods=["POST"])


@pytest.fixture
def client() -> FlaskClient:
    """A visitor of an application that answers with problem documents."""
    app = make_app(database=CQLAlchemy())
    answer_with_problems(app)
    add_views(app)
    return app.test_client()


def problems(response: TestResponse) -> list[tuple[str, str]]:
    """The places and sentences of a document about data."""
    assert (response.status_code, response.content_type) == (422, "application/problem+json")
    document = json.loads(response.data)
    found = document.pop("errors")
    assert document == {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "The data are not valid.",
    }
    assert all(each.keys() == {"pointer", "detail"} for each in found)
    return [(each["pointer"], each["detail"]) for each in found]


UNKNOWN = "Unknown field."
INTEGER = "Not a valid integer."
MISSING = "Missing data for required field."

POINTERS: dict[str, tuple[Any, list[tuple[str, str]]]] = {
    "a field": ({"id": "x"}, [("#/id", INTEGER)]),
    "a missing field": ({}, [("#/id", MISSING)]),
    "several": (
        {"id": None, "title": 5},
        [("#/id", "Field may not be null."), ("#/title", "Not a valid string.")],
    ),
    "no object": ([], [("#", "Invalid input type.")]),
    "an unknown field": ({"id": 1, "x": 1}, [("#/x", UNKNOWN)]),
    "a field of a user type": (
        {"id": 1, "writer": {"born": "x"}},
        [("#/writer/name", MISSING), ("#/writer/born", INTEGER)],
    ),
    "user types in a list": (
        {"id": 1, "writers": [{"name": "A"}, {"name": 5, "x": 1}, 7]},
        [
            ("#/writers/1/name", "Not a valid string."),
            ("#/writers/1/x", UNKNOWN),
            ("#/writers/2", "Not a valid object."),
        ],
    ),
    "an element of a tuple": ({"id": 1, "place": [1, 2]}, [("#/place/1", "Not a valid string.")]),
    "a list in a map": (
        {"id": 1, "marks": {"a": [1, 2, "x"]}},
        [("#/marks/a/2", INTEGER)],
    ),
    "a slash": ({"id": 1, "a/b": 1}, [("#/a~1b", UNKNOWN)]),
    "a tilde": ({"id": 1, "a~b": 1}, [("#/a~0b", UNKNOWN)]),
    "a tilde before a number": ({"id": 1, "~1": 1}, [("#/~01", UNKNOWN)]),
    "both": ({"id": 1, "pages": {"/~": "x"}}, [("#/pages/~1~0", INTEGER)]),
    "a percent sign": ({"id": 1, "50% off": 1}, [("#/50%25%20off", UNKNOWN)]),
    "what a URI has no place for": (
        {"id": 1, 'é"<>\\^`{|}#?\x00': 1},
        [("#/%C3%A9%22%3C%3E%5C%5E%60%7B%7C%7D%23%3F%00", UNKNOWN)],
    ),
    "another plane": ({"id": 1, "😀": 1}, [("#/%F0%9F%98%80", UNKNOWN)]),
    "an empty name": ({"id": 1, "": 1}, [("#/", UNKNOWN)]),
    "an empty key": ({"id": 1, "pages": {"": "x"}}, [("#/pages/", INTEGER)]),
    "a key that looks like a number": ({"id": 1, "pages": {"01": "x"}}, [("#/pages/01", INTEGER)]),
    "a key that looks like a pointer": (
        {"id": 1, "pages": {"#/id": "x"}},
        [("#/pages/%23~1id", INTEGER)],
    ),
}


@pytest.mark.parametrize("name", POINTERS)
def test_a_problem_is_pointed_at(client: FlaskClient, name: str) -> None:
    body, expected = POINTERS[name]
    assert problems(client.post("/books", data=json.dumps(body))) == expected


def test_a_problem_of_one_of_many_rows_is_pointed_at(client: FlaskClient) -> None:
    body = [{"id": 1}, {"id": "x", "writers": [{}]}, 5]
    assert problems(client.post("/books?many", data=json.dumps(body))) == [
        ("#/1/id", INTEGER),
        ("#/1/writers/0/name", MISSING),
        ("#/2", "Invalid input type."),
    ]


def test_a_problem_of_the_whole_is_pointed_at(client: FlaskClient) -> None:
    assert problems(client.get("/errors/whole")) == [("#", "These two do not fit.")]
    assert problems(client.get("/errors/nested")) == [("#/a/0/b", "One."), ("#/a/0/b", "Two.")]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"id": 1, "_schema": 1}, "#"),
        ({"id": 1, "pages": {"_schema": "x"}}, "#/pages"),
    ],
    ids=["a field", "a key"],
)
def test_a_name_that_marshmallow_uses_points_at_what_has_it(
    client: FlaskClient, body: Any, pointer: str
) -> None:
    """Its messages use the name for what is wrong with an object as a whole."""
    ((found, _),) = problems(client.post("/books", data=json.dumps(body)))
    assert found == pointer


@pytest.mark.parametrize(
    "body", [{"id": 1, "\ud800": 1}, {"id": 1, "pages": {"\ud800": 1}}], ids=["a field", "a key"]
)
def test_half_of_a_surrogate_pair_in_a_name_is_the_visitor_s_error(
    client: FlaskClient, body: Any
) -> None:
    response = client.post("/books", data=json.dumps(body))
    assert response.status_code == 422
    assert len(problems(response)) == 1


def test_a_hundred_thousand_problems_make_a_short_answer(client: FlaskClient) -> None:
    body = {"id": 1, **{f"k{number}": 1 for number in range(10**5)}}
    response = client.post("/books", data=json.dumps(body))
    document = json.loads(response.data)
    assert document["detail"] == (
        "The data are not valid. These are the first 100 of 100000 problems."
    )
    assert len(document["errors"]) == 100
    assert len(response.data) < 10_000


def test_exactly_a_hundred_problems_are_all_there(client: FlaskClient) -> None:
    body = {"id": 1, "pages": {f"{number:02}": "x" for number in range(100)}}
    assert problems(client.post("/books", data=json.dumps(body))) == [
        (f"#/pages/{number:02}", INTEGER) for number in range(100)
    ]


@pytest.mark.parametrize("letter", ["k", "é"])
def test_a_long_name_is_not_repeated_with_each_problem(client: FlaskClient, letter: str) -> None:
    body = json.dumps({"id": 1, "marks": {letter * 100_000: ["x"] * 100}}, ensure_ascii=False)
    response = client.post("/books", data=body.encode())
    assert response.status_code == 422
    assert len(response.data) < 2 * len(body.encode())


UNAVAILABLE = "The database cannot be reached at the moment. Please try again shortly."
STALE = "This link to a page is no longer valid. Please start from the first page."

KIT_ERRORS: dict[str, tuple[int, str, str | None, str]] = {
    "cursor": (400, "Bad Request", None, STALE),
    "json": (400, "Bad Request", None, "Not valid JSON: not in UTF-8."),
    "timeout": (
        *(503, "Service Unavailable", "2"),
        "The database did not answer in time. Please try again shortly.",
    ),
    "unknown": (
        *(503, "Service Unavailable", "2"),
        "The database did not confirm the change, which may or may not have been made. "
        "Please check before you try again.",
    ),
}


@pytest.mark.parametrize("accept", [None, "*/*", "application/json", "application/problem+json"])
@pytest.mark.parametrize("kind", KIT_ERRORS)
def test_an_error_of_the_kit_is_a_document(
    client: FlaskClient, kind: str, accept: str | None
) -> None:
    status, title, retry_after, detail = KIT_ERRORS[kind]
    response = client.get(f"/errors/{kind}", headers={"Accept": accept} if accept else {})
    assert (response.status_code, response.content_type) == (status, "application/problem+json")
    assert json.loads(response.data) == {
        "type": "about:blank",
        "title": title,
        "status": status,
        "detail": detail,
    }
    assert response.headers.get("Retry-After") == retry_after
    assert "secret" not in response.text


@pytest.mark.parametrize("kind", KIT_ERRORS)
def test_a_browser_gets_a_page(client: FlaskClient, kind: str) -> None:
    status, _, retry_after, detail = KIT_ERRORS[kind]
    response = client.get(f"/errors/{kind}", headers={"Accept": BROWSER})
    assert (response.status_code, response.mimetype) == (status, "text/html")
    assert f"<p>{detail}</p>" in response.text
    assert response.headers.get("Retry-After") == retry_after
    assert "secret" not in response.text


def test_a_browser_gets_a_document_about_data(client: FlaskClient) -> None:
    response = client.post("/books", data="{}", headers={"Accept": BROWSER})
    assert problems(response) == [("#/id", MISSING)]


def test_a_text_that_is_no_json_is_a_document(client: FlaskClient) -> None:
    response = client.post("/books", data=b'{"id": "s3cret\xff"}')
    assert (response.status_code, response.content_type) == (400, "application/problem+json")
    assert json.loads(response.data)["detail"] == "Not valid JSON: not in UTF-8."


def test_a_database_that_is_away_is_a_document(unused_port: int) -> None:
    database = CQLAlchemy()

    class Note(database.Model):
        id = database.columns.Integer(primary_key=True)

    app = make_app(database=database, CASSANDRA_PORT=unused_port)
    answer_with_problems(app)
    app.add_url_rule("/", view_func=lambda: str(Note.objects.count()))
    app.add_url_rule("/page", view_func=lambda: str(Note.objects.paginate()), endpoint="page")
    client = app.test_client()
    response = client.get("/")
    assert (response.status_code, response.content_type) == (503, "application/problem+json")
    assert json.loads(response.data)["detail"] == UNAVAILABLE
    assert response.headers["Retry-After"] == "2"
    assert str(unused_port) not in response.text
    response = client.get("/page?cursor=s3cret")
    assert (response.status_code, response.content_type) == (400, "application/problem+json")
    assert json.loads(response.data)["detail"] == STALE


def test_a_blueprint_answers_for_its_own_views_alone() -> None:
    app = make_app(database=CQLAlchemy())
    api, pages = Blueprint("api", "api"), Blueprint("pages", "pages")
    answer_with_problems(api)
    for blueprint in (api, pages):
        add_views(blueprint)
        app.register_blueprint(blueprint, url_prefix=f"/{blueprint.name}")
    client = app.test_client()
    assert problems(client.post("/api/books", data="{}")) == [("#/id", MISSING)]
    for accept in ("application/json", BROWSER):
        headers = {"Accept": accept}
        answer = client.get("/api/errors/timeout", headers=headers)
        assert answer.mimetype == "application/problem+json"
        assert client.get("/pages/errors/timeout", headers=headers).mimetype == "text/html"
    assert client.get("/api/nothing").mimetype == "text/html"
    assert client.post("/pages/books", data="{}").status_code == 500


class ClosedRequestError(HTTPException):
    """As a host may have them: a status that HTTP does not know."""

    code = 499
    description = "The visitor has gone."


def raise_http(kind: str) -> str:
    raise {
        "missing": NotFound("There is no <b>book</b> of this name."),
        "gone": Gone(""),
        "who": Unauthorized(www_authenticate=WWWAuthenticate("basic", {"realm": "books"})),
        "often": TooManyRequests("Slowly.", retry_after=7),
        "own": Forbidden(response=Response("my own words", 403)),
        "elsewhere": RequestRedirect("http://localhost/elsewhere"),
        "closed": ClosedRequestError(),
        "crash": ZeroDivisionError("a secret of the log"),
    }[kind]


@pytest.fixture
def http() -> FlaskClient:
    """A visitor of an application with all kinds of HTTP errors."""
    app = make_app(database=CQLAlchemy())
    answer_with_problems(app)
    app.add_url_rule("/http/<kind>", view_func=raise_http)
    return app.test_client()


@pytest.mark.parametrize(
    ("kind", "status", "detail"),
    [
        ("missing", 404, "There is no <b>book</b> of this name."),
        ("gone", 410, "Gone"),
        ("often", 429, "Slowly."),
        pytest.param(
            *("closed", 499, "The visitor has gone."),
        ),
    ],
)
def test_an_error_of_http_is_a_document(
    http: FlaskClient, kind: str, status: int, detail: str
) -> None:
    response = http.get(f"/http/{kind}")
    assert (response.status_code, response.mimetype) == (status, "application/problem+json")
    document = json.loads(response.data)
    assert (document["status"], document["detail"]) == (status, detail)
    response = http.get(f"/http/{kind}", headers={"Accept": BROWSER})
    assert (response.status_code, response.mimetype) == (status, "text/html")


def test_an_error_of_http_keeps_its_headers(http: FlaskClient) -> None:
    assert http.get("/http/who").headers["WWW-Authenticate"] == "Basic realm=books"
    assert http.get("/http/often").headers["Retry-After"] == "7"
    assert "GET" in http.post("/http/who").headers["Allow"]


def test_an_answer_that_the_host_has_made_is_left_alone(http: FlaskClient) -> None:
    response = http.get("/http/own")
    assert (response.status_code, response.text) == (403, "my own words")
    response = http.get("/http/elsewhere")
    assert (response.status_code, response.location) == (308, "http://localhost/elsewhere")


def test_a_crash_is_a_document_without_its_reason(http: FlaskClient) -> None:
    response = http.get("/http/crash")
    assert (response.status_code, response.mimetype) == (500, "application/problem+json")
    assert json.loads(response.data)["title"] == "Internal Server Error"
    assert "secret" not in response.text


def test_a_handler_for_one_status_comes_first(http: FlaskClient) -> None:
    app = http.application
    app.register_error_handler(404, lambda _: ("the host's", 404))
    assert http.get("/http/missing").text == "the host's"
    assert http.get("/nothing").text == "the host's"


def test_init_app_of_the_database_answers_no_error() -> None:
    app = make_app(database=CQLAlchemy())
    handlers = [
        handler
        for of_scope in app.error_handler_spec.values()
        for of_code in of_scope.values()
        for handler in of_code.values()
    ]
    assert handlers == []
    add_views(app)
    client = app.test_client()
    assert client.get("/errors/whole").status_code == 500
    for kind, (status, *_) in KIT_ERRORS.items():
        response = client.get(f"/errors/{kind}")
        assert (response.status_code, response.mimetype) == (status, "text/html")


def test_a_handler_of_the_host_comes_first() -> None:
    app = make_app(database=CQLAlchemy())
    answer_with_problems(app)
    app.register_error_handler(InvalidCursor, lambda _: ("the host's", 418))
    add_views(app)
    response = app.test_client().get("/errors/cursor")
    assert (response.status_code, response.text) == (418, "the host's")

"""What each type of column takes, by every way in, and what an instance has of it then."""

from __future__ import annotations

import datetime
import ipaddress
import math
import pickle
import re
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import pytest
from cassandra import InvalidRequest, util
from cassandra.cqlengine import ValidationError

from flask_cqlalchemy import BulkError, CQLAlchemy
from flask_cqlalchemy.mapping.instances import is_stored
from flask_cqlalchemy.schemas import schema_for

from .cql_helpers import module_fixtures

db = CQLAlchemy()
c = db.columns

TOKYO = datetime.timezone(datetime.timedelta(hours=9))
RANDOM = uuid.UUID("00000000-0000-4000-8000-000000000001")
TIMED = uuid.UUID("00000000-0000-1000-8000-000000000001")


class Address(db.UserType):
    __type_name__ = "values_address"

    street = c.Text()
    zip_code = c.Integer(db_field="zip")
    seen = c.DateTime()
    tags = c.Set(c.Text)


class Size(db.UserType):
    __type_name__ = "values_size"

    height = c.Integer()


class Value(db.Model):
    __table_name__ = "values_value"

    id = c.Integer(primary_key=True)
    tiny = c.TinyInt()
    small = c.SmallInt()
    number = c.Integer()
    big = c.BigInt()
    vast = c.VarInt()
    single = c.Float()
    double = c.Double()
    amount = c.Decimal()
    flag = c.Boolean()
    text = c.Text()
    short = c.Text(max_length=3)
    plain = c.Ascii()
    data = c.Blob()
    at = c.DateTime()
    day = c.Date()
    time = c.Time()
    every = c.Duration()
    address = c.Inet()
    uid = c.UUID()
    timed = c.TimeUUID()
    lines = c.List(c.Text)
    tags = c.Set(c.Text)
    links = c.Map(c.Text, c.Integer)
    pair = c.Tuple(c.Integer, c.Text)
    vector = c.Vector(2)
    home = c.UserDefinedType(Address)
    numbers = c.List(c.Integer)
    singles = c.Set(c.Float)
    moments = c.Map(c.DateTime, c.DateTime)
    hosts = c.List(c.Inet)
    amounts = c.List(c.Decimal)
    days = c.Tuple(c.Date, c.Set(c.Time))
    homes = c.Map(c.Text, c.List(c.UserDefinedType(Address)))
    lists = c.List(c.List(c.Integer))


class Shared(db.Model):
    """Static columns, which belong to a partition."""

    __table_name__ = "values_shared"

    id = c.Integer(partition_key=True)
    part = c.Integer(primary_key=True)
    single = c.Float()
    total = c.Float(static=True)
    at = c.DateTime(static=True)


class Visits(db.Model):
    __table_name__ = "values_visits"

    page = c.Text(primary_key=True)
    reads = c.Counter()
    writes = c.Counter(db_field="w")


cassandra_config, database, app = module_fixtures(
    db, CASSANDRA_GUARDRAILS="off", SECRET_KEY="of the tests"
)


# Ways in


def create(**values: Any) -> Any:
    return Value.create(id=1, **values)


def save_new(**values: Any) -> Any:
    return Value(id=1, **values).save()


def save_changed(**values: Any) -> Any:
    Value.create(id=1)
    row = Value.get(id=1)
    for name, value in values.items():
        setattr(row, name, value)
    return row.save()


def update(**values: Any) -> Any:
    Value.create(id=1)
    return Value.get(id=1).update(**values)


def update_rows(**values: Any) -> None:
    Value.create(id=1)
    Value.objects(id=1).update(**values)


def bulk_create(**values: Any) -> None:
    db.bulk_create(Value, [{"id": 1, **values}])


def bulk_create_instance(**values: Any) -> Any:
    instance = Value(id=1, **values)
    db.bulk_create(Value, [instance])
    return instance


def bulk_update(**values: Any) -> None:
    Value.create(id=1)
    db.bulk_update(Value, [{"id": 1, **values}])


def in_a_batch(**values: Any) -> Any:
    with db.batch() as batch:
        return Value.batch(batch).create(id=1, **values)


#: Those that give an instance.
INSTANCES = [create, save_new, save_changed, update, bulk_create_instance, in_a_batch]
WAYS = [*INSTANCES, update_rows, bulk_create, bulk_update]


def name_of(way: Callable[..., Any]) -> str:
    return way.__name__


def exactly(value: Any) -> Any:
    """What is equal only where the types are, too, at any depth."""
    kind = type(value).__name__
    if isinstance(value, float):
        return kind, repr(value)
    if isinstance(value, set):
        return kind, sorted(map(exactly, value), key=repr)
    if isinstance(value, dict):
        return kind, sorted(((exactly(k), exactly(v)) for k, v in value.items()), key=repr)
    if isinstance(value, list | tuple):
        return kind, [exactly(each) for each in value]
    if isinstance(value, Address):
        return kind, {name: exactly(value[name]) for name in value}
    return kind, repr(value)


# What is taken


MOMENT = datetime.datetime(2026, 1, 1, 12)

#: By column: what is given, and what a row has then.
TAKEN: dict[str, list[tuple[Any, Any]]] = {
    "tiny": [(True, 1), (-128, -128), ("127", 127), (Decimal("1.0"), 1)],
    "small": [(2.0, 2)],
    "number": [("5", 5), (-(2**31), -(2**31)), (5.0, 5)],
    "big": [(Decimal("1E+3"), 1000), (2**63 - 1, 2**63 - 1)],
    "vast": [(1e20, 10**20), ("-12", -12)],
    "single": [(0.1, 0.10000000149011612), (1, 1.0), ("0.5", 0.5), (math.nan, math.nan)],
    "double": [(1, 1.0), ("0.1", 0.1), (Decimal("0.1"), 0.1), (math.inf, math.inf)],
    "amount": [(0.1, Decimal("0.1")), (3, Decimal(3)), ("1.50", Decimal("1.50"))],
    "flag": [(1, True), (0, False), (0.0, False)],
    "text": [("", ""), ("\N{GRINNING FACE}\0", "\N{GRINNING FACE}\0")],
    "plain": [("abc", "abc")],
    "data": [(bytearray(b"a"), b"a"), (memoryview(b"a"), b"a"), (b"", b"")],
    "at": [
        (MOMENT.replace(microsecond=1999), MOMENT.replace(microsecond=1000)),
        (MOMENT.replace(tzinfo=TOKYO), datetime.datetime(2026, 1, 1, 3)),
        (datetime.date(2026, 1, 1), datetime.datetime(2026, 1, 1)),
        (1, datetime.datetime(1970, 1, 1, 0, 0, 1)),
        (0.0015, datetime.datetime(1970, 1, 1, 0, 0, 0, 1000)),
    ],
    "day": [
        (datetime.date(1970, 1, 2), util.Date(1)),
        (datetime.datetime(1970, 1, 2, 23), util.Date(1)),
        ("1970-01-02", util.Date(1)),
        (1, util.Date(1)),
    ],
    "time": [
        (datetime.time(0, 0, 1), util.Time(10**9)),
        ("0:00:01.000000001", util.Time(10**9 + 1)),
        (7, util.Time(7)),
    ],
    "every": [(util.Duration(1, 2, 3), util.Duration(1, 2, 3))],
    "address": [
        (ipaddress.ip_address("::1"), "::1"),
        ("2001:DB8:0::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "::ffff:192.0.2.1"),
    ],
    "uid": [(str(RANDOM).upper(), RANDOM), (RANDOM.hex, RANDOM)],
    "timed": [(str(TIMED), TIMED)],
    "lines": [(("a", "b"), ["a", "b"]), ([], []), (None, []), (iter("ab"), ["a", "b"])],
    "tags": [(["a", "a"], {"a"}), (util.SortedSet(["b"]), {"b"}), (set(), set()), (None, set())],
    "links": [(util.OrderedMap([("a", 1)]), {"a": 1}), ({"a": "1"}, {"a": 1}), (None, {})],
    "pair": [([1, "a"], (1, "a")), ((1,), (1, None)), ((), None), ((None, "a"), (None, "a"))],
    "vector": [((0.1, 1), [0.10000000149011612, 1.0])],
    "home": [
        ({"street": "a", "zip_code": "5"}, Address(street="a", zip_code=5)),
        ({"zip": 5, "tags": ["b"]}, Address(zip_code=5, tags={"b"})),
        (
            Address(seen=MOMENT.replace(tzinfo=TOKYO, microsecond=1)),
            Address(seen=datetime.datetime(2026, 1, 1, 3)),
        ),
        ({}, Address()),
    ],
    "numbers": [((1, "2", 3.0), [1, 2, 3])],
    "singles": [({0.1, 0.5}, {0.10000000149011612, 0.5})],
    "moments": [
        (
            {MOMENT.replace(microsecond=1): MOMENT.replace(tzinfo=TOKYO)},
            {MOMENT: datetime.datetime(2026, 1, 1, 3)},
        )
    ],
    "hosts": [(["FE80::1", "::ffff:192.0.2.1"], ["fe80::1", "192.0.2.1"])],
    "amounts": [([1, "2.0", Decimal("-0.0")], [Decimal(1), Decimal("2.0"), Decimal("0.0")])],
    "days": [
        (("1970-01-02", [7]), (util.Date(1), {util.Time(7)})),
        ((None, None), (None, set())),
    ],
    "homes": [({"a": [{"street": "b"}]}, {"a": [Address(street="b")]})],
    "lists": [([(1, "2"), []], [[1, 2], []])],
}


@pytest.mark.parametrize("name", TAKEN)
@pytest.mark.parametrize("way", WAYS, ids=name_of)
def test_an_equal_value_is_taken_and_the_instance_has_what_a_row_has(
    cql: CQLAlchemy, way: Callable[..., Any], name: str
) -> None:
    for given, expected in TAKEN[name]:
        again = iter("ab") if isinstance(given, type(iter(""))) else given
        written = way(**{name: again})
        read = Value.get(id=1)
        assert exactly(getattr(read, name)) == exactly(expected)
        if written is not None:
            assert exactly(getattr(written, name)) == exactly(expected)
            if not isinstance(expected, float):
                assert written == read
        Value.objects(id=1).delete()


def test_every_type_of_column_is_in_the_matrix() -> None:
    assert {*TAKEN, "id", "short"} == set(Value._columns) == {*REFUSED, "id"}


# What is refused


#: By column: what is given, and the end of the error that names it.
REFUSED: dict[str, list[tuple[Any, str]]] = {
    "tiny": [(128, " takes a whole number from -2^7 to 2^7-1; this one is too large")],
    "small": [(-(2**15) - 1, " takes a whole number from -2^15 to 2^15-1; this one is too small")],
    "number": [
        (2**31, " takes a whole number from -2^31 to 2^31-1; this one is too large"),
        (1.5, " takes a whole number from -2^31 to 2^31-1; this one has a fraction"),
        (Decimal("1.5"), " takes a whole number from -2^31 to 2^31-1; this one has a fraction"),
        (math.nan, " takes a whole number from -2^31 to 2^31-1; this one is not finite"),
        ("x", " takes a whole number from -2^31 to 2^31-1; this text is not one"),
        (b"5", " takes a whole number from -2^31 to 2^31-1, not bytes"),
        (RANDOM, " takes a whole number from -2^31 to 2^31-1, not a UUID"),
        ([1], " takes a whole number from -2^31 to 2^31-1, not a list"),
    ],
    "big": [(2**63, " takes a whole number from -2^63 to 2^63-1; this one is too large")],
    "vast": [
        (0.5, " takes a whole number; this one has a fraction"),
        (Decimal("1E+999999999"), " takes a whole number; this one is too large"),
    ],
    "single": [
        (1e39, " takes a number up to 3.4e38; this one is too large"),
        (2**24 + 1, " takes a number up to 3.4e38; this one has more digits than 32 bits keep"),
        ("x", " takes a number up to 3.4e38; this text is not one"),
    ],
    "double": [
        (2**53 + 1, " takes a number; this one has more digits than a double keeps"),
        (Decimal(1) / 3, " takes a number; this one has more digits than a double keeps"),
        (10**400, " takes a number; this one is too large for a double"),
        ({}, " takes a number, not a dict"),
    ],
    "amount": [
        (
            math.nan,
            " takes a decimal number of at most 4300 digits; this one is not a finite number",
        ),
        (
            Decimal("-Infinity"),
            " takes a decimal number of at most 4300 digits; this one is not a finite number",
        ),
        ("x", " takes a decimal number of at most 4300 digits; this text is not one"),
        ((0, (1,), 0), " takes a decimal number of at most 4300 digits, not a tuple"),
    ],
    "flag": [
        ("false", " takes True or False, not a str"),
        ("", " takes True or False, not a str"),
        (2, " takes True or False; a number is taken if it is 0 or 1"),
        ([], " takes True or False, not a list"),
    ],
    "text": [
        (5, " takes text, not an int"),
        (b"a", " takes text, not bytes"),
        ("a\ud800", " takes text; half of a surrogate pair is at position 1"),
    ],
    "short": [("four", " is longer than 3 characters")],
    "plain": [("aé", " takes ASCII text; another character is at position 1")],
    "data": [("a", " takes bytes, not a str"), (5, " takes bytes, not an int")],
    "at": [
        ("2026-01-01", " takes a datetime, not a str"),
        (True, " takes a datetime, not a bool"),
        (
            1e15,
            " takes a datetime; a number is of seconds since 1970, and this one leaves the years "
            "1 to 9999",
        ),
    ],
    "day": [
        (
            "soon",
            " takes a date from -5877641-06-23 to +5881580-07-11; this text is not one, such "
            "as 2030-12-31",
        ),
        (2**31, " takes a date from -5877641-06-23 to +5881580-07-11; this one is outside"),
    ],
    "time": [
        (
            datetime.time(1, tzinfo=TOKYO),
            " takes a time of day without a time zone; this one has one",
        ),
        (-1, " takes a time of day without a time zone; -1 ns are not within a day"),
        (
            "10:00:60",
            " takes a time of day without a time zone; this text is not one, such as "
            "23:59:59.999999999",
        ),
    ],
    "every": [(datetime.timedelta(1), " takes a Duration, not a timedelta")],
    "address": [
        ("127.1", " takes an IP address; this text is not one, or has a zone"),
        ("fe80::1%eth0", " takes an IP address; this text is not one, or has a zone"),
        (5, " takes an IP address, not an int"),
    ],
    "uid": [("x", " takes a UUID; this text is not one"), (5, " takes a UUID, not an int")],
    "timed": [
        (RANDOM, " takes a UUID of version 1, the kind with a time; this one is of version 4")
    ],
    "lines": [
        ("cat", " takes a list, not a str"),
        ({"cat": 1}, " takes a list, not a dict"),
        (["a", 5], "[1] takes text, not an int"),
        (["a", None], "[1] is None, and a list has no null"),
        (5, " takes a list, not an int"),
    ],
    "tags": [
        ("cat", " takes a set, not a str"),
        (b"cat", " takes a set, not bytes"),
        ({"cat": 1}, " takes a set, not a dict"),
        ({5}, " (an element) takes text, not an int"),
        ({None}, " (an element) is None, and a set has no null"),
    ],
    "links": [
        ([("a", 1)], " takes a dict, not a list"),
        ({"a": None}, " (a value) is None, and a map has no null"),
        ({1: 1}, " (a key) takes text, not an int"),
        (
            {"a": 2**31},
            " (a value) takes a whole number from -2^31 to 2^31-1; this one is too large",
        ),
    ],
    "pair": [
        ((1, "a", 2), " takes a tuple of 2; this one has 3 values"),
        ("ab", " takes a tuple of 2, not a str"),
        ((1, 2), "[1] takes text, not an int"),
    ],
    "vector": [
        ([1.0], " takes a list of 2; this one has 1 values"),
        ([1.0, None], "[1] is None, and a list has no null"),
        ("ab", " takes a list of 2, not a str"),
    ],
    "home": [
        ("High Street", " takes the user type Address, or a dict of its fields, not a str"),
        (Size(height=1), " takes the user type Address, or a dict of its fields, not a Size"),
        (
            {"streat": "a"},
            ": Address has no field streat (did you mean street?); its fields are street, "
            "zip_code, seen, tags.",
        ),
        ({"street": 5}, ".street takes text, not an int"),
        ({"tags": "cat"}, ".tags takes a set, not a str"),
    ],
    "numbers": [
        ([1, 2**31], "[1] takes a whole number from -2^31 to 2^31-1; this one is too large"),
        ([1, 1.5], "[1] takes a whole number from -2^31 to 2^31-1; this one has a fraction"),
    ],
    "singles": [
        ({1e39}, " (an element) takes a number up to 3.4e38; this one is too large"),
    ],
    "moments": [
        ({"a": MOMENT}, " (a key) takes a datetime, not a str"),
        ({MOMENT: "a"}, " (a value) takes a datetime, not a str"),
    ],
    "hosts": [(["x"], "[0] takes an IP address; this text is not one, or has a zone")],
    "amounts": [
        (
            [Decimal("NaN")],
            "[0] takes a decimal number of at most 4300 digits; this one is not a finite number",
        )
    ],
    "days": [
        (
            (None, {-1}),
            "[1] (an element) takes a time of day without a time zone; -1 ns are not within a day",
        )
    ],
    "homes": [
        (
            {"a": [{"street": "b"}, {"zip_code": "c"}]},
            " (a value)[1].zip_code takes a whole number from -2^31 to 2^31-1; this text is not "
            "one",
        ),
        (
            {"a": [5]},
            " (a value)[0] takes the user type Address, or a dict of its fields, not an int",
        ),
    ],
    "lists": [
        ([[1], "2"], "[1] takes a list, not a str"),
        ([None], "[0] is None, and a list has no null"),
    ],
}

#: Words of Python and the driver that are for their own developers.
INNER = re.compile(
    r"object has no attribute|cannot be interpreted|invalid literal|KeyError|format requires|"
    r"argument out of range|Traceback|<class"
)


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("way", WAYS, ids=name_of)
def test_what_would_have_to_be_changed_is_refused_in_words_about_the_value(
    cql: CQLAlchemy, way: Callable[..., Any], name: str
) -> None:
    for given, problem in REFUSED[name]:
        Value.objects(id=1).delete()
        with pytest.raises((ValidationError, BulkError)) as caught:
            way(**{name: given})
        error = caught.value
        if isinstance(error, BulkError):
            error = error.result.failures[0].error
            assert isinstance(error, ValidationError)
        assert str(error) == f"Value.{name}{problem}"
        assert not INNER.search(str(error))
        assert getattr(Value.objects(id=1).first(), name, None) in (None, [], set(), {})


@pytest.mark.parametrize("name", [name for name in REFUSED if name != "short"])
def test_a_filter_refuses_the_same(cql: CQLAlchemy, name: str) -> None:
    for given, problem in REFUSED[name]:
        if given == {"a": None}:
            # Cassandra compares no map with another.
            continue
        with pytest.raises(ValidationError) as caught:
            Value.objects(**{name: given}).allow_filtering().first()
        assert str(caught.value) == f"Value.{name}{problem}"


@pytest.mark.parametrize(
    ("name", "given", "raised"),
    [
        ("at", "2026-01-01", TypeError),
        ("day", "soon", ValueError),
        ("every", 5, TypeError),
        ("number", 2**31, InvalidRequest),
        ("single", 1e39, InvalidRequest),
    ],
)
def test_a_refusal_is_also_what_is_raised_without_the_kit(
    cql: CQLAlchemy, name: str, given: Any, raised: type[Exception]
) -> None:
    with pytest.raises(raised, match=rf"^Value\.{name} takes ") as caught:
        Value.create(id=1, **{name: given})
    assert isinstance(caught.value, ValidationError)
    copied = pickle.loads(pickle.dumps(caught.value))
    assert (type(copied), str(copied)) == (ValidationError, str(caught.value))


def test_two_keys_that_become_one_are_refused(cql: CQLAlchemy) -> None:
    later = MOMENT.replace(microsecond=1)
    with pytest.raises(ValidationError, match=r"^Value\.moments has two keys that are equal"):
        Value.create(id=1, moments={MOMENT: MOMENT, later: MOMENT})
    made = Value.create(id=1, singles={0.1, 0.10000000149011612})
    assert made.singles == Value.get(id=1).singles == {0.10000000149011612}


def test_plain_cql_is_refused_in_the_same_words(cql: CQLAlchemy) -> None:
    insert = "INSERT INTO values_value (id, {}) VALUES (1, ?)"
    for name, given, problem in (
        ("number", 2**31, "takes a whole number from -2^31 to 2^31-1; this one is too large"),
        ("number", "5", "takes a whole number from -2^31 to 2^31-1, not a str"),
        ("flag", 2, "takes True or False; a number is taken if it is 0 or 1"),
        ("data", 5, "takes bytes, not an int"),
        ("amount", Decimal("NaN"), "this one is not a finite number"),
        ("links", {"a": None}, "(a value) is None, and a map has no null"),
        ("numbers", [1, 2**31], "[1] takes a whole number from -2^31 to 2^31-1"),
        ("pair", (1, 2), "[1] takes text, not an int"),
        ("vector", [1.0], "takes a list of 2 values"),
    ):
        with pytest.raises(ValidationError) as caught:
            db.execute(insert.format(name), [given])
        assert name in str(caught.value)
        assert problem in str(caught.value)
        assert not INNER.search(str(caught.value))


# An instance after its write


FULL = {name: taken[0][0] for name, taken in TAKEN.items() if name not in ("lines", "single")}


@pytest.mark.parametrize("way", INSTANCES, ids=name_of)
def test_an_instance_after_its_write_equals_the_row(
    cql: CQLAlchemy, way: Callable[..., Any]
) -> None:
    written = way(**FULL, lines=("a",), single=0.1)
    read = Value.get(id=1)
    assert is_stored(written)
    for name in Value._columns:
        assert exactly(getattr(written, name)) == exactly(getattr(read, name)), name
    assert written == read
    assert schema_for(Value).dump(written) == schema_for(Value).dump(read)


@pytest.mark.parametrize("way", INSTANCES, ids=name_of)
def test_an_instance_of_nulls_equals_the_row(cql: CQLAlchemy, way: Callable[..., Any]) -> None:
    written = way(**dict.fromkeys(name for name in Value._columns if name != "id"))
    read = Value.get(id=1)
    for name in Value._columns:
        assert exactly(getattr(written, name)) == exactly(getattr(read, name)), name


def test_a_static_column_is_on_the_instance_as_in_the_row(cql: CQLAlchemy) -> None:
    given = {"total": 0.1, "single": 0.1, "at": MOMENT.replace(tzinfo=TOKYO, microsecond=1)}
    instance = Shared(id=1, part=3, **given)
    db.bulk_create(Shared, [instance])
    for written in (
        Shared.create(id=1, part=1, **given),
        Shared(id=1, part=2, **given).save(),
        instance,
    ):
        assert written == Shared.get(id=1, part=written.part)
        assert (written.total, written.single) == (0.10000000149011612, 0.10000000149011612)
        assert written.at == datetime.datetime(2026, 1, 1, 3)


# Counters


def test_a_counter_that_was_never_counted_reads_as_zero(cql: CQLAlchemy) -> None:
    Visits.objects(page="/").update(reads=1)
    query = Visits.objects(page="/")
    row = query.first()
    assert row is not None
    assert (row.reads, row.writes, Visits(page="x").writes) == (1, 0, 0)
    assert query.values_list("reads", "writes")[0] == [1, 0]
    assert query.values_list("writes", flat=True)[0] == 0
    assert query.only(["writes"]).get().writes == 0
    assert query.rows() == [{"page": "/", "reads": 1, "w": 0}]
    assert [each.writes for each in query.iter()] == [0]
    assert [each.writes for each in query.paginate().items] == [0]
    assert db.get_many(Visits, ["/"])[0].writes == 0
    assert query.to_json() == b'[{"page":"/","reads":1,"w":0}]'
    assert schema_for(Visits).dump(row) == {"page": "/", "reads": 1, "w": 0}


@pytest.mark.filterwarnings("ignore:'create' and 'save' actions on Counters:DeprecationWarning")
def test_a_counter_is_counted_up_on_the_row(cql: CQLAlchemy) -> None:
    Visits.objects(page="/").update(reads=1)
    row = Visits.get(page="/")
    row.writes += 2
    row.save()
    assert (row.writes, Visits.get(page="/").writes) == (2, 2)


# Columns of a program's own


class Upper(c.Text):
    """Text that the program changes itself, of whatever it is given."""

    def validate(self, value: Any) -> Any:
        return None if value is None else str(value).upper()


class Rounded(c.Integer):
    def to_python(self, value: Any) -> Any:
        return None if value is None else round(value)


class Own(db.Model):
    __table_name__ = "values_own"

    id = c.Integer(primary_key=True)
    upper = Upper()
    rounded = Rounded()
    uppers = c.List(Upper)


def test_a_programs_own_columns_convert_as_the_program_says(cql: CQLAlchemy) -> None:
    made = Own.create(id=1, upper=5, rounded=1.6, uppers=["a", 7])
    read = Own.get(id=1)
    assert (made.upper, made.rounded, made.uppers) == ("5", 2, ["A", "7"])
    assert (read.upper, read.rounded, read.uppers) == ("5", 2, ["A", "7"])

"""Values on their way to Cassandra and back: exact timestamps, exact types and those like them."""

from __future__ import annotations

import datetime
import decimal
import enum
import math
import random
import uuid
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from typing import Any

import pytest
from cassandra import util
from cassandra.cqlengine import ValidationError

from flask_cqlalchemy import CQLAlchemy
from flask_cqlalchemy.mapping.conversions import as_stored
from flask_cqlalchemy.protocol import OutOfRangeTimestamp

from .cql_helpers import model, module_fixtures, user_type

UTC = datetime.timezone.utc
EPOCH = datetime.datetime(1970, 1, 1)


def define(db: CQLAlchemy) -> CQLAlchemy:
    class Span(db.UserType):
        start = db.columns.DateTime()
        note = db.columns.Text()

    class Event(db.Model):
        id = db.columns.Integer(partition_key=True)
        at = db.columns.DateTime(primary_key=True)
        end = db.columns.DateTime()
        all_times = db.columns.Set(db.columns.DateTime)
        steps = db.columns.List(db.columns.DateTime)
        named = db.columns.Map(db.columns.Text, db.columns.DateTime)
        by_time = db.columns.Map(db.columns.DateTime, db.columns.Integer)
        pair = db.columns.Tuple(db.columns.DateTime, db.columns.Text)
        nested = db.columns.List(db.columns.Set(db.columns.DateTime))
        span = db.columns.UserDefinedType(Span)

    class Value(db.Model):
        id = db.columns.Integer(primary_key=True)
        number = db.columns.Integer()
        big = db.columns.BigInt()
        vast = db.columns.VarInt()
        flag = db.columns.Boolean()
        single = db.columns.Float()
        double = db.columns.Double()
        amount = db.columns.Decimal()
        text = db.columns.Text()
        short = db.columns.Text(max_length=5)
        plain = db.columns.Ascii()
        uid = db.columns.UUID()
        numbers = db.columns.Set(db.columns.Integer)
        names = db.columns.List(db.columns.Text)
        scores = db.columns.Map(db.columns.Text, db.columns.Integer)
        doubles = db.columns.List(db.columns.Double)
        matrix = db.columns.List(db.columns.List(db.columns.Integer))
        groups = db.columns.Map(db.columns.Text, db.columns.Set(db.columns.Text))
        loose = db.columns.Set(db.columns.Integer, strict=False)
        pair = db.columns.Tuple(db.columns.Integer, db.columns.Text)

    return db


cassandra_config, database, app = module_fixtures(define, CASSANDRA_GUARDRAILS="off")


def moment(milliseconds: int) -> datetime.datetime:
    return EPOCH + datetime.timedelta(milliseconds=milliseconds)


#: Those that cqlengine stores as the millisecond before, and the ends of what there is.
MILLISECONDS = [
    2168919675469,
    -2168919675469,
    1,
    -1,
    0,
    999,
    -999,
    1_700_000_000_001,
    (datetime.datetime(1, 1, 1) - EPOCH) // datetime.timedelta(milliseconds=1),
    (datetime.datetime(9999, 12, 31, 23, 59, 59, 999000) - EPOCH)
    // datetime.timedelta(milliseconds=1),
]


def label(value: object) -> str:
    """The text of a value, the same in every process: the order in a set depends on hashes."""
    if isinstance(value, (set, frozenset)):
        return f"{{{', '.join(sorted(map(label, value)))}}}"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{label(key)}: {label(value[key])}' for key in value)}}}"
    return repr(value)


def insert(event: Any, **values: Any) -> None:
    event.create(**values)


def save_new(event: Any, **values: Any) -> None:
    event(**values).save()


def update_instance(event: Any, *, id: int, at: Any, **values: Any) -> None:  # noqa: A002
    row = event.create(id=id, at=at)
    row.update(**values)


def save_instance(event: Any, *, id: int, at: Any, **values: Any) -> None:  # noqa: A002
    event.create(id=id, at=at)
    row = event.get(id=id, at=at)
    for name, value in values.items():
        setattr(row, name, value)
    row.save()


def update_rows(event: Any, *, id: int, at: Any, **values: Any) -> None:  # noqa: A002
    event.objects(id=id, at=at).update(**values)


def bulk_create(event: Any, **values: Any) -> None:
    event._database.bulk_create(event, [values])


def bulk_update(event: Any, **values: Any) -> None:
    event._database.bulk_update(event, [values])


def in_batch(event: Any, **values: Any) -> None:
    with event._database.batch() as batch:
        event.batch(batch).create(**values)


WRITES = [
    insert,
    save_new,
    update_instance,
    save_instance,
    update_rows,
    bulk_create,
    bulk_update,
    in_batch,
]


@pytest.mark.parametrize("write", WRITES, ids=lambda write: write.__name__)
def test_every_way_to_write_keeps_the_millisecond(
    cql: CQLAlchemy, write: Callable[..., None]
) -> None:
    event = model(cql, "Event")
    for milliseconds in MILLISECONDS:
        at = moment(milliseconds)
        write(
            event,
            id=1,
            at=at,
            end=at,
            all_times={at, EPOCH},
            steps=[at, at],
            named={"x": at},
            by_time={at: 1},
            pair=(at, "x"),
            nested=[{at}],
        )
        found = event.get(id=1, at=at)
        assert found.end == at
        assert found.all_times == {at, EPOCH}
        assert found.steps == [at, at]
        assert found.named == {"x": at}
        assert found.by_time == {at: 1}
        assert found.pair == (at, "x")
        assert {frozenset(inner) for inner in found.nested} == {frozenset({at})}


def stored_milliseconds(cql: CQLAlchemy) -> list[int]:
    """What Cassandra itself has for ``end``."""
    found = cql.execute("SELECT blobAsBigint(timestampAsBlob(end)) AS ms FROM event")
    return [row["ms"] for row in found]


@pytest.mark.parametrize("milliseconds", MILLISECONDS)
def test_cassandra_has_the_very_millisecond(cql: CQLAlchemy, milliseconds: int) -> None:
    event = model(cql, "Event")
    event.create(id=1, at=EPOCH, end=moment(milliseconds))
    assert stored_milliseconds(cql) == [milliseconds]


def test_a_user_type_keeps_the_millisecond(cql: CQLAlchemy) -> None:
    event, span = model(cql, "Event"), user_type(cql, "Span")
    for milliseconds in MILLISECONDS:
        start = moment(milliseconds)
        event.create(id=1, at=start, span=span(start=start, note="x"))
        assert event.get(id=1, at=start).span.start == start


def test_seeded_milliseconds_are_kept(cql: CQLAlchemy) -> None:
    chance = random.Random(20_261_122)
    first = (datetime.datetime(1, 1, 1) - EPOCH) // datetime.timedelta(milliseconds=1)
    last = (datetime.datetime(9999, 12, 31) - EPOCH) // datetime.timedelta(milliseconds=1)
    times = {moment(chance.randint(first, last)) for _ in range(1500)}
    times |= {moment(chance.randint(0, 2_500_000_000_000)) for _ in range(1500)}
    event = model(cql, "Event")
    event.create(id=1, at=EPOCH, all_times=times)
    cql.bulk_create(event, ({"id": 2, "at": at, "end": at} for at in times))
    assert event.get(id=1, at=EPOCH).all_times == times
    found = list(event.objects(id=2).fetch_size(5000))
    assert {row.at for row in found} == {row.end for row in found} == times


@pytest.mark.parametrize("milliseconds", MILLISECONDS)
def test_a_filter_finds_the_very_millisecond(cql: CQLAlchemy, milliseconds: int) -> None:
    event = model(cql, "Event")
    at = moment(milliseconds)
    event.create(id=1, at=at)
    assert event.objects(id=1, at=at).exists()
    assert event.objects(id=1, at__gte=at, at__lte=at).exists()
    assert not event.objects(id=1, at__gt=at).exists()
    assert not event.objects(id=1, at__lt=at).exists()
    assert [row.at for row in event.objects(id=1, at__in=[at])] == [at]
    assert event.objects(event.id == 1, event.at == at).exists()
    assert len(cql.get_many(event, [(1, at)])) == 1
    event.objects(id=1, at=at).delete()
    assert not event.objects(id=1).exists()


@pytest.mark.parametrize("hours", [-12, -3.5, 0, 5.75, 14])
@pytest.mark.parametrize("naive", [moment(2168919675469), moment(-2168919675469)], ids=str)
def test_an_aware_datetime_is_the_same_moment_in_utc(
    cql: CQLAlchemy, hours: float, naive: datetime.datetime
) -> None:
    event = model(cql, "Event")
    zone = datetime.timezone(datetime.timedelta(hours=hours))
    aware = naive.replace(tzinfo=UTC).astimezone(zone)
    event.create(id=1, at=aware, end=aware, all_times={aware})
    found = event.get(id=1, at=naive)
    assert (found.at, found.end, found.all_times) == (naive, naive, {naive})
    assert event.objects(id=1, at=aware).exists()


def test_an_instance_that_was_created_can_be_saved_with_an_aware_key(cql: CQLAlchemy) -> None:
    event = model(cql, "Event")
    row = event.create(id=1, at=datetime.datetime(2020, 1, 1, tzinfo=UTC))
    row.update(end=EPOCH)
    assert event.objects(id=1).count() == 1
    assert stored_milliseconds(cql) == [0]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (datetime.datetime(2020, 1, 1, 0, 0, 0, 1999), 1_577_836_800_001),
        (datetime.datetime(1969, 12, 31, 23, 59, 59, 999999), -1),
        (datetime.date(2020, 1, 1), 1_577_836_800_000),
    ],
    ids=["microseconds", "before 1970", "date"],
)
def test_what_is_finer_than_a_millisecond_is_cut_off(
    cql: CQLAlchemy, given: Any, expected: int
) -> None:
    event = model(cql, "Event")
    event.create(id=1, at=EPOCH, end=given)
    assert stored_milliseconds(cql) == [expected]


# Exact types and those like them


class Colour(enum.IntEnum):
    RED = 7


class Shout(str):
    __slots__ = ()


class Price(decimal.Decimal):
    pass


SAME: list[tuple[str, Any, Any]] = [
    ("number", True, 1),
    ("number", Colour.RED, 7),
    ("number", "5", 5),
    ("number", 5.0, 5),
    ("number", decimal.Decimal(5), 5),
    ("number", -(2**31), -(2**31)),
    ("big", 2**63 - 1, 2**63 - 1),
    ("vast", 2**200, 2**200),
    ("vast", -(2**200), -(2**200)),
    ("vast", "12", 12),
    ("flag", 1, True),
    ("flag", 0.0, False),
    ("single", 1, 1.0),
    ("single", "1.5", 1.5),
    ("single", math.inf, math.inf),
    ("double", -math.inf, -math.inf),
    ("double", -0.0, -0.0),
    ("double", 5e-324, 5e-324),
    ("double", decimal.Decimal("1.5"), 1.5),
    ("amount", 1.1, decimal.Decimal("1.1")),
    ("amount", 3, decimal.Decimal(3)),
    ("amount", "1E+400", decimal.Decimal("1E+400")),
    ("amount", decimal.Decimal("-0.00"), decimal.Decimal("0.00")),
    ("amount", Price("2.50"), decimal.Decimal("2.50")),
    ("text", Shout("loud"), "loud"),
    ("text", "", ""),
    ("text", "\U0001f600\u0000é", "\U0001f600\u0000é"),
    ("short", "12345", "12345"),
    ("plain", "ascii", "ascii"),
    (
        "uid",
        "12345678-1234-4234-8234-123456789012",
        uuid.UUID(int=0x12345678123442348234123456789012),
    ),
    ("numbers", {True, 2}, {1, 2}),
    ("numbers", {"1", 2.0}, {1, 2}),
    ("numbers", util.SortedSet([3, 1]), {1, 3}),
    ("loose", [1, 1, 2], {1, 2}),
    ("loose", (1,), {1}),
    ("names", ("a", "b"), ["a", "b"]),
    ("names", [Shout("a")], ["a"]),
    ("scores", OrderedDict(b=1, a=2), {"a": 2, "b": 1}),
    ("scores", defaultdict(int, a=1), {"a": 1}),
    ("scores", {"a": True}, {"a": 1}),
    ("scores", {Shout("a"): 1}, {"a": 1}),
    ("doubles", [1, "2.5", math.inf], [1.0, 2.5, math.inf]),
    ("matrix", [[1, 2], [], [3]], [[1, 2], [], [3]]),
    ("groups", {"a": {"x"}, "b": {"y", "z"}}, {"a": {"x"}, "b": {"y", "z"}}),
    ("pair", (1, "x"), (1, "x")),
    ("pair", [1, "x"], (1, "x")),
    ("pair", (None, "x"), (None, "x")),
]


@pytest.mark.parametrize(
    ("name", "given", "expected"), SAME, ids=[f"{n} {label(g)}" for n, g, _ in SAME]
)
@pytest.mark.parametrize("way", ["create", "save", "update", "objects", "bulk"])
def test_a_value_is_stored_as_cqlengine_would(
    cql: CQLAlchemy, way: str, name: str, given: Any, expected: Any
) -> None:
    value = model(cql, "Value")
    if way == "create":
        value.create(id=1, **{name: given})
    elif way == "save":
        value(id=1, **{name: given}).save()
    elif way == "update":
        value.create(id=1)
        value.get(id=1).update(**{name: given})
    elif way == "objects":
        value.objects(id=1).update(**{name: given})
    else:
        cql.bulk_create(value, [{"id": 1, name: given}])
    found = getattr(value.get(id=1), name)
    assert (found, type(found)) == (expected, type(expected))
    if isinstance(expected, float):
        assert math.copysign(1, found) == math.copysign(1, expected)
    if isinstance(expected, decimal.Decimal):
        assert found.as_tuple() == expected.as_tuple()


@pytest.mark.parametrize(
    ("name", "given", "expected"), SAME, ids=[f"{n} {label(g)}" for n, g, _ in SAME]
)
def test_an_instance_has_what_was_stored(
    cql: CQLAlchemy, name: str, given: Any, expected: Any
) -> None:
    value = model(cql, "Value")
    made = value.create(id=1, **{name: given})
    found = value.get(id=1)
    assert getattr(made, name) == getattr(found, name) == expected


def test_nan_is_stored(cql: CQLAlchemy) -> None:
    value = model(cql, "Value")
    value.create(id=1, single=math.nan, double=math.nan, doubles=[math.nan])
    found = value.get(id=1)
    assert all(map(math.isnan, [found.single, found.double, *found.doubles]))


@pytest.mark.parametrize("empty", ["left out", "none", "empty"])
def test_an_absent_collection_reads_as_an_empty_one(cql: CQLAlchemy, empty: str) -> None:
    value = model(cql, "Value")
    kinds: dict[str, Any] = {"numbers": set, "names": list, "scores": dict, "matrix": list}
    given = {
        "left out": {},
        "none": dict.fromkeys(kinds),
        "empty": {name: kind() for name, kind in kinds.items()},
    }[empty]
    value.create(id=1, **given)
    found = value.get(id=1)
    for name, kind in kinds.items():
        assert getattr(found, name) == kind()
        assert type(getattr(found, name)) is kind
    assert found.pair is None


@pytest.mark.parametrize("name", ["numbers", "names", "scores"])
@pytest.mark.parametrize("filled", [True, False], ids=["filled", "empty"])
def test_a_programs_own_collection_is_not_the_instances(
    cql: CQLAlchemy, name: str, filled: bool
) -> None:
    value = model(cql, "Value")
    kinds: dict[str, Any] = {"numbers": {1}, "names": ["a"], "scores": {"a": 1}}
    own = kinds[name] if filled else type(kinds[name])()
    made = value.create(id=1, **{name: own})
    if name == "numbers":
        own.add(2)
    elif name == "names":
        own.append("b")
    else:
        own["b"] = 2
    assert getattr(made, name) == getattr(value.get(id=1), name) != own


WRONG: list[tuple[str, Any, str]] = [
    ("short", "123456", "Value.short is longer than 5 characters"),
    ("plain", "é", "Value.plain takes ASCII text; another character is at position 0"),
    ("numbers", {1, None}, "Value.numbers (an element) is None, and a set has no null"),
    ("names", ["a", None], "Value.names[1] is None, and a list has no null"),
    ("scores", {None: 1}, "Value.scores (a key) is None, and a map has no null"),
    ("text", 5, "Value.text takes text, not an int"),
    (
        "number",
        "x",
        "Value.number takes a whole number from -2^31 to 2^31-1; this text is not one",
    ),
]


@pytest.mark.parametrize(
    ("name", "given", "message"), WRONG, ids=[f"{n} {label(g)}" for n, g, _ in WRONG]
)
def test_what_cqlengine_refuses_is_refused_with_the_name_of_the_column(
    cql: CQLAlchemy, name: str, given: Any, message: str
) -> None:
    value = model(cql, "Value")
    with pytest.raises(ValidationError) as caught:
        value.create(id=1, **{name: given})
    assert str(caught.value) == message
    value.create(id=2)
    with pytest.raises(ValidationError) as caught:
        value.get(id=2).update(**{name: given})
    assert str(caught.value) == message
    assert value.objects.count() == 1


def test_a_set_and_a_list_take_any_iterable_of_elements(cql: CQLAlchemy) -> None:
    value = model(cql, "Value")
    row = value.create(id=1, numbers=[1, 1], names=iter("ab"))
    assert (row.numbers, row.names) == ({1}, ["a", "b"])
    value.get(id=1).update(numbers=(2,), names=("c",))
    found = value.get(id=1)
    assert (found.numbers, found.names) == ({2}, ["c"])
    value.objects(id=1).update(numbers=[3], names=["d"])
    found = value.get(id=1)
    assert (found.numbers, found.names) == ({3}, ["d"])


@pytest.mark.parametrize("way", ["create", "bulk"])
def test_none_as_a_value_of_a_map_is_refused(cql: CQLAlchemy, way: str) -> None:
    value = model(cql, "Value")
    value.create(id=1, scores={"kept": 1})
    given = {"a": None}
    with pytest.raises(Exception, match="scores"):  # noqa: PT012
        if way == "create":
            value.create(id=1, scores=given)
        else:
            cql.bulk_create(value, [{"id": 1, "scores": given}])
    assert value.get(id=1).scores == {"kept": 1}


def random_value(chance: random.Random, name: str) -> Any:
    def text() -> str:
        return "".join(chr(chance.choice([65, 233, 0x1F600, 0, 39])) for _ in range(5))

    makers: dict[str, Callable[[], Any]] = {
        "number": lambda: chance.choice([chance.randint(-(2**31), 2**31 - 1), True, "7"]),
        "big": lambda: chance.randint(-(2**63), 2**63 - 1),
        "vast": lambda: chance.randint(-(2**90), 2**90),
        "flag": lambda: chance.choice([True, False, 0, 1]),
        "double": lambda: chance.choice([chance.uniform(-1e308, 1e308), 3, "0.1"]),
        "amount": lambda: decimal.Decimal(chance.randint(-(10**20), 10**20)).scaleb(
            chance.randint(-30, 30)
        ),
        "text": text,
        "numbers": lambda: {chance.randint(-9, 9) for _ in range(chance.randint(0, 5))},
        "names": lambda: [text() for _ in range(chance.randint(0, 5))],
        "scores": lambda: {text(): chance.randint(-9, 9) for _ in range(chance.randint(0, 5))},
        "matrix": lambda: [[chance.randint(0, 9)] * chance.randint(0, 3) for _ in range(3)],
    }
    return makers[name]()


NAMES = [
    "number",
    "big",
    "vast",
    "flag",
    "double",
    "amount",
    "text",
    "numbers",
    "names",
    "scores",
    "matrix",
]


def test_seeded_values_come_back_as_cqlengines_columns_say(cql: CQLAlchemy) -> None:
    value = model(cql, "Value")
    chance = random.Random(3)
    rows = [
        {"id": number, **{name: random_value(chance, name) for name in NAMES}}
        for number in range(150)
    ]
    for row in rows[:50]:
        value.create(**row)
    cql.bulk_create(value, rows[50:100])
    for row in rows[100:]:
        value.create(id=row["id"])
        value.get(id=row["id"]).update(**{name: row[name] for name in NAMES})
    for row, found in zip(rows, cql.get_many(value, range(150)), strict=True):
        for name in NAMES:
            column = value._columns[name]
            assert getattr(found, name) == column.to_python(column.validate(row[name])), name


def test_a_timestamp_that_leaves_the_calendar_in_utc_is_as_a_row_would_have_it() -> None:
    ahead = datetime.timezone(datetime.timedelta(hours=1))
    first = datetime.datetime(1, 1, 1, tzinfo=ahead)

    assert as_stored(first) == OutOfRangeTimestamp(-62_135_600_400_000)

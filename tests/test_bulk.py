"""Bulk writes and reads: many rows, a number of them under way, each failure with its row."""

from __future__ import annotations

import gc
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from cassandra.cqlengine import ValidationError
from flask import Flask

from flask_cqlalchemy import (
    BulkError,
    CassandraUnavailable,
    CQLAlchemy,
    LocalCluster,
)
from flask_cqlalchemy.bulk import BulkResult

from .cql_helpers import model, module_fixtures, sent, text_of, user_type


def define(db: CQLAlchemy) -> CQLAlchemy:
    class Place(db.UserType):
        street = db.columns.Text()
        number = db.columns.Integer()

    class Reading(db.Model):
        sensor = db.columns.Integer(partition_key=True)
        at = db.columns.Integer(primary_key=True)
        value = db.columns.Double(db_field="v")
        small = db.columns.TinyInt()
        tags = db.columns.Set(db.columns.Text)
        scores = db.columns.Map(db.columns.Text, db.columns.Integer)
        steps = db.columns.List(db.columns.Integer)
        place = db.columns.UserDefinedType(Place)
        note = db.columns.Text(default="none")

    class Item(db.Model):
        id = db.columns.Integer(primary_key=True)
        name = db.columns.Text()

    class Visits(db.Model):
        page = db.columns.Text(primary_key=True)
        count = db.columns.Counter()

    class Room(db.Model):
        house = db.columns.Text(partition_key=True)
        number = db.columns.Integer(primary_key=True)
        owner = db.columns.Text(static=True)
        colour = db.columns.Text()

    class Pet(db.Model):
        __table_name__ = "pets"
        owner = db.columns.Text(partition_key=True)
        id = db.columns.Integer(primary_key=True)
        kind = db.columns.Text(discriminator_column=True)

    class Cat(Pet):
        __discriminator_value__ = "cat"
        lives = db.columns.Integer()

    class Dog(Pet):
        __discriminator_value__ = "dog"
        barks = db.columns.Boolean()

    class Checked(db.Model):
        id = db.columns.Integer(primary_key=True)
        low = db.columns.Integer()
        high = db.columns.Integer()

        def validate(self) -> None:
            super().validate()
            if self.low and self.high and self.low > self.high:
                raise ValidationError(f"low {self.low} is above high {self.high}")

    return db


cassandra_config, database, app = module_fixtures(define, CASSANDRA_GUARDRAILS="off")


def items(count: int) -> Iterator[dict[str, Any]]:
    return ({"id": number, "name": f"item {number}"} for number in range(count))


def names(item: Any) -> dict[int, str]:
    return {row.id: row.name for row in item.all()}


class Progress:
    """Remembers each call."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def __call__(self, written: int, failed: int) -> None:
        self.calls.append((written, failed))


# Creating


@pytest.mark.parametrize("concurrency", [1, 2, 3, 100, 1000])
def test_every_row_of_a_generator_is_written(cql: CQLAlchemy, concurrency: int) -> None:
    item = model(cql, "Item")
    result = cql.bulk_create(item, items(250), concurrency=concurrency)
    assert result == BulkResult(written=250)
    assert names(item) == {number: f"item {number}" for number in range(250)}


def test_no_rows_are_no_error(cql: CQLAlchemy) -> None:
    progress = Progress()
    assert cql.bulk_create(model(cql, "Item"), [], on_progress=progress) == BulkResult(0)
    assert progress.calls == [(0, 0)]


@pytest.mark.parametrize("concurrency", [0, -1])
def test_a_concurrency_below_one_is_refused(cql: CQLAlchemy, concurrency: int) -> None:
    item = model(cql, "Item")
    for act in (cql.bulk_create, cql.bulk_update, cql.bulk_delete, cql.get_many):
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is asserted
            act(item, [{"id": 1}], concurrency=concurrency)
        assert str(caught.value) == f"concurrency must be at least 1, not {concurrency}"


@pytest.mark.parametrize("most", [0, -1])
def test_a_number_of_failures_below_one_is_refused(cql: CQLAlchemy, most: int) -> None:
    with pytest.raises(ValueError, match="max_failures"):
        cql.bulk_create(model(cql, "Item"), items(3), max_failures=most)


@pytest.mark.parametrize("concurrency", [1, 7, 100])
def test_rows_are_taken_no_faster_than_they_are_written(cql: CQLAlchemy, concurrency: int) -> None:
    item = model(cql, "Item")
    taken = 0
    acknowledged = 0
    most = 0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal taken, most
        for row in items(500):
            taken += 1
            most = max(most, taken - acknowledged)
            yield row

    def count(future: Any) -> None:
        def done(_: object) -> None:
            nonlocal acknowledged
            acknowledged += 1

        future.add_callbacks(done, done)

    connection = cql.place().connection
    connection.add_listener(count)
    try:
        cql.bulk_create(item, rows(), concurrency=concurrency)
    finally:
        connection.remove_listener(count)
    assert acknowledged >= 500
    assert most <= concurrency + 1


def test_an_endless_generator_is_stopped_by_its_failures(cql: CQLAlchemy) -> None:
    item = model(cql, "Item")

    def rows() -> Iterator[dict[str, Any]]:
        number = 0
        while True:
            yield {"id": "wrong" if number % 2 else number}
            number += 1

    with pytest.raises(BulkError) as caught:
        cql.bulk_create(item, rows(), max_failures=5)
    assert str(caught.value) == (
        "Item: 5 rows were written; 5 were not; the first is row 1: Item.id takes a whole number "
        "from -2^31 to 2^31-1; this text is not one; after 5 failures no more rows were taken"
    )
    assert [failure.index for failure in caught.value.result.failures] == [1, 3, 5, 7, 9]
    assert item.objects.count() == 5


class Row(dict[str, Any]):
    """A row that says when nobody has it any more."""

    living = 0
    most = 0

    def __init__(self, **values: Any) -> None:
        super().__init__(values)
        Row.living += 1
        Row.most = max(Row.most, Row.living)

    def __del__(self) -> None:
        Row.living -= 1


def test_rows_are_let_go_as_soon_as_they_are_written(cql: CQLAlchemy) -> None:
    rows = (Row(id=number) for number in range(500))
    gc.collect()
    gc.disable()
    try:
        Row.most = Row.living
        cql.bulk_create(model(cql, "Item"), rows, concurrency=50)
        most = Row.most
    finally:
        gc.enable()
    assert most <= 60


@pytest.mark.slow
def test_a_hundred_thousand_rows_take_no_more_memory_than_a_few(cql: CQLAlchemy) -> None:
    item = model(cql, "Item")
    cql.bulk_create(item, items(10_000))
    process = psutil.Process()
    before = process.memory_info().rss
    assert cql.bulk_create(item, items(100_000)).written == 100_000
    assert process.memory_info().rss - before < 10_000_000


def test_progress_never_falls_and_ends_exactly(cql: CQLAlchemy) -> None:
    progress = Progress()
    rows = ({"id": "wrong" if number % 10 == 0 else number} for number in range(3000))
    with pytest.raises(BulkError):
        cql.bulk_create(model(cql, "Item"), rows, on_progress=progress)
    assert progress.calls == sorted(progress.calls)
    assert all(
        one[0] <= other[0] and one[1] <= other[1]
        for one, other in zip(progress.calls, progress.calls[1:], strict=False)
    )
    assert progress.calls[-1] == (2700, 300)


def test_progress_is_told_before_the_end(cql: CQLAlchemy) -> None:
    item = model(cql, "Item")
    progress = Progress()

    def until_told() -> Iterator[dict[str, Any]]:
        number = 0
        while len(progress.calls) < 2:
            yield {"id": number % 100}
            number += 1
            assert number < 1_000_000

    cql.bulk_create(item, until_told(), on_progress=progress)
    assert len(progress.calls) == 3


# Failures


def test_failures_have_index_row_and_error(cql: CQLAlchemy) -> None:
    reading = model(cql, "Reading")
    rows: list[Any] = [
        {"sensor": 1, "at": 0, "value": 1.5},
        {"sensor": 1, "at": 1, "small": 1000},
        {"sensor": 1, "at": 2, "value": "warm"},
        {"sensor": 1, "at": 3, "nothing": 1},
        "a text",
        {"sensor": 1, "at": 5},
    ]
    with pytest.raises(BulkError) as caught:
        cql.bulk_create(reading, rows)
    result = caught.value.result
    assert result.written == 2
    assert [(failure.index, failure.row) for failure in result.failures] == [
        (index, rows[index]) for index in (1, 2, 3, 4)
    ]
    assert all(isinstance(failure.error, ValidationError) for failure in result.failures)
    texts = [str(failure.error) for failure in result.failures]
    assert texts == [
        "Reading.small takes a whole number from -2^7 to 2^7-1; this one is too large",
        "Reading.value takes a number; this text is not one",
        "Reading has no column nothing; its columns are sensor, at, value, small, tags, scores, "
        "steps, place, note.",
        "Reading: a row is a mapping of columns to values, or an instance; not str.",
    ]
    assert str(caught.value) == (
        f"Reading: 2 rows were written; 4 were not; the first is row 1: {texts[0]}"
    )
    assert sorted(row.at for row in reading.objects(sensor=1)) == [0, 5]


#: Values at which cqlengine raises something else than a ValidationError, and what.
STRANGE: list[dict[str, Any]] = [
    {"place": {"street": 5}},
    {"place": 5},
    {"small": float("inf")},
    {"steps": [float("inf")]},
    {"tags": [["unhashable"]]},
    {"scores": [1]},
]


@pytest.mark.parametrize("strange", STRANGE, ids=str)
@pytest.mark.parametrize("way", ["create", "update"])
def test_no_value_ends_the_whole_write(cql: CQLAlchemy, strange: Any, way: str) -> None:
    reading = model(cql, "Reading")
    act = cql.bulk_create if way == "create" else cql.bulk_update
    rows = [{"sensor": 1, "at": at, **(strange if at == 3 else {"value": 1.0})} for at in range(6)]
    with pytest.raises(BulkError) as caught:
        act(reading, rows)
    result = caught.value.result
    assert (result.written, [failure.index for failure in result.failures]) == (5, [3])
    assert sorted(row.at for row in reading.objects(sensor=1)) == [0, 1, 2, 4, 5]


def test_an_iterable_that_raises_is_the_cause(cql: CQLAlchemy) -> None:
    item = model(cql, "Item")
    problem = OSError("the file is gone")

    def rows() -> Iterator[dict[str, Any]]:
        yield from items(357)
        raise problem

    progress = Progress()
    with pytest.raises(BulkError) as caught:
        cql.bulk_create(item, rows(), on_progress=progress)
    assert caught.value.__cause__ is problem
    assert caught.value.result == BulkResult(357)
    assert str(caught.value) == (
        "Item: 357 rows were written; the iterable raised OSError: the file is gone"
    )
    assert progress.calls[-1] == (357, 0)
    assert item.objects.count() == 357


class Interrupt(BaseException):
    """As KeyboardInterrupt, which would end the test run."""


def test_an_interrupt_from_the_iterable_passes(cql: CQLAlchemy) -> None:
    item = model(cql, "Item")

    def rows() -> Iterator[dict[str, Any]]:
        yield from items(10)
        raise Interrupt

    with pytest.raises(Interrupt):
        cql.bulk_create(item, rows())
    assert cql.bulk_create(item, items(20)).written == 20


def test_what_progress_raises_passes(cql: CQLAlchemy) -> None:
    def fail(written: int, failed: int) -> None:
        raise LookupError(f"{written} {failed}")

    with pytest.raises(LookupError, match="3 0"):
        cql.bulk_create(model(cql, "Item"), items(3), on_progress=fail)


def test_what_is_not_iterable_is_a_type_error(cql: CQLAlchemy) -> None:
    rows: Any = 5
    with pytest.raises(TypeError):
        cql.bulk_create(model(cql, "Item"), rows)


def test_a_missing_key_is_the_rows_failure(cql: CQLAlchemy) -> None:
    with pytest.raises(BulkError) as caught:
        cql.bulk_create(model(cql, "Reading"), [{"sensor": 1}, {"sensor": 1, "at": 1}])
    result = caught.value.result
    assert (result.written, [failure.index for failure in result.failures]) == (1, [0])
    assert isinstance(result.failures[0].error, ValidationError)
    assert "at" in str(result.failures[0].error)


# Instances


def test_new_instances_are_written_and_then_updated(cql: CQLAlchemy) -> None:
    reading = model(cql, "Reading")
    rows = [reading(sensor=1, at=at, value=float(at), tags={"a"}) for at in range(20)]
    assert cql.bulk_create(reading, rows).written == 20
    with sent(cql) as statements:
        rows[7].value = 99.0
        rows[7].save()
        rows[8].save()
    keyspace = cql.place().keyspace
    assert [text_of(statement) for statement in statements] == [
        f'UPDATE {keyspace}.reading SET "v" = ? WHERE "sensor" = ? AND "at" = ?'
    ]
    assert rows[7] == reading.get(sensor=1, at=7)
    assert rows[8].note == "none"


def test_an_instance_that_was_not_written_is_still_new(cql: CQLAlchemy) -> None:
    reading = model(cql, "Reading")
    row = reading(sensor=1, at=1)
    row.small = 1000
    with pytest.raises(BulkError):
        cql.bulk_create(reading, [row])
    row.small = 1
    row.save()
    assert reading.get(sensor=1, at=1).small == 1


@pytest.mark.parametrize("name", ["Room", "Cat", "Checked"])
def test_an_instance_of_a_model_without_a_plan_can_be_saved_after_a_bulk_write(
    cql: CQLAlchemy, name: str
) -> None:
    kind = model(cql, name)
    keys: dict[str, dict[str, Any]] = {
        "Room": {"house": "h", "number": 1},
        "Cat": {"owner": "ann", "id": 1},
        "Checked": {"id": 1},
    }
    values: dict[str, tuple[dict[str, Any], str, Any]] = {
        "Room": ({"colour": "red"}, "colour", "blue"),
        "Cat": ({"lives": 9}, "lives", 8),
        "Checked": ({"low": 1, "high": 2}, "low", 0),
    }
    given, column, later = values[name]
    row = kind(**keys[name], **given)
    cql.bulk_create(kind, [row], ttl=10_000)
    setattr(row, column, later)
    row.save()
    assert getattr(kind.get(**keys[name]), column) == later


def test_a_row_that_was_read_in_part_keeps_the_rest(cql: CQLAlchemy) -> None:
    reading = model(cql, "Reading")
    reading.create(sensor=1, at=1, value=1.5, tags={"kept"}, note="kept")
    row = reading.objects(sensor=1, at=1).only(["value"]).first()
    row.value = 2.5
    cql.bulk_create(reading, [row])
    found = reading.get(sensor=1, at=1)
    assert (found.value, found.tags, found.note) == (2.5, {"kept"}, "kept")


# What is written


def test_defaults_are_written(cql: CQLAlchemy) -> None:
    reading = model(cql, "Reading")
    cql.bulk_create(reading, [{"sensor": 1, "at": 1}])
    assert reading.get(sensor=1, at=1).note == "none"


def test_a_time_to_live_holds_for_every_row(cql: CQLAlchemy) -> None:
    item = model(cql, "Item")
    cql.bulk_create(item, items(5), ttl=1000)
    left = [row["left"] for row in cql.execute("SELECT ttl(name) AS left FROM item")]
    assert len(left) == 5
    assert all(900 < seconds <= 1000 for seconds in left)


def test_user_types_and_collections_are_written(cql: CQLAlchemy) -> None:
    reading, place = model(cql, "Reading"), user_type(cql, "Place")
    here = place(street="High Street", number=3)
    given = {"tags": {"a", "b"}, "scores": {"x": 1}, "steps": [3, 1, 3], "place": here}
    cql.bulk_create(reading, [{"sensor": 1, "at": at, **given} for at in range(3)])
    found = reading.get(sensor=1, at=2)
    assert {name: getattr(found, name) for name in given} == given


def test_subclasses_of_a_model_are_written_with_their_kind(cql: CQLAlchemy) -> None:
    cat, pet = model(cql, "Cat"), model(cql, "Pet")
    cql.bulk_create(cat, [{"owner": "ann", "id": 1, "lives": 9}, cat(owner="ann", id=2, lives=8)])
    cql.bulk_create(model(cql, "Dog"), [{"owner": "ann", "id": 3, "barks": True}])
    found = list(pet.objects(owner="ann"))
    assert [type(row).__name__ for row in found] == ["Cat", "Cat", "Dog"]
    assert [found[0].lives, found[1].lives, found[2].barks] == [9, 8, True]


def test_a_model_validates_its_own_rows(cql: CQLAlchemy) -> None:
    checked = model(cql, "Checked")
    with pytest.raises(BulkError) as caught:
        cql.bulk_create(
            checked, [{"id": 1, "low": 1, "high": 2}, checked(id=2, low=3, high=2), {"id": 3}][:2]
        )
    assert str(caught.value) == (
        "Checked: 1 rows were written; 1 were not; the first is row 1: low 3 is above high 2"
    )
    assert [row.id for row in checked.all()] == [1]


def test_static_columns_are_written(cql: CQLAlchemy) -> None:
    room = model(cql, "Room")
    cql.bulk_create(
        room,
        [
            {"house": "h", "number": 1, "owner": "ann", "colour": "red"},
            {"house": "h", "number": 2, "colour": "blue"},
            {"house": "empty", "owner": "bob"},
        ],
    )
    assert [(row.number, row.owner, row.colour) for row in room.objects(house="h")] == [
        (1, "ann", "red"),
        (2, "ann", "blue"),
    ]
    assert room.objects(house="empty").first().owner == "bob"


def test_the_keyspace_in_force_is_that_of_the_rows(cql: CQLAlchemy) -> None:
    item = model(cql, "Item")
    other = f"{cql.place().keyspace}_2"
    cql.create_keyspace_simple(other, 1)
    try:
        with cql.use_keyspace(other):
            cql.sync_table(item)
            cql.bulk_create(item, items(3))
            assert item.objects.count() == 3
            assert [row.id for row in cql.get_many(item, [2, 1])] == [2, 1]
        assert item.objects.count() == 0
    finally:
        cql.execute(f"DROP KEYSPACE {other}")


def test_rows_made_in_a_request_see_that_request(cql: CQLAlchemy, app: Flask) -> None:
    from flask import g, request

    item = model(cql, "Item")

    def rows() -> Iterator[dict[str, Any]]:
        for number in range(200):
            yield {"id": number, "name": f"{request.path} {g.user}"}

    with app.test_request_context("/import"):
        g.user = "ann"
        cql.bulk_create(item, rows())
    assert set(names(item).values()) == {"/import ann"}


# Updating


def test_columns_of_many_rows_are_written(cql: CQLAlchemy) -> None:
    reading = model(cql, "Reading")
    keys = [{"sensor": 1, "at": at} for at in range(50)]
    cql.bulk_create(reading, [{**key, "value": 1.5, "tags": {"a"}} for key in keys])
    changes = [{**key, "value": None, "tags": {"b"}, "scores": {"x": 1}} for key in keys]
    with sent(cql) as statements:
        assert cql.bulk_update(reading, iter(changes)).written == 50
    assert len(statements) == 50
    found = list(reading.objects(sensor=1))
    assert {(row.value, *row.tags, row.scores["x"], row.note) for row in found} == {
        (None, "b", 1, "none")
    }


def test_none_and_an_empty_collection_remove(cql: CQLAlchemy) -> None:
    reading = model(cql, "Reading")
    full = {"value": 1.0, "tags": {"a"}, "scores": {"x": 1}, "steps": [1]}
    cql.bulk_create(reading, [{"sensor": 1, "at": at, **full} for at in range(2)])
    cql.bulk_update(
        reading,
        [
            {"sensor": 1, "at": 0, "value": None, "tags": None, "scores": None, "steps": None},
            {"sensor": 1, "at": 1, "tags": set(), "scores": {}, "steps": []},
        ],
    )
    assert [(row.value, row.tags, row.scores, row.steps) for row in reading.objects(sensor=1)] == [
        (None, set(), {}, []),
        (1.0, set(), {}, []),
    ]


def test_counters_are_added_to(cql: CQLAlchemy) -> None:
    visits = model(cql, "Visits")
    rows = [{"page": page, "count": 2} for page in ("a", "b", "a")]
    assert cql.bulk_update(visits, rows).written == 3
    assert {row.page: row.count for row in visits.all()} == {"a": 4, "b": 2}


def test_static_columns_are_updated(cql: CQLAlchemy) -> None:
    room = model(cql, "Room")
    room.create(house="h", number=1, owner="ann", colour="red")
    cql.bulk_update(room, [{"house": "h", "number": 1, "colour": "blue"}])
    assert room.get(house="h", number=1).colour == "blue"


def test_subclasses_are_updated(cql: CQLAlchemy) -> None:
    cat = model(cql, "Cat")
    cat.create(owner="ann", id=1, lives=9)
    cql.bulk_update(cat, [{"owner": "ann", "id": 1, "lives": 8}])
    assert cat.get(owner="ann", id=1).lives == 8


WRONG_UPDATES: list[tuple[dict[str, Any], str]] = [
    ({"sensor": 1, "value": 2.0}, "Reading: at, of the primary key, is missing."),
    ({"at": 1, "value": 2.0}, "Reading: sensor, of the primary key, is missing."),
    (
        {"sensor": None, "at": 1, "value": 2.0},
        "Reading: sensor, of the primary key, is missing.",
    ),
    ({"sensor": 1, "at": 1}, "Reading: only the key is given, and no column to write."),
    (
        {"sensor": 1, "at": 1, "v": 2.0},
        "Reading has no column v; its columns are sensor, at, value, small, tags, scores, steps, "
        "place, note.",
    ),
    ({"sensor": 1, "at": 1, "value": "x"}, "Reading.value takes a number; this text is not one"),
]


@pytest.mark.parametrize(("row", "message"), WRONG_UPDATES, ids=[m[:40] for _, m in WRONG_UPDATES])
def test_a_wrong_row_of_an_update_names_the_column(
    cql: CQLAlchemy, row: dict[str, Any], message: str
) -> None:
    reading = model(cql, "Reading")
    with sent(cql) as statements, pytest.raises(BulkError) as caught:
        cql.bulk_update(reading, [row])
    (failure,) = caught.value.result.failures
    assert isinstance(failure.error, ValidationError)
    assert str(failure.error) == message
    assert statements == []


@pytest.mark.parametrize(
    ("name", "row", "message"),
    [
        ("Visits", {"count": 1}, "Visits: page, of the primary key, is missing."),
        ("Visits", {"page": "a"}, "Visits: only the key is given, and no column to write."),
        ("Room", {"house": "h", "colour": "x"}, "Room: number, of the primary key, is missing."),
        ("Cat", {"owner": "ann", "lives": 1}, "Cat: id, of the primary key, is missing."),
        ("Checked", {"low": 1}, "Checked: id, of the primary key, is missing."),
    ],
)
def test_a_model_without_a_plan_wants_the_whole_key_too(
    cql: CQLAlchemy, name: str, row: dict[str, Any], message: str
) -> None:
    with pytest.raises(BulkError) as caught:
        cql.bulk_update(model(cql, name), [row])
    (failure,) = caught.value.result.failures
    assert isinstance(failure.error, ValidationError)
    assert str(failure.error) == message


# Deleting


def test_rows_are_deleted_by_tuple_mapping_and_instance(cql: CQLAlchemy) -> None:
    reading = model(cql, "Reading")
    cql.bulk_create(reading, [{"sensor": 1, "at": at} for at in range(6)])
    keys = [(1, 0), {"at": 1, "sensor": 1}, reading.get(sensor=1, at=2), (1, 99)]
    assert cql.bulk_delete(reading, iter(keys)).written == 4
    assert [row.at for row in reading.objects(sensor=1)] == [3, 4, 5]


def test_rows_of_a_single_key_are_deleted_by_its_value(cql: CQLAlchemy) -> None:
    item = model(cql, "Item")
    cql.bulk_create(item, items(5))
    assert cql.bulk_delete(item, range(1, 4)).written == 3
    assert set(names(item)) == {0, 4}


@pytest.mark.parametrize(
    ("name", "keep", "gone"),
    [
        ("Room", {"house": "h", "number": 1}, {"house": "h", "number": 2}),
        ("Cat", {"owner": "ann", "id": 1}, {"owner": "ann", "id": 2}),
        ("Checked", {"id": 1}, {"id": 2}),
    ],
)
def test_rows_of_any_model_are_deleted(
    cql: CQLAlchemy, name: str, keep: dict[str, Any], gone: dict[str, Any]
) -> None:
    kind = model(cql, name)
    extra = {"low": 1, "high": 2} if name == "Checked" else {}
    cql.bulk_create(kind, [{**keep, **extra}, {**gone, **extra}])
    cql.bulk_delete(kind, [tuple(gone.values())])
    assert cql.get_many(kind, [keep, gone])[1] is None
    assert cql.get_many(kind, [keep])[0] is not None


WRONG_KEYS: list[tuple[Any, str]] = [
    ((1,), "Reading: the primary key has 2 columns, sensor, at; the key given has 1."),
    (1, "Reading: the primary key has 2 columns, sensor, at; the key given has 1."),
    ((1, 2, 3), "Reading: the primary key has 2 columns, sensor, at; the key given has 3."),
    ({"sensor": 1}, "Reading: at, of the primary key, is missing."),
    ((1, None), "Reading: at, of the primary key, is missing."),
    (
        {"sensor": 1, "at": 1, "value": 2.0},
        "Reading.value is not in the primary key, which is sensor, at.",
    ),
    (
        {"sensor": 1, "at": 1, "nothing": 2.0},
        "Reading has no column nothing; its columns are sensor, at, value, small, tags, scores, "
        "steps, place, note.",
    ),
    (
        ("x", 1),
        "Reading.sensor takes a whole number from -2^31 to 2^31-1; this text is not one",
    ),
]


@pytest.mark.parametrize(("key", "message"), WRONG_KEYS, ids=[str(key) for key, _ in WRONG_KEYS])
def test_a_wrong_key_is_named(cql: CQLAlchemy, key: Any, message: str) -> None:
    reading = model(cql, "Reading")
    with pytest.raises(BulkError) as caught:
        cql.bulk_delete(reading, [key])
    (failure,) = caught.value.result.failures
    assert isinstance(failure.error, ValidationError)
    assert str(failure.error) == message
    with pytest.raises(ValidationError) as refused:
        cql.get_many(reading, [key])
    assert str(refused.value) == message


# Reading


def test_rows_are_read_in_the_order_of_the_keys(cql: CQLAlchemy) -> None:
    reading = model(cql, "Reading")
    cql.bulk_create(reading, [{"sensor": 1, "at": at, "value": at / 2} for at in range(20)])
    keys = [(1, 7), {"sensor": 1, "at": 3}, (1, 7), (2, 1), reading(sensor=1, at=19)]
    found = cql.get_many(reading, (key for key in keys))
    assert [row and row.at for row in found] == [7, 3, 7, None, 19]
    assert found[0] == reading.get(sensor=1, at=7)
    assert found[0] is not found[2]


@pytest.mark.parametrize("concurrency", [1, 3, 100])
def test_many_rows_of_a_single_key_are_read(cql: CQLAlchemy, concurrency: int) -> None:
    item = model(cql, "Item")
    cql.bulk_create(item, items(150))
    found = cql.get_many(item, range(149, -1, -1), concurrency=concurrency)
    assert [row.id for row in found] == list(range(149, -1, -1))


def test_no_keys_are_no_rows(cql: CQLAlchemy) -> None:
    assert cql.get_many(model(cql, "Item"), []) == []


def test_rows_of_subclasses_are_read_as_such(cql: CQLAlchemy) -> None:
    model(cql, "Cat").create(owner="ann", id=1, lives=9)
    (found,) = cql.get_many(model(cql, "Pet"), [("ann", 1)])
    assert (type(found).__name__, found.lives) == ("Cat", 9)


def test_rows_that_were_read_can_be_saved(cql: CQLAlchemy) -> None:
    item = model(cql, "Item")
    cql.bulk_create(item, items(2))
    row = cql.get_many(item, [1])[0]
    row.name = "changed"
    row.save()
    assert names(item) == {0: "item 0", 1: "changed"}


def test_what_the_iterable_of_keys_raises_passes(cql: CQLAlchemy) -> None:
    def keys() -> Iterator[int]:
        yield 1
        raise OSError("the file is gone")

    with pytest.raises(OSError, match="the file is gone"):
        cql.get_many(model(cql, "Item"), keys())


# A node that goes away


@pytest.mark.slow
def test_a_node_that_dies_in_the_middle_leaves_an_exact_account(tmp_path: Path) -> None:
    db = define(CQLAlchemy())
    item = model(db, "Item")
    with LocalCluster(1, tmp_path / "cassandra", commitlog_sync="batch") as cluster:
        app = Flask(__name__)
        app.config.from_mapping(
            CASSANDRA_HOSTS=cluster.contact_points,
            CASSANDRA_PORT=cluster.port,
            CASSANDRA_KEYSPACE="test_killed",
            CASSANDRA_REQUEST_TIMEOUT=3,
        )
        db.init_app(app)
        taken = 0

        def rows() -> Iterator[dict[str, Any]]:
            nonlocal taken
            for row in items(3000):
                taken += 1
                if taken == 1500:
                    cluster.kill(1)
                yield row

        with app.app_context():
            db.sync_table(item)
            began = time.monotonic()
            with pytest.raises(BulkError) as caught:
                db.bulk_create(item, rows(), max_failures=200)
            assert time.monotonic() - began < 60
            result = caught.value.result
            assert result.written >= 1300
            assert result.written + len(result.failures) == taken
            assert {type(failure.error) for failure in result.failures} <= {
                CassandraUnavailable,
                *CassandraUnavailable.__subclasses__(),
            }
            cluster.start()
            db.close()
            failed = {failure.index for failure in result.failures}
            stored = set(names(item))
            assert set(range(taken)) - failed <= stored <= set(range(taken))
            db.close()

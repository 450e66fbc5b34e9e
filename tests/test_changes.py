"""What ``update()`` says of columns, conditions and rows, and the same row twice in a batch."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from cassandra import InvalidRequest
from cassandra.cqlengine import CQLEngineException, ValidationError
from cassandra.cqlengine.query import LWTException, QueryException

from flask_cqlalchemy import CQLAlchemy

from .cql_helpers import module_fixtures, sent, text_of

db = CQLAlchemy()


class Note(db.Model):
    id = db.columns.Integer(primary_key=True)
    text = db.columns.Text()
    visits = db.columns.Integer()
    tags = db.columns.Set(db.columns.Text)
    lines = db.columns.List(db.columns.Text, db_field="rows")
    links = db.columns.Map(db.columns.Text, db.columns.Text)
    ids = db.columns.Set(db.columns.UUID)


class Entry(db.Model):
    room = db.columns.Text(primary_key=True)
    at = db.columns.Integer(primary_key=True)
    topic = db.columns.Text(static=True)
    text = db.columns.Text()


class Visits(db.Model):
    page = db.columns.Text(primary_key=True)
    reads = db.columns.Counter()


cassandra_config, database, app = module_fixtures(db, CASSANDRA_GUARDRAILS="off")


@pytest.fixture
def note(cql: CQLAlchemy) -> type[Note]:
    Note.create(id=1, text="a", visits=1, tags={"x"}, lines=["x"], links={"x": "y"})
    return Note


def stored() -> tuple[Any, ...]:
    row = Note.get(id=1)
    return (row.text, row.visits, row.tags, row.lines, row.links)


BEFORE = ("a", 1, {"x"}, ["x"], {"x": "y"})


@pytest.mark.parametrize(
    "change",
    [
        {"visits__add": 5},
        {"text__append": "b"},
        {"text__unknown": "b"},
        {"tags__append": {"z"}},
        {"tags__ad": {"z"}},
        {"lines__add": ["z"]},
        {"lines__remove": ["x"]},
        {"links__updat": {"a": "b"}},
        {"links__add": {"a": "b"}},
        {"nothing__add": {"a"}},
    ],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.parametrize("how", ["alone", "beside another", "batch", "condition"])
def test_an_operation_that_a_column_lacks_is_refused(
    cql: CQLAlchemy, note: Any, change: dict[str, Any], how: str
) -> None:
    (argument,) = change
    rows = note.objects(id=1)
    batch = cql.batch()
    given = {
        "alone": (rows, change),
        "beside another": (rows, {"text": "b", **change}),
        "batch": (rows.batch(batch), change),
        "condition": (rows.iff(text="a"), change),
    }[how]
    with pytest.raises(ValidationError, match=argument.partition("__")[0]):
        given[0].update(**given[1])
    assert batch.size == 0
    assert stored() == BEFORE


@pytest.mark.parametrize(
    "change",
    [
        {"links__update": {}},
        {"links__remove": set()},
        {"tags__add": set()},
        {"tags__remove": set()},
        {"lines__append": []},
        {"lines__prepend": []},
    ],
    ids=lambda change: next(iter(change)),
)
@pytest.mark.parametrize("beside", [{}, {"text": "a"}])
def test_to_add_or_remove_nothing_changes_nothing(
    cql: CQLAlchemy, note: Any, change: dict[str, Any], beside: dict[str, Any]
) -> None:
    with sent(cql) as statements:
        note.objects(id=1).update(**change, **beside)
    assert len(statements) == len(beside)
    assert stored() == BEFORE


@pytest.mark.parametrize(
    "operation",
    [
        "tags__add",
        "tags__remove",
        "lines__append",
        "lines__prepend",
        "links__update",
        "links__remove",
    ],
)
def test_none_is_nothing_to_add(note: Any, operation: str) -> None:
    with pytest.raises(ValidationError, match=f"{operation}: None is nothing to"):
        note.objects(id=1).update(**{operation: None})
    assert stored() == BEFORE


def test_every_operation_does_what_it_says(note: Any) -> None:
    note.objects(id=1).update(
        tags__add={"z"},
        lines__append=["z"],
        links__update={"a": "b", "x": None},
        visits=None,
    )
    assert stored() == ("a", None, {"x", "z"}, ["x", "z"], {"a": "b"})
    note.objects(id=1).update(tags__remove={"x"}, lines__prepend=["1", "2"], links__remove=["a"])
    assert stored() == ("a", None, {"z"}, ["1", "2", "x", "z"], {})


def test_an_instance_s_changes_of_collections_are_one_update(cql: CQLAlchemy, note: Any) -> None:
    row = note.get(id=1)
    row.tags.add("z")
    row.tags.remove("x")
    row.lines.insert(0, "w")
    row.lines.append("z")
    row.links["a"] = "b"
    del row.links["x"]
    row.text = None
    with sent(cql) as statements:
        row.save()
    assert len(statements) == 1
    assert stored() == (None, 1, {"z"}, ["w", "x", "z"], {"a": "b"})


def test_what_another_one_has_added_is_kept(cql: CQLAlchemy) -> None:
    Note.create(id=1)
    row = Note.get(id=1)
    Note.objects(id=1).update(tags__add={"theirs"}, links__update={"theirs": "1"})
    row.tags.add("ours")
    row.links["ours"] = "1"
    row.save()
    found = Note.get(id=1)
    assert found.tags == {"ours", "theirs"}
    assert found.links == {"ours": "1", "theirs": "1"}


# Which rows


@pytest.mark.parametrize(
    ("write", "missing"),
    [
        (lambda: Entry.objects.update(text="x"), "room, at"),
        (lambda: Entry.objects(room="a").update(text="x"), "at"),
        (lambda: Entry.objects(at=1).update(topic="x"), "room"),
        (lambda: Note.objects.update(text="x"), "id"),
    ],
)
def test_an_update_needs_the_key(cql: CQLAlchemy, write: Callable[[], None], missing: str) -> None:
    with pytest.raises(QueryException, match=f"there is no filter for {missing}") as caught:
        write()
    # What Cassandra would have raised.
    assert isinstance(caught.value, InvalidRequest)


@pytest.mark.parametrize(
    "write", [lambda: Entry.objects.delete(), lambda: Entry.objects(at=1).delete()]
)
def test_a_delete_needs_the_partition_key(cql: CQLAlchemy, write: Callable[[], None]) -> None:
    with pytest.raises(QueryException, match="there is no filter for room"):
        write()


def test_static_columns_are_written_by_the_partition_key(cql: CQLAlchemy) -> None:
    Entry.create(room="a", at=1, topic="one", text="x")
    Entry.objects(room="a").update(topic="two")
    row = Entry.get(room="a", at=1)
    assert row.topic == "two"
    with sent(cql) as statements:
        row.update(topic=None)
    assert '"at"' not in text_of(statements[0])
    row.update(topic="three", text="y")
    assert (Entry.get(room="a", at=1).topic, Entry.get(room="a", at=1).text) == ("three", "y")
    Entry(room="b", topic="alone").save()
    Entry.create(room="c", topic="alone")
    assert {row.room: row.topic for row in Entry.objects.distinct(["room", "topic"])} == {
        "a": "three",
        "b": "alone",
        "c": "alone",
    }
    with pytest.raises(ValidationError, match=r"Entry\.at, of the primary key, is missing"):
        Entry.create(room="d", topic="x", text="needs a row")


def test_a_counter_is_not_removed(cql: CQLAlchemy) -> None:
    Visits.objects(page="/").update(reads=2)
    for write in (
        lambda: Visits.objects(page="/").update(reads=None),
        lambda: Visits.get(page="/").update(reads=None),
    ):
        with pytest.raises(ValidationError, match=r"Visits\.reads: a counter cannot be removed"):
            write()
    assert Visits.get(page="/").reads == 2


# Conditions


@pytest.mark.parametrize("given", [["a", "b"], ("a", "b"), {"a", "b"}, iter(["a"])])
def test_a_condition_may_be_one_of_several(note: Any, given: Any) -> None:
    note.objects(id=1).iff(text__in=given).update(text="c")
    assert stored()[0] == "c"


def test_a_condition_may_be_that_there_is_no_value(note: Any) -> None:
    note.objects(id=1).iff(text=None).update(text="b") if stored()[0] is None else None
    with pytest.raises(LWTException):
        note.objects(id=1).iff(text=None).update(text="b")
    note.objects(id=1).update(text=None)
    note.objects(id=1).iff(text=None).update(text="b")
    note.get(id=1).iff(text__ne=None).update(text="c")
    assert stored()[0] == "c"


def test_a_condition_may_be_what_a_collection_contains(note: Any) -> None:
    tag = uuid.uuid4()
    note.objects(id=1).update(ids={tag})
    note.objects(id=1).iff(ids__contains=tag).update(text="b")
    with pytest.raises(LWTException):
        note.objects(id=1).iff(ids__contains=uuid.uuid4()).update(text="c")
    assert stored()[0] == "b"


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ({"nothing": 1}, "Note has no column nothing"),
        ({"text__in": "ab"}, "takes several values"),
        ({"visits__gt": None}, "null can only be = or !="),
    ],
)
def test_a_condition_that_makes_no_sense_is_refused(
    note: Any, condition: dict[str, Any], message: str
) -> None:
    with pytest.raises(CQLEngineException, match=message):
        note.objects(id=1).iff(**condition).update(text="b")
    assert stored() == BEFORE


def test_what_is_no_condition_is_refused(note: Any) -> None:
    with pytest.raises(QueryException, match=r"iff\(\) takes conditions"):
        note.objects.iff("text = 'a'")


# The same row twice


def create_twice(batch: Any) -> None:
    Note.batch(batch).create(id=1, text="zebra", tags={"z"})
    Note.batch(batch).create(id=1, text="ant", tags={"a"})


def create_and_update(batch: Any) -> None:
    Note.batch(batch).create(id=1, text="zebra", tags={"z"})
    Note.objects(id=1).batch(batch).update(text="ant", tags={"a"})


def delete_and_create(batch: Any) -> None:
    Note.objects(id=1).batch(batch).delete()
    Note.batch(batch).create(id=1, text="ant", tags={"a"})


def create_null_and_value(batch: Any) -> None:
    Note.batch(batch).create(id=1, text=None)
    Note.objects(id=1).batch(batch).update(text="ant", tags={"a"})


def update_by_instances(batch: Any) -> None:
    one, two = Note.get(id=1), Note.get(id=1)
    one.batch(batch).update(text="zebra")
    two.batch(batch).update(text="ant", tags={"a"})


def save_and_change(batch: Any) -> None:
    row = Note(id=1, text="zebra", tags={"z"})
    row.batch(batch).save()
    row.text, row.tags = "ant", {"a"}
    row.batch(batch).save()


TWICE = [
    create_twice,
    create_and_update,
    delete_and_create,
    create_null_and_value,
    update_by_instances,
    save_and_change,
]


@pytest.mark.parametrize("kind", ["logged", "unlogged"])
@pytest.mark.parametrize("write", TWICE)
def test_the_later_write_of_a_row_in_a_batch_wins(
    cql: CQLAlchemy, note: Any, write: Callable[[Any], None], kind: str
) -> None:
    note.objects(id=1).update(tags=None)
    with cql.batch(kind) as batch:
        write(batch)
    assert (Note.get(id=1).text, Note.get(id=1).tags) == ("ant", {"a"})
    Note.objects(id=1).update(text="after")
    assert Note.get(id=1).text == "after"


def test_a_row_is_gone_if_it_is_deleted_last(cql: CQLAlchemy) -> None:
    with cql.batch() as batch:
        Note.batch(batch).create(id=1, text="a")
        Note.objects(id=1).batch(batch).delete()
    assert not Note.objects(id=1).exists()


def test_a_partition_is_replaced_in_a_batch(cql: CQLAlchemy) -> None:
    for at in range(3):
        Entry.create(room="a", at=at, text="old")
    with cql.batch() as batch:
        Entry.objects(room="a").batch(batch).delete()
        Entry.batch(batch).create(room="a", at=1, text="new", topic="zebra")
        Entry.batch(batch).create(room="a", at=7, text="new", topic="ant")
    assert [(row.at, row.text, row.topic) for row in Entry.objects(room="a")] == [
        (1, "new", "ant"),
        (7, "new", "ant"),
    ]


def test_other_rows_of_a_batch_keep_its_timestamp(cql: CQLAlchemy) -> None:
    with cql.batch() as batch:
        create_twice(batch)
        Note.batch(batch).create(id=2, text="x")
        Note.batch(batch).create(id=3, text="x")
    times = {
        row["id"]: row["at"] for row in cql.execute("SELECT id, WRITETIME(text) AS at FROM note")
    }
    assert times[2] == times[3]


def test_rows_that_must_have_one_timestamp_are_not_written_twice(cql: CQLAlchemy) -> None:
    stamped, conditional = cql.batch(timestamp=5), cql.batch()
    create_twice(stamped)
    for text in ("b", "c"):
        Note.objects(id=1).iff(text="a").batch(conditional).update(text=text)
    for batch in (stamped, conditional):
        with pytest.raises(ValidationError, match="a batch writes a row twice"):
            batch.execute()
    assert Note.objects.count() == 0


def test_timestamps_of_the_program_s_own_decide(cql: CQLAlchemy) -> None:
    now = time.time_ns() // 1000
    with cql.batch() as batch:
        Note.batch(batch).timestamp(now + 20).create(id=1, text="later")
        Note.batch(batch).timestamp(now + 10).create(id=1, text="earlier")
    assert Note.get(id=1).text == "later"


def test_writes_of_several_partitions_are_seen_to_meet(cql: CQLAlchemy) -> None:
    with cql.batch() as batch:
        Note.objects(id__in=[1, 2]).batch(batch).update(text="zebra")
        Note.objects(id=1).batch(batch).update(text="ant")
    assert {row.id: row.text for row in Note.objects} == {1: "ant", 2: "zebra"}


def test_a_conditional_batch_is_refused_where_its_writes_meet(cql: CQLAlchemy) -> None:
    Note.create(id=1, text="a", visits=1)
    batch = cql.batch()
    Note.objects(id=1).iff(text="a").batch(batch).update(text="b")
    Note.objects(id=1).batch(batch).update(visits=3)
    Note.objects(id=1).batch(batch).update(visits=2)
    with pytest.raises(ValidationError, match="a batch writes a row twice"):
        batch.execute()
    assert Note.get(id=1).visits == 1


def test_a_static_column_is_updated_with_a_condition_on_a_row(cql: CQLAlchemy) -> None:
    row = Entry.create(room="a", at=1, topic="one", text="x")
    row.iff(text="x").update(topic="two")
    with pytest.raises(LWTException):
        row.iff(text="y").update(topic="three")
    assert Entry.get(room="a", at=1).topic == "two"
    found, created = Entry.update_or_create(room="a", at=1, topic="four")
    assert (found.topic, found.text, created) == ("four", "x", False)


def test_an_iterator_is_written_whatever_happens_first(cql: CQLAlchemy) -> None:
    Note.create(id=1, text="a", tags={"old"})
    found, created = Note.update_or_create(id=1, tags=(tag for tag in ["x", "y"]))
    assert (found.tags, created) == ({"x", "y"}, False)

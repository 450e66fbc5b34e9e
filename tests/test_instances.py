"""Instances: the row that was read, what has changed since, and what a save sends."""

from __future__ import annotations

import copy
import pickle
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, ClassVar

import pytest
from cassandra.cqlengine import ValidationError
from cassandra.query import UNSET_VALUE
from flask import Flask

from flask_cqlalchemy import CQLAlchemy, before_statement

from .cql_helpers import module_fixtures, sent, text_of

db = CQLAlchemy()


# At the top of the module, where pickle finds them.
class Place(db.UserType):
    street = db.columns.Text()
    number = db.columns.Integer()


class Person(db.Model):
    id = db.columns.Integer(primary_key=True)
    seat = db.columns.Integer(primary_key=True, default=0)
    name = db.columns.Text(db_field="n")
    age = db.columns.Integer()
    height = db.columns.Double()
    tags = db.columns.Set(db.columns.Text, db_field="t")
    notes = db.columns.List(db.columns.Text)
    scores = db.columns.Map(db.columns.Text, db.columns.Integer)
    pair = db.columns.Tuple(db.columns.Integer, db.columns.Text)
    home = db.columns.UserDefinedType(Place)
    groups = db.columns.Map(db.columns.Text, db.columns.Set(db.columns.Text))
    origin = db.columns.Text(default="here")
    made = db.columns.Integer(default=lambda: 42)


class Strict(db.Model):
    id = db.columns.Integer(primary_key=True)
    must = db.columns.Text(required=True)
    may = db.columns.Text()


class Told(db.columns.Text):
    """A column that calls back while a value is converted."""

    calls: ClassVar[list[Callable[[], object]]] = []

    def to_python(self, value: Any) -> Any:
        for call in self.calls:
            call()
        return super().to_python(value)


class Watched(db.Model):
    id = db.columns.Integer(primary_key=True)
    name = db.columns.Text()
    told = db.columns.Set(Told)


cassandra_config, database, app = module_fixtures(db, CASSANDRA_GUARDRAILS="off")


FULL: dict[str, Any] = {
    "name": "Ann",
    "age": 30,
    "height": 1.7,
    "tags": {"a", "b"},
    "notes": ["x", "y"],
    "scores": {"go": 1, "stop": 2},
    "pair": (1, "p"),
    "groups": {"g": {"m"}},
}


@pytest.fixture
def person(cql: CQLAlchemy) -> Any:
    """A person with a value in every column, as read."""
    Person.create(id=1, **FULL, home=Place(street="High Street", number=3))
    return read()


def read() -> Any:
    return Person.get(id=1, seat=0)


def shape(statement: Any) -> str:
    """A statement without its keyspace and its key."""
    return text_of(statement).partition(".person ")[2].partition(" WHERE")[0]


# Scalars


def save(person: Any) -> None:
    person.save()


def update(person: Any) -> None:
    person.update()


@pytest.mark.parametrize("write", [save, update])
def test_an_assigned_scalar_is_one_update_of_that_column(
    cql: CQLAlchemy, person: Any, write: Callable[[Any], None]
) -> None:
    person.age = 31
    assert person.get_changed_columns() == ["age"]
    with sent(cql) as statements:
        write(person)
    assert [shape(statement) for statement in statements] == ['SET "age" = ?']
    assert read() == person
    assert person.age == 31


@pytest.mark.parametrize("write", [save, update])
def test_several_scalars_are_one_update(
    cql: CQLAlchemy, person: Any, write: Callable[[Any], None]
) -> None:
    person.name, person.height = "Bob", 1.8
    with sent(cql) as statements:
        write(person)
    assert [shape(statement) for statement in statements] == ['SET "n" = ?, "height" = ?']
    assert (read().name, read().height) == ("Bob", 1.8)


@pytest.mark.parametrize("write", [save, update])
def test_the_same_value_sends_nothing(
    cql: CQLAlchemy, person: Any, write: Callable[[Any], None]
) -> None:
    person.age = 30
    person.tags = {"b", "a"}
    person.home = Place(street="High Street", number=3)
    with sent(cql) as statements:
        write(person)
    assert statements == []


def test_a_value_that_was_taken_back_sends_nothing(cql: CQLAlchemy, person: Any) -> None:
    person.age = 31
    person.age = 30
    with sent(cql) as statements:
        person.save()
    assert statements == []


def test_a_second_save_sends_nothing(cql: CQLAlchemy, person: Any) -> None:
    person.age = 31
    person.tags.add("c")
    person.save()
    with sent(cql) as statements:
        person.save()
        person.update()
    assert statements == []
    assert person.get_changed_columns() == []


def test_update_writes_its_arguments_and_what_was_assigned(cql: CQLAlchemy, person: Any) -> None:
    person.age = 31
    with sent(cql) as statements:
        person.update(name="Bob")
    assert [shape(statement) for statement in statements] == ['SET "age" = ?, "n" = ?']
    assert (read().age, read().name) == (31, "Bob")


def test_an_argument_of_update_comes_before_what_was_assigned(cql: CQLAlchemy, person: Any) -> None:
    person.age = 31
    person.update(age=32)
    assert (person.age, read().age) == (32, 32)


@pytest.mark.parametrize("write", [save, update])
def test_none_removes(cql: CQLAlchemy, person: Any, write: Callable[[Any], None]) -> None:
    person.age = None
    with sent(cql) as statements:
        write(person)
    assert len(statements) == 1
    assert ' SET "age" = ? WHERE ' in text_of(statements[0])
    assert read().age is None
    assert read() == person


def test_none_beside_a_value_is_written_with_it(cql: CQLAlchemy, person: Any) -> None:
    person.age, person.name = None, "Bob"
    person.save()
    assert (read().age, read().name) == (None, "Bob")


def test_del_removes(cql: CQLAlchemy, person: Any) -> None:
    del person.age
    person.save()
    assert read().age is None


def test_a_key_cannot_be_deleted(cql: CQLAlchemy, person: Any) -> None:
    with pytest.raises(AttributeError) as caught:
        del person.id
    assert str(caught.value) == "cannot delete id columns"


def test_a_key_that_was_assigned_to_inserts_another_row(cql: CQLAlchemy, person: Any) -> None:
    person.seat = 5
    with sent(cql) as statements:
        person.save()
    assert [text_of(statement)[:6] for statement in statements] == ["INSERT"]
    assert sorted(row.seat for row in Person.objects(id=1)) == [0, 5]
    assert Person.get(id=1, seat=5) == person


def test_a_key_cannot_be_updated(cql: CQLAlchemy, person: Any) -> None:
    with pytest.raises(ValidationError, match=r"Person\.seat belongs to the primary key"):
        person.update(seat=5)
    assert Person.objects(id=1).count() == 1


def test_the_key_as_it_is_may_be_given_to_update(cql: CQLAlchemy, person: Any) -> None:
    person.update(id=1, seat=0, age=31)
    assert read().age == 31


def test_a_value_is_converted_when_it_is_saved(cql: CQLAlchemy, person: Any) -> None:
    person.age = "31"
    person.save()
    assert (person.age, read().age) == (31, 31)


def test_a_wrong_value_is_refused_and_stays_a_change(cql: CQLAlchemy, person: Any) -> None:
    person.age = "old"
    refused = pytest.raises(ValidationError, match=r"^Person\.age takes a whole number")
    with sent(cql) as statements, refused:
        person.save()
    assert statements == []
    person.age = 31
    person.save()
    assert read().age == 31


def test_a_wrong_argument_of_update_leaves_the_instance(cql: CQLAlchemy, person: Any) -> None:
    with pytest.raises(ValidationError):
        person.update(name="Bob", age=2**40)
    assert (person.name, person.age, read().name) == ("Ann", 30, "Ann")


def test_a_change_that_was_not_sent_can_be_sent_again(cql: CQLAlchemy, person: Any) -> None:
    def refuse(sender: Flask, statement: Any) -> None:
        raise ConnectionError("stop")

    person.age = 31
    with before_statement.connected_to(refuse), pytest.raises(ConnectionError):
        person.save()
    person.save()
    assert read().age == 31


@pytest.mark.parametrize("seconds", [33.0, None])
def test_an_instance_has_a_timeout_of_its_own(
    cql: CQLAlchemy, person: Any, seconds: float | None
) -> None:
    timeouts: list[float | None] = []

    def listen(future: Any) -> None:
        timeouts.append(future.timeout)

    connection = cql.place().connection
    connection.add_listener(listen)
    person.age = 31
    person.timeout(seconds).save()
    connection.remove_listener(listen)
    assert timeouts == [seconds]


# Collections


def test_collections_changed_in_place_are_written(cql: CQLAlchemy, person: Any) -> None:
    person.tags.add("c")
    person.notes.append("z")
    person.scores["new"] = 3
    del person.scores["go"]
    person.groups["g"].add("n")
    assert set(person.get_changed_columns()) >= {"tags", "notes", "scores", "groups"}
    person.save()
    found = read()
    assert found == person
    assert (found.tags, found.notes) == ({"a", "b", "c"}, ["x", "y", "z"])
    assert (found.scores, found.groups) == ({"stop": 2, "new": 3}, {"g": {"m", "n"}})


@pytest.mark.parametrize("beside", ["nothing", "scalar", "collection"])
def test_a_user_type_changed_in_place_is_written(cql: CQLAlchemy, person: Any, beside: str) -> None:
    person.home.number = 4
    if beside == "scalar":
        person.age = 31
    elif beside == "collection":
        person.tags.add("c")
    person.save()
    assert (read().home.street, read().home.number) == ("High Street", 4)


def test_a_collection_and_a_scalar_are_written_together(cql: CQLAlchemy, person: Any) -> None:
    person.age = 31
    person.tags.discard("a")
    person.name = "Bob"
    person.save()
    assert (read().age, read().tags, read().name) == (31, {"b"}, "Bob")
    assert read() == person


@pytest.mark.parametrize("order", ["scalar first", "collection first"])
def test_update_keeps_a_collection_that_was_changed_in_place(
    cql: CQLAlchemy, person: Any, order: str
) -> None:
    if order == "scalar first":
        person.age = 31
        person.tags.add("c")
    else:
        person.tags.add("c")
        person.age = 31
    person.update(name="Bob")
    assert (read().age, read().tags, read().name) == (31, {"a", "b", "c"}, "Bob")


def test_a_collection_that_was_only_read_is_not_written(cql: CQLAlchemy, person: Any) -> None:
    assert person.tags == {"a", "b"}
    assert person.home.number == 3
    assert person.scores["go"] == 1
    assert sorted(person.groups) == ["g"]
    person.age = 31
    with sent(cql) as statements:
        person.save()
    assert [shape(statement) for statement in statements] == ['SET "age" = ?']
    assert "_values" not in vars(person)


def test_an_emptied_collection_is_removed(cql: CQLAlchemy, person: Any) -> None:
    person.tags.clear()
    person.notes.clear()
    person.scores.clear()
    person.save()
    assert (read().tags, read().notes, read().scores) == (set(), [], {})


def test_an_assigned_collection_takes_its_place(cql: CQLAlchemy, person: Any) -> None:
    person.tags, person.scores, person.pair = {"q"}, {"only": 9}, (2, "q")
    person.save()
    assert (read().tags, read().scores, read().pair) == ({"q"}, {"only": 9}, (2, "q"))


def test_a_user_type_can_be_removed(cql: CQLAlchemy, person: Any) -> None:
    person.home = None
    person.save()
    assert read().home is None


@pytest.mark.parametrize("change", ["nothing", "scalar", "collection"])
def test_an_old_reference_to_a_collection_does_no_harm(
    cql: CQLAlchemy, person: Any, change: str
) -> None:
    old = person.tags
    if change == "scalar":
        person.age = 31
    elif change == "collection":
        person.tags.add("c")
    person.save()
    stored = read().tags
    old.add("late")
    assert read().tags == stored
    person.save()
    assert read().tags == person.tags
    assert read().tags - {"late"} == stored


def test_reading_a_collection_twice_gives_the_same_one(cql: CQLAlchemy, person: Any) -> None:
    assert person.tags is person.tags
    assert person.home is person.home


# New instances


def test_a_new_instance_is_one_insert_and_then_one_update(cql: CQLAlchemy) -> None:
    row = Person(id=1, name="Ann", tags={"a"})
    with sent(cql) as statements:
        row.save()
        row.age = 31
        row.save()
    assert [text_of(statement)[:6] for statement in statements] == ["INSERT", "UPDATE"]
    assert shape(statements[1]) == 'SET "age" = ?'
    assert read() == row
    assert (row.tags, row.age, row.origin, row.made) == ({"a"}, 31, "here", 42)


@pytest.mark.parametrize("way", ["create", "save", "batch", "bulk"])
def test_what_is_left_out_is_not_touched_and_none_removes(
    cql: CQLAlchemy, person: Any, way: str
) -> None:
    with sent(cql) as statements:
        if way == "create":
            Person.create(id=1, age=None)
        elif way == "save":
            Person(id=1, age=None).save()
        elif way == "bulk":
            cql.bulk_create(Person, [Person(id=1, age=None)])
        else:
            with cql.batch() as batch:
                Person(id=1, age=None).batch(batch).save()
    found = read()
    assert (found.age, found.name, found.tags, found.notes) == (
        None,
        "Ann",
        {"a", "b"},
        ["x", "y"],
    )
    if way != "batch":
        unset = [value is UNSET_VALUE for value in statements[0].values]
        assert (unset.count(True), len(statements)) == (8, 1)


def test_defaults_are_those_of_the_moment(cql: CQLAlchemy) -> None:
    row = Person(id=1)
    assert (row.seat, row.origin, row.made, row.tags) == (0, "here", 42, set())
    row.save()
    assert read() == row
    assert Person.create(id=1, seat=7, origin="there").origin == "there"


@pytest.mark.parametrize("way", ["save", "create"])
def test_a_default_may_be_overridden_by_none(cql: CQLAlchemy, way: str) -> None:
    if way == "save":
        Person(id=1, origin=None).save()
    else:
        Person.create(id=1, origin=None)
    assert read().origin is None


def test_attributes_that_are_no_columns_survive_a_save(cql: CQLAlchemy) -> None:
    row: Any = Person(id=1)
    row.extra = ["mine"]
    row.save()
    row.age = 31
    row.save()
    row.tags = {"a"}
    row.save()
    assert row.extra == ["mine"]
    found = read()
    found.extra = 1
    found.age = 32
    found.save()
    assert found.extra == 1


def test_a_reference_to_a_new_instances_collection_stays_its_own(cql: CQLAlchemy) -> None:
    row = Person(id=1, tags={"a"})
    own = row.tags
    row.save()
    own.add("b")
    row.save()
    assert row.tags == read().tags == {"a", "b"}


def test_a_programs_own_collection_does_not_change_a_saved_row(cql: CQLAlchemy) -> None:
    own = {"a"}
    row = Person(id=1, tags=own)
    row.save()
    own.add("b")
    row.age = 31
    row.save()
    assert row.tags == read().tags == {"a"}


def test_required_columns_are_checked_on_every_save(cql: CQLAlchemy) -> None:
    with pytest.raises(ValidationError) as caught:
        Strict(id=1, may="x").save()
    assert str(caught.value) == "Strict.must - None values are not allowed"
    row: Any = Strict.create(id=1, must="x")
    row.must = None
    with pytest.raises(ValidationError, match="must - None values are not allowed"):
        row.save()
    with pytest.raises(ValidationError, match="must - None values are not allowed"):
        Strict.get(id=1).update(must=None)
    assert Strict.get(id=1).must == "x"


def test_a_time_to_live_is_for_its_instance(cql: CQLAlchemy, person: Any) -> None:
    person.age = 31
    person.ttl(1000).save()
    (row,) = cql.execute("SELECT ttl(age) AS age, ttl(n) AS name FROM person WHERE id = 1")
    assert 900 < row["age"] <= 1000
    assert row["name"] is None


# Copies


def through_pickle(row: Any) -> Any:
    return pickle.loads(pickle.dumps(row))


COPIES = [copy.copy, copy.deepcopy, through_pickle]


@pytest.mark.parametrize("again", COPIES, ids=["copy", "deepcopy", "pickle"])
@pytest.mark.parametrize("state", ["as read", "looked at", "scalar", "collection", "full", "new"])
def test_a_copy_has_the_changes_and_shares_nothing(
    cql: CQLAlchemy,
    person: Any,
    again: Callable[[Any], Any],
    state: str,
) -> None:
    if state == "new":
        person = Person(id=1, **FULL, home=Place(street="High Street", number=3))
    if state != "as read":
        assert (person.tags, person.home.number) == ({"a", "b"}, 3)
    if state in {"scalar", "full"}:
        person.age = 31
    if state == "collection":
        person.tags.add("c")
    if state == "full":
        assert person.get_changed_columns() == ["age"]
    other = again(person)
    assert other == person
    assert other.tags == person.tags
    other.tags.add("other")
    other.notes.append("other")
    other.scores["other"] = 1
    other.home = Place(street="Low Street", number=99)
    assert "other" not in person.tags | set(person.notes) | set(person.scores)
    assert person.home.number == 3
    other.save()
    found = read()
    assert found.age == (31 if state in {"scalar", "full"} else 30)
    assert found.tags == {"a", "b", "other"} | ({"c"} if state == "collection" else set())
    assert (found.scores["other"], found.notes[-1], found.home.number) == (1, "other", 99)


@pytest.mark.parametrize("again", COPIES, ids=["copy", "deepcopy", "pickle"])
def test_an_unchanged_copy_sends_nothing(
    cql: CQLAlchemy, person: Any, again: Callable[[Any], Any]
) -> None:
    assert person.scores
    other = again(person)
    with sent(cql) as statements:
        other.save()
    assert statements == []


# What an instance looks like


def test_an_instance_shows_its_columns(cql: CQLAlchemy) -> None:
    Strict.create(id=1, must="x")
    row = Strict.get(id=1)
    assert repr(row) == "Strict(id=1, must='x', may=None)"
    assert str(row) == "Strict <id=1>"
    assert dict(row) == {"id": 1, "must": "x", "may": None}
    assert (row["must"], len(row), row.keys()) == ("x", 3, ["id", "must", "may"])
    row["may"] = "y"
    row.save()
    assert Strict.get(id=1).may == "y"


def test_equality_is_that_of_the_columns(cql: CQLAlchemy, person: Any) -> None:
    other = read()
    assert person == other
    other.age = 31
    assert person != other
    other.age = 30
    assert person == other
    assert person != "a text"
    assert person != Strict(id=1, must="x")


def test_a_row_that_was_read_in_part_writes_no_more(cql: CQLAlchemy, person: Any) -> None:
    row = Person.objects(id=1, seat=0).only(["name", "tags"]).first()
    assert (row.id, row.seat, row.name, row.age) == (1, 0, "Ann", None)
    row.name = "Bob"
    row.tags.add("c")
    row.save()
    found = read()
    assert (found.name, found.tags, found.age, found.scores) == (
        "Bob",
        {"a", "b", "c"},
        30,
        {"go": 1, "stop": 2},
    )


def test_a_column_that_was_not_read_can_be_assigned_to(cql: CQLAlchemy, person: Any) -> None:
    row = Person.objects(id=1, seat=0).defer(["age", "scores"]).first()
    row.age = 31
    row.scores = {"new": 1}
    row.save()
    assert (read().age, read().scores["new"]) == (31, 1)


# Threads


@pytest.fixture
def eager_threads() -> Iterator[None]:
    """Have Python change threads as often as it can."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    yield
    sys.setswitchinterval(before)


def test_threads_may_read_one_instance(cql: CQLAlchemy, person: Any, eager_threads: None) -> None:
    rows = [copy.copy(person) for _ in range(200)]
    barrier = threading.Barrier(4)

    def look(_: int) -> bool:
        barrier.wait()
        return all(
            (row.name, row.age, row.tags, row.scores["go"], row.home.number)
            == ("Ann", 30, {"a", "b"}, 1, 3)
            for row in rows
        )

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(look, range(4)))


def test_a_thread_may_read_while_another_asks_for_changes(cql: CQLAlchemy) -> None:
    Watched.create(id=1, name="x", told={"a"})
    row = Watched.get(id=1)
    seen: list[Any] = []
    with ThreadPoolExecutor(1) as other_thread:
        Told.calls.append(lambda: seen.append(other_thread.submit(lambda: row.name).result()))
        try:
            assert row.get_changed_columns() == []
        finally:
            Told.calls.clear()
    assert set(seen) == {"x"}

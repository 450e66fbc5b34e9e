"""Instances as elements of sets, read again, and read by many keys."""

from __future__ import annotations

import datetime
import pickle
import uuid
from decimal import Decimal
from typing import Any

import pytest
from cassandra import util
from cassandra.cqlengine import ValidationError
from cassandra.cqlengine.query import QueryException

from flask_cqlalchemy import CQLAlchemy, columns

from .cql_helpers import model, module_fixtures, sent, user_type

NOON = datetime.datetime(2026, 11, 28, 12)
DAY = datetime.date(2026, 11, 28)


def define(db: CQLAlchemy) -> CQLAlchemy:
    class Badge(db.UserType):
        name = db.columns.Text()

    class Message(db.Model):
        room = db.columns.Text(primary_key=True, partition_key=True)
        day = db.columns.Date(primary_key=True, partition_key=True)
        at = db.columns.DateTime(primary_key=True)
        topic = db.columns.Text(static=True)
        text = db.columns.Text(db_field="body")
        tags = db.columns.Set(db.columns.Text)
        badge = db.columns.UserDefinedType(Badge)
        likes = db.columns.Integer(default=0)

    class Room(db.Model):
        name = db.columns.Text(primary_key=True)
        title = db.columns.Text()

    class Visits(db.Model):
        page = db.columns.Text(primary_key=True)
        count = db.columns.Counter()

    class Strict(db.Model):
        id = db.columns.Integer(primary_key=True)
        text = db.columns.Text()

        def __init__(self, **values: Any) -> None:
            super().__init__(**values)

    class Pet(db.Model):
        owner = db.columns.Text(primary_key=True)
        kind = db.columns.Text(discriminator_column=True, index=True)

    class Cat(Pet):
        __discriminator_value__ = "cat"
        lives = db.columns.Integer()

    return db


cassandra_config, database, app = module_fixtures(define)

KEY: dict[str, Any] = {"room": "lobby", "day": DAY, "at": NOON}


# Hash and equality


def test_equal_instances_are_one_element_of_a_set(cql: CQLAlchemy) -> None:
    message = model(cql, "Message")
    made = message.create(**KEY, text="hi", tags={"a"})
    found = message.get(**KEY)
    assert made == found
    assert {made, found, message.objects(**KEY).first()} == {made}
    assert {made: 1}[found] == 1


def test_an_instance_stays_where_it_is_when_its_values_change(cql: CQLAlchemy) -> None:
    message = model(cql, "Message")
    new = message(**KEY, text="hi")
    held = {new}
    new.save()
    assert new in held
    new.update(text="changed", tags={"b"})
    new.tags.add("c")
    new.save()
    assert new in held
    assert new.refresh() in held
    new.delete()
    assert new in held


def test_instances_with_one_key_and_other_values_differ(database: CQLAlchemy) -> None:
    room = model(database, "Room")
    one, other = room(name="lobby", title="Lobby"), room(name="lobby", title="Hall")
    assert one != other
    assert hash(one) == hash(other)
    assert len({one, other}) == 2


def test_instances_of_two_models_differ(database: CQLAlchemy) -> None:
    one, other = model(database, "Room")(name="x"), model(database, "Visits")(page="x")
    assert one != other
    assert hash(one) != hash(other)


#: A value of a key as a program may give it, and another that is equal or is stored alike.
ALIKE: list[tuple[Any, Any, Any]] = [
    (columns.Date, DAY, util.Date("2026-11-28")),
    (columns.DateTime, NOON, NOON.replace(microsecond=999)),
    (columns.DateTime, NOON, NOON.replace(tzinfo=datetime.timezone.utc)),
    (columns.Decimal, Decimal("1.5"), Decimal("1.50")),
    (columns.Integer, 1, True),
    (columns.Blob, b"a", bytearray(b"a")),
    (columns.Time, datetime.time(8, 30), util.Time("08:30:00")),
]


@pytest.mark.parametrize(("column", "one", "other"), ALIKE)
def test_keys_that_are_stored_alike_have_one_hash(column: Any, one: Any, other: Any) -> None:
    db = CQLAlchemy()

    class Keyed(db.Model):
        key = column(primary_key=True)

    assert hash(Keyed(key=one)) == hash(Keyed(key=other))


def test_a_collection_in_a_key_has_a_hash(database: CQLAlchemy) -> None:
    db = CQLAlchemy()

    class Keyed(db.Model):
        id = db.columns.Integer(primary_key=True)
        tags = db.columns.Set(db.columns.Text, primary_key=True)

    assert hash(Keyed(id=1, tags={"a", "b"})) == hash(Keyed(id=1, tags={"b", "a"}))
    assert hash(Keyed(id=1, tags={"a"})) != hash(Keyed(id=1, tags={"b"}))


def test_an_instance_without_its_whole_key_has_no_hash(database: CQLAlchemy) -> None:
    message = model(database, "Message")(room="lobby", day=DAY)
    with pytest.raises(TypeError) as caught:
        hash(message)
    assert str(caught.value) == (
        "Message: at, of the primary key, is missing, and an instance is hashed by its key."
    )
    message.at = NOON
    assert message in {message}


def test_an_instance_whose_key_cannot_be_stored_has_no_hash(database: CQLAlchemy) -> None:
    message = model(database, "Message")(room="lobby", day=DAY)
    message.at = "noon"
    with pytest.raises(TypeError) as caught:
        hash(message)
    assert str(caught.value) == (
        "Message.at, of the primary key, cannot be stored, and an instance is hashed by its key."
    )


def test_models_of_a_shared_table_have_a_hash(cql: CQLAlchemy) -> None:
    made = model(cql, "Cat").create(owner="ann", lives=9)
    assert {made} == {model(cql, "Pet").objects(owner="ann").first()}


def test_a_class_for_another_keyspace_does_not_make_another_hash(database: CQLAlchemy) -> None:
    from cassandra.cqlengine.query import ContextQuery

    room = model(database, "Room")
    with ContextQuery(room, keyspace="elsewhere") as other:
        assert hash(other(name="x")) == hash(room(name="x"))


def test_a_set_of_instances_can_be_pickled() -> None:
    made = {Kept(id=1, text="a"), Kept(id=2, text="b")}
    assert pickle.loads(pickle.dumps(made)) == made


kept = CQLAlchemy()


class Kept(kept.Model):
    id = kept.columns.Integer(primary_key=True)
    text = kept.columns.Text()


# Refresh


def test_refresh_reads_the_row_again(cql: CQLAlchemy) -> None:
    message, badge = model(cql, "Message"), user_type(cql, "Badge")
    mine = message.create(**KEY, text="hi", tags={"a"})
    message.objects(**KEY).update(text="changed", tags={"b"}, badge=badge(name="x"), topic="t")
    assert mine.refresh() is mine
    assert mine == message.get(**KEY)
    assert (mine.text, mine.tags, mine.topic, mine.badge) == (
        "changed",
        {"b"},
        "t",
        badge(name="x"),
    )


def changed_scalar(message: Any) -> None:
    message.text = "mine"


def changed_collection(message: Any) -> None:
    message.tags.add("mine")


def replaced_collection(message: Any) -> None:
    message.tags = {"mine"}


def nulled(message: Any) -> None:
    message.text = None


def made_full(message: Any) -> None:
    assert len(message._values) == 8


def changed_key(message: Any) -> None:
    message.room = "elsewhere"


CHANGES = [changed_scalar, changed_collection, replaced_collection, nulled, made_full, changed_key]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("way", ["created", "saved", "read"])
def test_refresh_undoes_what_was_not_saved(cql: CQLAlchemy, way: str, change: Any) -> None:
    message = model(cql, "Message")
    mine = message.create(**KEY, text="hi", tags={"a"}) if way != "saved" else None
    if mine is None:
        mine = message(**KEY, text="hi", tags={"a"}).save()
    elif way == "read":
        mine = message.get(**KEY)
    change(mine)
    mine.refresh()
    assert mine == message.get(**KEY)
    assert mine.get_changed_columns() == []
    with sent(cql) as statements:
        mine.save()
    assert statements == []
    assert message.objects.count() == 1


def test_a_refreshed_instance_can_be_changed_and_saved(cql: CQLAlchemy) -> None:
    message = model(cql, "Message")
    mine = message.create(**KEY, text="hi", tags={"a"})
    mine.refresh().update(text="new")
    mine.tags.add("b")
    mine.save()
    assert message.get(**KEY) == mine
    assert (mine.text, mine.tags) == ("new", {"a", "b"})


def test_refresh_reads_the_columns_that_were_left_out(cql: CQLAlchemy) -> None:
    message = model(cql, "Message")
    message.create(**KEY, text="hi", likes=3)
    part = message.objects(**KEY).only(["text"]).first()
    assert part.likes is None
    assert part.refresh().likes == 3


def test_refresh_of_an_instance_read_without_its_key_says_so(cql: CQLAlchemy) -> None:
    message = model(cql, "Message")
    message.create(**KEY, text="hi")
    part = message.objects(room="lobby", day=DAY).only(["text"]).first()
    with pytest.raises(ValidationError, match="Message: at, of the primary key, is missing"):
        part.refresh()


def test_refresh_of_a_row_that_is_gone(cql: CQLAlchemy) -> None:
    message = model(cql, "Message")
    mine = message.create(**KEY, text="hi")
    message.objects(**KEY).delete()
    with pytest.raises(message.DoesNotExist):
        mine.refresh()
    assert mine.text == "hi"


def test_refresh_fills_a_new_instance_that_has_a_key(cql: CQLAlchemy) -> None:
    room = model(cql, "Room")
    room.create(name="lobby", title="Lobby")
    assert room(name="lobby", title="mine").refresh().title == "Lobby"
    with pytest.raises(room.DoesNotExist):
        room(name="hall").refresh()
    with pytest.raises(ValidationError, match="Room: name, of the primary key, is missing"):
        room(title="Lobby").refresh()


def test_refresh_shows_what_a_counter_has_become(cql: CQLAlchemy) -> None:
    visits = model(cql, "Visits")
    visits.objects(page="/").update(count=1)
    mine = visits.get(page="/")
    visits.objects(page="/").update(count=2)
    assert mine.refresh().count == 3


@pytest.mark.parametrize(
    ("name", "values", "changed"),
    [
        ("Strict", {"id": 1, "text": "a"}, {"text": "b"}),
        ("Cat", {"owner": "ann", "lives": 9}, {"lives": 8}),
    ],
)
def test_refresh_works_for_instances_that_cqlengine_makes(
    cql: CQLAlchemy, name: str, values: dict[str, Any], changed: dict[str, Any]
) -> None:
    kind = model(cql, name)
    mine = kind.create(**values)
    kind.get(**{name: values[name] for name in kind.__mapper__.primary_key}).update(**changed)
    mine.refresh()
    assert {name: getattr(mine, name) for name in values} == {**values, **changed}
    assert mine.get_changed_columns() == []


def test_refresh_keeps_what_a_program_has_put_on_the_instance(cql: CQLAlchemy) -> None:
    mine = model(cql, "Room").create(name="lobby")
    mine.mark = "mine"
    assert mine.refresh().mark == "mine"


# Many keys


def test_in_bulk_gives_an_instance_by_each_key_that_has_a_row(cql: CQLAlchemy) -> None:
    room = model(cql, "Room")
    for name in "abc":
        room.create(name=name, title=name.upper())
    found = room.objects.in_bulk(["c", "a", "x", "a"])
    assert list(found) == ["c", "a"]
    assert {name: each.title for name, each in found.items()} == {"c": "C", "a": "A"}
    assert room.objects.in_bulk([]) == {}
    assert room.objects.in_bulk(iter("ab")).keys() == {"a", "b"}


@pytest.mark.parametrize("form", ["tuple", "mapping", "instance"])
def test_in_bulk_has_tuples_for_keys_of_several_columns(cql: CQLAlchemy, form: str) -> None:
    message = model(cql, "Message")
    made = [message.create(room="lobby", day=DAY, at=NOON.replace(hour=h)) for h in range(3)]
    given: list[Any] = made
    if form != "instance":
        given = [(each.room, each.day, each.at) for each in made]
    if form == "mapping":
        given = [dict(zip(KEY, key, strict=True)) for key in given]
    found = message.objects.in_bulk(given[:2])
    assert found == {(each.room, each.day, each.at): each for each in made[:2]}


def test_in_bulk_takes_the_columns_and_options_of_its_query_set(cql: CQLAlchemy) -> None:
    message = model(cql, "Message")
    message.create(**KEY, text="hi", likes=3)
    (found,) = message.objects.only(["text"]).in_bulk([tuple(KEY.values())]).values()
    assert (found.room, found.at, found.text, found.likes) == ("lobby", NOON, "hi", None)


def test_in_bulk_reads_a_thousand_rows_by_keys(cql: CQLAlchemy) -> None:
    room = model(cql, "Room")
    names = [str(number) for number in range(1000)]
    cql.bulk_create(room, ({"name": name, "title": name} for name in names))
    found = room.objects.in_bulk(names)
    assert [found[name].title for name in names] == names


def test_in_bulk_of_models_of_a_shared_table(cql: CQLAlchemy) -> None:
    model(cql, "Cat").create(owner="ann", lives=9)
    for name in ("Pet", "Cat"):
        (found,) = model(cql, name).objects.in_bulk(["ann", "bob"]).values()
        assert (type(found), found.lives) == (model(cql, "Cat"), 9)


@pytest.mark.parametrize(
    "narrow",
    [
        lambda query: query.filter(name="a"),
        lambda query: query.limit(1),
        lambda query: query.distinct(),
        lambda query: query.values_list("title"),
    ],
)
def test_in_bulk_refuses_a_query_set_that_says_otherwise(cql: CQLAlchemy, narrow: Any) -> None:
    with pytest.raises(QueryException) as caught:
        narrow(model(cql, "Room").objects).in_bulk(["a"])
    assert str(caught.value) == (
        "Room: in_bulk() reads instances by whole primary keys, but the query set has conditions, "
        "a limit, distinct() or values_list(). Leave them out."
    )


@pytest.mark.parametrize("key", [("lobby", DAY), {"room": "lobby", "day": DAY}, "lobby"])
def test_in_bulk_names_what_a_key_lacks(cql: CQLAlchemy, key: Any) -> None:
    with pytest.raises(ValidationError, match="Message: "):
        model(cql, "Message").objects.in_bulk([key])


def test_in_bulk_refuses_keys_that_no_dictionary_can_have(cql: CQLAlchemy) -> None:
    with pytest.raises(QueryException, match=r"Room: a key with a collection .* db\.get_many\(\)"):
        model(cql, "Room").objects.in_bulk([["a"]])


def test_a_uuid_key_is_found_by_the_uuid(cql: CQLAlchemy) -> None:
    key = uuid.uuid4()
    model(cql, "Room").create(name=str(key))
    assert key not in model(cql, "Room").objects.in_bulk([str(key)])

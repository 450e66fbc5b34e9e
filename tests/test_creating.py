"""``get_or_create`` and ``update_or_create``: which writer made the row, and what is in it."""

from __future__ import annotations

import datetime
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cassandra.cqlengine import CQLEngineException, ValidationError
from cassandra.cqlengine.query import IfNotExistsWithCounterColumn, LWTException, QueryException
from flask import Flask

from flask_cqlalchemy import CQLAlchemy, QuerySet

from .cql_helpers import model, module_fixtures, sent, text_of, user_type

NOON = datetime.datetime(2026, 11, 28, 12)
METHODS = ["get_or_create", "update_or_create"]


def define(db: CQLAlchemy) -> CQLAlchemy:
    class Badge(db.UserType):
        name = db.columns.Text()
        won = db.columns.Date()

    class Member(db.Model):
        room = db.columns.Text(primary_key=True, partition_key=True)
        day = db.columns.Date(primary_key=True, partition_key=True)
        name = db.columns.Text(primary_key=True)
        topic = db.columns.Text(static=True)
        joined = db.columns.DateTime(db_field="joined_at")
        tags = db.columns.Set(db.columns.Text)
        notes = db.columns.List(db.columns.Text)
        attrs = db.columns.Map(db.columns.Text, db.columns.Integer)
        badge = db.columns.UserDefinedType(Badge)
        age = db.columns.Integer(default=18)

    class Room(db.Model):
        id = db.columns.UUID(primary_key=True, default=uuid.uuid4)
        title = db.columns.Text(required=True)

    class Player(db.Model):
        name = db.columns.Text(primary_key=True)
        age = db.columns.Integer(db_field="years")
        tags = db.columns.Set(db.columns.Text)
        badge = db.columns.UserDefinedType(Badge)

    class Key(db.Model):
        id = db.columns.Integer(primary_key=True)

    class Strict(db.Model):
        id = db.columns.Integer(primary_key=True)
        text = db.columns.Text()

        def __init__(self, **values: Any) -> None:
            super().__init__(**values)

    class Option(db.Model):
        id = db.columns.Integer(primary_key=True)
        defaults = db.columns.Map(db.columns.Text, db.columns.Text)

    class Visits(db.Model):
        page = db.columns.Text(primary_key=True)
        count = db.columns.Counter()

    class Pet(db.Model):
        owner = db.columns.Text(primary_key=True)
        kind = db.columns.Text(discriminator_column=True, index=True)
        name = db.columns.Text()

    class Cat(Pet):
        __discriminator_value__ = "cat"
        lives = db.columns.Integer()

    class Dog(Pet):
        __discriminator_value__ = "dog"
        barks = db.columns.Boolean()

    class Loud(QuerySet[Any]):
        def create(self, **values: Any) -> Any:
            return super().create(**{**values, "text": values["text"].upper()})

    class Heard(db.Model):
        __queryset__ = Loud
        id = db.columns.Integer(primary_key=True)
        text = db.columns.Text()

    return db


cassandra_config, database, app = module_fixtures(define)

KEY = {"room": "lobby", "day": datetime.date(2026, 11, 28), "name": "ann"}


def everything(db: CQLAlchemy) -> dict[str, Any]:
    """A value for every column of a member."""
    return {
        "topic": "Flask",
        "joined": NOON,
        "tags": {"a", "b"},
        "notes": ["x", "y"],
        "attrs": {"k": 1},
        "badge": user_type(db, "Badge")(name="gold", won=datetime.date(2026, 1, 1)),
        "age": 30,
    }


@pytest.mark.parametrize("method", METHODS)
def test_a_row_that_is_not_there_is_created(cql: CQLAlchemy, method: str) -> None:
    member = model(cql, "Member")
    made, created = getattr(member, method)(**KEY, **everything(cql))
    assert created is True
    assert made == member.get(**KEY)
    assert (made.topic, made.age, made.tags) == ("Flask", 30, {"a", "b"})


def test_a_row_that_is_there_stays_as_it_is(cql: CQLAlchemy) -> None:
    member = model(cql, "Member")
    member.create(**KEY, **everything(cql))
    found, created = member.get_or_create(**KEY, age=40, tags={"c"}, joined=None)
    assert created is False
    assert found == member.get(**KEY)
    assert (found.age, found.tags, found.joined) == (30, {"a", "b"}, NOON)


def test_the_row_comes_with_the_answer_of_the_insert(cql: CQLAlchemy) -> None:
    player, badge = model(cql, "Player"), user_type(cql, "Badge")(name="gold", won=None)
    player.create(name="ann", age=30, tags={"a"}, badge=badge)
    with sent(cql) as statements:
        found, _ = player.get_or_create(name="ann", age=1)
    assert ["IF NOT EXISTS" in text_of(each) for each in statements] == [True]
    assert (found.age, found.tags, found.badge) == (30, {"a"}, badge)
    assert found.get_changed_columns() == []
    found.update(age=31)
    found.tags.add("c")
    found.save()
    assert player.get(name="ann") == found


def test_columns_of_a_row_that_is_there_are_updated(cql: CQLAlchemy) -> None:
    member = model(cql, "Member")
    member.create(**KEY, **everything(cql))
    found, created = member.update_or_create(
        **KEY, age=31, tags={"c"}, notes=["z"], attrs={"l": 2}, topic="Python"
    )
    assert created is False
    assert found == member.get(**KEY)
    assert (found.age, found.tags, found.notes, found.topic) == (31, {"c"}, ["z"], "Python")
    assert (found.joined, found.badge) == (NOON, everything(cql)["badge"])


@pytest.mark.parametrize("column", ["joined", "tags", "notes", "attrs", "badge", "age"])
def test_none_removes_a_column_of_a_row_that_is_there(cql: CQLAlchemy, column: str) -> None:
    member = model(cql, "Member")
    member.create(**KEY, **everything(cql))
    found, created = member.update_or_create(**KEY, **{column: None})
    assert (created, bool(getattr(found, column))) == (False, False)
    others = everything(cql).keys() - {column}
    assert {name: getattr(found, name) for name in others} == {
        name: value for name, value in everything(cql).items() if name in others
    }


@pytest.mark.parametrize("method", METHODS)
def test_defaults_are_further_columns_as_django_has_them(cql: CQLAlchemy, method: str) -> None:
    room, key = model(cql, "Room"), uuid.uuid4()
    made, created = getattr(room, method)(id=key, defaults={"title": "Lobby"})
    assert (made.title, created) == ("Lobby", True)
    found, created = getattr(room, method)(id=key, defaults={"title": "Hall"})
    assert (found.title, created) == ("Lobby" if method == "get_or_create" else "Hall", False)
    assert found == room.get(id=key)


@pytest.mark.parametrize("method", METHODS)
def test_a_column_named_defaults_is_a_column(cql: CQLAlchemy, method: str) -> None:
    made, created = getattr(model(cql, "Option"), method)(id=1, defaults={"a": "b"})
    assert created
    assert made.defaults == model(cql, "Option").get(id=1).defaults == {"a": "b"}


@pytest.mark.parametrize("method", METHODS)
def test_a_row_of_nothing_but_a_key_is_created_once(cql: CQLAlchemy, method: str) -> None:
    key = model(cql, "Key")
    assert [getattr(key, method)(id=1)[1] for _ in range(2)] == [True, False]
    assert getattr(key, method)(id=1)[0] == key.get(id=1)


@pytest.mark.parametrize("method", METHODS)
def test_a_model_with_an_init_of_its_own_is_created_and_found(cql: CQLAlchemy, method: str) -> None:
    strict = model(cql, "Strict")
    cql.execute("INSERT INTO strict (id, text) VALUES (2, 'b')")
    assert [getattr(strict, method)(id=key, text="x")[1] for key in (1, 1, 2)] == [
        True,
        False,
        False,
    ]


@pytest.mark.parametrize("method", METHODS)
def test_models_of_a_shared_table_are_created_and_found(cql: CQLAlchemy, method: str) -> None:
    pet, cat = model(cql, "Pet"), model(cql, "Cat")
    made, created = getattr(cat, method)(owner="ann", name="Tom", lives=9)
    assert (type(made), created) == (cat, True)
    found, created = getattr(cat, method)(owner="ann", lives=8)
    assert (type(found), created, found.name) == (cat, False, "Tom")
    assert found == pet.objects(owner="ann").first()


@pytest.mark.parametrize("method", METHODS)
def test_a_program_s_own_create_is_heard(cql: CQLAlchemy, method: str) -> None:
    made, _ = getattr(model(cql, "Heard"), method)(id=1, text="hi")
    assert made.text == model(cql, "Heard").get(id=1).text == "HI"


@pytest.mark.parametrize("method", METHODS)
def test_options_of_a_query_set_hold(cql: CQLAlchemy, method: str) -> None:
    room = model(cql, "Room")
    for title in ("Lobby", "Hall"):
        made, _ = getattr(room.ttl(1000), method)(id=uuid.UUID(int=1), title=title)
    rest = cql.execute("SELECT ttl(title) AS rest FROM room WHERE id = ?", [made.id]).one()["rest"]
    assert 900 < rest <= 1000


def test_an_update_renews_the_ttl_of_equal_values(cql: CQLAlchemy) -> None:
    room, key = model(cql, "Room"), uuid.uuid4()
    room.ttl(100).create(id=key, title="Lobby")
    room.ttl(1000).update_or_create(id=key, title="Lobby")
    rest = cql.execute("SELECT ttl(title) AS rest FROM room WHERE id = ?", [key]).one()["rest"]
    assert rest > 900


def test_of_many_writers_one_creates_the_row(app: Flask, cql: CQLAlchemy) -> None:
    key = uuid.uuid4()

    def write(number: int) -> tuple[str, bool]:
        with app.app_context():
            made, created = model(cql, "Room").get_or_create(id=key, title=str(number))
            return made.title, created

    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(write, range(8)))
    assert [created for _, created in answers].count(True) == 1
    assert {title for title, _ in answers} == {model(cql, "Room").get(id=key).title}


def test_a_row_that_is_deleted_in_between_is_inserted_whole(
    cql: CQLAlchemy, monkeypatch: pytest.MonkeyPatch
) -> None:
    room, key = model(cql, "Room"), uuid.uuid4()
    room.if_not_exists().create(id=key, title="old")
    update = QuerySet.update
    deleted: list[uuid.UUID] = []

    def delete_first(self: QuerySet[Any], **values: Any) -> None:
        if not deleted:
            deleted.append(key)
            room.objects(id=key).if_exists().delete()
        update(self, **values)

    monkeypatch.setattr(QuerySet, "update", delete_first)
    made, created = room.update_or_create(id=key, title="new")
    assert (created, made.title, deleted) == (True, "new", [key])
    assert room.get(id=key) == made


# What is refused


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"title": "x"}, "Room: id, of the primary key, is missing."),
        ({"id": None, "title": "x"}, "Room: id, of the primary key, is missing."),
        ({"id": uuid.uuid4(), "titel": "x"}, "Room has no column titel"),
        ({"id": uuid.uuid4(), "defaults": {"titel": "x"}}, "Room has no column titel"),
        (
            {"id": uuid.uuid4(), "title": "x", "defaults": {"title": "y"}},
            "Room.title is given twice: as an argument, and in defaults.",
        ),
        ({"id": uuid.uuid4()}, "title"),
        ({"id": uuid.uuid4(), "title": 5}, "title"),
    ],
)
def test_what_cannot_be_a_row_is_refused_before_anything_is_sent(
    cql: CQLAlchemy, method: str, values: dict[str, Any], message: str
) -> None:
    with sent(cql) as statements, pytest.raises(ValidationError) as caught:
        getattr(model(cql, "Room"), method)(**values)
    assert message in str(caught.value)
    assert statements == []


@pytest.mark.parametrize("method", METHODS)
def test_conditions_a_batch_and_a_timestamp_are_refused(cql: CQLAlchemy, method: str) -> None:
    room, values = model(cql, "Room"), {"id": uuid.uuid4(), "title": "x"}
    for query in (room.objects(id=values["id"]), room.iff(title="x")):
        with pytest.raises(QueryException, match=rf"Room: {method}\(\) takes the key as arguments"):
            getattr(query, method)(**values)
    with pytest.raises(QueryException, match=rf"Room: {method}\(\) is a conditional write"):
        getattr(room.objects.timestamp(NOON), method)(**values)
    with cql.batch() as batch, pytest.raises(CQLEngineException, match="a batch does not know"):
        getattr(room.batch(batch), method)(**values)
    assert room.objects.count() == 0


@pytest.mark.parametrize("method", METHODS)
def test_counters_cannot_be_created_so(cql: CQLAlchemy, method: str) -> None:
    with pytest.raises(IfNotExistsWithCounterColumn):
        getattr(model(cql, "Visits"), method)(page="/", count=1)


def test_the_failed_condition_of_a_plain_write_is_still_an_error(cql: CQLAlchemy) -> None:
    key = model(cql, "Key")
    key.create(id=1)
    with pytest.raises(LWTException):
        key.if_not_exists().create(id=1)

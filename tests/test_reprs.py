"""What a shell, a debugger and a failed test show of instances, query sets and the extension."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from cassandra import util
from cassandra.cqlengine.functions import MaxTimeUUID, Token
from flask import Flask

from flask_cqlalchemy import CQLAlchemy

from .cql_helpers import model, user_type

DAY = util.Date("2026-11-28")
NOON = datetime.datetime(2026, 11, 28, 12)


@pytest.fixture
def database() -> CQLAlchemy:
    db = CQLAlchemy()

    class Street(db.UserType):
        __type_name__ = "shown_street"
        name = db.columns.Text()
        built = db.columns.Date()

    class Address(db.UserType):
        __type_name__ = "shown_address"
        street = db.columns.UserDefinedType(Street)
        zip_code = db.columns.Integer()

    class Message(db.Model):
        __table_name__ = "shown_message"
        room = db.columns.Text(primary_key=True, partition_key=True)
        day = db.columns.Date(primary_key=True, partition_key=True)
        at = db.columns.DateTime(primary_key=True, clustering_order="DESC")
        text = db.columns.Text(db_field="body")

    class Person(db.Model):
        __table_name__ = "shown_person"
        id = db.columns.Integer(primary_key=True)
        home = db.columns.UserDefinedType(Address)
        homes = db.columns.List(db.columns.UserDefinedType(Address))
        days = db.columns.Set(db.columns.Date)
        times = db.columns.Map(db.columns.Text, db.columns.Time)
        pair = db.columns.Tuple(db.columns.Date, db.columns.Integer)

    class Pet(db.Model):
        __table_name__ = "shown_pet"
        owner = db.columns.Text(primary_key=True)
        kind = db.columns.Text(discriminator_column=True, index=True)

    class Cat(Pet):
        __discriminator_value__ = "cat"
        lives = db.columns.Integer()

    return db


# Instances


def test_an_instance_shows_its_key_and_a_date_as_a_date(database: CQLAlchemy) -> None:
    message = model(database, "Message")(room="lobby", day=DAY, at=NOON, text="hi")
    assert repr(message) == (
        "Message(room='lobby', day=Date('2026-11-28'), at=datetime.datetime(2026, 11, 28, 12, 0), "
        "text='hi')"
    )


def test_what_a_repr_shows_of_a_date_or_time_makes_the_same_one() -> None:
    assert util.Date("2026-11-28") == DAY
    assert util.Time("08:30:00.000000001").nanosecond_time == 30_600_000_000_001


def test_a_user_type_is_shown_with_its_fields_at_any_depth(database: CQLAlchemy) -> None:
    street, address = user_type(database, "Street"), user_type(database, "Address")
    home = address(street=street(name="Main Street", built=DAY), zip_code=1)
    text = "Address(street=Street(name='Main Street', built=Date('2026-11-28')), zip_code=1)"
    assert repr(home) == text
    person = model(database, "Person")(id=1, home=home, homes=[home])
    assert repr(person) == (
        f"Person(id=1, home={text}, homes=[{text}], days=set(), times={{}}, pair=None)"
    )


def test_collections_show_dates_and_times_in_them(database: CQLAlchemy) -> None:
    person = model(database, "Person")(
        id=1, days={DAY}, times={"lunch": util.Time("12:30:00")}, pair=(DAY, 1)
    )
    assert repr(person) == (
        "Person(id=1, home=None, homes=[], days={Date('2026-11-28')}, "
        "times={'lunch': Time('12:30:00.000000000')}, pair=(Date('2026-11-28'), 1))"
    )


@pytest.mark.parametrize(
    ("days", "text"),
    [(0, "1970-01-01"), (-719163, "+0000-12-31"), (2932897, "+10000-01-01")],
)
def test_a_date_beyond_python_s_years_is_readable_too(
    database: CQLAlchemy, days: int, text: str
) -> None:
    message = model(database, "Message")(room="r", day=util.Date(days), at=NOON)
    assert f"day=Date('{text}')" in repr(message)


def test_a_stored_instance_is_shown_as_the_new_one_was(cql: CQLAlchemy) -> None:
    street, address = user_type(cql, "Street"), user_type(cql, "Address")
    person = model(cql, "Person")(
        id=1,
        home=address(street=street(name="Main Street", built=DAY), zip_code=1),
        days={DAY},
        times={"lunch": util.Time("12:30:00")},
        pair=(DAY, 1),
    )
    shown = repr(person)
    person.save()
    assert repr(person) == repr(model(cql, "Person").get(id=1)) == shown


def test_a_column_that_was_not_read_is_not_shown_as_null(cql: CQLAlchemy) -> None:
    message = model(cql, "Message")
    message.create(room="lobby", day=DAY, at=NOON, text="hi")
    key = {"room": "lobby", "day": DAY, "at": NOON}
    assert repr(message.objects(**key).only(["text"]).first()) == (repr(message(**key, text="hi")))
    assert repr(message.objects(room="lobby", day=DAY).defer(["at", "text"]).first()) == (
        "Message(room='lobby', day=Date('2026-11-28'), ...)"
    )


def test_a_repr_is_no_change(cql: CQLAlchemy) -> None:
    person = model(cql, "Person")
    person.create(id=1, days={DAY})
    found = person.get(id=1)
    repr(found)
    assert found.get_changed_columns() == []
    assert found == person.get(id=1)


def test_a_model_of_a_shared_table_is_shown_as_its_class(cql: CQLAlchemy) -> None:
    model(cql, "Cat").create(owner="ann", lives=9)
    assert repr(model(cql, "Pet").objects(owner="ann").first()) == "Cat(owner='ann', lives=9)"


# Query sets

QUERIES: dict[str, tuple[Callable[[Any], Any], str]] = {
    "all": (lambda m: m.objects, "<QuerySet of Message>"),
    "equality": (
        lambda m: m.objects(room="lobby", day=DAY),
        "<QuerySet of Message where room = 'lobby' and day = Date('2026-11-28')>",
    ),
    "a day of Python's": (
        lambda m: m.objects(day=datetime.date(2026, 11, 28)),
        "<QuerySet of Message where day = datetime.date(2026, 11, 28)>",
    ),
    "range": (
        lambda m: m.objects(at__gte=NOON),
        "<QuerySet of Message where at >= datetime.datetime(2026, 11, 28, 12, 0)>",
    ),
    "in": (
        lambda m: m.objects(room__in=["a", "b"]),
        "<QuerySet of Message where room IN ['a', 'b']>",
    ),
    "expression": (
        lambda m: m.objects.filter(m.room == "lobby"),
        "<QuerySet of Message where room = 'lobby'>",
    ),
    "the attribute, not the name in CQL": (
        lambda m: m.objects(text="hi").allow_filtering(),
        "<QuerySet of Message where text = 'hi'>",
    ),
    "token": (
        lambda m: m.objects(pk__token__gt=Token("lobby", DAY)),
        '<QuerySet of Message where token("room", "day") > Token((\'lobby\', '
        "Date('2026-11-28')))>",
    ),
    "order and limit": (
        lambda m: m.objects(room="lobby").order_by("at").limit(3),
        "<QuerySet of Message where room = 'lobby' ordered by \"at\" ASC limit 3>",
    ),
    "condition of a write": (
        lambda m: m.objects(room="lobby").iff(text="hi"),
        "<QuerySet of Message where room = 'lobby' if text = 'hi'>",
    ),
}


@pytest.mark.parametrize("name", QUERIES)
def test_a_query_set_shows_its_model_and_conditions_without_an_application(
    database: CQLAlchemy, name: str
) -> None:
    make, text = QUERIES[name]
    assert repr(make(model(database, "Message"))) == text


def test_a_function_in_a_condition_is_shown(database: CQLAlchemy) -> None:
    class Event(database.Model):
        name = database.columns.Text(primary_key=True)
        id = database.columns.TimeUUID(primary_key=True, default=uuid.uuid1)

    text = repr(Event.objects(name="x", id__lt=MaxTimeUUID(NOON)))
    assert text == (
        "<QuerySet of Event where name = 'x' and id < "
        "MaxTimeUUID(datetime.datetime(2026, 11, 28, 12, 0))>"
    )


def test_a_long_condition_is_cut(database: CQLAlchemy) -> None:
    text = repr(model(database, "Message").objects(room__in=[str(n) for n in range(1000)]))
    assert len(text) < 160
    assert text.endswith("...>")


def test_showing_a_query_set_asks_cassandra_nothing(app: Flask, database: CQLAlchemy) -> None:
    with app.app_context():
        repr(model(database, "Message").objects(room="lobby"))
        assert not database.place().connection.is_open


def test_a_query_set_that_has_been_read_is_shown_as_one_that_has_not(cql: CQLAlchemy) -> None:
    query = model(cql, "Message").objects(room="lobby", day=DAY)
    before = repr(query)
    assert list(query) == []
    assert repr(query) == before


def test_a_program_s_query_set_is_shown_under_its_name(database: CQLAlchemy) -> None:
    from flask_cqlalchemy import QuerySet

    class Rows(QuerySet[Any]):
        pass

    class Thing(database.Model):
        __queryset__ = Rows
        id = database.columns.Integer(primary_key=True)

    assert repr(Thing.objects(id=1)) == "<Rows of Thing where id = 1>"


# The extension


def make_app(database: CQLAlchemy, **settings: Any) -> Flask:
    app = Flask("chat")
    app.config.from_mapping({f"CASSANDRA_{key}": value for key, value in settings.items()})
    app.testing = True
    database.init_app(app)
    return app


CHAT = {
    "HOSTS": ["10.0.0.1", "::1"],
    "PORT": 9043,
    "KEYSPACE": "chat",
    "USERNAME": "ann",
    "PASSWORD": "geheim",
}


def test_the_extension_shows_application_hosts_and_keyspace_and_no_secret(
    database: CQLAlchemy,
) -> None:
    app = make_app(database, **CHAT)
    with app.app_context():
        assert repr(database) == (
            "<CQLAlchemy of 'chat': 10.0.0.1:9043, [::1]:9043, keyspace chat>"
        )
        with database.use_keyspace("other"):
            assert "keyspace other" in repr(database)
        assert not database.place().connection.is_open


def test_the_extension_shows_each_bind(database: CQLAlchemy) -> None:
    app = make_app(database, **CHAT, BINDS={"archive": {"KEYSPACE": "old", "HOSTS": "10.0.0.9"}})
    with app.app_context():
        assert repr(database) == (
            "<CQLAlchemy of 'chat': 10.0.0.1:9043, [::1]:9043, keyspace chat; "
            "archive: 10.0.0.9:9043, keyspace old>"
        )


def test_the_extension_shows_local_nodes(database: CQLAlchemy) -> None:
    app = make_app(database, LOCAL_NODES=1, KEYSPACE="chat")
    with app.app_context():
        assert repr(database) == "<CQLAlchemy of 'chat': 1 local node, keyspace chat>"


def test_the_extension_has_a_repr_where_there_is_no_application(database: CQLAlchemy) -> None:
    assert repr(database) == "<CQLAlchemy without a current application>"
    with Flask(__name__).app_context():
        assert repr(database) == "<CQLAlchemy without a current application>"

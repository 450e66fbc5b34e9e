"""What programs for cqlengine and for version 2 catch, and what compares the suites of both."""

from __future__ import annotations

import uuid
from typing import Any

import pytest
from cassandra import (
    ConsistencyLevel,
    InvalidRequest,
    OperationTimedOut,
    Unavailable,
    WriteTimeout,
    WriteType,
)
from cassandra.cluster import NoHostAvailable
from cassandra.cqlengine import CQLEngineException, management
from cassandra.cqlengine.query import ContextQuery
from cassandra.protocol import ConfigurationException, OverloadedErrorMessage, error_classes
from flask import Flask

from flask_cqlalchemy import (
    CassandraUnavailable,
    CQLAlchemy,
    NoAppError,
    OutcomeUnknown,
    RequestTimedOut,
    SchemaError,
)
from flask_cqlalchemy.connection import kit_error
from flask_cqlalchemy.errors import UnknownBind, as_both
from flask_cqlalchemy.tables.apply import refresh

from .compatibility.__main__ import GUIDE, ID, differences, table
from .compatibility.runs import SUITES, Outcome
from .cql_helpers import application, model, module_fixtures

#: The driver's errors of outages, and the kit's for them.
OUTAGES: list[tuple[Exception, bool, type[Exception]]] = [
    (NoHostAvailable("none", {"127.0.0.1:9042": OSError("refused")}), True, CassandraUnavailable),
    (
        Unavailable("few", ConsistencyLevel.QUORUM, required_replicas=2, alive_replicas=1),
        True,
        CassandraUnavailable,
    ),
    (OperationTimedOut({"127.0.0.1": "no answer"}), True, RequestTimedOut),
    (WriteTimeout("late", WriteType.SIMPLE), False, OutcomeUnknown),
]


def define(db: CQLAlchemy) -> CQLAlchemy:
    class Thing(db.Model):
        __table_name__ = "compatible_thing"
        id = db.columns.Integer(primary_key=True)
        name = db.columns.Text()

    return db


cassandra_config, database, app = module_fixtures(define)


@pytest.mark.parametrize(("error", "idempotent", "kind"), OUTAGES, ids=lambda each: str(type(each)))
def test_an_outage_is_of_the_drivers_class_too(
    error: Exception, idempotent: bool, kind: type[Exception]
) -> None:
    """A program for version 2 catches ``NoHostAvailable``."""
    found = kit_error(error, "blog.post", idempotent=idempotent)
    assert isinstance(found, kind)
    assert isinstance(found, type(error))
    assert str(found).startswith("blog.post: ")
    assert type(found).__name__ == kind.__name__
    assert vars(error).items() <= vars(found).items()
    assert kit_error(found, "blog.post", idempotent=idempotent) is found


def test_no_node_is_the_drivers_error_too(unused_port: int) -> None:
    db = CQLAlchemy()
    nowhere = {
        "CASSANDRA_HOSTS": "127.0.0.1",
        "CASSANDRA_PORT": unused_port,
        "CASSANDRA_KEYSPACE": "blog",
    }
    with (
        application(db, nowhere) as app,
        app.app_context(),
        pytest.raises(NoHostAvailable) as caught,
    ):
        db.connect()
    assert isinstance(caught.value, CassandraUnavailable)
    assert str(caught.value).startswith("127.0.0.1 port ")
    assert getattr(caught.value, "errors").keys()  # noqa: B009 - of the driver's class


def test_an_unknown_bind_is_cqlengines_error_too(app: Flask, database: CQLAlchemy) -> None:
    with app.app_context(), pytest.raises(CQLEngineException) as caught:
        database.place("elsewhere")
    assert isinstance(caught.value, UnknownBind)
    assert str(caught.value).startswith("CASSANDRA_BINDS has no 'elsewhere'")


def test_another_primary_key_is_cqlengines_error_too(
    app: Flask, database: CQLAlchemy, cassandra_config: dict[str, Any]
) -> None:
    changed = CQLAlchemy()

    class Thing(changed.Model):
        __table_name__ = "compatible_thing"
        other = changed.columns.Integer(primary_key=True)

    with app.app_context():
        database.sync_db()
    with (
        application(changed, cassandra_config) as later,
        later.app_context(),
        pytest.raises(CQLEngineException) as caught,
    ):
        changed.sync_table(Thing)
    assert isinstance(caught.value, SchemaError)
    assert str(caught.value).startswith(
        "The primary key of Thing is ((other), ); that of the table"
    )


class Foreign:
    """Neither a model nor a user type."""


def test_what_has_no_table_cannot_be_synced(app: Flask, database: CQLAlchemy) -> None:
    inherit = "let it inherit from db.{}, where db is your CQLAlchemy object."
    with app.app_context():
        for given, message in (
            (Foreign, f"Foreign is not a model: {inherit.format('Model')}"),
            (None, f"None is not a model: {inherit.format('Model')}"),
            (
                database.Model,
                "Model is abstract (__abstract__), and has no table: sync the models that inherit "
                "from it.",
            ),
        ):
            with pytest.raises(CQLEngineException) as caught:
                database.sync_table(given)  # type: ignore[arg-type]
            assert (type(caught.value), str(caught.value)) == (SchemaError, message)
        with pytest.raises(CQLEngineException) as caught:
            database.sync_type(Foreign)  # type: ignore[arg-type]
        assert str(caught.value) == f"Foreign is not a user type: {inherit.format('UserType')}"


def test_cqlengines_own_code_finds_the_bind_of_a_model(
    cassandra_config: dict[str, Any], database: CQLAlchemy, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``__connection__`` names a bind; cqlengine has a registry of its own."""
    monkeypatch.setenv(management.CQLENG_ALLOW_SCHEMA_MANAGEMENT, "1")
    config = {**cassandra_config, "CASSANDRA_BINDS": {"archive": {}}}
    found = database.registry.connection_name("archive")
    with application(database, config) as app, app.app_context():
        database.sync_db()
        thing = model(database, "Thing")
        with ContextQuery(thing, connection="archive") as elsewhere:
            assert elsewhere._get_connection() == found
            assert elsewhere.create(id=1).using(connection="archive")._get_connection() == found
            management.drop_table(elsewhere)
        place = database.place()
        live = refresh(place.connection).metadata.keyspaces[place.keyspace]
        assert thing.__table_name__ not in live.tables


def test_a_query_without_an_application_is_cqlengines_error_too(database: CQLAlchemy) -> None:
    with pytest.raises(CQLEngineException) as caught:
        model(database, "Thing").create(id=1)
    assert isinstance(caught.value, NoAppError)


def test_protocol_3_is_raised_so_that_nothing_is_removed(cassandra_config: dict[str, Any]) -> None:
    """Version 2's documentation asks for it; an omitted value would be null there."""
    db = define(CQLAlchemy())
    config = {**cassandra_config, "CASSANDRA_SETUP_KWARGS": {"protocol_version": 3}}
    with application(db, config) as app, app.app_context():
        db.sync_db()
        thing = model(db, "Thing")
        thing.create(id=1, name="kept")
        thing.create(id=1)
        assert thing.get(id=1).name == "kept"


def test_two_classes_of_one_user_type_are_each_read(cassandra_config: dict[str, Any]) -> None:
    """A session can have one class for a type: the columns of the other read it all the same."""
    db = CQLAlchemy()

    class Address(db.UserType):
        street = db.columns.Text(db_field="s")
        code = db.columns.Integer()

    class Person(db.Model):
        id = db.columns.Integer(primary_key=True)
        home = db.columns.UserDefinedType(Address)
        others = db.columns.List(db.columns.UserDefinedType(Address))

    class Short(db.UserType):
        __type_name__ = "address"
        street = db.columns.Text(db_field="s")

    class Company(db.Model):
        id = db.columns.Integer(primary_key=True)
        home = db.columns.UserDefinedType(Short)
        others = db.columns.List(db.columns.UserDefinedType(Short))

    with application(db, cassandra_config) as app, app.app_context():
        db.sync_db()
        Person.create(id=1, home=Address(street="x", code=3), others=[Address(street="y", code=4)])
        Company.create(id=1, home=Short(street="x"), others=[Short(street="y")])
        person, company = Person.get(id=1), Company.get(id=1)
        assert person.home == Address(street="x", code=3)
        assert person.others == [Address(street="y", code=4)]
        assert company.home == Short(street="x")
        assert company.others == [Short(street="y")]
        company.home.street = person.home.street = "z"
        company.save()
        person.save()
        assert Person.get(id=1).home == Address(street="z", code=3)
        assert Company.objects.to_json() == b'[{"id":1,"home":{"s":"z"},"others":[{"s":"y"}]}]'


def test_create_takes_the_defaults_of_a_key_for_every_sort_of_table(
    cassandra_config: dict[str, Any],
) -> None:
    db = CQLAlchemy()

    class Count(db.Model):
        __table_name__ = "compatible_count"
        id = db.columns.UUID(primary_key=True, default=uuid.uuid4)
        at = db.columns.UUID(primary_key=True, default=uuid.uuid4)
        number = db.columns.Counter()

    class Shared(db.Model):
        __table_name__ = "compatible_shared"
        id = db.columns.UUID(primary_key=True, default=uuid.uuid4)
        at = db.columns.UUID(primary_key=True, default=uuid.uuid4)
        static = db.columns.Text(static=True)
        own = db.columns.Text()

    with application(db, cassandra_config) as app, app.app_context():
        db.sync_db()
        count = Count.create()
        count.number += 5
        count.save()
        assert Count.get(id=count.id, at=count.at).number == 5
        shared = Shared.create()
        shared.static, shared.own = "a", "b"
        shared.save()
        found = Shared.get(id=shared.id, at=shared.at)
        assert (found.static, found.own) == ("a", "b")
        partition = Shared.create(at=None, static="alone")
        assert Shared.get(id=partition.id).at is None


def test_a_refused_change_is_cassandras_error_too() -> None:
    refused = as_both(SchemaError("table x: refused"), InvalidRequest("no key"))
    assert isinstance(refused, SchemaError)
    assert isinstance(refused, InvalidRequest)
    assert str(refused) == "table x: refused"


def test_the_drivers_own_errors_stay_what_they_are() -> None:
    """It keeps a table of the classes of errors, in which each new class takes a place."""
    before = dict(error_classes)
    refused = as_both(SchemaError("table x: refused"), ConfigurationException(0x2300, "no", None))
    busy = kit_error(OverloadedErrorMessage(0x1001, "busy", None), "blog.post", idempotent=True)
    assert error_classes == before
    assert isinstance(refused, ConfigurationException)
    assert isinstance(busy, OverloadedErrorMessage)
    assert (type(refused).__name__, refused.error_code) == ("SchemaError", 0x2300)


def outcomes(**known: str) -> dict[str, Outcome]:
    return {f"test_x.py::{name}": Outcome(outcome) for name, outcome in known.items()}


def test_a_test_that_ends_otherwise_is_a_difference() -> None:
    stock = outcomes(same="passed", broken="passed", gone="skipped")
    ours = outcomes(same="passed", broken="failed", new="passed")
    found = differences(stock, ours)
    assert {name: (before.outcome, after.outcome) for name, (before, after) in found.items()} == {
        "test_x.py::broken": ("passed", "failed"),
        "test_x.py::gone": ("skipped", "missing"),
        "test_x.py::new": ("missing", "passed"),
    }
    text = table(SUITES[0], stock, ours)
    assert "| passed | 2 | 2 |" in text
    assert text.count("| `test_x.py::") == 3


def test_the_guide_accounts_for_a_test_once() -> None:
    known = ID.findall(GUIDE.read_text())
    assert known
    assert len(set(known)) == len(known)

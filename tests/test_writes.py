"""How a write is sent: with which level and timestamp, to which table, by whose code."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from cassandra import ConsistencyLevel
from cassandra.cqlengine import ValidationError
from cassandra.cqlengine.models import Model as CQLEngineModel
from flask import Flask

from flask_cqlalchemy import ConfigError, CQLAlchemy, Model, QuerySet
from flask_cqlalchemy.models import BoundModel

from .cql_helpers import module_fixtures, sent, text_of

db = CQLAlchemy()


class AtAll(QuerySet[Any]):
    """A program's query set whose writes wait for every replica."""

    _consistency = ConsistencyLevel.ALL


class Note(db.Model):
    id = db.columns.Integer(primary_key=True)
    title = db.columns.Text()


class Guarded(db.Model):
    """A model whose class asks for a level."""

    __consistency__ = ConsistencyLevel.ALL
    id = db.columns.Integer(primary_key=True)
    title = db.columns.Text()


class Counted(db.Model):
    __queryset__ = AtAll
    id = db.columns.Integer(primary_key=True)
    title = db.columns.Text()


class Tenant(db.Model):
    """A model that chooses its table when it is asked for it."""

    id = db.columns.Integer(primary_key=True)
    title = db.columns.Text()

    @classmethod
    def column_family_name(cls, include_keyspace: bool = True) -> str:
        keyspace = f"{db.place().keyspace}." if include_keyspace else ""
        return f"{keyspace}{'tenant_7' if db.has_app() else 'tenant'}"


cassandra_config, database, app = module_fixtures(db)


def save_new(level: int) -> None:
    Note(id=1, title="x").consistency(level).save()


def save_a_change(level: int) -> None:
    note = Note.create(id=1, title="x")
    note.title = "y"
    note.consistency(level).save()


def update(level: int) -> None:
    Note.create(id=1, title="x").consistency(level).update(title="y")


def create_by_the_class(level: int) -> None:
    Note.consistency(level).create(id=1, title="x")


def create_by_a_query(level: int) -> None:
    Note.objects.consistency(level).create(id=1, title="x")


def update_by_a_query(level: int) -> None:
    Note.objects(id=1).consistency(level).update(title="x")


@pytest.mark.parametrize("level", [ConsistencyLevel.ALL, ConsistencyLevel.ANY])
@pytest.mark.parametrize(
    "write",
    [
        save_new,
        save_a_change,
        update,
        create_by_the_class,
        create_by_a_query,
        update_by_a_query,
    ],
)
def test_a_write_has_the_level_that_it_is_given(
    cql: CQLAlchemy, write: Callable[[int], None], level: int
) -> None:
    with sent(cql) as statements:
        write(level)
    assert statements[-1].consistency_level == level


GUARDED: list[Callable[[], object]] = [
    lambda: Guarded.create(id=1, title="x"),
    lambda: Guarded(id=1, title="x").save(),
    lambda: Guarded.create(id=1).update(title="x"),
    lambda: db.bulk_create(Guarded, [{"id": 1, "title": None}]),
    lambda: db.bulk_update(Guarded, [{"id": 1, "title": "x"}]),
    lambda: db.bulk_delete(Guarded, [1]),
]


@pytest.mark.parametrize("write", GUARDED)
def test_every_write_of_a_model_has_the_level_of_its_class(
    cql: CQLAlchemy, write: Callable[[], object]
) -> None:
    with sent(cql) as statements:
        write()
    assert {statement.consistency_level for statement in statements} == {ConsistencyLevel.ALL}


def test_a_query_set_of_the_program_s_own_has_its_options(cql: CQLAlchemy) -> None:
    with sent(cql) as statements:
        Counted.create(id=1, title="x")
        Counted.objects(id=1).update(title="y")
        Counted.objects(id=1).delete()
    assert [statement.consistency_level for statement in statements] == [ConsistencyLevel.ALL] * 3


@pytest.mark.parametrize(
    "write",
    [
        lambda: Note(id=1, title="x").timestamp(timedelta()).save(),
        lambda: Note.objects.timestamp(timedelta()).create(id=1, title="x"),
    ],
)
def test_a_timestamp_of_no_time_from_now_is_now(
    cql: CQLAlchemy, write: Callable[[], object]
) -> None:
    write()
    (row,) = cql.execute("SELECT WRITETIME(title) AS written FROM note")
    assert abs(row["written"] / 1e6 - time.time()) < 60


def test_a_model_that_chooses_its_table_writes_where_it_reads(cql: CQLAlchemy) -> None:
    cql.execute("CREATE TABLE IF NOT EXISTS tenant_7 (id int PRIMARY KEY, title text)")
    with sent(cql) as statements:
        Tenant.create(id=1, title="x").update(title="y")
        cql.bulk_create(Tenant, [{"id": 2, "title": "z"}])
    assert all(".tenant_7" in text_of(statement) for statement in statements)
    assert sorted(tenant.title or "" for tenant in Tenant.objects) == ["y", "z"]


# Models and user types


def test_a_model_may_inherit_from_cqlengine_s_too(cql: CQLAlchemy) -> None:
    base: Any = db.Model

    class Both(base, CQLEngineModel):
        __abstract__ = True
        id = db.columns.Integer(primary_key=True)

    assert list(Both.__mapper__.columns) == ["id"]


def test_one_may_look_around_in_a_model_without_a_database() -> None:
    with pytest.raises(Exception, match="inherit from db.Model"):

        class Lost(Model):
            id = db.columns.Integer(primary_key=True)

    assert not hasattr(BoundModel, "_database")


def test_a_user_type_may_be_defined_after_the_first_query(
    cassandra_config: dict[str, Any],
) -> None:
    """Its class stands for it as soon as it is there, if the type exists already."""
    keyspace = f"test_{uuid.uuid4().hex[:12]}"
    app = Flask("later", root_path=".")
    app.config.from_mapping(cassandra_config, CASSANDRA_KEYSPACE=keyspace)
    late = CQLAlchemy()
    late.init_app(app)

    class Plain(late.Model):
        id = late.columns.Integer(primary_key=True)

    with app.app_context():
        late.sync_db()
        late.execute("CREATE TYPE place (street text)")
        late.execute("CREATE TABLE visit (id int PRIMARY KEY, place frozen<place>)")
        late.execute("INSERT INTO visit (id, place) VALUES (1, {street: 'Main Street'})")
        assert Plain.objects.first() is None

        class Place(late.UserType):
            street = late.columns.Text()

        class Visit(late.Model):
            id = late.columns.Integer(primary_key=True)
            place = late.columns.UserDefinedType(Place)

        assert Visit.get(id=1).place.street == "Main Street"
        late.session.execute(f"DROP KEYSPACE {keyspace}", timeout=60)
        late.close()


def test_null_in_a_collection_of_user_types_is_not_a_value_of_nulls(cql: CQLAlchemy) -> None:
    cql.execute("CREATE TYPE IF NOT EXISTS spot (street text)")
    cql.execute(
        "CREATE TABLE IF NOT EXISTS spots (id int PRIMARY KEY, named map<text, frozen<spot>>)"
    )
    with pytest.raises(ValidationError, match="a map has no null"):
        cql.execute("INSERT INTO spots (id, named) VALUES (?, ?)", [1, {"home": None}])


def test_a_connection_that_is_not_a_bind_is_named_by_sync(app: Flask) -> None:
    class Astray(db.Model):
        __abstract__ = False
        __connection__ = "elsewhere"
        id = db.columns.Integer(primary_key=True)

    db.registry.models.remove(Astray)
    with app.app_context(), pytest.raises(ConfigError, match="^CASSANDRA_BINDS has no 'elsewhere'"):
        db.sync_table(Astray)

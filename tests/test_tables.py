"""Sync: what it creates, what it adds, what it refuses, and many at once."""

from __future__ import annotations

import subprocess
import sys
import uuid
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from flask_cqlalchemy import CQLAlchemy, SchemaError
from flask_cqlalchemy.config import Settings
from flask_cqlalchemy.connection import Connection
from flask_cqlalchemy.tables import apply, sync


@pytest.fixture
def keyspace(app: Flask, database: CQLAlchemy) -> Iterator[str]:
    """The name of a keyspace that does not exist, in force in the test."""
    with app.app_context():
        name = f"test_{uuid.uuid4().hex[:12]}"
        with database.use_keyspace(name):
            yield name
        database.session.execute(f"DROP KEYSPACE IF EXISTS {name}", timeout=60)


def live_table(db: CQLAlchemy, name: str) -> Any:
    cluster = apply.refresh(db.place().connection)
    return cluster.metadata.keyspaces[db.place().keyspace].tables[name]


def test_sync_creates_keyspace_types_tables_and_indexes(
    database: CQLAlchemy, keyspace: str
) -> None:
    class Inner(database.UserType):
        text = database.columns.Text()

    class Outer(database.UserType):
        inner = database.columns.UserDefinedType(Inner)

    class Thing(database.Model):
        __options__ = {"comment": "things"}  # noqa: RUF012 - cqlengine's way
        id = database.columns.Integer(primary_key=True)
        day = database.columns.Date(primary_key=True, clustering_order="DESC")
        name = database.columns.Text(index=True)
        outer = database.columns.UserDefinedType(Outer)

    assert [*map(str, database.sync_db())] == [
        f"created the keyspace {keyspace}",
        f"created the type {keyspace}.inner",
        f"created the type {keyspace}.outer",
        f"created the table {keyspace}.thing",
        "created an index on name of the table thing of Thing",
    ]
    assert database.sync_db() == []
    table = live_table(database, "thing")
    assert table.options["comment"] == "things"
    assert [key.name for key in table.clustering_key] == ["day"]
    assert table.clustering_key[0].is_reversed


def test_create_all_is_sync_db(database: CQLAlchemy, keyspace: str) -> None:
    class Thing(database.Model):
        id = database.columns.Integer(primary_key=True)

    assert [*map(str, database.create_all())] == [
        f"created the keyspace {keyspace}",
        f"created the table {keyspace}.thing",
    ]


def test_sync_adds_what_a_table_and_a_type_lack(database: CQLAlchemy, keyspace: str) -> None:
    before = CQLAlchemy()

    class OldPlace(before.UserType):
        __type_name__ = "place"
        name = before.columns.Text()

    class OldThing(before.Model):
        __table_name__ = "thing"
        id = before.columns.Integer(primary_key=True)
        place = before.columns.UserDefinedType(OldPlace)

    place = database.place()
    database.create_keyspace_simple(keyspace, 1)
    sync.create_type(place, OldPlace)
    OldThing.__keyspace__ = keyspace
    sync.create_table(place, OldThing.__mapper__)

    class Place(database.UserType):
        name = database.columns.Text()
        zipcode = database.columns.Integer()

    class Thing(database.Model):
        __options__ = {"default_time_to_live": 60}  # noqa: RUF012 - cqlengine's way
        id = database.columns.Integer(primary_key=True)
        place = database.columns.UserDefinedType(Place)
        note = database.columns.Text(index=True)

    assert [*map(str, database.sync_db())] == [
        f"added the field zipcode to the type {keyspace}.place",
        f"added the column note to the table {keyspace}.thing",
        "changed options of the table thing of Thing",
        "created an index on note of the table thing of Thing",
    ]
    Thing.create(id=1, place=Place(name="x", zipcode=7), note="n")
    assert Thing.get(id=1).place.zipcode == 7


def test_a_different_primary_key_is_refused(database: CQLAlchemy, keyspace: str) -> None:
    class Thing(database.Model):
        id = database.columns.Integer(primary_key=True)
        day = database.columns.Date(primary_key=True)

    database.create_keyspace_simple(keyspace, 1)
    database.session.execute(f"CREATE TABLE {keyspace}.thing (id int PRIMARY KEY)")
    with pytest.raises(SchemaError) as caught:
        database.sync_db()
    assert str(caught.value) == (
        f"The primary key of Thing is ((id), day); that of the table {keyspace}.thing is ((id), ). "
        "A primary key cannot be changed: give the model another __table_name__ and copy the rows, "
        "or drop the table."
    )


def test_a_different_type_is_a_warning_with_the_remedy(database: CQLAlchemy, keyspace: str) -> None:
    class Thing(database.Model):
        id = database.columns.Integer(primary_key=True)
        size = database.columns.BigInt()

    database.create_keyspace_simple(keyspace, 1)
    database.session.execute(f"CREATE TABLE {keyspace}.thing (id int PRIMARY KEY, size int)")
    with pytest.warns(UserWarning, match="the column size is int") as caught:
        assert database.sync_db() == []
    assert str(caught[0].message) == (
        "table thing of Thing: the column size is int, in the model bigint. Change the model, or "
        "add a column of another name and copy the values."
    )


def test_an_option_that_cassandra_lacks_is_named(database: CQLAlchemy, keyspace: str) -> None:
    class Thing(database.Model):
        __options__ = {"colour": "red"}  # noqa: RUF012 - cqlengine's way
        id = database.columns.Integer(primary_key=True)

    with pytest.raises(SchemaError, match="^table thing of Thing: .*colour"):
        database.sync_db()


def test_replication_comes_from_the_configuration(
    cassandra_config: dict[str, Any], app: Flask, database: CQLAlchemy, keyspace: str
) -> None:
    other = Flask(__name__)
    other.config.from_mapping(cassandra_config, CASSANDRA_REPLICATION={"dc1": 1})
    db = CQLAlchemy()
    db.init_app(other)
    with other.app_context(), db.use_keyspace(keyspace):
        db.sync_db()
        live = db.session.cluster.metadata.keyspaces[keyspace]
        assert live.replication_strategy.export_for_schema() == (
            "{'class': 'NetworkTopologyStrategy', 'dc1': '1'}"
        )
        db.close()


_WORKER = """
import sys, uuid
from flask import Flask
from flask_cqlalchemy import CQLAlchemy
app = Flask("worker", root_path=".")
app.config.update(CASSANDRA_HOSTS=sys.argv[1], CASSANDRA_PORT=sys.argv[2],
                  CASSANDRA_KEYSPACE=sys.argv[3], CASSANDRA_CONNECT_TIMEOUT=30)
db = CQLAlchemy(app)
class Place(db.UserType):
    name = db.columns.Text()
class One(db.Model):
    id = db.columns.Integer(primary_key=True)
    place = db.columns.UserDefinedType(Place)
class Two(db.Model):
    id = db.columns.Integer(primary_key=True)
    text = db.columns.Text(index=True)
    added = db.columns.Text()
db.sync_db()
id = int(sys.argv[4])
One.create(id=id, place=Place(name="x"))
Two.create(id=id, text="y", added="z")
print(One.get(id=id).place.name + Two.get(id=id).added)
db.close()
"""


def test_several_processes_sync_at_once(
    cassandra_config: dict[str, Any], database: CQLAlchemy, keyspace: str
) -> None:
    database.create_keyspace_simple(keyspace, 1)
    # One table is new to all of them, the other one lacks a column and an index.
    database.session.execute(f"CREATE TABLE {keyspace}.two (id int PRIMARY KEY, text text)")
    arguments = [
        ",".join(cassandra_config["CASSANDRA_HOSTS"]),
        str(cassandra_config["CASSANDRA_PORT"]),
        keyspace,
    ]
    workers = [
        subprocess.Popen(
            [sys.executable, "-W", "error", "-c", _WORKER, *arguments, str(number)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(4)
    ]
    results = [worker.communicate(timeout=120) for worker in workers]
    assert [output for output, _ in results] == ["xz\n"] * 4, results
    live = apply.refresh(database.place().connection).metadata.keyspaces[keyspace]
    assert sorted(live.tables) == ["one", "two"]


def test_a_statement_that_cassandra_refuses_is_a_schema_error(
    database: CQLAlchemy, keyspace: str
) -> None:
    connection = database.place().connection
    database.create_keyspace_simple(keyspace, 1)
    with pytest.raises(SchemaError, match="^table x: Cassandra refused the change"):
        apply.change(connection, f"CREATE TABLE {keyspace}.x (id int)", "table x", lambda: False)


def test_a_change_that_times_out_is_looked_for(
    cassandra_config: dict[str, Any], database: CQLAlchemy, keyspace: str
) -> None:
    """With a timeout that no schema change can meet, the live schema decides."""
    database.create_keyspace_simple(keyspace, 1)
    hosts = tuple(cassandra_config["CASSANDRA_HOSTS"])
    settings = Settings(hosts=hosts, schema_timeout=0.004)
    connection = Connection(
        settings, lambda: (hosts, cassandra_config["CASSANDRA_PORT"]), lambda _: []
    )
    patient = database.place().connection

    def is_done() -> bool:
        live = apply.refresh(patient).metadata.keyspaces[keyspace]
        return "late" in live.tables

    try:
        connection.session  # noqa: B018 - opens it
        apply.change(
            connection, f"CREATE TABLE {keyspace}.late (id int PRIMARY KEY)", "table late", is_done
        )
        assert is_done()
    finally:
        connection.close()


def test_truncate_empties_a_table(database: CQLAlchemy, keyspace: str) -> None:
    class Thing(database.Model):
        id = database.columns.Integer(primary_key=True)

    database.sync_db()
    Thing.create(id=1)
    apply.truncate(database.place(), "thing")
    assert Thing.objects.count() == 0

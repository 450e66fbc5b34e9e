"""What one CQLAlchemy object holds for many applications."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from flask import Flask

from flask_cqlalchemy import (
    CassandraUnavailable,
    ConfigError,
    CQLAlchemy,
    NoAppError,
    NoConfig,
    SchemaError,
)
from flask_cqlalchemy.local import LocalCluster

MakeApp = Callable[..., Flask]


@pytest.fixture
def make_app(cassandra_config: dict[str, Any]) -> Iterator[MakeApp]:
    """Make applications of one CQLAlchemy object, closed after the test."""
    made: list[tuple[CQLAlchemy, Flask]] = []

    def make(db: CQLAlchemy, **config: object) -> Flask:
        app = Flask(__name__)
        app.config.from_mapping({**cassandra_config, **config}, TESTING=True)
        db.init_app(app)
        made.append((db, app))
        return app

    yield make
    for db, app in made:
        with app.app_context():
            db.close()


@pytest.fixture
def keyspaces(app: Flask, database: CQLAlchemy) -> Iterator[list[str]]:
    """Four names of keyspaces that do not exist, dropped after the test."""
    with app.app_context():
        names = [f"{database.place().keyspace}_{number}" for number in range(4)]
        yield names
        for name in names:
            database.session.execute(f"DROP KEYSPACE IF EXISTS {name}", timeout=60)


def notes(db: CQLAlchemy) -> Any:
    class Note(db.Model):
        id = db.columns.Integer(primary_key=True)
        text = db.columns.Text()

    return Note


def test_init_app_connects_nothing(make_app: MakeApp, unused_port: int) -> None:
    db = CQLAlchemy()
    app = make_app(db, CASSANDRA_PORT=unused_port)
    assert app.extensions["cqlalchemy"] is db
    with app.app_context():
        assert not db.place().connection.is_open


def test_init_app_connects_when_it_is_told_to(make_app: MakeApp) -> None:
    db = CQLAlchemy()
    app = make_app(db, CASSANDRA_LAZY_CONNECT=False)
    with app.app_context():
        assert db.place().connection.is_open


def test_an_eager_application_without_cassandra_says_where_it_looked(
    make_app: MakeApp, unused_port: int
) -> None:
    with pytest.raises(CassandraUnavailable) as caught:
        make_app(CQLAlchemy(), CASSANDRA_LAZY_CONNECT=False, CASSANDRA_PORT=unused_port)
    assert f"port {unused_port}: cannot connect" in str(caught.value)


def test_an_application_without_configuration_is_refused() -> None:
    with pytest.raises(NoConfig):
        CQLAlchemy(Flask(__name__))


def test_an_application_is_set_up_once(make_app: MakeApp) -> None:
    db = CQLAlchemy()
    app = make_app(db)
    for again in (db, CQLAlchemy()):
        with pytest.raises(RuntimeError) as caught:
            again.init_app(app)
        assert str(caught.value) == (
            "This application has a CQLAlchemy object already. Make one `db = CQLAlchemy()` for "
            "the program, import it everywhere, and call db.init_app(app) once for each "
            "application."
        )


def test_the_constructors_application_needs_no_context(cassandra_config: dict[str, Any]) -> None:
    app = Flask(__name__)
    app.config.from_mapping(cassandra_config)
    db = CQLAlchemy(app)
    assert db.place().keyspace == cassandra_config["CASSANDRA_KEYSPACE"]
    db.close()


def test_two_applications_with_two_keyspaces_never_meet(
    make_app: MakeApp, keyspaces: list[str]
) -> None:
    db = CQLAlchemy()
    note = notes(db)
    apps = [make_app(db, CASSANDRA_KEYSPACE=name) for name in keyspaces[:2]]
    for number, app in enumerate(apps):
        with app.app_context():
            db.sync_db()
            note.create(id=1, text=f"of {number}")
    for _ in range(5):
        for number, app in enumerate(apps):
            with app.app_context():
                assert note.get(id=1).text == f"of {number}"
    with apps[0].app_context(), apps[1].app_context():
        assert note.get(id=1).text == "of 1"


def test_applications_in_threads_never_meet(make_app: MakeApp, keyspaces: list[str]) -> None:
    db = CQLAlchemy()
    note = notes(db)
    apps = [make_app(db, CASSANDRA_KEYSPACE=name) for name in keyspaces[:2]]
    for number, app in enumerate(apps):
        with app.app_context():
            db.sync_db()
            note.create(id=1, text=f"of {number}")

    def read(number: int) -> set[str]:
        with apps[number % 2].app_context():
            return {note.get(id=1).text for _ in range(50)}

    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read, range(8)))
    assert found == [{f"of {number % 2}"} for number in range(8)]


@pytest.mark.slow
def test_two_applications_with_two_clusters_never_meet(
    make_app: MakeApp, keyspaces: list[str]
) -> None:
    database = CQLAlchemy()
    note = notes(database)
    app = make_app(database, CASSANDRA_KEYSPACE=keyspaces[0])
    with LocalCluster() as other_cluster:
        other = make_app(
            database,
            CASSANDRA_KEYSPACE=keyspaces[0],
            CASSANDRA_HOSTS=other_cluster.contact_points,
            CASSANDRA_PORT=other_cluster.port,
        )
        for text, one in (("first", app), ("second", other)):
            with one.app_context():
                database.sync_db()
                note.create(id=1, text=text)
        for text, one in (("first", app), ("second", other)):
            with one.app_context():
                assert note.get(id=1).text == text
        with other.app_context():
            database.close()


def test_a_bind_has_a_keyspace_of_its_own(make_app: MakeApp, keyspaces: list[str]) -> None:
    db = CQLAlchemy()

    class Live(db.Model):
        id = db.columns.Integer(primary_key=True)

    class Archived(db.Model):
        __bind_key__ = "archive"
        id = db.columns.Integer(primary_key=True)

    app = make_app(
        db,
        CASSANDRA_KEYSPACE=keyspaces[0],
        CASSANDRA_BINDS={"archive": {"KEYSPACE": keyspaces[1]}},
    )
    with app.app_context():
        db.sync_db()
        Archived.create(id=1)
        Live.create(id=2)
        assert Archived.column_family_name() == f"{keyspaces[1]}.archived"
        assert [row.id for row in Archived.all()] == [1]
        assert db.place("archive").connection is db.place("default").connection
        assert Live.objects.using(connection="archive").get(id=2).id == 2


def test_using_another_bind_keeps_the_models_keyspace(
    make_app: MakeApp, keyspaces: list[str]
) -> None:
    db = CQLAlchemy()
    note = notes(db)
    binds = {"archive": {"KEYSPACE": keyspaces[2]}}
    app = make_app(db, CASSANDRA_KEYSPACE=keyspaces[0], CASSANDRA_BINDS=binds)
    with app.app_context():
        for name in keyspaces[:3]:
            with db.use_keyspace(name):
                db.sync_db()
                note.create(id=1, text=name)
        for name in keyspaces[:3]:
            with db.use_keyspace(name):
                assert note.objects.using(connection="archive").get(id=1).text == name
                assert note.get(id=1).text == name


def test_a_bind_that_is_not_configured_is_named(app: Flask, database: CQLAlchemy) -> None:
    with app.app_context(), pytest.raises(ConfigError) as caught:
        database.place("archive")
    assert str(caught.value) == (
        "CASSANDRA_BINDS has no 'archive', which a model or a call names; it has default."
    )


def test_a_model_may_name_its_keyspace(app: Flask, keyspaces: list[str]) -> None:
    db: CQLAlchemy = app.extensions["cqlalchemy"]

    class Fixed(db.Model):
        __keyspace__ = keyspaces[0]
        id = db.columns.Integer(primary_key=True)

    assert [*map(str, db.sync_table(Fixed))] == [
        f"created the keyspace {keyspaces[0]}",
        f"created the table {keyspaces[0]}.fixed",
    ]
    with db.use_keyspace(keyspaces[1]):
        Fixed.create(id=1)
    assert Fixed.objects.count() == 1


def test_set_keyspace_lasts_until_it_is_taken_back(app: Flask, keyspaces: list[str]) -> None:
    db: CQLAlchemy = app.extensions["cqlalchemy"]
    note = notes(db)
    configured = db.place().keyspace
    db.sync_db()
    db.set_keyspace(keyspaces[0])
    db.sync_db()
    note.create(id=1, text="there")
    seen = []
    thread = threading.Thread(target=lambda: seen.append(_keyspace_in_thread(app)))
    thread.start()
    thread.join()
    assert seen == [keyspaces[0]]
    db.set_keyspace()
    assert db.place().keyspace == configured
    assert note.objects.count() == 0
    with db.use_keyspace(keyspaces[0]):
        assert note.objects.count() == 1


def _keyspace_in_thread(app: Flask) -> str:
    with app.app_context():
        found: str = app.extensions["cqlalchemy"].place().keyspace
        return found


def test_use_keyspace_is_for_one_context(app: Flask, keyspaces: list[str]) -> None:
    db: CQLAlchemy = app.extensions["cqlalchemy"]
    note = notes(db)
    for name in keyspaces:
        with db.use_keyspace(name):
            db.sync_db()
            note.create(id=1, text=name)

    def read(number: int) -> set[str]:
        name = keyspaces[number % 4]
        with app.app_context(), db.use_keyspace(name):
            return {note.get(id=1).text for _ in range(40)} - {name}

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(16))) == [set()] * 16


def test_use_keyspace_nests(app: Flask, database: CQLAlchemy) -> None:
    with app.app_context():
        outer = database.place().keyspace
        with database.use_keyspace("one"):
            with database.use_keyspace("two"):
                assert database.place().keyspace == "two"
            assert database.place().keyspace == "one"
        assert database.place().keyspace == outer


@pytest.mark.parametrize("name", ["", "1st", 'a"b', "a" * 49, "a b", "é"])
def test_a_bad_keyspace_is_refused(app: Flask, database: CQLAlchemy, name: str) -> None:
    expected = (
        "A keyspace's name must be 1 to 48 letters, digits and underscores beginning with a "
        f"letter, not {name!r}."
    )
    with app.app_context():
        acts: list[Callable[[], object]] = [
            lambda: database.set_keyspace(name),
            lambda: database.create_keyspace_simple(name, 1),
            lambda: _enter(database.use_keyspace(name)),
        ]
        for act in acts:
            with pytest.raises(ValueError, match="keyspace") as caught:
                act()
            assert str(caught.value) == expected


def _enter(manager: Any) -> None:
    with manager:
        pass


def test_create_keyspace_simple_creates_once(app: Flask, keyspaces: list[str]) -> None:
    db: CQLAlchemy = app.extensions["cqlalchemy"]
    db.create_keyspace_simple(keyspaces[0], 1)
    db.create_keyspace_simple(keyspaces[0], 1)
    live = db.session.cluster.metadata.keyspaces[keyspaces[0]]
    assert "'replication_factor': '1'" in live.replication_strategy.export_for_schema()


def test_a_mixed_case_keyspace_is_quoted(app: Flask) -> None:
    db: CQLAlchemy = app.extensions["cqlalchemy"]
    note = notes(db)
    with app.app_context(), db.use_keyspace("test_Mixed"):
        try:
            db.sync_db()
            note.create(id=1, text="x")
            assert note.get(id=1).text == "x"
            assert note.column_family_name() == '"test_Mixed".note'
        finally:
            db.session.execute('DROP KEYSPACE IF EXISTS "test_Mixed"', timeout=60)


def test_drop_all_drops_tables_and_types(app: Flask, keyspaces: list[str]) -> None:
    db: CQLAlchemy = app.extensions["cqlalchemy"]

    class Place(db.UserType):
        name = db.columns.Text()

    class Trip(db.Model):
        id = db.columns.Integer(primary_key=True)
        stops = db.columns.List(db.columns.UserDefinedType(Place))

    with db.use_keyspace(keyspaces[0]):
        db.sync_db()
        assert [*map(str, db.drop_all())] == [
            f"dropped the table {keyspaces[0]}.trip",
            f"dropped the type {keyspaces[0]}.place",
        ]
        assert db.drop_all() == []
        with pytest.raises(SchemaError) as caught, db.use_keyspace(keyspaces[1]):
            _sync_without_creating(db, Trip)
    assert str(caught.value) == (
        f"The keyspace {keyspaces[1]} does not exist: `flask cql sync` or db.sync_db() creates it."
    )


def _sync_without_creating(db: CQLAlchemy, model: Any) -> None:
    from flask_cqlalchemy.tables import sync

    sync.create_table(db.place(), model.__mapper__)


def test_the_shell_has_db_and_every_model(app: Flask, database: CQLAlchemy) -> None:
    note = notes(database)
    with app.app_context():
        context = app.make_shell_context()
    assert (context["db"], context["Note"]) == (database, note)


def test_the_shell_has_every_user_type(app: Flask, database: CQLAlchemy) -> None:
    class Street(database.UserType):
        name = database.columns.Text()

    class Address(database.UserType):
        street = database.columns.UserDefinedType(Street)

    note = notes(database)
    context = app.make_shell_context()
    assert (context["Street"], context["Address"]) == (Street, Address)
    assert (context["db"], context["Note"]) == (database, note)


def test_in_the_shell_a_model_comes_before_a_user_type_of_its_name(
    app: Flask, database: CQLAlchemy
) -> None:
    class Note(database.UserType):
        text = database.columns.Text()

    note = notes(database)
    assert note.__name__ == Note.__name__
    assert app.make_shell_context()["Note"] is note


def test_queries_outside_a_context_find_the_application_only_when_told(
    app: Flask, database: CQLAlchemy
) -> None:
    with database.outside_context(app):
        assert database.place().keyspace == app.config["CASSANDRA_KEYSPACE"]
    with pytest.raises(NoAppError):
        database.place()

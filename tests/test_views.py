"""Models over materialised views: they are read, and neither created nor written."""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cassandra import InvalidRequest
from cassandra.cqlengine.query import QueryException
from flask import Flask

from flask_cqlalchemy import BulkError, CQLAlchemy, SchemaError

from .cql_helpers import module_fixtures

pytestmark = pytest.mark.usefixtures("context")

cassandra_config, database, app = module_fixtures(CQLAlchemy())

_numbers = itertools.count()


@pytest.fixture
def context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


@pytest.fixture
def name() -> str:
    """The name of a view that no other test has."""
    return f"by_author_{next(_numbers)}"


@pytest.fixture(scope="module")
def post(app: Flask, database: CQLAlchemy) -> Any:
    """The model of the table that the views are of."""

    class Post(database.Model):
        id = database.columns.Integer(primary_key=True)
        author = database.columns.Text()
        title = database.columns.Text()

    with app.app_context():
        database.sync_table(Post)
    return Post


def create_view(db: CQLAlchemy, name: str, columns: str = "author, id, title") -> None:
    """Create a view of posts by author."""
    keyspace = db.place().keyspace
    db.execute(
        f"CREATE MATERIALIZED VIEW {keyspace}.{name} AS SELECT {columns} FROM {keyspace}.post "
        "WHERE author IS NOT NULL AND id IS NOT NULL PRIMARY KEY (author, id)"
    )


def define(db: CQLAlchemy, name: str, *, view: bool, options: Any = None) -> Any:
    class ByAuthor(db.Model):
        __table_name__ = name
        __view__ = view
        __options__ = options
        author = db.columns.Text(primary_key=True)
        id = db.columns.Integer(primary_key=True)
        title = db.columns.Text(index=True)

    return ByAuthor


def kinds_of(db: CQLAlchemy, name: str) -> list[str]:
    """Whether there is a table or a view of that name, or both."""
    found = []
    for kind in ("table", "view"):
        rows = db.execute(
            f"SELECT {kind}_name FROM system_schema.{kind}s "
            f"WHERE keyspace_name = ? AND {kind}_name = ?",
            [db.place().keyspace, name],
        )
        found += [kind for _ in rows]
    return found


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "not declared"])
def test_sync_leaves_a_view_as_it_is(
    database: CQLAlchemy, post: Any, name: str, declared: bool
) -> None:
    create_view(database, name)
    by_author = define(database, name, view=declared)
    assert database.sync_table(by_author) == []
    assert database.sync_db() == []
    assert kinds_of(database, name) == ["view"]
    post.create(id=1, author=name, title="read")
    assert [row.title for row in by_author.objects(author=name)] == ["read"]


def test_a_view_that_another_session_has_just_made_is_noticed(
    database: CQLAlchemy, post: Any, name: str
) -> None:
    """Without the driver's notice of it: here it is told none."""
    del post
    by_author = define(database, name, view=False)
    cluster = database.session.cluster
    cluster.schema_event_refresh_window = -1
    try:
        create_view(database, name)
        cluster.metadata.keyspaces[database.place().keyspace].views.pop(name, None)
        assert database.sync_table(by_author) == []
    finally:
        cluster.schema_event_refresh_window = 2
    assert kinds_of(database, name) == ["view"]


def test_a_declared_view_that_is_missing_is_not_created(
    database: CQLAlchemy, post: Any, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    del post
    by_author = define(database, name, view=True)
    with caplog.at_level(logging.WARNING):
        assert database.sync_table(by_author) == []
    assert kinds_of(database, name) == []
    assert [record.getMessage() for record in caplog.records] == [
        f"The materialised view {database.place().keyspace}.{name} of ByAuthor does not exist. It "
        "is yours to create, with CREATE MATERIALIZED VIEW, once its table is there."
    ]


def test_a_table_in_place_of_a_declared_view_is_an_error(database: CQLAlchemy, name: str) -> None:
    database.sync_table(define(database, name, view=False))
    with pytest.raises(SchemaError) as caught:
        database.sync_table(define(database, name, view=True))
    assert str(caught.value) == (
        f"ByAuthor is over a materialised view (__view__), and {database.place().keyspace}.{name} "
        "is a table: drop the table, or take __view__ out of the model."
    )


@pytest.mark.parametrize("declared", [True, False], ids=["declared", "not declared"])
def test_a_column_that_a_view_lacks_is_an_error(
    database: CQLAlchemy, post: Any, name: str, declared: bool
) -> None:
    del post
    create_view(database, name, "author, id")
    with pytest.raises(SchemaError) as caught:
        database.sync_table(define(database, name, view=declared))
    assert str(caught.value) == (
        f"view {name} of ByAuthor: the view has no column title, and a view takes no further ones. "
        "Drop and create it again, or leave the column out of the model."
    )


def test_a_view_with_another_key_is_an_error(database: CQLAlchemy, post: Any, name: str) -> None:
    del post
    create_view(database, name)

    class ByTitle(database.Model):
        __table_name__ = name
        title = database.columns.Text(primary_key=True)

    with pytest.raises(SchemaError, match=r"^The primary key of ByTitle is \(\(title\), \)"):
        database.sync_table(ByTitle)
    database.registry.models.remove(ByTitle)


def test_a_view_has_options_too(database: CQLAlchemy, post: Any, name: str) -> None:
    del post
    create_view(database, name)
    by_author = define(database, name, view=True, options={"comment": "by author"})
    assert [*map(str, database.sync_table(by_author))] == [
        f"changed options of the view {name} of ByAuthor"
    ]
    assert database.sync_table(by_author) == []


WRITES: dict[str, Callable[[Any], object]] = {
    "create": lambda model: model.create(author="a", id=1),
    "save": lambda model: model(author="a", id=1).save(),
    "create of a query": lambda model: model.objects.create(author="a", id=1),
    "if not exists": lambda model: model.if_not_exists().create(author="a", id=1),
    "update": lambda model: model.objects(author="a", id=1).update(title="x"),
    "update to null": lambda model: model.objects(author="a", id=1).update(title=None),
    "delete": lambda model: model.objects(author="a", id=1).delete(),
    "delete of an instance": lambda model: model(author="a", id=1).delete(),
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_a_write_to_a_declared_view_is_refused(
    database: CQLAlchemy, name: str, write: Callable[[Any], object]
) -> None:
    by_author = define(database, name, view=True)
    with pytest.raises(QueryException) as caught:
        write(by_author)
    assert str(caught.value) == (
        "ByAuthor is over a materialised view, which Cassandra keeps by itself: write to the model "
        "of its table."
    )


def test_a_bulk_write_to_a_declared_view_is_refused(database: CQLAlchemy, name: str) -> None:
    by_author = define(database, name, view=True)
    with pytest.raises(BulkError, match="ByAuthor is over a materialised view"):
        database.bulk_create(by_author, [{"author": "a", "id": 1}])


def test_a_write_to_a_batch_of_a_declared_view_is_refused(database: CQLAlchemy, name: str) -> None:
    by_author = define(database, name, view=True)
    with pytest.raises(QueryException, match="^ByAuthor is over a"), database.batch() as batch:
        by_author.batch(batch).create(author="a", id=1)


def test_cassandra_refuses_a_write_to_a_view_that_is_not_declared(
    database: CQLAlchemy, post: Any, name: str
) -> None:
    del post
    create_view(database, name)
    with pytest.raises(InvalidRequest, match="Cannot directly modify a materialized view"):
        define(database, name, view=False).create(author="a", id=1)


def test_the_commands_know_views(app: Flask, database: CQLAlchemy, post: Any, name: str) -> None:
    del post
    run = app.test_cli_runner().invoke
    keyspace = database.place().keyspace
    define(database, name, view=True)
    listed = run(args=["cql", "models"]).output.splitlines()
    assert any(line.endswith("no: CREATE MATERIALIZED VIEW") for line in listed), listed
    create_view(database, name)
    assert "no: CREATE MATERIALIZED VIEW" not in run(args=["cql", "models"]).output
    assert run(args=["cql", "truncate", "ByAuthor", "--yes"]).output == (
        f"The view {keyspace}.{name} is emptied with its table.\n"
    )
    assert run(args=["cql", "drop", "ByAuthor", "--yes"]).output == (
        f"Dropped the view {keyspace}.{name}.\n"
    )
    assert kinds_of(database, name) == []


def test_drop_all_drops_views_before_their_tables(cassandra_config: dict[str, Any]) -> None:
    db = CQLAlchemy()

    class ByAuthor(db.Model):
        author = db.columns.Text(primary_key=True)
        id = db.columns.Integer(primary_key=True)

    class Post(db.Model):
        id = db.columns.Integer(primary_key=True)
        author = db.columns.Text()

    keyspace = f"{cassandra_config['CASSANDRA_KEYSPACE']}_drop"
    app = Flask(__name__)
    app.config.from_mapping(cassandra_config, CASSANDRA_KEYSPACE=keyspace)
    db.init_app(app)
    with app.app_context():
        db.create_keyspace_simple(keyspace, 1)
        db.sync_table(Post)
        create_view(db, "by_author", "author, id")
        assert [*map(str, db.drop_all())] == [
            f"dropped the view {keyspace}.by_author",
            f"dropped the table {keyspace}.post",
        ]
        db.execute(f"DROP KEYSPACE {keyspace}")
        db.close()

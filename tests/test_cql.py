"""``db.execute()``: CQL of one's own, prepared and in the keyspace in force."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from cassandra import AlreadyExists, ConsistencyLevel, InvalidRequest
from cassandra.cqlengine import ValidationError
from cassandra.protocol import SyntaxException
from cassandra.query import BoundStatement, SimpleStatement
from flask import Flask

from flask_cqlalchemy import CQLAlchemy, NoAppError, OutcomeUnknown, RequestTimedOut
from flask_cqlalchemy.testing import Cleaner

from .cql_helpers import application, model, sent
from .local_helpers import wait_until


@pytest.fixture(scope="module")
def cassandra_config(cassandra_config: dict[str, Any]) -> dict[str, Any]:
    """A keyspace of this module's own, a bind of the same nodes with another."""
    keyspace = f"{cassandra_config['CASSANDRA_KEYSPACE']}_cql"
    return {
        **cassandra_config,
        "CASSANDRA_KEYSPACE": keyspace,
        "CASSANDRA_BINDS": {"other": {"KEYSPACE": f"{keyspace}_other"}},
    }


@pytest.fixture(scope="module")
def database() -> CQLAlchemy:
    db = CQLAlchemy()

    class Post(db.Model):
        blog = db.columns.Text(partition_key=True)
        id = db.columns.Integer(primary_key=True)
        title = db.columns.Text()
        votes = db.columns.TinyInt()

    class Elsewhere(db.Model):
        __bind_key__ = "other"
        __table_name__ = "post"
        blog = db.columns.Text(partition_key=True)
        id = db.columns.Integer(primary_key=True)
        title = db.columns.Text()

    return db


@pytest.fixture(scope="module")
def app(database: CQLAlchemy, cassandra_config: dict[str, Any]) -> Iterator[Flask]:
    with application(database, cassandra_config) as app:
        yield app


INSERT = "INSERT INTO post (blog, id, title) VALUES (?, ?, ?)"


def titles(cql: CQLAlchemy) -> list[str]:
    return [row["title"] for row in cql.execute("SELECT title FROM post")]


# Values


def test_values_go_to_markers_in_order(cql: CQLAlchemy) -> None:
    cql.execute(INSERT, ["b", 1, "one"])
    cql.execute(INSERT, ("b", 2, "two"))
    found = cql.execute("SELECT id, title FROM post WHERE blog = ? AND id > ?", ["b", 1])
    assert list(found) == [{"id": 2, "title": "two"}]


def test_a_table_without_its_keyspace_is_no_reason_for_a_warning(
    cassandra_config: dict[str, Any], cql: CQLAlchemy, caplog: pytest.LogCaptureFixture
) -> None:
    """Cassandra warns of a USE, which nobody has sent, where a request names the keyspace."""
    app = Flask(__name__)
    app.config.from_mapping(cassandra_config)
    db = CQLAlchemy()
    db.init_app(app)
    with app.app_context(), caplog.at_level(logging.WARNING):
        db.execute("INSERT INTO post (blog, id) VALUES (?, ?)", ["b", 1])
        with db.use_keyspace(f"{cql.place().keyspace}_other"):
            assert db.execute("SELECT id FROM post WHERE blog = ?", ["b"]).one() is None
        # A change of the schema has every statement prepared anew.
        db.execute("ALTER TABLE post WITH comment = 'x'")
        assert db.execute("SELECT id FROM post WHERE blog = ?", ["b"]).one() == {"id": 1}
        db.close()
    assert [record.getMessage() for record in caplog.records] == []


def test_values_go_to_markers_by_name(cql: CQLAlchemy) -> None:
    cql.execute(
        "INSERT INTO post (blog, id, title) VALUES (:blog, :id, :title)",
        {"title": "one", "id": 1, "blog": "b"},
    )
    assert titles(cql) == ["one"]


def test_a_name_that_stands_twice_has_one_value(cql: CQLAlchemy) -> None:
    cql.execute(
        "INSERT INTO post (blog, id, title) VALUES (:text, :id, :text)", {"text": "x", "id": 1}
    )
    assert list(cql.execute("SELECT blog, title FROM post")) == [{"blog": "x", "title": "x"}]


def test_question_marks_may_be_named_by_their_columns(cql: CQLAlchemy) -> None:
    cql.execute(INSERT, {"blog": "b", "id": 1, "title": "one"})
    assert titles(cql) == ["one"]


def test_limits_and_times_to_live_may_be_markers(cql: CQLAlchemy) -> None:
    cql.execute(INSERT + " USING TTL ?", ["b", 1, "one", 1000])
    cql.execute(INSERT, ["b", 2, "two"])
    found = cql.execute("SELECT ttl(title) AS t FROM post WHERE blog = ? LIMIT ?", ["b", 1])
    assert [900 < row["t"] <= 1000 for row in found] == [True]


def test_a_list_may_be_the_values_of_in(cql: CQLAlchemy) -> None:
    for number in range(3):
        cql.execute(INSERT, ["b", number, str(number)])
    found = cql.execute("SELECT id FROM post WHERE blog = ? AND id IN ?", ["b", [0, 2]])
    assert [row["id"] for row in found] == [0, 2]


WRONG_VALUES: list[tuple[str, Any, type[Exception], str]] = [
    (INSERT, None, ValueError, f"{INSERT}: 0 values for 3 markers (blog, id, title)."),
    (INSERT, [], ValueError, f"{INSERT}: 0 values for 3 markers (blog, id, title)."),
    (INSERT, ["b", 1], ValueError, f"{INSERT}: 2 values for 3 markers (blog, id, title)."),
    (INSERT, ["b", 1, "x", 2], ValueError, f"{INSERT}: 4 values for 3 markers (blog, id, title)."),
    (
        INSERT,
        {"blog": "b", "id": 1},
        ValueError,
        f"{INSERT}: title has no value; the markers are blog, id, title.",
    ),
    (
        INSERT,
        {"blog": "b", "id": 1, "title": "x", "votes": 1},
        ValueError,
        f"{INSERT}: votes is not a marker of the statement; the markers are blog, id, title.",
    ),
    (INSERT, {}, ValueError, f"{INSERT}: blog has no value; the markers are blog, id, title."),
    (
        INSERT,
        "b1x",
        TypeError,
        "The values of a statement are a sequence or a mapping, not str.",
    ),
    (
        INSERT,
        b"b1x",
        TypeError,
        "The values of a statement are a sequence or a mapping, not bytes.",
    ),
]


@pytest.mark.parametrize(("cql_text", "values", "kind", "message"), WRONG_VALUES)
def test_values_that_do_not_fit_are_refused(
    cql: CQLAlchemy, cql_text: str, values: Any, kind: type[Exception], message: str
) -> None:
    with sent(cql) as statements, pytest.raises(kind) as caught:
        cql.execute(cql_text, values)
    assert str(caught.value) == message
    assert statements == []


def test_values_without_an_order_are_refused(cql: CQLAlchemy) -> None:
    values: Any = {"b", 1, "x"}
    with pytest.raises(TypeError, match="sequence or a mapping"):
        cql.execute("INSERT INTO post (blog, id, title) VALUES (?, ?, ?)", values)


def test_a_long_statement_is_named_in_eighty_characters(cql: CQLAlchemy) -> None:
    text = (
        "SELECT blog, id, title, votes\n  FROM post\n WHERE blog = ?   AND id > ? "
        "AND id < ? LIMIT 3"
    )
    with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is asserted
        cql.execute(text)
    assert str(caught.value) == (
        "SELECT blog, id, title, votes FROM post WHERE blog = ? AND id > ? AND id < ? LI…: 0 "
        "values for 3 markers (blog, id, id)."
    )


@pytest.mark.parametrize(
    ("values", "start"),
    [
        (["b", "one", "x"], "INSERT INTO post (blog, id, title) VALUES (?, ?, ?).id takes a whole"),
        (["b", 2**40, "x"], "INSERT INTO post (blog, id, title) VALUES (?, ?, ?).id takes a whole"),
        (["b", 1, 5], "INSERT INTO post (blog, id, title) VALUES (?, ?, ?).title takes text"),
    ],
)
def test_a_value_of_the_wrong_type_names_its_column(
    cql: CQLAlchemy, values: list[Any], start: str
) -> None:
    with sent(cql) as statements, pytest.raises(ValidationError) as caught:
        cql.execute(INSERT, values)
    assert str(caught.value).startswith(start)
    assert statements == []


@pytest.mark.parametrize(
    "value",
    [
        "'); DROP TABLE post; --",
        "' OR '1'='1",
        "?",
        ":blog",
        "%(blog)s",
        "%s",
        "$$; DROP TABLE post;$$",
        "ünïcødé \U0001f600 \u0000 \u202e",
    ],
)
def test_a_value_is_never_read_as_cql(cql: CQLAlchemy, value: str) -> None:
    cql.execute(INSERT, [value, 1, value])
    found = cql.execute("SELECT blog, title FROM post WHERE blog = :blog", {"blog": value})
    assert list(found) == [{"blog": value, "title": value}]


def test_text_in_the_statement_may_be_unicode(cql: CQLAlchemy) -> None:
    cql.execute("INSERT INTO post (blog, id, title) VALUES ('ü', ?, '\U0001f600 ? :x')", [1])
    assert titles(cql) == ["\U0001f600 ? :x"]


def test_the_plugin_hears_a_write_without_markers(
    cql: CQLAlchemy, app: Flask, cassandra_cluster: Any
) -> None:
    with Cleaner(cassandra_cluster, "test_", drop_keyspaces=False) as cleaner:
        with cleaner.clean_after(app, everything=False):
            cql.execute("INSERT INTO post (blog, id, title) VALUES ('b', 1, 'x')")
        try:
            assert titles(cql) == []
        finally:
            cql.execute("DELETE FROM post WHERE blog = ?", ["b"])


# What is refused


@pytest.mark.parametrize(
    "text",
    [
        "USE system",
        "use system;",
        "Use system",
        '  USE"system"',
        "\n\tUSE\nsystem",
        "-- a comment\nUSE system",
        "// a comment\nUSE system",
        "/* a comment */ USE system",
        "/* one */ -- two\n/* three\n */USE system",
        "/**/USE system",
        "-- USE nothing\n -- \nUSE system",
        "-- a comment\r\nUSE system",
        pytest.param(
            "-- a comment\rUSE system",
        ),
        pytest.param(
            "// a comment\rUSE system",
        ),
    ],
)
def test_use_is_refused(cql: CQLAlchemy, text: str) -> None:
    try:
        with pytest.raises(ValueError) as caught:  # noqa: PT011 - the message is asserted
            cql.execute(text)
        assert cql.session.keyspace is None
    finally:
        # Whatever was done to the session ends with it.
        cql.close()
    assert str(caught.value) == (
        "USE would change the keyspace of every thread of this process. Use "
        "`with db.use_keyspace(name):`, or write the keyspace before the table's name."
    )


def test_what_is_no_text_is_refused(cql: CQLAlchemy) -> None:
    statement: Any = SimpleStatement("SELECT title FROM post")
    with pytest.raises(TypeError) as caught:
        cql.execute(statement)
    assert str(caught.value) == (
        "db.execute() takes the text of a statement, not SimpleStatement; db.session.execute() "
        "takes the driver's statements."
    )


@pytest.mark.parametrize("text", ["SELEKT 1", "", "   ", "-- only a comment", ";", "SELECT"])
def test_a_syntax_error_is_cassandras(cql: CQLAlchemy, text: str) -> None:
    with pytest.raises(SyntaxException):
        cql.execute(text)


@pytest.mark.parametrize(
    "text",
    [
        "SELECT title FROM post; SELECT title FROM post",
        "SELECT title FROM post; USE system",
        "SELECT title FROM post; DROP TABLE post",
    ],
)
def test_two_statements_are_refused_by_cassandra(cql: CQLAlchemy, text: str) -> None:
    with pytest.raises(SyntaxException):
        cql.execute(text)
    assert titles(cql) == []


def test_a_table_that_does_not_exist_is_cassandras_error(cql: CQLAlchemy) -> None:
    with pytest.raises(InvalidRequest, match="does not exist"):
        cql.execute("SELECT title FROM nothing")


def test_without_an_application_there_is_no_keyspace(database: CQLAlchemy) -> None:
    with pytest.raises(NoAppError):
        database.execute("SELECT title FROM post")


# Options


def test_a_statement_is_prepared_once(cql: CQLAlchemy) -> None:
    text = "SELECT votes, title FROM post WHERE blog = ?"
    connection = cql.place().connection
    before = connection.statement_metrics.prepared
    for number in range(10):
        cql.execute(text, [str(number)])
    assert connection.statement_metrics.prepared == before + 1


@pytest.mark.parametrize(
    ("text", "values", "given", "expected"),
    [
        ("SELECT title FROM post", None, None, True),
        ("/* x */ select title FROM post", None, None, True),
        ("SELECT title FROM post", None, False, False),
        (INSERT, ["b", 1, "x"], None, False),
        (INSERT, ["b", 1, "x"], True, True),
        ("DELETE FROM post WHERE blog = ?", ["b"], None, False),
    ],
)
def test_only_a_select_is_repeated_unless_it_is_said(
    cql: CQLAlchemy, text: str, values: Any, given: bool | None, expected: bool
) -> None:
    with sent(cql) as statements:
        cql.execute(text, values, idempotent=given)
    assert [type(statement) for statement in statements] == [BoundStatement]
    assert [statement.is_idempotent for statement in statements] == [expected]


def test_the_consistency_is_that_of_the_call(cql: CQLAlchemy) -> None:
    with sent(cql) as statements:
        cql.execute("SELECT title FROM post", consistency=ConsistencyLevel.ALL)
    assert [statement.consistency_level for statement in statements] == [ConsistencyLevel.ALL]


def test_pages_are_fetched_as_they_are_read(cql: CQLAlchemy) -> None:
    for number in range(7):
        cql.execute(INSERT, ["b", number, str(number)])
    found = cql.execute("SELECT id FROM post WHERE blog = ?", ["b"], fetch_size=3)
    assert len(found.current_rows) == 3
    assert found.has_more_pages
    assert [row["id"] for row in found] == list(range(7))


def test_a_timeout_is_the_kits_error(cql: CQLAlchemy) -> None:
    with pytest.raises(RequestTimedOut) as caught:
        cql.execute("SELECT title FROM post", timeout=0.0)
    assert str(caught.value).startswith("SELECT title FROM post: no answer in time (")
    with pytest.raises(OutcomeUnknown):
        cql.execute(INSERT, ["late", 1, "x"], timeout=0.0)
    # It was made all the same, and must not be made after this test.
    wait_until(lambda: titles(cql) == ["x"], "the late row")


def test_a_condition_says_whether_it_held(cql: CQLAlchemy) -> None:
    text = f"{INSERT} IF NOT EXISTS"
    assert cql.execute(text, ["b", 1, "one"]).was_applied
    again = cql.execute(text, ["b", 1, "two"])
    assert not again.was_applied
    assert titles(cql) == ["one"]


def test_a_batch_may_be_written_in_cql(cql: CQLAlchemy) -> None:
    cql.execute(
        "BEGIN BATCH INSERT INTO post (blog, id, title) VALUES (:b, 1, :t); "
        "INSERT INTO post (blog, id, title) VALUES (:b, 2, :t); APPLY BATCH",
        {"b": "b", "t": "both"},
    )
    assert titles(cql) == ["both", "both"]


# Keyspaces and binds


@pytest.fixture
def keyspaces(cql: CQLAlchemy) -> Iterator[list[str]]:
    """Three keyspaces with a table ``post`` that says where it is."""
    names = [f"{cql.place().keyspace}_{number}" for number in range(3)]
    for name in names:
        cql.create_keyspace_simple(name, 1)
        with cql.use_keyspace(name):
            cql.execute("CREATE TABLE post (blog text PRIMARY KEY, title text)")
            cql.execute("INSERT INTO post (blog, title) VALUES ('b', ?)", [name])
    yield names
    for name in names:
        cql.execute(f"DROP KEYSPACE {name}")


def test_each_thread_reads_in_its_own_keyspace(
    cql: CQLAlchemy, app: Flask, keyspaces: list[str]
) -> None:
    cql.execute(INSERT, ["b", 1, cql.place().keyspace])

    def read(name: str) -> set[str]:
        with app.app_context(), cql.use_keyspace(name):
            return {
                row["title"]
                for _ in range(50)
                for row in cql.execute("SELECT title FROM post WHERE blog = ?", ["b"])
            }

    names = [*keyspaces, cql.place().keyspace]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(read, names)) == [{name} for name in names]


def test_a_bind_has_its_own_keyspace(cql: CQLAlchemy) -> None:
    cql.execute(INSERT, ["b", 1, "there"], bind="other")
    assert titles(cql) == []
    found = cql.execute("SELECT title FROM post", bind="other")
    assert [row["title"] for row in found] == ["there"]


# Changes of the schema


def test_a_table_is_made_in_the_keyspace_in_force(cql: CQLAlchemy, keyspaces: list[str]) -> None:
    with cql.use_keyspace(keyspaces[0]):
        cql.execute("CREATE TABLE here (id int PRIMARY KEY)")
        result = cql.execute("ALTER TABLE here ADD name text")
        assert result.response_future.is_schema_agreed
        cql.execute("INSERT INTO here (id, name) VALUES (?, ?)", [1, "x"])
        assert list(cql.execute("SELECT * FROM here")) == [{"id": 1, "name": "x"}]
    with pytest.raises(InvalidRequest):
        cql.execute("SELECT * FROM here")


def test_a_change_of_the_schema_may_take_the_schema_timeout(cql: CQLAlchemy) -> None:
    seen: list[float] = []
    connection = cql.place().connection

    def listen(future: Any) -> None:
        seen.append(future.timeout)

    connection.add_listener(listen)
    try:
        cql.execute("CREATE TABLE IF NOT EXISTS timed (id int PRIMARY KEY)")
        cql.execute("-- with a comment\ndrop table timed", timeout=33)
        cql.execute("TRUNCATE post")
        cql.execute("SELECT title FROM post")
    finally:
        connection.remove_listener(listen)
    assert seen == [60, 33, 60, 10]


def test_a_change_of_the_schema_takes_no_values(cql: CQLAlchemy) -> None:
    with sent(cql) as statements, pytest.raises(ValueError) as caught:  # noqa: PT011
        cql.execute("CREATE TABLE t (id int PRIMARY KEY) WITH comment = ?", ["x"])
    assert str(caught.value) == (
        "A change of the schema takes no values: CREATE TABLE t (id int PRIMARY KEY) WITH comment "
        "= ?"
    )
    assert statements == []


def test_a_table_that_exists_is_cassandras_error(cql: CQLAlchemy) -> None:
    with pytest.raises(AlreadyExists):
        cql.execute("CREATE TABLE post (id int PRIMARY KEY)")


def test_a_statement_is_prepared_anew_after_a_change(cql: CQLAlchemy) -> None:
    cql.execute("CREATE TABLE IF NOT EXISTS moving (id int PRIMARY KEY, a int)")
    try:
        cql.execute("INSERT INTO moving (id, a) VALUES (1, 2)")
        assert list(cql.execute("SELECT * FROM moving")) == [{"id": 1, "a": 2}]
        cql.execute("ALTER TABLE moving ADD b text")
        assert list(cql.execute("SELECT * FROM moving")) == [{"id": 1, "a": 2, "b": None}]
    finally:
        cql.execute("DROP TABLE moving")


def test_models_see_what_execute_wrote(cql: CQLAlchemy) -> None:
    cql.execute("INSERT INTO post (blog, id, votes) VALUES (?, ?, ?)", ["b", 1, 5])
    assert model(cql, "Post").get(blog="b", id=1).votes == 5

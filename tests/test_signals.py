"""Signals before and after each statement, and that they cost nothing unheard."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from cassandra import InvalidRequest
from cassandra.cqlengine import ValidationError
from flask import Flask

from flask_cqlalchemy import (
    BulkError,
    CQLAlchemy,
    GuardrailError,
    RequestTimedOut,
    after_statement,
    before_statement,
    signals,
)
from flask_cqlalchemy.signals import Outcome
from flask_cqlalchemy.statements.info import StatementInfo

from .cql_helpers import model, module_fixtures, sent


def define(db: CQLAlchemy) -> CQLAlchemy:
    class Post(db.Model):
        blog = db.columns.Text(partition_key=True)
        id = db.columns.Integer(primary_key=True)
        title = db.columns.Text()
        votes = db.columns.TinyInt()

    class Note(db.Model):
        id = db.columns.Integer(primary_key=True)

    return db


cassandra_config, database, app = module_fixtures(define, CASSANDRA_GUARDRAILS="off")


@pytest.fixture(autouse=True)
def _silence() -> Iterator[None]:
    """Take receivers away: blinker keeps those that were connected to one sender."""
    yield
    before_statement._clear_state()
    after_statement._clear_state()


@dataclass
class Heard:
    """What two receivers were told, in order."""

    order: list[str] = field(default_factory=list)
    before: list[StatementInfo] = field(default_factory=list)
    after: list[StatementInfo] = field(default_factory=list)
    outcomes: list[Outcome] = field(default_factory=list)
    threads: set[int] = field(default_factory=set)

    @property
    def kinds(self) -> list[str]:
        return [statement.kind for statement in self.after]


@contextmanager
def listening(app: Flask) -> Iterator[Heard]:
    heard = Heard()

    def before(sender: Flask, statement: StatementInfo) -> None:
        assert sender is app
        heard.order.append("before")
        heard.before.append(statement)
        heard.threads.add(threading.get_ident())

    def after(sender: Flask, statement: StatementInfo, outcome: Outcome) -> None:
        assert sender is app
        heard.order.append("after")
        heard.after.append(statement)
        heard.outcomes.append(outcome)
        heard.threads.add(threading.get_ident())

    with before_statement.connected_to(before, app), after_statement.connected_to(after, app):
        yield heard


def fill(cql: CQLAlchemy, rows: int) -> None:
    cql.bulk_create(model(cql, "Post"), ({"blog": "b", "id": number} for number in range(rows)))


def test_a_read_is_told_before_and_after(cql: CQLAlchemy, app: Flask) -> None:
    post = model(cql, "Post")
    fill(cql, 3)
    with listening(app) as heard:
        list(post.objects(blog="b"))
    (statement,), (outcome,) = heard.after, heard.outcomes
    keyspace = cql.place().keyspace
    assert heard.order == ["before", "after"]
    assert heard.before == heard.after
    assert statement == StatementInfo(
        "select",
        f"{keyspace}.post",
        f'SELECT "blog", "id", "title", "votes" FROM {keyspace}.post WHERE "blog" = ?',
        post,
    )
    assert str(statement) == f"{keyspace}.post"
    host, port = app.config["CASSANDRA_HOSTS"][0], app.config["CASSANDRA_PORT"]
    assert (outcome.rows, outcome.coordinator, outcome.error) == (3, f"{host}:{port}", None)
    assert 0 < outcome.seconds < 10
    assert heard.threads == {threading.get_ident()}


def test_each_kind_of_write_is_told(cql: CQLAlchemy, app: Flask) -> None:
    post = model(cql, "Post")
    with listening(app) as heard:
        row = post.create(blog="b", id=1, title="x")
        row.update(title="y")
        row.title = "z"
        row.save()
        post.objects(blog="b", id=1).update(title=None)
        row.delete()
        post.objects(blog="b").delete()
    assert heard.kinds == ["insert", "update", "update", "update", "delete", "delete"]
    assert {statement.model for statement in heard.after} == {post}
    assert {outcome.rows for outcome in heard.outcomes} == {None}


def test_a_condition_is_told_with_its_answer(cql: CQLAlchemy, app: Flask) -> None:
    with listening(app) as heard:
        model(cql, "Post").if_not_exists().create(blog="b", id=1)
    assert [(outcome.rows, outcome.error) for outcome in heard.outcomes] == [(1, None)]


@pytest.mark.parametrize("way", ["list", "iter", "rows", "execute"])
def test_each_page_is_told(cql: CQLAlchemy, app: Flask, way: str) -> None:
    post = model(cql, "Post")
    fill(cql, 7)
    query = post.objects(blog="b").fetch_size(3)
    with listening(app) as heard:
        if way == "execute":
            list(cql.execute("SELECT id FROM post WHERE blog = 'b'", fetch_size=3))
        elif way == "iter":
            list(query.iter(fetch_size=3))
        else:
            list(query) if way == "list" else query.rows()
    assert [outcome.rows for outcome in heard.outcomes] == [3, 3, 1]
    assert heard.kinds == ["select"] * 3
    assert heard.order == ["before", "after"] * 3
    assert all(outcome.seconds > 0 and outcome.coordinator for outcome in heard.outcomes)


def test_a_batch_is_one_statement(cql: CQLAlchemy, app: Flask) -> None:
    post = model(cql, "Post")
    with listening(app) as heard, cql.batch() as batch:
        post.batch(batch).create(blog="b", id=1)
        post.objects(blog="b", id=2).batch(batch).delete()
        assert heard.order == []
    (statement,) = heard.after
    keyspace = cql.place().keyspace
    assert (statement.kind, statement.subject, statement.model) == (
        "batch",
        f"{keyspace}.post",
        post,
    )
    assert statement.cql == (
        f'INSERT INTO {keyspace}.post ("blog", "id", "title", "votes") VALUES (?, ?, ?, ?)\n'
        f'DELETE FROM {keyspace}.post WHERE "blog" = ? AND "id" = ?'
    )


def test_a_batch_over_two_models_has_none(cql: CQLAlchemy, app: Flask) -> None:
    with listening(app) as heard, cql.batch() as batch:
        model(cql, "Post").batch(batch).create(blog="b", id=1)
        model(cql, "Note").batch(batch).create(id=1)
    (statement,) = heard.after
    keyspace = cql.place().keyspace
    assert (statement.subject, statement.model) == (f"{keyspace}.note, {keyspace}.post", None)


def test_each_part_of_a_batch_is_told(cql: CQLAlchemy, app: Flask) -> None:
    note, post = model(cql, "Note"), model(cql, "Post")
    del note
    with listening(app) as heard, cql.batch("unlogged") as batch:
        for number in range(9):
            post.batch(batch).create(blog=f"b{number}", id=1, title="x" * 10_000)
    assert heard.kinds == ["batch"] * len(heard.kinds)
    assert len(heard.kinds) > 1
    assert sum(len(statement.cql.splitlines()) for statement in heard.after) == 9


def test_each_row_of_a_bulk_write_is_told_in_the_callers_thread(
    cql: CQLAlchemy, app: Flask
) -> None:
    post = model(cql, "Post")
    with listening(app) as heard:
        fill(cql, 150)
        cql.bulk_update(post, ({"blog": "b", "id": n, "title": "x"} for n in range(10)))
        found = cql.get_many(post, [("b", 1), ("b", 999)])
        cql.bulk_delete(post, [("b", 1)])
    assert found[1] is None
    assert heard.kinds == ["insert"] * 150 + ["update"] * 10 + ["select"] * 2 + ["delete"]
    rows = [outcome.rows for outcome in heard.outcomes]
    assert rows[:160] == [None] * 160
    assert set(rows[160:162]) == {0, 1}
    assert {statement.model for statement in heard.after} == {post}
    assert all(outcome.seconds > 0 and outcome.coordinator for outcome in heard.outcomes)
    assert heard.threads == {threading.get_ident()}


def test_the_time_of_a_bulk_row_is_cassandras_and_not_the_iterables(
    cql: CQLAlchemy, app: Flask
) -> None:
    post = model(cql, "Post")
    note = model(cql, "Note")
    own = 0.0

    def rows() -> Iterator[dict[str, Any]]:
        nonlocal own
        yield {"blog": "b", "id": 1}
        with listening(app) as others:
            for number in range(50):
                note.create(id=number % 5)
        own = sum(outcome.seconds for outcome in others.outcomes)
        yield {"blog": "b", "id": 2}

    with listening(app) as heard:
        cql.bulk_create(post, rows())
    seconds = [
        outcome.seconds
        for statement, outcome in zip(heard.after, heard.outcomes, strict=True)
        if statement.model is post
    ]
    assert max(seconds) < own


def test_cql_of_ones_own_is_told(cql: CQLAlchemy, app: Flask) -> None:
    with listening(app) as heard:
        cql.execute("INSERT INTO note (id) VALUES (?)", [1])
        cql.execute("/* mine */ SELECT id FROM note")
        cql.execute("BEGIN BATCH DELETE FROM note WHERE id = ?; APPLY BATCH", [1])
        cql.execute("CREATE TABLE told (id int PRIMARY KEY)")
        cql.execute("DROP TABLE told")
        cql.execute("TRUNCATE note")
    assert heard.kinds == ["insert", "select", "batch", "schema", "schema", "schema"]
    assert heard.after[0] == StatementInfo(
        "insert", "INSERT INTO note (id) VALUES (?)", "INSERT INTO note (id) VALUES (?)"
    )
    assert heard.outcomes[1].rows == 1


# Errors


def test_an_error_of_cassandra_is_told(cql: CQLAlchemy, app: Flask) -> None:
    with listening(app) as heard, pytest.raises(InvalidRequest) as caught:
        cql.execute("ALTER TABLE nothing ADD x int")
    assert [outcome.error for outcome in heard.outcomes] == [caught.value]
    assert heard.outcomes[0].rows is None


def test_an_outage_is_told_as_the_kits_error(cql: CQLAlchemy, app: Flask) -> None:
    with listening(app) as heard, pytest.raises(RequestTimedOut) as caught:
        model(cql, "Post").objects(blog="b").timeout(0.0).first()
    assert [outcome.error for outcome in heard.outcomes] == [caught.value]


def test_what_was_not_sent_is_not_told(cql: CQLAlchemy, app: Flask) -> None:
    post = model(cql, "Post")
    with listening(app) as heard:
        with pytest.raises(ValidationError):
            post.create(blog="b", id="wrong")
        with pytest.raises(BulkError):
            cql.bulk_create(post, [{"blog": "b", "id": "wrong"}])
        with pytest.raises(ValueError, match="1 markers"):
            cql.execute("SELECT id FROM note WHERE id = ?")
    assert heard.order == []


# Receivers


class RefusalError(Exception):
    """What a receiver raises."""


def refuse(sender: Flask, statement: StatementInfo) -> None:
    raise RefusalError(statement.kind)


@pytest.mark.parametrize(
    "act",
    [
        lambda cql: model(cql, "Post").create(blog="b", id=1),
        lambda cql: model(cql, "Post").objects(blog="b").first(),
        lambda cql: cql.execute("INSERT INTO note (id) VALUES (1)"),
        lambda cql: cql.get_many(model(cql, "Note"), [1, 2]),
        lambda cql: fill_batch(cql),
    ],
    ids=["create", "first", "execute", "get_many", "batch"],
)
def test_a_receiver_may_stop_a_statement(cql: CQLAlchemy, app: Flask, act: Any) -> None:
    with (
        before_statement.connected_to(refuse, app),
        sent(cql) as statements,
        pytest.raises(RefusalError),
    ):
        act(cql)
    assert statements == []


def fill_batch(cql: CQLAlchemy) -> None:
    with cql.batch() as batch:
        model(cql, "Note").batch(batch).create(id=1)


def test_a_receiver_may_stop_a_bulk_write(cql: CQLAlchemy, app: Flask) -> None:
    with (
        before_statement.connected_to(refuse, app),
        sent(cql) as statements,
        pytest.raises((RefusalError, BulkError)),
    ):
        fill(cql, 10)
    assert statements == []


@pytest.mark.parametrize("way", ["list", "iter"])
def test_a_receiver_may_stop_a_page(cql: CQLAlchemy, app: Flask, way: str) -> None:
    fill(cql, 7)
    query = model(cql, "Post").objects(blog="b").fetch_size(3)
    asked: list[int] = []

    def refuse_second(sender: Flask, statement: StatementInfo) -> None:
        asked.append(1)
        if len(asked) == 2:
            raise RefusalError

    futures: list[Any] = []
    connection = cql.place().connection
    connection.add_listener(futures.append)
    try:
        with before_statement.connected_to(refuse_second, app), pytest.raises(RefusalError):
            list(query if way == "list" else query.iter(fetch_size=3))
    finally:
        connection.remove_listener(futures.append)
    (future,) = futures
    # The driver puts the state of the page that it asks for into its message.
    assert future.message.paging_state is None


def test_one_application_does_not_hear_another(
    cql: CQLAlchemy, app: Flask, cassandra_config: dict[str, Any]
) -> None:
    other = Flask("other", root_path=".")
    other.config.from_mapping(cassandra_config)
    cql.init_app(other)
    senders: list[Flask] = []

    @after_statement.connect_via(other)
    def hear(sender: Flask, statement: StatementInfo, outcome: Outcome) -> None:
        senders.append(sender)

    note = model(cql, "Note")
    with listening(app) as heard:
        note.objects(id=1).first()
        with other.app_context():
            note.objects(id=1).first()
            note.objects(id=2).first()
            cql.close()
    assert (len(heard.after), senders) == (1, [other, other])
    after_statement.disconnect(hear, other)


def test_a_receiver_of_all_hears_every_application(cql: CQLAlchemy, app: Flask) -> None:
    senders: list[Any] = []

    @after_statement.connect
    def hear(sender: Flask, statement: StatementInfo, outcome: Outcome) -> None:
        senders.append(sender)

    model(cql, "Note").objects(id=1).first()
    after_statement.disconnect(hear)
    assert senders == [app]


def test_a_statement_is_told_in_a_request(cql: CQLAlchemy, app: Flask) -> None:
    from flask import request

    paths: list[str] = []

    def hear(sender: Flask, statement: StatementInfo, outcome: Outcome) -> None:
        paths.append(request.path)

    with after_statement.connected_to(hear, app), app.test_request_context("/posts"):
        model(cql, "Note").objects(id=1).first()
    assert paths == ["/posts"]


# Nobody listens


@contextmanager
def called_in_signals() -> Iterator[set[str]]:
    """The names of the functions of the module that run in the block."""
    names: set[str] = set()

    def profile(frame: Any, event: str, argument: object) -> None:
        del argument
        if event == "call" and frame.f_code.co_filename == signals.__file__:
            names.add(frame.f_code.co_name)

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        yield names
    finally:
        sys.setprofile(before)


def test_unheard_nothing_runs_but_the_question_who_listens(cql: CQLAlchemy) -> None:
    post, note = model(cql, "Post"), model(cql, "Note")

    def act() -> None:
        row = post.create(blog="b", id=1, title="x")
        row.update(title="y")
        list(post.objects(blog="b"))
        list(post.objects(blog="b").fetch_size(1))
        fill(cql, 10)
        cql.get_many(post, [("b", 1)])
        with cql.batch() as batch:
            post.batch(batch).create(blog="b", id=2)
            note.batch(batch).create(id=1)

    act()
    with called_in_signals() as names:
        act()
    # A batch, and a statement of cqlengine's, are described for their errors.
    assert names <= {"is_observed", "__init__", "__str__"}
    with called_in_signals() as names:
        post.objects(blog="b").first()
        post.create(blog="b", id=1, title="x")
    assert names == {"is_observed"}


def test_a_receiver_of_another_application_does_not_count(cql: CQLAlchemy) -> None:
    with listening(Flask("other", root_path=".")), called_in_signals() as names:
        model(cql, "Note").objects(id=1).first()
    assert names == {"is_observed"}


def test_unheard_a_batch_has_no_text(cql: CQLAlchemy, app: Flask) -> None:
    note = model(cql, "Note")
    batch = cql.batch()
    for number in range(2):
        note.batch(batch).create(id=number)
    assert batch.to_query().info.cql == ""
    with listening(app):
        assert len(batch.to_query().info.cql.splitlines()) == 2


def test_a_guardrail_that_raises_is_not_told(
    cql: CQLAlchemy, cassandra_config: dict[str, Any]
) -> None:
    app = Flask("strict", root_path=".")
    app.config.from_mapping(cassandra_config, CASSANDRA_GUARDRAILS="raise")
    cql.init_app(app)
    with app.app_context(), listening(app) as heard:
        with pytest.raises(GuardrailError):
            list(model(cql, "Post").objects(title="x").allow_filtering())
        cql.close()
    assert heard.order == []

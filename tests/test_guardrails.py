"""CASSANDRA_GUARDRAILS: what is watched, at whose line a warning is, and what is not sent."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from flask import Flask

from flask_cqlalchemy import CQLAlchemy, GuardrailError
from flask_cqlalchemy.errors import GuardrailWarning

from .cql_helpers import model, module_fixtures, sent

# The applications of ``rails`` write over connections of their own.
pytestmark = pytest.mark.cassandra_writes_elsewhere


def define(db: CQLAlchemy) -> CQLAlchemy:
    class Post(db.Model):
        blog = db.columns.Text(partition_key=True)
        id = db.columns.Integer(primary_key=True)
        title = db.columns.Text()

    class Visits(db.Model):
        page = db.columns.Text(primary_key=True)
        count = db.columns.Counter()

    return db


cassandra_config, database, app = module_fixtures(define, CASSANDRA_GUARDRAILS="off")


Rails = Callable[[Any], Flask]


@pytest.fixture
def rails(
    cql: CQLAlchemy, database: CQLAlchemy, cassandra_config: dict[str, Any]
) -> Iterator[Rails]:
    """Makes an application on the same tables, with other guardrails."""
    made: list[Flask] = []

    def make(setting: Any) -> Flask:
        app = Flask("with_rails", root_path=".")
        app.config.from_mapping(cassandra_config, CASSANDRA_GUARDRAILS=setting, TESTING=True)
        database.init_app(app)
        made.append(app)
        return app

    yield make
    for app in made:
        with app.app_context():
            database.close()


@contextmanager
def heard() -> Iterator[list[warnings.WarningMessage]]:
    """The guardrails' warnings in the block."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", GuardrailWarning)
        yield caught


def fill(cql: CQLAlchemy, rows: int) -> None:
    cql.bulk_create(
        model(cql, "Post"), ({"blog": f"b{number % 3}", "id": number} for number in range(rows))
    )


def filtered(cql: CQLAlchemy) -> Any:
    return list(model(cql, "Post").objects(title="x").allow_filtering())


def unpaged(cql: CQLAlchemy) -> Any:
    return list(model(cql, "Post").objects.fetch_size(5))


def many_values(cql: CQLAlchemy) -> Any:
    return list(model(cql, "Post").objects(blog__in=[f"b{number}" for number in range(4)]))


def write_partitions(cql: CQLAlchemy, kind: str, count: int) -> None:
    post = model(cql, "Post")
    with cql.batch(kind) as batch:
        for number in range(count):
            post.batch(batch).create(blog=f"batch {number}", id=1)


def unlogged(cql: CQLAlchemy) -> Any:
    write_partitions(cql, "unlogged", 4)


def logged(cql: CQLAlchemy) -> Any:
    write_partitions(cql, "logged", 4)


def counted(cql: CQLAlchemy) -> Any:
    visits = model(cql, "Visits")
    with cql.batch("counter") as batch:
        for number in range(4):
            visits.objects(page=str(number)).batch(batch).update(count=1)


def repeated(cql: CQLAlchemy) -> Any:
    post = model(cql, "Post")
    for number in range(4):
        post.objects(blog="b0", id=number).first()


#: What trips each guardrail with a limit of 3, and what is said then.
TRIPS: dict[str, tuple[str, Callable[[CQLAlchemy], Any], str]] = {
    "allow_filtering": (
        "allow_filtering",
        filtered,
        "Post: ALLOW FILTERING reads every row of the table, or of a partition, to find some. "
        "Filter by the primary key, or by a column with an index. "
        "(CASSANDRA_GUARDRAILS allow_filtering)",
    ),
    "unpaged_rows": (
        "unpaged_rows",
        unpaged,
        "Post: more than 3 rows were read at once. Use limit(), paginate(), or iter(), which holds "
        "two pages at most. (CASSANDRA_GUARDRAILS unpaged_rows)",
    ),
    "in_values": (
        "in_values",
        many_values,
        "Post.blog: IN has more than 3 values, which one node has to gather. db.get_many() asks "
        "for each row where it is. (CASSANDRA_GUARDRAILS in_values)",
    ),
    "batch_partitions": (
        "batch_partitions",
        unlogged,
        "{keyspace}.post: the unlogged batch writes to more than 3 partitions. It is slower than "
        "the same writes one by one: use db.bulk_create(), or one batch for each partition. "
        "(CASSANDRA_GUARDRAILS batch_partitions)",
    ),
    "batch_partitions of counters": (
        "batch_partitions",
        counted,
        "{keyspace}.visits: the counter batch writes to more than 3 partitions. It is slower than "
        "the same writes one by one: use db.bulk_create(), or one batch for each partition. "
        "(CASSANDRA_GUARDRAILS batch_partitions)",
    ),
    "logged_batch_partitions": (
        "logged_batch_partitions",
        logged,
        "{keyspace}.post: the logged batch writes to more than 3 partitions. All of them wait for "
        "the batch log; keep it for few writes that belong together. "
        "(CASSANDRA_GUARDRAILS logged_batch_partitions)",
    ),
    "repeated_statements": (
        "repeated_statements",
        repeated,
        "{keyspace}.post: one request executes the same statement more than 3 times: "
        'SELECT "blog", "id", "title" FROM {keyspace}.post WHERE "blog" = ? AND "id" = ? LIMIT ?. '
        "Read the rows together, with db.get_many() or from one partition. "
        "(CASSANDRA_GUARDRAILS repeated_statements)",
    ),
}


def setting_of(rail: str, action: str, limit: int = 3) -> dict[str, Any]:
    """One guardrail on, all others off."""
    every = {found[0]: "off" for found in TRIPS.values()}
    return {**every, rail: action if rail == "allow_filtering" else [action, limit]}


@pytest.mark.parametrize("name", TRIPS)
def test_a_guardrail_that_is_off_says_nothing(cql: CQLAlchemy, rails: Rails, name: str) -> None:
    rail, act, _ = TRIPS[name]
    fill(cql, 10)
    with rails(setting_of(rail, "off")).test_request_context(), heard() as caught:
        act(cql)
    assert caught == []


@pytest.mark.parametrize("name", TRIPS)
def test_a_guardrail_warns_at_the_programs_own_line(
    cql: CQLAlchemy, rails: Rails, name: str
) -> None:
    rail, act, message = TRIPS[name]
    fill(cql, 10)
    with rails(setting_of(rail, "warn")).test_request_context(), heard() as caught:
        act(cql)
    assert [str(warning.message) for warning in caught] == [
        message.format(keyspace=cql.place().keyspace)
    ]
    assert [(warning.category, warning.filename) for warning in caught] == [
        (GuardrailWarning, __file__)
    ]


@pytest.mark.parametrize("name", TRIPS)
def test_a_guardrail_that_raises_says_the_same(cql: CQLAlchemy, rails: Rails, name: str) -> None:
    rail, act, message = TRIPS[name]
    fill(cql, 10)
    with (
        rails(setting_of(rail, "raise")).test_request_context(),
        pytest.raises(GuardrailError) as caught,
    ):
        act(cql)
    assert str(caught.value) == message.format(keyspace=cql.place().keyspace)


@pytest.mark.parametrize("name", sorted(set(TRIPS) - {"unpaged_rows", "repeated_statements"}))
def test_a_guardrail_that_raises_sends_nothing(cql: CQLAlchemy, rails: Rails, name: str) -> None:
    rail, act, _ = TRIPS[name]
    with (
        rails(setting_of(rail, "raise")).test_request_context(),
        sent(cql) as statements,
        pytest.raises(GuardrailError),
    ):
        act(cql)
    assert statements == []


@pytest.mark.parametrize("name", sorted(set(TRIPS) - {"allow_filtering"}))
def test_a_guardrail_leaves_its_limit_in_peace(cql: CQLAlchemy, rails: Rails, name: str) -> None:
    rail, act, _ = TRIPS[name]
    fill(cql, 4)
    with rails(setting_of(rail, "raise", 4)).test_request_context():
        act(cql)


# Each alone


def test_all_guardrails_may_be_off_or_raise_at_once(cql: CQLAlchemy, rails: Rails) -> None:
    with rails("raise").app_context(), pytest.raises(GuardrailError):
        filtered(cql)
    with rails("off").app_context(), heard() as caught:
        filtered(cql)
    assert caught == []


def test_what_is_not_named_warns(cql: CQLAlchemy, rails: Rails) -> None:
    with rails({"in_values": "off"}).app_context(), heard() as caught:
        filtered(cql)
    assert len(caught) == 1


@pytest.mark.parametrize(
    "act",
    [
        lambda post: list(post.objects(title="x").allow_filtering()),
        lambda post: post.objects(title="x").allow_filtering().first(),
        pytest.param(
            lambda post: post.objects(title="x").allow_filtering().count(),
        ),
        lambda post: post.objects(title="x").allow_filtering().rows(),
        lambda post: list(post.objects(title="x").allow_filtering().iter()),
        lambda post: post.objects(title="x").allow_filtering().exists(),
        lambda post: list(post.objects(title="x").allow_filtering().values_list("id")),
        lambda post: post.objects(title="x").allow_filtering().paginate(per_page=3),
    ],
    ids=["list", "first", "count", "rows", "iter", "exists", "values_list", "paginate"],
)
def test_every_way_to_read_heeds_filtering(
    cql: CQLAlchemy, rails: Rails, act: Callable[[Any], Any]
) -> None:
    app = rails("warn")
    app.config["SECRET_KEY"] = "of the tests"
    with app.app_context(), heard() as caught:
        act(model(cql, "Post"))
    assert [warning.filename for warning in caught] == [__file__]


def test_reading_stops_at_the_page_that_is_too_much(cql: CQLAlchemy, rails: Rails) -> None:
    fill(cql, 40)
    pages = 0

    def count(_: object, **__: Any) -> None:
        nonlocal pages
        pages += 1

    from flask_cqlalchemy import after_statement

    app = rails({"unpaged_rows": ["raise", 12]})
    with app.app_context(), after_statement.connected_to(count, app):
        with pytest.raises(GuardrailError):
            list(model(cql, "Post").objects.fetch_size(5))
        assert pages == 3


@pytest.mark.parametrize(
    "act",
    [
        lambda post: list(post.objects.limit(10)),
        lambda post: list(post.objects.iter(fetch_size=3)),
        lambda post: post.objects.first(),
        lambda post: post.objects.count(),
        lambda post: post.objects.exists(),
    ],
    ids=["limit", "iter", "first", "count", "exists"],
)
def test_what_has_a_limit_may_read_as_many(
    cql: CQLAlchemy, rails: Rails, act: Callable[[Any], Any]
) -> None:
    fill(cql, 10)
    with rails({"unpaged_rows": ["raise", 3]}).app_context():
        act(model(cql, "Post"))


@pytest.mark.parametrize(
    "act",
    [
        lambda post: list(post.objects),
        lambda post: post.objects.rows(),
        lambda post: len(post.objects),
        lambda post: post.objects[9],
        lambda post: list(post.objects.values_list("id", flat=True)),
        lambda post: list(post.objects.only(["id"])),
    ],
    ids=["list", "rows", "len", "index", "values_list", "only"],
)
def test_what_reads_all_is_heeded(cql: CQLAlchemy, rails: Rails, act: Callable[[Any], Any]) -> None:
    fill(cql, 10)
    with rails({"unpaged_rows": ["warn", 3]}).app_context(), heard() as caught:
        act(model(cql, "Post"))
    assert [warning.filename for warning in caught] == [__file__]


@pytest.mark.parametrize(
    "act",
    [
        lambda post, values: list(post.objects(blog__in=values)),
        lambda post, values: list(post.objects(post.blog.in_(values))),
        lambda post, values: post.objects(blog__in=values).first(),
        lambda post, values: list(post.objects(blog="b", id__in=list(range(len(values))))),
        lambda post, values: post.objects(blog__in=values, id=1).update(title="x"),
        lambda post, values: post.objects(blog__in=values).delete(),
        lambda post, values: post.objects(blog__in=values).count(),
    ],
    ids=["list", "in_", "first", "clustering", "update", "delete", "count"],
)
def test_every_in_is_counted(
    cql: CQLAlchemy, rails: Rails, act: Callable[[Any, list[str]], Any]
) -> None:
    post = model(cql, "Post")
    with rails({"in_values": ["raise", 3]}).app_context(), sent(cql) as statements:
        act(post, ["a", "b", "c"])
        before = len(statements)
        with pytest.raises(GuardrailError):
            act(post, ["a", "b", "c", "d"])
    assert len(statements) == before


def test_one_partition_is_no_matter_how_many_rows(cql: CQLAlchemy, rails: Rails) -> None:
    post = model(cql, "Post")
    with rails("raise").app_context(), cql.batch("unlogged") as batch:
        for number in range(20):
            post.batch(batch).create(blog="one", id=number)


def test_a_limit_of_one_partition_is_said_in_the_singular(cql: CQLAlchemy, rails: Rails) -> None:
    with rails("raise").app_context(), pytest.raises(GuardrailError) as caught:
        write_partitions(cql, "unlogged", 2)
    assert "writes to more than 1 partition. It is slower" in str(caught.value)


def test_the_same_text_is_said_for_any_number(cql: CQLAlchemy, rails: Rails) -> None:
    # Or Python would show the warning of one line again and again.
    with rails({"in_values": ["warn", 1]}).app_context(), heard() as caught:
        for count in range(2, 5):
            list(model(cql, "Post").objects(blog__in=[str(n) for n in range(count)]))
    assert len(caught) == 3
    assert len({str(warning.message) for warning in caught}) == 1


# Requests


def reading(app: Flask, cql: CQLAlchemy, times: int) -> None:
    @app.get("/read")
    def read() -> str:
        for number in range(times):
            model(cql, "Post").objects(blog="b", id=number).first()
        return "read"


def test_requests_do_not_add_up(cql: CQLAlchemy, rails: Rails) -> None:
    app = rails({"repeated_statements": ["raise", 3]})
    reading(app, cql, 3)
    client = app.test_client()
    for _ in range(4):
        assert client.get("/read").text == "read"
    with app.test_client() as one, app.test_client() as other:
        assert (one.get("/read").text, other.get("/read").text) == ("read", "read")


def test_one_request_too_many_times_is_an_error(cql: CQLAlchemy, rails: Rails) -> None:
    app = rails({"repeated_statements": ["raise", 3]})
    reading(app, cql, 4)
    with pytest.raises(GuardrailError), sent(cql) as statements:
        app.test_client().get("/read")
    assert len(statements) <= 3


def test_outside_a_request_nothing_is_counted(cql: CQLAlchemy, rails: Rails) -> None:
    with rails({"repeated_statements": ["raise", 3]}).app_context():
        for _ in range(10):
            model(cql, "Post").objects(blog="b").first()


def test_repetition_is_said_once_in_a_request(cql: CQLAlchemy, rails: Rails) -> None:
    app = rails({"repeated_statements": ["warn", 3]})
    reading(app, cql, 20)
    with heard() as caught:
        app.test_client().get("/read")
    assert [warning.filename for warning in caught] == [__file__]


def test_different_statements_do_not_add_up(cql: CQLAlchemy, rails: Rails) -> None:
    post = model(cql, "Post")
    with rails({"repeated_statements": ["raise", 3]}).test_request_context():
        for _ in range(3):
            post.objects(blog="b").first()
            post.objects(blog="b", id=1).first()
            post.create(blog="b", id=1)


@pytest.mark.parametrize(
    ("act", "advice"),
    [
        (
            lambda cql, number: model(cql, "Post").create(blog="b", id=number),
            "db.bulk_create(), bulk_update() and bulk_delete() do not wait for each.",
        ),
        (
            lambda cql, _: cql.execute("SELECT id FROM post WHERE blog = 'b'"),
            "Read the rows together, with db.get_many() or from one partition.",
        ),
        pytest.param(
            lambda cql, _: cql.execute("select id FROM post WHERE blog = 'b'"),
            "Read the rows together, with db.get_many() or from one partition.",
        ),
    ],
    ids=["create", "execute", "lower case"],
)
def test_the_advice_is_for_what_is_repeated(
    cql: CQLAlchemy, rails: Rails, act: Callable[[CQLAlchemy, int], Any], advice: str
) -> None:
    app = rails({"repeated_statements": ["raise", 3]})
    with app.test_request_context(), pytest.raises(GuardrailError) as caught:  # noqa: PT012
        for number in range(4):
            act(cql, number)
    assert str(caught.value).endswith(f"{advice} (CASSANDRA_GUARDRAILS repeated_statements)")


def test_pages_of_one_query_are_no_repetition(cql: CQLAlchemy, rails: Rails) -> None:
    fill(cql, 30)
    with rails({"repeated_statements": ["raise", 3]}).test_request_context():
        assert len(list(model(cql, "Post").objects.fetch_size(3))) == 30
        assert len(list(model(cql, "Post").objects.iter(fetch_size=3))) == 30


def test_bulk_operations_are_no_repetition(cql: CQLAlchemy, rails: Rails) -> None:
    post = model(cql, "Post")
    with rails({"repeated_statements": ["raise", 3]}).test_request_context():
        fill(cql, 30)
        cql.get_many(post, [("b0", number) for number in range(30)])

"""Pages of queries on a real Cassandra, and their links."""

from __future__ import annotations

import dataclasses
import datetime
import itertools
import random
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from cassandra.cluster import ResponseFuture
from cassandra.concurrent import execute_concurrent_with_args
from flask import Blueprint, Flask, render_template_string, request
from flask.testing import FlaskClient
from werkzeug.exceptions import BadRequest

from flask_cqlalchemy import ConfigError, CQLAlchemy, CQLAlchemyError, InvalidCursor
from flask_cqlalchemy.pagination import MAX_PER_PAGE, Page
from flask_cqlalchemy.pagination.cursors import LONGEST_IN_URL, MOST_EARLIER, keys_of

from .cql_helpers import model

PUBLIC = "This link to a page is no longer valid. Please start from the first page."


@pytest.fixture(scope="module")
def cassandra_config(cassandra_config: dict[str, Any]) -> dict[str, Any]:
    """The run's settings, without a warning for the pages of a query that filters."""
    return {**cassandra_config, "CASSANDRA_GUARDRAILS": {"allow_filtering": "off"}}


@pytest.fixture
def database() -> CQLAlchemy:
    db = CQLAlchemy()

    class Item(db.Model):
        id = db.columns.Integer(primary_key=True)
        name = db.columns.Text()

    class Other(db.Model):
        id = db.columns.Integer(primary_key=True)
        name = db.columns.Text()

    class Entry(db.Model):
        """Mixed orders, three clustering columns, two partition key columns."""

        log = db.columns.Text(partition_key=True)
        year = db.columns.Integer(partition_key=True)
        kind = db.columns.Integer(primary_key=True)
        at = db.columns.DateTime(primary_key=True, clustering_order="DESC")
        name = db.columns.Text(primary_key=True, db_field="n")
        body = db.columns.Text()

    class Named(db.Model):
        """Names of any length, as a partition key and as a clustering key."""

        name = db.columns.Text(partition_key=True)
        title = db.columns.Text(primary_key=True)

    class Event(db.Model):
        source = db.columns.Text(primary_key=True)
        id = db.columns.TimeUUID(primary_key=True, clustering_order="DESC")
        level = db.columns.Integer(index=True)

    class Pet(db.Model):
        owner = db.columns.Text(primary_key=True)
        id = db.columns.Integer(primary_key=True)
        kind = db.columns.Text(discriminator_column=True, index=True)

    class Cat(Pet):
        __discriminator_value__ = "cat"
        lives = db.columns.Integer()

    class Dog(Pet):
        __discriminator_value__ = "dog"

    class Chapter(db.Model):
        book = db.columns.Text(primary_key=True)
        number = db.columns.Integer(primary_key=True)
        title = db.columns.Text(static=True)

    return db


@pytest.fixture
def app(app: Flask) -> Flask:
    app.config["SECRET_KEY"] = "a secret of the tests"
    # The extension registers its templates too; the name only has to differ.
    app.register_blueprint(
        Blueprint("pagination_templates", "flask_cqlalchemy", template_folder="templates")
    )
    return app


@pytest.fixture
def _context(app: Flask) -> Iterator[None]:
    with app.app_context():
        yield


pytestmark = pytest.mark.usefixtures("_context")


def insert(database: CQLAlchemy, name: str, rows: list[tuple[Any, ...]]) -> None:
    """Insert rows fast: the values of the model's first columns."""
    table = model(database, name)
    columns = [column.db_field_name for column in table._columns.values()][: len(rows[0])]
    quoted = ", ".join(f'"{column}"' for column in columns)
    marks = ", ".join("?" * len(columns))
    statement = database.session.prepare(
        f"INSERT INTO {table.column_family_name()} ({quoted}) VALUES ({marks})"
    )
    execute_concurrent_with_args(database.session, statement, rows, concurrency=50)


def paginate(query: Any, **options: Any) -> Page[Any]:
    """One page of a query set."""
    page: Page[Any] = query.paginate(**options)
    return page


def all_pages(query: Any, **options: Any) -> list[Page[Any]]:
    """Follow ``next`` from the first page to the last."""
    pages = [paginate(query, **options)]
    while pages[-1].has_next:
        pages.append(paginate(query, cursor=pages[-1].next, **options))
    return pages


def pages_before(page: Page[Any], query: Any, **options: Any) -> list[Page[Any]]:
    """Follow ``previous``; return the pages in the order of the query."""
    pages: list[Page[Any]] = []
    while page.has_previous:
        page = paginate(query, cursor=page.previous, **options)
        pages.insert(0, page)
    return pages


def items_of(pages: list[Page[Any]]) -> list[Any]:
    return list(itertools.chain.from_iterable(pages))


def plain(items: Any) -> list[dict[str, Any]]:
    return [dict(item) for item in items]


@contextmanager
def requests_of(database: CQLAlchemy) -> Iterator[list[str]]:
    """Collect the text of the statements that the application sends."""
    sent: list[str] = []

    def listen(future: ResponseFuture) -> None:
        sent.append(str(getattr(future.query, "query_string", future.query)))

    connection = database.place().connection
    connection.add_listener(listen)
    try:
        yield sent
    finally:
        connection.remove_listener(listen)


# In token order


def test_a_page_of_a_query_without_rows(cql: CQLAlchemy) -> None:
    page = paginate(model(cql, "Item").objects)
    assert page.items == ()
    assert (page.per_page, page.next, page.previous, page.is_first) == (20, None, None, True)
    assert (page.has_next, page.has_previous, list(page)) == (False, False, [])


def test_a_page_that_is_larger_than_the_result(cql: CQLAlchemy) -> None:
    insert(cql, "Item", [(number, "x") for number in range(7)])
    page = paginate(model(cql, "Item").objects, per_page=50)
    assert sorted(item.id for item in page) == list(range(7))
    assert (page.has_next, page.has_previous, page.per_page) == (False, False, 50)


def test_a_page_is_frozen(cql: CQLAlchemy) -> None:
    page = paginate(model(cql, "Item").objects)
    for name in ("items", "next", "per_page"):
        with pytest.raises(dataclasses.FrozenInstanceError):
            setattr(page, name, None)


def test_all_pages_of_a_table_have_every_row_once(cql: CQLAlchemy) -> None:
    insert(cql, "Item", [(number, "x") for number in range(5_000)])
    pages = all_pages(model(cql, "Item").objects, per_page=100)
    assert [len(page.items) for page in pages] == [100] * 50
    assert sorted(item.id for item in items_of(pages)) == list(range(5_000))


@pytest.mark.parametrize("count", [1, 9, 10, 11, 19, 20, 21])
def test_the_last_page_is_never_empty(cql: CQLAlchemy, count: int) -> None:
    insert(cql, "Item", [(number, "x") for number in range(count)])
    pages = all_pages(model(cql, "Item").objects, per_page=10)
    assert [len(page.items) for page in pages] == [
        min(10, count - start) for start in range(0, count, 10)
    ]


def test_a_page_in_token_order_costs_two_requests_and_the_last_one(cql: CQLAlchemy) -> None:
    insert(cql, "Item", [(number, "x") for number in range(15)])
    query = model(cql, "Item").objects
    with requests_of(cql) as sent:
        first = paginate(query, per_page=10)
        assert len(sent) == 2
        paginate(query, per_page=10, cursor=first.next)
        assert len(sent) == 3


def test_the_way_back_in_token_order(cql: CQLAlchemy) -> None:
    insert(cql, "Item", [(number, "x") for number in range(95)])
    query = model(cql, "Item").objects
    pages = all_pages(query, per_page=10)
    back = pages_before(pages[-1], query, per_page=10)
    assert [plain(page) for page in back] == [plain(page) for page in pages[:-1]]
    assert [page.is_first for page in back] == [True] + [False] * 8
    assert plain(paginate(query, per_page=10, cursor=back[0].next)) == plain(pages[1])


def test_the_way_back_in_token_order_has_20_pages(cql: CQLAlchemy) -> None:
    insert(cql, "Item", [(number, "x") for number in range(60)])
    query = model(cql, "Item").objects
    pages = all_pages(query, per_page=2)
    back = pages_before(pages[-1], query, per_page=2)
    assert len(back) == MOST_EARLIER
    assert [plain(page) for page in back] == [plain(page) for page in pages[9:29]]
    assert (back[0].has_previous, back[0].is_first) == (False, False)


def test_short_pages_of_cassandra_are_filled_up(cql: CQLAlchemy) -> None:
    insert(cql, "Item", [(number, "x") for number in range(25)])
    query = model(cql, "Item").objects.fetch_size(3)
    with requests_of(cql) as sent:
        pages = all_pages(query, per_page=10)
    assert [len(page.items) for page in pages] == [10, 10, 5]
    assert len(sent) > 8
    assert sorted(item.id for item in items_of(pages)) == list(range(25))


def test_pages_among_deleted_rows_are_full(cql: CQLAlchemy) -> None:
    item = model(cql, "Item")
    insert(cql, "Item", [(number, "x") for number in range(300)])
    for number in range(300):
        if number % 10:
            item.objects(id=number).delete()
    pages = all_pages(item.objects, per_page=7)
    assert [len(page.items) for page in pages] == [7, 7, 7, 7, 2]
    assert sorted(item.id for item in items_of(pages)) == list(range(0, 300, 10))


def test_pages_of_a_filter_are_full(cql: CQLAlchemy) -> None:
    insert(cql, "Item", [(number, f"name {number % 50}") for number in range(1_000)])
    query = model(cql, "Item").objects(name="name 7").allow_filtering()
    pages = all_pages(query, per_page=6)
    assert [len(page.items) for page in pages] == [6, 6, 6, 2]
    assert sorted(item.id for item in items_of(pages)) == list(range(7, 1_000, 50))
    assert {item.name for item in items_of(pages)} == {"name 7"}


def test_pages_of_several_partitions(cql: CQLAlchemy) -> None:
    rows = [(name, f"{number:03}") for name in "abc" for number in range(15)]
    insert(cql, "Named", rows)
    query = model(cql, "Named").objects(name__in=["a", "c"])
    pages = all_pages(query, per_page=10)
    assert [len(page.items) for page in pages] == [10, 10, 10]
    found = [(item.name, item.title) for item in items_of(pages)]
    assert sorted(found) == [row for row in rows if row[0] != "b"]
    assert len(pages_before(pages[-1], query, per_page=10)) == 2


def test_pages_of_distinct_partition_keys(cql: CQLAlchemy) -> None:
    insert(cql, "Named", [(f"{number}", title) for number in range(25) for title in "abc"])
    pages = all_pages(model(cql, "Named").objects.distinct(["name"]), per_page=10)
    assert [len(page.items) for page in pages] == [10, 10, 5]
    assert {item.name for item in items_of(pages)} == {f"{number}" for number in range(25)}


def test_pages_of_an_indexed_column(cql: CQLAlchemy) -> None:
    rows = [(name, uuid.uuid1(), number % 3) for name in "abcde" for number in range(12)]
    insert(cql, "Event", rows)
    event = model(cql, "Event")
    for query, count in ((event.objects(level=1), 20), (event.objects(source="a", level=1), 4)):
        pages = all_pages(query, per_page=3)
        assert {item.level for item in items_of(pages)} == {1}
        assert len({item.id for item in items_of(pages)}) == count
        back = pages_before(pages[-1], query, per_page=3)
        assert [plain(page) for page in back] == [plain(page) for page in pages[:-1]]


@pytest.mark.parametrize("limit", [1, 9, 10, 11, 20, 25, 30, 40, 100])
def test_a_limit_holds_for_all_pages_in_token_order(cql: CQLAlchemy, limit: int) -> None:
    insert(cql, "Item", [(number, "x") for number in range(40)])
    query = model(cql, "Item").objects.limit(limit)
    pages = all_pages(query, per_page=10)
    whole = paginate(query, per_page=100)
    assert plain(items_of(pages)) == plain(whole)
    assert len(whole.items) == min(limit, 40)
    assert pages[-1].items
    back = pages_before(pages[-1], query, per_page=10)
    assert [plain(page) for page in back] == [plain(page) for page in pages[:-1]]


def test_a_limit_of_all_is_no_limit(cql: CQLAlchemy) -> None:
    insert(cql, "Item", [(number, "x") for number in range(10_050)])
    item = model(cql, "Item")
    for query in (item.objects, item.objects.limit(None)):
        pages = all_pages(query, per_page=5_000, max_per_page=5_000)
        assert [len(page.items) for page in pages] == [5_000, 5_000, 50]


def test_another_page_size_goes_on_from_the_same_place(cql: CQLAlchemy) -> None:
    insert(cql, "Item", [(number, "x") for number in range(30)])
    query = model(cql, "Item").objects
    first = paginate(query, per_page=10)
    rest = paginate(query, per_page=100, cursor=first.next)
    assert sorted(item.id for item in (*first, *rest)) == list(range(30))


# Inside a partition


MOMENT = datetime.datetime(2024, 1, 1, 12, 0, 0, 3_000)


def entries() -> list[tuple[Any, ...]]:
    """Rows of two partitions, many of which share a prefix of their clustering values."""
    milliseconds = [datetime.timedelta(milliseconds=number) for number in (-2, -1, 0, 1)]
    names = ["", "n", "ñ", "\U0001f600", "o'o", "%s %(0)s ?"]
    rows = itertools.product(
        "ab", [2024], range(4), [MOMENT + delta for delta in milliseconds], names, ["body"]
    )
    return random.Random(1).sample(list(rows), k=180)


ORDERS = [(), ("kind",), ("-kind",), ("kind", "-at", "name"), ("-kind", "at", "-name")]

FILTERS: list[dict[str, Any]] = [
    {},
    {"kind": 2},
    {"kind__gt": 1},
    {"kind__gte": 1, "kind__lt": 3},
    {"kind__lte": 2},
    {"kind": 1, "at__gte": MOMENT},
    {"kind": 1, "at__lt": MOMENT},
    {"kind": 1, "at": MOMENT, "name__gt": "n"},
    {"kind": 1, "at": MOMENT},
]


@pytest.mark.parametrize("order", ORDERS, ids=str)
@pytest.mark.parametrize("where", FILTERS, ids=str)
def test_a_partition_forth_and_back(
    cql: CQLAlchemy, where: dict[str, Any], order: tuple[str, ...]
) -> None:
    insert(cql, "Entry", entries())
    query = model(cql, "Entry").objects(log="a", year=2024, **where).order_by(*order)
    whole = plain(query)
    assert len(whole) > 1
    for per_page in (1, 3, 100):
        pages = all_pages(query, per_page=per_page)
        assert plain(items_of(pages)) == whole
        assert {len(page.items) for page in pages[:-1]} <= {per_page}
        back = pages_before(pages[-1], query, per_page=per_page)
        assert [plain(page) for page in back] == [plain(page) for page in pages[:-1]]
        assert [page.has_next for page in back] == [True] * len(back)
        assert [page.is_first for page in (*back, pages[-1])] == [
            number == 0 for number in range(len(pages))
        ]


@pytest.mark.parametrize("count", [0, 1, 9, 10, 11, 20])
def test_the_last_page_of_a_partition_is_never_empty(cql: CQLAlchemy, count: int) -> None:
    insert(cql, "Named", [("a", f"{number:02}") for number in range(count)] or [("b", "x")])
    pages = all_pages(model(cql, "Named").objects(name="a"), per_page=10)
    assert [len(page.items) for page in pages] == [
        min(10, count - start) for start in range(0, count, 10)
    ] or [0]


def test_a_page_inside_a_partition_costs_a_request_for_each_open_column(cql: CQLAlchemy) -> None:
    insert(cql, "Entry", entries())
    query = model(cql, "Entry").objects(log="a", year=2024)
    with requests_of(cql) as sent:
        first = paginate(query, per_page=10)
        assert len(sent) == 1
        second = paginate(query, per_page=10, cursor=first.next)
        assert len(sent) <= 1 + 3
        sent.clear()
        paginate(query, per_page=10, cursor=second.previous)
        assert len(sent) <= 3 + 3


def test_short_pages_of_a_partition_are_filled_up(cql: CQLAlchemy) -> None:
    named = model(cql, "Named")
    insert(cql, "Named", [("a", f"{number:03}") for number in range(200)])
    for number in range(200):
        if number % 8:
            named.objects(name="a", title=f"{number:03}").delete()
    query = named.objects(name="a").fetch_size(2)
    pages = all_pages(query, per_page=10)
    assert [len(page.items) for page in pages] == [10, 10, 5]
    assert [len(page.items) for page in pages_before(pages[-1], query, per_page=10)] == [10, 10]


def test_a_row_is_one_page_at_most(cql: CQLAlchemy) -> None:
    insert(cql, "Named", [("a", "x"), ("a", "y")])
    page = paginate(model(cql, "Named").objects(name="a", title="x"), per_page=1)
    assert (len(page.items), page.has_next, page.has_previous) == (1, False, False)


@pytest.mark.parametrize("limit", [1, 9, 10, 11, 20, 25, 30, 40, 100])
def test_a_limit_holds_for_all_pages_of_a_partition(cql: CQLAlchemy, limit: int) -> None:
    insert(cql, "Named", [("a", f"{number:02}") for number in range(40)])
    query = model(cql, "Named").objects(name="a").limit(limit)
    pages = all_pages(query, per_page=10)
    assert [item.title for item in items_of(pages)] == [f"{n:02}" for n in range(min(limit, 40))]
    assert pages[-1].items
    back = pages_before(pages[-1], query, per_page=10)
    assert [plain(page) for page in back] == [plain(page) for page in pages[:-1]]
    assert [page.has_next for page in back] == [True] * len(back)


def named(cql: CQLAlchemy, titles: str) -> Any:
    insert(cql, "Named", [("a", title) for title in titles])
    return model(cql, "Named").objects(name="a")


def titles(page: Page[Any]) -> str:
    return "".join(item.title for item in page)


def test_a_row_inserted_on_an_earlier_page_repeats_nothing(cql: CQLAlchemy) -> None:
    query = named(cql, "bdfhjl")
    first = paginate(query, per_page=2)
    named(cql, "ac")
    second = paginate(query, per_page=2, cursor=first.next)
    assert titles(second) == "fh"
    before = paginate(query, per_page=2, cursor=second.previous)
    assert titles(before) == "cd"
    assert titles(paginate(query, per_page=2, cursor=before.previous)) == "ab"


def test_a_row_deleted_from_an_earlier_page_skips_nothing(cql: CQLAlchemy) -> None:
    query = named(cql, "abcdefgh")
    first = paginate(query, per_page=2)
    query.filter(title="a").delete()
    query.filter(title="b").delete()
    assert titles(paginate(query, per_page=2, cursor=first.next)) == "cd"


def test_a_page_whose_first_row_was_deleted_still_leads_back(cql: CQLAlchemy) -> None:
    query = named(cql, "abcdefgh")
    second = paginate(query, per_page=2, cursor=paginate(query, per_page=2).next)
    query.filter(title="c").delete()
    before = paginate(query, per_page=2, cursor=second.previous)
    assert titles(before) == "ab"
    assert titles(paginate(query, per_page=2, cursor=before.next)) == "de"


def test_a_previous_page_that_has_shrunk_is_short_and_the_first(cql: CQLAlchemy) -> None:
    query = named(cql, "abcdefgh")
    second = paginate(query, per_page=3, cursor=paginate(query, per_page=3).next)
    query.filter(title="a").delete()
    before = paginate(query, per_page=3, cursor=second.previous)
    assert titles(before) == "bc"
    assert (before.has_previous, before.is_first) == (False, True)
    assert titles(paginate(query, per_page=3, cursor=before.next)) == "def"


def test_a_previous_page_that_is_gone_is_the_first_page(cql: CQLAlchemy) -> None:
    query = named(cql, "abcdef")
    second = paginate(query, per_page=2, cursor=paginate(query, per_page=2).next)
    for title in "ab":
        query.filter(title=title).delete()
    before = paginate(query, per_page=2, cursor=second.previous)
    assert titles(before) == "cd"
    assert (before.has_previous, before.is_first, before.has_next) == (False, True, True)


def test_a_next_page_that_is_gone_leads_back_to_the_last_row(cql: CQLAlchemy) -> None:
    query = named(cql, "abcdef")
    second = paginate(query, per_page=2, cursor=paginate(query, per_page=2).next)
    for title in "ef":
        query.filter(title=title).delete()
    empty = paginate(query, per_page=2, cursor=second.next)
    assert (titles(empty), empty.has_next, empty.has_previous) == ("", False, True)
    last = paginate(query, per_page=2, cursor=empty.previous)
    assert titles(last) == "cd"
    assert (last.has_next, last.has_previous) == (False, True)


def test_going_back_never_offers_a_next_page_that_is_empty(cql: CQLAlchemy) -> None:
    query = named(cql, "abcd")
    second = paginate(query, per_page=2, cursor=paginate(query, per_page=2).next)
    for title in "cd":
        query.filter(title=title).delete()
    first = paginate(query, per_page=2, cursor=second.previous)
    assert (titles(first), first.has_next) == ("ab", False)


def test_a_table_with_another_order_than_the_model_has_every_row_once(cql: CQLAlchemy) -> None:
    event = model(cql, "Event")
    table = event.column_family_name()
    cql.session.execute(f"DROP TABLE {table}", timeout=60)
    cql.session.execute(
        f"CREATE TABLE {table} (source text, id timeuuid, level int, PRIMARY KEY (source, id))",
        timeout=60,
    )
    ids = [uuid.uuid1() for _ in range(25)]
    insert(cql, "Event", [("a", id_, 1) for id_ in ids])
    pages = all_pages(event.objects(source="a"), per_page=10)
    assert [item.id for item in items_of(pages)] == ids[::-1]


def test_timestamps_of_any_year_are_exact(cql: CQLAlchemy) -> None:
    """The driver's own way through a float would lose a millisecond, and repeat rows for ever."""
    last = 253_402_300_799_999
    for milliseconds in (-62_135_596_800_000, -1, 1_700_000_000_001, last - 1, last):
        cql.session.execute(
            f'INSERT INTO {model(cql, "Entry").column_family_name()} (log, year, kind, at, "n") '
            "VALUES ('a', 2024, 1, %s, 'n')",
            (milliseconds,),
        )
    query = model(cql, "Entry").objects(log="a", year=2024).only(["at"])
    assert len(all_pages(query, per_page=1)) == 5


def test_pages_of_polymorphic_models(cql: CQLAlchemy) -> None:
    for number in range(5):
        model(cql, "Cat").create(owner="ann", id=2 * number, lives=9)
        model(cql, "Dog").create(owner="ann", id=2 * number + 1)
    pages = all_pages(model(cql, "Pet").objects(owner="ann"), per_page=3)
    assert [type(pet).__name__ for pet in items_of(pages)] == ["Cat", "Dog"] * 5
    cats = model(cql, "Cat").objects(owner="ann")
    assert [cat.id for cat in items_of(all_pages(cats, per_page=2))] == [0, 2, 4, 6, 8]


def test_pages_of_a_partition_with_a_static_column_alone(cql: CQLAlchemy) -> None:
    chapter = model(cql, "Chapter")
    chapter.objects(book="a").update(title="A")
    page = paginate(chapter.objects(book="a"), per_page=1)
    assert ([item.title for item in page], page.has_next) == (["A"], False)
    insert(cql, "Chapter", [("a", number) for number in range(5)])
    pages = all_pages(chapter.objects(book="a"), per_page=2)
    assert [(item.number, item.title) for item in items_of(pages)] == [
        (number, "A") for number in range(5)
    ]


def test_no_page_begins_at_an_empty_number(cql: CQLAlchemy) -> None:
    chapter = model(cql, "Chapter")
    insert(cql, "Chapter", [("a", number) for number in range(2)])
    cql.session.execute(
        f"INSERT INTO {chapter.column_family_name()} (book, number) VALUES ('a', blob_as_int(0x))"
    )
    with pytest.raises(CQLAlchemyError) as caught:
        all_pages(chapter.objects(book="a"), per_page=1)
    assert str(caught.value) == (
        "A row has an empty value in the clustering column number, so no page can begin there."
    )


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda query: query.only(["level"]), {"level": 1}),
        (lambda query: query.defer(["id"]), {"source": "a", "level": 1}),
    ],
    ids=["only", "defer"],
)
def test_columns_left_out_do_not_stop_the_pages(
    cql: CQLAlchemy, change: Callable[[Any], Any], expected: dict[str, Any]
) -> None:
    insert(cql, "Event", [("a", uuid.uuid1(), 1) for _ in range(25)])
    query = change(model(cql, "Event").objects(source="a"))
    pages = all_pages(query, per_page=10)
    assert [len(page.items) for page in pages] == [10, 10, 5]
    assert all(expected.items() <= dict(item).items() for item in items_of(pages))


def test_pages_of_values(cql: CQLAlchemy) -> None:
    insert(cql, "Event", [("a", uuid.uuid1(), number) for number in range(25)])
    query = model(cql, "Event").objects(source="a")
    pages = all_pages(query.values_list("level", flat=True), per_page=10)
    assert items_of(pages) == list(range(24, -1, -1))
    assert items_of(all_pages(query.values_list("source", "level"), per_page=20))[0] == ["a", 24]


def test_two_readers_do_not_disturb_each_other(app: Flask, cql: CQLAlchemy) -> None:
    insert(cql, "Item", [(number, "x") for number in range(200)])
    insert(cql, "Named", [("a", f"{number:03}") for number in range(200)])
    queries = [model(cql, "Item").objects, model(cql, "Named").objects(name="a")] * 2
    results: dict[int, list[Any]] = {}

    def read(number: int) -> None:
        with app.app_context():
            results[number] = items_of(all_pages(queries[number], per_page=7, user=number))

    threads = [threading.Thread(target=read, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [len(results[number]) for number in range(4)] == [200] * 4
    assert plain(results[0]) == plain(results[2])
    assert plain(results[1]) == plain(results[3])


# Attacks


def refused(cql: CQLAlchemy, query: Any, cursor: str, **options: Any) -> str:
    """Return the log's reason for refusing a cursor, after which no statement was sent."""
    with requests_of(cql) as sent, pytest.raises(InvalidCursor) as caught:
        paginate(query, cursor=cursor, **options)
    assert sent == []
    assert (caught.value.code, caught.value.description) == (400, PUBLIC)
    return str(caught.value)


def next_cursor(query: Any, **options: Any) -> str:
    cursor = paginate(query, per_page=options.pop("per_page", 2), **options).next
    assert cursor is not None
    return cursor


@pytest.mark.parametrize(
    "cursor", ["", "x", "A" * 100, "A" * 1_000_000, "ñ", "\0", "' OR 1=1", "a/b+c="]
)
def test_foreign_cursors_are_refused_without_a_query(cql: CQLAlchemy, cursor: str) -> None:
    assert refused(cql, model(cql, "Item").objects, cursor).startswith(
        f"{cql.place().keyspace}.item: the cursor "
    )


def test_a_cursor_with_another_character_is_refused_without_a_query(cql: CQLAlchemy) -> None:
    insert(cql, "Item", [(number, "x") for number in range(5)])
    query = model(cql, "Item").objects
    cursor = next_cursor(query)
    for place in range(len(cursor)):
        letter = "B" if cursor[place] == "A" else "A"
        refused(cql, query, cursor[:place] + letter + cursor[place + 1 :])


ELSEWHERE = "the cursor was made for another model, keyspace, filter, order, limit or user"


def test_a_cursor_is_bound_to_its_query(cql: CQLAlchemy) -> None:
    insert(cql, "Item", [(number, "x") for number in range(5)])
    insert(cql, "Named", [(name, title) for name in "ab" for title in "abcde"])
    item, named = model(cql, "Item"), model(cql, "Named")
    queries = [
        item.objects,
        item.objects.limit(4),
        item.objects.limit(5),
        item.objects(name="x").allow_filtering(),
        item.objects(id__in=[0, 1, 2]),
        item.objects(id__in=[0, 1, 3]),
        named.objects,
        named.objects.distinct(["name", "title"][:1]),
        named.objects(name="a"),
        named.objects(name="b"),
        named.objects(name="a").limit(4),
        named.objects(name="a").order_by("-title"),
        named.objects(name="a", title__gt="a"),
        named.objects(name="a", title__gte="a"),
    ]
    made = [(query, next_cursor(query, per_page=1)) for query in queries]
    for query, (source, cursor) in itertools.product(queries, made):
        if query is source:
            assert paginate(query, cursor=cursor).items
        else:
            assert refused(cql, query, cursor).endswith(ELSEWHERE)


def test_a_cursor_is_bound_to_its_model(cql: CQLAlchemy) -> None:
    insert(cql, "Item", [(number, "x") for number in range(5)])
    insert(cql, "Other", [(number, "x") for number in range(5)])
    cursor = next_cursor(model(cql, "Item").objects)
    assert refused(cql, model(cql, "Other").objects, cursor) == (
        f"{cql.place().keyspace}.other: {ELSEWHERE}"
    )


def test_a_cursor_is_bound_to_its_keyspace(cql: CQLAlchemy) -> None:
    insert(cql, "Item", [(number, "x") for number in range(5)])
    item = model(cql, "Item")
    cursor = next_cursor(item.objects)
    with cql.use_keyspace("test_page_elsewhere"):
        assert refused(cql, item.objects, cursor) == f"test_page_elsewhere.item: {ELSEWHERE}"
    assert refused(cql, item.objects.using(keyspace="test_page_elsewhere"), cursor) == (
        f"test_page_elsewhere.item: {ELSEWHERE}"
    )


def test_a_cursor_is_bound_to_its_user(cql: CQLAlchemy) -> None:
    class User:
        def __init__(self, id_: str) -> None:
            self.id = id_

        def get_id(self) -> str:
            return self.id

    insert(cql, "Item", [(number, "x") for number in range(5)])
    query = model(cql, "Item").objects
    cursor = next_cursor(query, user=User("alice"))
    assert paginate(query, cursor=cursor, user=User("alice")).items
    assert paginate(query, cursor=cursor, user="alice").items
    for user in (User("bob"), "bob", None, 1):
        assert refused(cql, query, cursor, user=user).endswith(ELSEWHERE)
    for_nobody = next_cursor(query)
    assert refused(cql, query, for_nobody, user="alice").endswith(ELSEWHERE)


def test_a_cursor_outlives_its_key_among_the_fallbacks(app: Flask, cql: CQLAlchemy) -> None:
    insert(cql, "Item", [(number, "x") for number in range(5)])
    query = model(cql, "Item").objects
    cursor = next_cursor(query)
    app.config.update(SECRET_KEY="new", SECRET_KEY_FALLBACKS=["a secret of the tests"])
    assert paginate(query, cursor=cursor).items
    app.config["SECRET_KEY_FALLBACKS"] = []
    assert refused(cql, query, cursor).endswith("neither SECRET_KEY nor in SECRET_KEY_FALLBACKS")


def test_an_old_cursor_is_refused(app: Flask, cql: CQLAlchemy) -> None:
    insert(cql, "Item", [(number, "x") for number in range(5)])
    query = model(cql, "Item").objects
    cursor = next_cursor(query)
    keys = keys_of(app)
    content = keys.decrypt(cursor + "=" * (-len(cursor) % 4))

    def sealed(seconds_ago: int) -> str:
        return keys.encrypt_at_time(content, int(time.time()) - seconds_ago).decode().rstrip("=")

    assert paginate(query, cursor=sealed(86_000)).items
    assert refused(cql, query, sealed(87_000)).endswith("s old, of which 86400 are allowed")


def test_without_a_secret_key_the_first_page_says_so(app: Flask, cql: CQLAlchemy) -> None:
    app.config["SECRET_KEY"] = None
    with pytest.raises(ConfigError) as caught:
        paginate(model(cql, "Item").objects)
    assert str(caught.value) == "SECRET_KEY is not set: the cursors of pages are encrypted with it."


def test_two_applications_do_not_share_cursors(
    app: Flask, cql: CQLAlchemy, cassandra_config: dict[str, Any]
) -> None:
    insert(cql, "Item", [(number, "x") for number in range(5)])
    query = model(cql, "Item").objects
    cursor = next_cursor(query)
    stranger = Flask("stranger", root_path=".")
    stranger.config.from_mapping(cassandra_config, SECRET_KEY="another")
    cql.init_app(stranger)
    with stranger.app_context():
        assert refused(cql, query, cursor).endswith("SECRET_KEY_FALLBACKS")


def test_an_error_never_names_a_key(cql: CQLAlchemy) -> None:
    insert(cql, "Named", [("alice@example.org", title) for title in "abcde"])
    named = model(cql, "Named")
    cursor = next_cursor(named.objects(name="alice@example.org"))
    for query in (named.objects(name="bob@example.org"), named.objects):
        assert "example.org" not in refused(cql, query, cursor)
        assert "example.org" not in refused(cql, query, cursor[:-1])


@pytest.mark.parametrize("query_name", ["all", "partition"])
def test_a_query_with_keys_of_60_kilobytes(cql: CQLAlchemy, query_name: str) -> None:
    key = "k" * 60_000
    if query_name == "all":
        insert(cql, "Named", [(f"{key}{number}", "x") for number in range(5)])
        query = model(cql, "Named").objects
    else:
        insert(cql, "Named", [(key, f"{key}{number}") for number in range(5)])
        query = model(cql, "Named").objects(name=key)
    pages = all_pages(query, per_page=2)
    assert [len(page.items) for page in pages] == [2, 2, 1]
    assert len({(item.name, item.title) for item in items_of(pages)}) == 5
    assert len(pages[0].next or "") > 80_000
    with_request = pages[0].long_cursor("next")
    assert with_request == pages[0].next


# The request's arguments


@pytest.fixture
def client(app: Flask, cql: CQLAlchemy) -> FlaskClient:
    """Views of every kind: JSON, HTML, and one that lets errors pass."""
    item, named = model(cql, "Item"), model(cql, "Named")

    @app.get("/items")
    def items() -> Any:
        return paginate(item.objects).to_response()

    @app.get("/lenient")
    def lenient() -> Any:
        return paginate(item.objects, error_out=False).to_response()

    @app.route("/names/<name>", methods=["GET", "POST"])
    def names(name: str) -> Any:
        return paginate(named.objects(name=name), per_page=2).to_response()

    @app.route("/html", methods=["GET", "POST"])
    def html() -> Any:
        page = paginate(named.objects(name=request.args["name"]), per_page=2)
        return render_template_string(HTML, page=page)

    return app.test_client()


HTML = """\
{% from "cqlalchemy/pagination.html" import pagination %}
{%- for item in page %}{{ item.title[-1] }}{% endfor %}
{{ pagination(page) }}"""


@pytest.mark.parametrize(
    "asked",
    [
        "0",
        "-1",
        "x",
        "",
        "1000000000",
        "9" * 5_000,
        "101",
        "1.5",
        "1_0",
        " 5",
        "+5",
        "\N{FULLWIDTH DIGIT FIVE}",
        "\N{SUPERSCRIPT TWO}",
    ],
)
def test_a_bad_per_page_is_a_400_that_names_it(
    client: FlaskClient, cql: CQLAlchemy, asked: str
) -> None:
    with requests_of(cql) as sent:
        response = client.get("/items", query_string={"per_page": asked})
    assert (response.status_code, sent) == (400, [])
    assert "<p>per_page must be a whole number from 1 to 100.</p>" in response.text


@pytest.mark.parametrize(
    ("asked", "used"),
    [("0", 20), ("-1", 20), ("x", 20), ("1000000000", 100), ("9" * 5_000, 100), ("100", 100)],
)
def test_a_bad_per_page_is_mended_if_errors_are_not_wanted(
    client: FlaskClient, asked: str, used: int
) -> None:
    response = client.get("/lenient", query_string={"per_page": asked})
    assert response.get_json()["per_page"] == used


@pytest.mark.parametrize("per_page", [0, -1, 101, 10**9])
def test_a_bad_per_page_of_a_call_is_a_400_too(cql: CQLAlchemy, per_page: int) -> None:
    with pytest.raises(BadRequest) as caught:
        paginate(model(cql, "Item").objects, per_page=per_page)
    assert caught.value.description == "per_page must be a whole number from 1 to 100."


def test_the_default_is_no_more_than_the_most(cql: CQLAlchemy) -> None:
    assert MAX_PER_PAGE == 100
    assert paginate(model(cql, "Item").objects, max_per_page=5).per_page == 5


def test_a_bad_cursor_of_a_request_is_a_400(client: FlaskClient, cql: CQLAlchemy) -> None:
    for cursor in ("", "x", "A" * 1_000_000, "ñ"):
        with requests_of(cql) as sent:
            response = client.get("/items", query_string={"cursor": cursor})
        assert (response.status_code, sent) == (400, [])
        assert f"<p>{PUBLIC}</p>" in response.text


def test_a_bad_cursor_is_the_first_page_if_errors_are_not_wanted(
    client: FlaskClient, cql: CQLAlchemy
) -> None:
    insert(cql, "Item", [(1, "x")])
    response = client.get("/lenient?cursor=x")
    assert response.get_json() == {
        "items": [{"id": 1, "name": "x"}],
        "next": None,
        "previous": None,
        "has_next": False,
        "has_previous": False,
        "per_page": 20,
    }
    assert "Link" not in response.headers


# Links


def links_of(response: Any) -> dict[str, str]:
    """Read a Link header as RFC 8288 says, for targets without commas."""
    links = {}
    for link in response.headers["Link"].split(", "):
        target, relation = link.split("; ")
        assert (target[0], target[-1]) == ("<", ">")
        links[relation.removeprefix('rel="').removesuffix('"')] = target[1:-1]
    return links


def test_a_response_has_links_to_its_neighbours(client: FlaskClient, cql: CQLAlchemy) -> None:
    insert(cql, "Item", [(number, "x") for number in range(30)])
    first = client.get("/items?per_page=10&q=a%26b&q=%C3%B1")
    kept = "per_page=10&q=a%26b&q=%C3%B1"
    cursor = first.get_json()["next"]
    assert first.headers["Link"] == f'</items?{kept}&cursor={cursor}>; rel="next"'
    second = client.get(links_of(first)["next"])
    assert list(links_of(second)) == ["first", "prev", "next"]
    assert links_of(second)["first"] == f"/items?{kept}"
    third = client.get(links_of(second)["next"])
    assert list(links_of(third)) == ["first", "prev"]
    assert client.get(links_of(third)["prev"]).get_json()["items"] == second.get_json()["items"]
    pages = (first, second, third)
    ids = [item["id"] for page in pages for item in page.get_json()["items"]]
    assert sorted(ids) == list(range(30))


def test_links_of_a_rule_with_variables(client: FlaskClient, cql: CQLAlchemy) -> None:
    insert(cql, "Named", [("ä/b"[:1], title) for title in "abcde"])
    response = client.get("/names/%C3%A4?name=other")
    assert links_of(response)["next"].startswith("/names/%C3%A4?name=other&cursor=")
    following = client.get(links_of(response)["next"])
    assert [item["title"] for item in following.get_json()["items"]] == ["c", "d"]


def test_a_visitor_cannot_send_the_links_elsewhere(client: FlaskClient, cql: CQLAlchemy) -> None:
    insert(cql, "Item", [(number, "x") for number in range(30)])
    response = client.get("/items?_external=1&_scheme=evil&_anchor=x&endpoint=y&%3E%22%0d%0a=1")
    assert links_of(response)["next"].startswith(
        "/items?_external=1&_scheme=evil&_anchor=x&endpoint=y&%3E%22%0D%0A=1&cursor="
    )


def test_links_keep_the_place_where_an_application_is_mounted(
    client: FlaskClient, cql: CQLAlchemy
) -> None:
    insert(cql, "Item", [(number, "x") for number in range(30)])
    response = client.get("/items", environ_overrides={"SCRIPT_NAME": "/shop"})
    assert links_of(response)["next"].startswith("/shop/items?cursor=")


def test_links_to_an_endpoint_of_ones_own(app: Flask, cql: CQLAlchemy) -> None:
    insert(cql, "Item", [(number, "x") for number in range(30)])
    shop = Blueprint("shop", __name__)

    @shop.get("/<int:year>")
    def index(year: int) -> Any:
        page = paginate(model(cql, "Item").objects)
        return f"{page.links('.index', year=year + 1)}|{page.links(year=year + 2)}"

    app.register_blueprint(shop, url_prefix="/a", name="renamed")
    next_year, year_after = app.test_client().get("/a/2024").text.split("|")
    assert next_year.startswith("</a/2025?cursor=")
    assert year_after.startswith("</a/2026?cursor=")


def test_a_cursor_too_long_for_a_url_is_posted(client: FlaskClient, cql: CQLAlchemy) -> None:
    long = "k" * 20_000
    insert(cql, "Named", [("a", f"{long}{number}") for number in range(5)])
    first = client.get("/names/a")
    cursor = first.get_json()["next"]
    assert len(cursor) > LONGEST_IN_URL
    assert "Link" not in first.headers
    second = client.post("/names/a", data={"cursor": cursor})
    assert [item["title"][-1] for item in second.get_json()["items"]] == ["2", "3"]
    assert links_of(second) == {"first": "/names/a"}
    first_again = client.post("/names/a", data={"cursor": second.get_json()["previous"]})
    assert first_again.get_json()["items"] == first.get_json()["items"]


# The macro


def test_the_macro_of_a_single_page_is_empty(client: FlaskClient, cql: CQLAlchemy) -> None:
    insert(cql, "Named", [("a", "x")])
    assert client.get("/html?name=a").text.split() == ["x"]


def test_the_macro_links_to_the_neighbours(client: FlaskClient, cql: CQLAlchemy) -> None:
    insert(cql, "Named", [("a", title) for title in "abcdef"])
    first = client.get("/html?name=a&x=%22%3E%3Cscript%3E")
    kept = "name=a&amp;x=%22%3E%3Cscript%3E"
    assert '<nav class="cql-pagination" aria-label="Pages">' in first.text
    assert f'<li><a href="/html?{kept}&amp;cursor=' in first.text
    assert '" rel="next">Next page</a></li>' in first.text
    assert "<script" not in first.text
    assert first.text.count("<li>") == 1
    href = first.text.split('href="')[1].split('"')[0].replace("&amp;", "&")
    second = client.get(href)
    assert second.text.startswith("cd\n")
    assert f'<li><a href="/html?{kept}" rel="first">First page</a></li>' in second.text
    assert '" rel="prev">Previous page</a></li>' in second.text
    assert second.text.count("<li>") == 3


def test_the_macro_has_nothing_inline(client: FlaskClient, cql: CQLAlchemy) -> None:
    insert(cql, "Named", [("a", title) for title in "abcdef"])
    text = client.get("/html?name=a").text
    for forbidden in ("style=", "<style", "<script", "onclick", "javascript:"):
        assert forbidden not in text


def test_the_macro_escapes_its_texts(app: Flask, cql: CQLAlchemy) -> None:
    insert(cql, "Named", [("a", title) for title in "abcdef"])
    with app.test_request_context("/html"):
        app.add_url_rule("/html", "html")
        page = paginate(model(cql, "Named").objects(name="a"), per_page=2)
        text = render_template_string(
            '{% from "cqlalchemy/pagination.html" import pagination %}'
            '{{ pagination(page, endpoint="html", label="<b>", next="<i>") }}',
            page=page,
        )
    assert 'aria-label="&lt;b&gt;"' in text
    assert "&lt;i&gt;</a>" in text


def test_the_macro_posts_a_cursor_that_is_too_long(client: FlaskClient, cql: CQLAlchemy) -> None:
    long = "k" * 20_000
    insert(cql, "Named", [("a", f"{long}{number}") for number in range(5)])
    text = client.get("/html?name=a").text
    assert '<form method="post" action="/html?name=a">' in text
    cursor = text.split('<button name="cursor" value="')[1].split('"')[0]
    assert f'<button name="cursor" value="{cursor}">Next page</button>' in text
    assert "csrf_token" not in text
    assert client.post("/html?name=a", data={"cursor": cursor}).text.startswith("23\n")


def test_the_form_of_a_long_cursor_has_the_token_of_flask_wtf(
    app: Flask, client: FlaskClient, cql: CQLAlchemy
) -> None:
    insert(cql, "Named", [("a", f"{'k' * 20_000}{number}") for number in range(5)])
    app.jinja_env.globals["csrf_token"] = lambda: "a<b"
    text = client.get("/html?name=a").text
    assert '<input type="hidden" name="csrf_token" value="a&lt;b">' in text

"""How much a query reads: page by page, what is used and no more."""

from __future__ import annotations

import itertools
import json
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pytest
from cassandra.cqlengine.query import QueryException
from flask import Flask

from flask_cqlalchemy import CassandraUnavailable, CQLAlchemy, GuardrailError, signals
from flask_cqlalchemy.queryset import QuerySet

from .cql_helpers import application, model, module_fixtures, sent, text_of

#: Rows of a partition, and of a page of the queries below.
ROWS, PAGE = 10, 3


def define(db: CQLAlchemy) -> CQLAlchemy:
    class Reading(db.Model):
        sensor = db.columns.Text(primary_key=True)
        at = db.columns.Integer(primary_key=True)
        value = db.columns.Integer(db_field="v")
        label = db.columns.Text(static=True)

    class FewAtOnce(QuerySet[Any]):
        most_gathered = 6

    class Gathered(db.Model):
        """A table whose rows Cassandra may not sort many of."""

        __queryset__ = FewAtOnce
        sensor = db.columns.Text(primary_key=True)
        at = db.columns.Integer(primary_key=True)

    class Place(db.Model):
        """A partition key of two columns."""

        country = db.columns.Text(partition_key=True)
        town = db.columns.Text(partition_key=True)
        street = db.columns.Text(primary_key=True)

    class Animal(db.Model):
        __table_name__ = "animals"
        owner = db.columns.Text(primary_key=True)
        id = db.columns.Integer(primary_key=True)
        kind = db.columns.Text(discriminator_column=True)

    class Dog(Animal):
        __discriminator_value__ = "dog"

    return db


cassandra_config, database, app = module_fixtures(
    define, CASSANDRA_GUARDRAILS={"allow_filtering": "off"}, SECRET_KEY="of the tests"
)


@pytest.fixture
def reading(cql: CQLAlchemy) -> Any:
    """Ten rows in a partition, which are ten rows of the table."""
    found = model(cql, "Reading")
    cql.bulk_create(found, [{"sensor": "roof", "at": at, "value": at} for at in range(ROWS)])
    return found


def paged(reading: Any) -> Any:
    return reading.objects(sensor="roof").fetch_size(PAGE)


# Page by page


def leave(query: Any) -> None:
    for row in query:
        assert row.at == 0
        break


#: What is done with a query, and how many of its four pages it takes.
USES: dict[str, tuple[int, Callable[[Any], Any]]] = {
    "a loop that is left": (1, leave),
    "a loop": (4, lambda query: [row.at for row in query]),
    "list()": (4, list),
    "len()": (4, len),
    "bool()": (1, bool),
    "the first index": (1, lambda query: query[0]),
    "the last index of a page": (1, lambda query: query[2]),
    "the first index of another page": (2, lambda query: query[3]),
    "a negative index": (4, lambda query: query[-1]),
    "a slice of a page": (1, lambda query: query[:3]),
    "a slice of two pages": (2, lambda query: query[2:4]),
    "an empty slice": (0, lambda query: query[4:0]),
    "a slice without rows": (0, lambda query: query[:0]),
    "a slice with a step": (2, lambda query: query[0:5:2]),
    "an open slice": (4, lambda query: query[2:]),
    "a slice from the end": (4, lambda query: query[-2:]),
    "a reversed slice": (4, lambda query: query[::-1]),
    "in": (2, lambda query: 4 in (row.at for row in query)),
    "any()": (2, lambda query: any(row.at == 3 for row in query)),
    "next()": (1, lambda query: next(iter(query))),
    "islice()": (2, lambda query: list(itertools.islice(query, 5))),
    "zip()": (1, lambda query: list(zip([1, 2], query, strict=False))),
    "first()": (1, lambda query: query.first()),
    "values_list": (1, lambda query: query.values_list("at", flat=True)[1]),
    "only()": (1, lambda query: query.only("value")[1]),
}


@pytest.mark.parametrize(("pages", "use"), USES.values(), ids=USES)
def test_a_query_reads_the_pages_that_are_used(
    reading: Any, cql: CQLAlchemy, pages: int, use: Callable[[Any], Any]
) -> None:
    query = paged(reading)
    with sent(cql) as statements:
        use(query)
    assert len(statements) == pages


SLICES = [
    slice(start, stop, step)
    for start in (None, 0, 1, 4, 9, 12, -1, -4, -12)
    for stop in (None, 0, 2, 3, 7, 10, 15, -1, -3, -12)
    for step in (None, 1, 2, 4, -1, -3)
]


def test_every_slice_and_index_gives_what_a_list_gives(reading: Any) -> None:
    numbers = list(range(ROWS))
    for part in SLICES:
        assert [row.at for row in paged(reading)[part]] == numbers[part], part
    for index in range(-ROWS, ROWS):
        assert paged(reading)[index].at == numbers[index]


@pytest.mark.parametrize("index", [ROWS, ROWS + 1, 1000, -ROWS - 1])
def test_an_index_beyond_the_rows_is_an_index_error(reading: Any, index: int) -> None:
    with pytest.raises(IndexError):
        paged(reading)[index]


@pytest.mark.parametrize("index", ["1", 1.0, None, slice("a"), slice(1, "b")])
def test_an_index_that_is_not_a_whole_number_reads_nothing(
    reading: Any, cql: CQLAlchemy, index: object
) -> None:
    with sent(cql) as statements, pytest.raises(TypeError):
        paged(reading)[index]
    assert statements == []


def test_a_second_loop_costs_nothing_and_gives_the_same_instances(
    reading: Any, cql: CQLAlchemy
) -> None:
    query = paged(reading)
    once = list(query)
    with sent(cql) as statements:
        again = list(query)
        assert [len(query), bool(query), query[4], query[2:4]] == [ROWS, True, once[4], once[2:4]]
        assert query.first() is once[0]
        assert query.count() == ROWS
    assert statements == []
    assert all(one is other for one, other in zip(once, again, strict=True))


def test_a_loop_goes_on_where_another_one_was_left(reading: Any, cql: CQLAlchemy) -> None:
    query = paged(reading)
    leave(query)
    with sent(cql) as statements:
        assert [row.at for row in query] == list(range(ROWS))
    assert len(statements) == 3


def test_two_interleaved_loops_see_the_same_instances(reading: Any, cql: CQLAlchemy) -> None:
    query = paged(reading)
    with sent(cql) as statements:
        pairs = list(zip(query, query, strict=True))
        nested = [(one.at, other.at) for one in query for other in query]
    assert all(one is other for one, other in pairs)
    assert [one.at for one, _ in pairs] == list(range(ROWS))
    assert nested == [(one, other) for one in range(ROWS) for other in range(ROWS)]
    assert len(statements) == 4


def test_loops_of_different_speeds_agree(reading: Any) -> None:
    query = paged(reading)
    slow, fast = iter(query), iter(query)
    seen = [next(slow)]
    ahead = [next(fast) for _ in range(8)]
    seen += slow
    ahead += fast
    assert [row.at for row in seen] == list(range(ROWS))
    assert all(one is other for one, other in zip(seen, ahead, strict=True))


def test_a_query_set_that_is_made_of_another_reads_anew(reading: Any, cql: CQLAlchemy) -> None:
    query = paged(reading)
    list(query)
    for other in (query.all(), query.limit(5), query.filter(at__lt=5), query.order_by("-at")):
        with sent(cql) as statements:
            next(iter(other))
        assert len(statements) == 1


def test_rows_that_come_after_a_page_was_read_are_on_the_next_one(reading: Any) -> None:
    loop = iter(paged(reading))
    first = next(loop)
    reading.create(sensor="roof", at=100)
    assert [first.at, *(row.at for row in loop)] == [*range(ROWS), 100]


@pytest.mark.parametrize("limit", [1, PAGE, PAGE + 1, ROWS, ROWS + 1])
def test_a_limit_holds_over_pages(reading: Any, limit: int) -> None:
    assert [row.at for row in paged(reading).limit(limit)] == list(range(ROWS))[:limit]


def test_no_rows_are_no_rows(reading: Any) -> None:
    query = reading.objects(sensor="nowhere")
    assert (list(query), len(query), bool(query), query[:5], query[2:]) == ([], 0, False, [], [])
    with pytest.raises(IndexError):
        query[0]


def test_a_page_without_rows_is_not_the_end(reading: Any) -> None:
    query = reading.objects(value=ROWS - 1).allow_filtering().fetch_size(1)
    assert bool(query)
    assert query[0].at == ROWS - 1
    assert [row.at for row in query] == [ROWS - 1]


def test_an_instance_of_a_page_is_changed_for_every_loop(reading: Any) -> None:
    query = paged(reading)
    query[1].value = 50
    assert [row.value for row in query][:3] == [0, 50, 2]


def test_threads_share_the_pages_of_one_query(reading: Any, cql: CQLAlchemy, app: Flask) -> None:
    query = paged(reading)
    barrier = threading.Barrier(8)

    def read(_: int) -> list[int]:
        with app.app_context():
            barrier.wait()
            return [id(row) for row in query]

    with sent(cql) as statements, ThreadPoolExecutor(8) as pool:
        found = list(pool.map(read, range(8)))
    assert len(statements) == 4
    assert [len(each) for each in found] == [ROWS] * 8
    assert all(each == found[0] for each in found)


@contextmanager
def failing_once(app: Flask, cql: CQLAlchemy) -> Iterator[None]:
    """Let the next statement but one fail before it is sent."""
    numbers = itertools.count()

    def fail(sender: object, statement: object) -> None:
        if next(numbers) == 1:
            raise CassandraUnavailable("a test's outage")

    with signals.before_statement.connected_to(fail, sender=app):
        yield


def test_a_loop_that_an_outage_ended_can_be_begun_again(
    reading: Any, cql: CQLAlchemy, app: Flask
) -> None:
    query = paged(reading)
    seen: list[int] = []
    with failing_once(app, cql), pytest.raises(CassandraUnavailable):
        seen.extend(row.at for row in query)
    with sent(cql) as statements:
        assert [row.at for row in query] == list(range(ROWS))
    assert len(statements) == 3


def test_a_loop_goes_on_in_the_keyspace_where_it_began(reading: Any, cql: CQLAlchemy) -> None:
    loop = iter(paged(reading))
    first = next(loop)
    with cql.use_keyspace("system"):
        assert [first.at, *(row.at for row in loop)] == list(range(ROWS))


@contextmanager
def railed(cql: CQLAlchemy, config: dict[str, Any], action: str, most: int) -> Iterator[Any]:
    """The model in another application, whose guard rail holds so many rows."""
    rails = {"unpaged_rows": [action, most]}
    with (
        application(cql, {**config, "CASSANDRA_GUARDRAILS": rails}) as other,
        other.app_context(),
    ):
        yield paged(model(cql, "Reading"))


def test_the_guard_rail_stops_a_loop_that_would_hold_too_much(
    reading: Any, cql: CQLAlchemy, cassandra_config: dict[str, Any]
) -> None:
    with railed(cql, cassandra_config, "raise", 5) as query:
        for _ in range(2):
            seen: list[int] = []
            with pytest.raises(GuardrailError, match="more than 5 rows"):
                seen.extend(row.at for row in query)
            assert seen == [0, 1, 2]
        assert [row.at for row in query[:3]] == [0, 1, 2]


def test_the_guard_rail_lets_a_loop_be_left(
    reading: Any, cql: CQLAlchemy, cassandra_config: dict[str, Any]
) -> None:
    with railed(cql, cassandra_config, "raise", 5) as query:
        leave(query)
        assert len(query[:3]) == 3
        assert bool(query)
        assert len(query.limit(ROWS)) == ROWS
        assert query.count() == ROWS


def test_rows_of_several_models_are_read_page_by_page(cql: CQLAlchemy) -> None:
    animal, dog = model(cql, "Animal"), model(cql, "Dog")
    cql.bulk_create(dog, [{"owner": "Ada", "id": number} for number in range(ROWS)])
    query = animal.objects(owner="Ada").fetch_size(PAGE)
    with sent(cql) as statements:
        assert type(query[0]) is dog
    assert len(statements) == 1
    assert [each.id for each in query] == list(range(ROWS))


# Counting


@pytest.mark.parametrize("limit", [None, 1, 4, ROWS, 25])
@pytest.mark.parametrize("size", [None, PAGE], ids=["one page", "pages"])
def test_count_is_the_number_of_rows_that_a_loop_gives(
    reading: Any, limit: int | None, size: int | None
) -> None:
    query = reading.objects(sensor="roof").limit(limit)
    query = query.fetch_size(size) if size else query
    assert query.count() == len(list(query.all())) == min(limit or ROWS, ROWS)


@pytest.mark.parametrize(
    "shape",
    [
        lambda query: query.order_by("-at"),
        lambda query: query.only("value"),
        lambda query: query.defer("value"),
        lambda query: query.values_list("value", flat=True),
        lambda query: query.filter(at__gte=2),
        lambda query: query.filter(value__gte=2).allow_filtering(),
        lambda query: query.filter(at__in=[1, 2, 3]),
    ],
    ids=["order_by", "only", "defer", "values_list", "range", "filtering", "in"],
)
@pytest.mark.parametrize("limit", [None, 2])
def test_count_counts_whatever_is_read_of_the_rows(
    reading: Any, shape: Callable[[Any], Any], limit: int | None
) -> None:
    query = shape(reading.objects(sensor="roof")).limit(limit)
    assert query.count() == len(query.all())


def test_count_without_a_limit_reads_one_number(reading: Any, cql: CQLAlchemy) -> None:
    with sent(cql) as statements:
        assert paged(reading).count() == ROWS
    assert [text_of(each).split(" FROM ")[0] for each in statements] == ["SELECT COUNT(*)"]


def test_count_with_a_limit_reads_no_more_rows_than_that(reading: Any, cql: CQLAlchemy) -> None:
    with sent(cql) as statements:
        assert paged(reading).limit(2).count() == 2
    assert [text_of(each).split(" FROM ")[0] for each in statements] == ['SELECT "sensor"']


def test_count_is_asked_once(reading: Any, cql: CQLAlchemy) -> None:
    query = paged(reading)
    assert query.count() == ROWS
    with sent(cql) as statements:
        assert query.count() == ROWS
    assert statements == []


def test_count_of_a_query_that_was_read_in_part_is_of_all_rows(reading: Any) -> None:
    query = paged(reading)
    leave(query)
    assert query.count() == ROWS


@pytest.mark.parametrize("fields", [None, ["country", "town"], ["town", "country"]])
@pytest.mark.parametrize("limit", [None, 2])
def test_count_of_distinct_partition_keys(
    cql: CQLAlchemy, fields: list[str] | None, limit: int | None
) -> None:
    place = model(cql, "Place")
    for country, town in (("no", "Oslo"), ("no", "Bergen"), ("de", "Bergen")):
        for street in ("a", "b"):
            place.create(country=country, town=town, street=street)
    query = place.objects.distinct(fields).limit(limit)
    assert query.count() == len(list(query.all())) == (limit or 3)


@pytest.mark.parametrize("fields", [None, "sensor", ["sensor"], ["sensor", "label"]])
def test_count_of_distinct_values_of_one_column(
    reading: Any, fields: str | list[str] | None
) -> None:
    reading.create(sensor="cellar", at=1, label="x")
    query = reading.objects.distinct(fields)
    assert query.count() == len(query.all()) == 2
    assert query.filter(sensor="roof").count() == 1


# In order over several partitions


def gather(cql: CQLAlchemy, name: str) -> Any:
    """Write even numbers into one partition, odd ones into another."""
    found = model(cql, name)
    cql.bulk_create(
        found, [{"sensor": "roof" if at % 2 else "cellar", "at": at} for at in range(ROWS)]
    )
    return found


@pytest.fixture
def gathered(cql: CQLAlchemy) -> Any:
    return gather(cql, "Reading")


ORDERS = pytest.mark.parametrize("order", ["at", "-at"])


def in_order(reading: Any, order: str) -> tuple[Any, list[int]]:
    """A query over both partitions, and the numbers that it gives."""
    query = reading.objects(sensor__in=["roof", "cellar"]).order_by(order).fetch_size(PAGE)
    return query, list(range(ROWS))[:: -1 if order == "-at" else 1]


#: Ways to read all rows of a query: what each gives.
ALL: dict[str, Callable[[Any], Any]] = {
    "list": lambda query: [row.at for row in query],
    "len": lambda query: [row.at for row in (query[number] for number in range(len(query)))],
    "iter": lambda query: [row.at for row in query.iter()],
    "iter in pages": lambda query: [row.at for row in query.iter(fetch_size=2)],
    "rows": lambda query: [row["at"] for row in query.rows()],
    "json": lambda query: json.loads(query.values_list("at", flat=True).to_json()),
    "values_list": lambda query: list(query.values_list("at", flat=True)),
    "only": lambda query: [row.at for row in query.only(["at"])],
}


@ORDERS
@pytest.mark.parametrize("limit", [None, 3, 7, 50])
@pytest.mark.parametrize("read", ALL.values(), ids=ALL)
def test_rows_of_several_partitions_come_in_order(
    gathered: Any, order: str, limit: int | None, read: Callable[[Any], Any]
) -> None:
    query, expected = in_order(gathered, order)
    assert read(query.limit(limit)) == expected[:limit]


@ORDERS
def test_the_first_row_of_several_partitions_in_order(gathered: Any, order: str) -> None:
    query, expected = in_order(gathered, order)
    assert (query.first().at, query.exists(), query.count()) == (expected[0], True, ROWS)
    assert query.limit(4).count() == 4
    assert query[1].at == expected[1]


@ORDERS
@pytest.mark.parametrize("limit", [None, 7])
def test_pages_of_several_partitions_in_order(gathered: Any, order: str, limit: int | None) -> None:
    query, expected = in_order(gathered, order)
    query, expected = query.limit(limit), expected[:limit]
    pages = [query.paginate(per_page=PAGE)]
    while pages[-1].has_next:
        pages.append(query.paginate(per_page=PAGE, cursor=pages[-1].next))
    assert [[row.at for row in page] for page in pages] == [
        expected[start : start + PAGE] for start in range(0, len(expected), PAGE)
    ]
    assert [page.is_first for page in pages] == [True] + [False] * (len(pages) - 1)
    back = query.paginate(per_page=PAGE, cursor=pages[-1].previous)
    assert [row.at for row in back] == [row.at for row in pages[-2]]
    first = query.paginate(per_page=PAGE, cursor=pages[1].previous)
    assert (first.is_first, first.has_previous) == (True, False)


@pytest.mark.parametrize(
    "read",
    [
        *ALL.values(),
        lambda query: [*query.paginate(per_page=3), *query.paginate(per_page=8)],
    ],
    ids=[*ALL, "paginate"],
)
def test_more_rows_than_cassandra_may_sort_are_an_error(
    cql: CQLAlchemy, read: Callable[[Any], Any]
) -> None:
    query, expected = in_order(gather(cql, "Gathered"), "at")
    with pytest.raises(QueryException) as caught:
        read(query)
    assert str(caught.value) == (
        "Gathered: order_by() over several partitions gives 6 rows at most, which Cassandra sorts "
        "and sends at once, and here are more. Use limit() or narrower filters, or ask each "
        "partition by itself."
    )
    with pytest.raises(QueryException):
        list(query.limit(8))
    assert [row.at for row in query.limit(6)] == expected[:6]
    assert query.count() == ROWS


def test_an_in_of_clustering_values_has_pages_and_an_order(gathered: Any, cql: CQLAlchemy) -> None:
    query = gathered.objects(sensor="roof", at__in=[1, 3, 5, 7]).order_by("-at").fetch_size(2)
    with sent(cql) as statements:
        assert [row.at for row in query] == [7, 5, 3, 1]
    assert len(statements) >= 2

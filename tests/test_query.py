"""Queries: the same answers as cqlengine's own on the same rows, prepared, and what is new."""

from __future__ import annotations

import copy
import datetime
import decimal
import pickle
import threading
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import pytest
from cassandra.cluster import ResponseFuture
from cassandra.cqlengine import CQLEngineException, ValidationError, columns, functions
from cassandra.cqlengine import connection as cqlengine_connection
from cassandra.cqlengine.models import Model as StockModel
from cassandra.cqlengine.operators import QueryOperatorException
from cassandra.cqlengine.query import (
    BatchQuery,
    BatchType,
    ContextQuery,
    LWTException,
    QueryException,
)
from cassandra.query import BoundStatement
from flask import Flask
from werkzeug.exceptions import NotFound

from flask_cqlalchemy import CQLAlchemy
from flask_cqlalchemy.connection.prepared import StatementCache

from .cql_helpers import model

STOCK = "stock_of_the_tests"
UIDS = [uuid.UUID(int=number, version=4) for number in range(5)]
TIMES = [uuid.UUID(f"{number:08x}-0000-1000-8000-000000000000") for number in range(1, 6)]


def event_columns(kinds: ModuleType) -> dict[str, Any]:
    """One column of each kind that queries treat differently, under names unlike CQL's."""
    return {
        "__table_name__": "event",
        "room": kinds.Text(primary_key=True, db_field="room_name"),
        "at": kinds.TimeUUID(primary_key=True),
        "seat": kinds.Integer(primary_key=True, clustering_order="DESC"),
        "host": kinds.Text(static=True),
        "title": kinds.Text(db_field="t"),
        "price": kinds.Decimal(),
        "uid": kinds.UUID(index=True),
        "day": kinds.Date(),
        "open": kinds.Boolean(default=True),
        "tags": kinds.Set(kinds.Text),
        "notes": kinds.List(kinds.Text),
        "scores": kinds.Map(kinds.Text, kinds.Integer),
        "pair": kinds.Tuple(kinds.Integer, kinds.Text),
    }


kept_db = CQLAlchemy()


class Kept(kept_db.Model):
    """A model that pickle can find."""

    id = kept_db.columns.Integer(primary_key=True)
    name = kept_db.columns.Text()
    tags = kept_db.columns.Set(kept_db.columns.Text)


@pytest.fixture
def kept(cassandra_config: dict[str, Any]) -> Iterator[type[Kept]]:
    app = Flask(__name__)
    app.config.from_mapping(cassandra_config)
    kept_db.init_app(app)
    with app.app_context():
        kept_db.sync_db()
        yield Kept
        kept_db.close()


def through_pickle(instance: Any) -> Any:
    return pickle.loads(pickle.dumps(instance))


@dataclass
class Pair:
    """The same table for both: ``kit`` is a db.Model, ``stock`` a cqlengine model."""

    kit: Any
    stock: Any


@pytest.fixture(scope="module")
def cassandra_config(cassandra_config: dict[str, Any]) -> dict[str, Any]:
    """The run's settings with a keyspace of this module's own: others have an ``event`` too."""
    keyspace = f"{cassandra_config['CASSANDRA_KEYSPACE']}_query"
    return {
        **cassandra_config,
        "CASSANDRA_KEYSPACE": keyspace,
        "CASSANDRA_GUARDRAILS": {"allow_filtering": "off"},
    }


@pytest.fixture
def database() -> CQLAlchemy:
    db = CQLAlchemy()
    type(db.Model)("Event", (db.Model,), event_columns(columns))

    class Visits(db.Model):
        page = db.columns.Text(primary_key=True)
        count = db.columns.Counter()

    class Simple(db.Model):
        id = db.columns.Integer(primary_key=True)
        name = db.columns.Text(db_field="n")
        small = db.columns.TinyInt()
        required = db.columns.Text(required=True, default="yes")
        tags = db.columns.Set(db.columns.Text)

    return db


@pytest.fixture
def pair(cql: CQLAlchemy, cassandra_config: dict[str, Any]) -> Iterator[Pair]:
    """Five rows in two partitions, written by cqlengine itself."""
    cqlengine_connection.register_connection(
        STOCK,
        hosts=cassandra_config["CASSANDRA_HOSTS"],
        cluster_options={"port": cassandra_config["CASSANDRA_PORT"], "protocol_version": 5},
    )
    stock = type(StockModel)(
        "Event",
        (StockModel,),
        {
            **event_columns(columns),
            "__keyspace__": cql.place().keyspace,
            "__connection__": STOCK,
        },
    )
    for number in range(5):
        stock.create(
            room="big" if number < 3 else "small",
            at=TIMES[number],
            seat=number,
            title=f"title {number}",
            price=decimal.Decimal(number) / 2,
            uid=UIDS[number],
            day=datetime.date(2020, 1, number + 1),
            tags={"a", str(number)},
            notes=["x", "y"],
            scores={"go": number},
            pair=(number, "p"),
        )
    yield Pair(model(cql, "Event"), stock)
    # The rows were written over a connection that the cleaner does not hear.
    for room in ("big", "small"):
        stock.objects(room=room).delete()
    cqlengine_connection.unregister_connection(STOCK)


def plain(found: Any) -> Any:
    """Turn instances into comparable values."""
    if isinstance(found, list | tuple):
        return [plain(item) for item in found]
    return dict(found.items()) if hasattr(found, "_columns") else found


READS: list[Callable[[Any], Any]] = [
    lambda event: list(event.objects(room="big")),
    lambda event: list(event.objects.filter(room="big").filter(at=TIMES[1])),
    lambda event: event.objects(room="big", at=TIMES[1], seat=1).first(),
    lambda event: event.get(room="big", at=TIMES[1], seat=1),
    lambda event: event.objects(room="nowhere").first(),
    lambda event: list(event.objects(room="big", at__gt=TIMES[0])),
    lambda event: list(event.objects(room="big", at__gte=TIMES[1], at__lt=TIMES[2])),
    lambda event: list(event.objects(room="big", at__lte=TIMES[1])),
    lambda event: list(event.objects(room__in=["big", "small"])),
    lambda event: list(event.objects(room="big").order_by("-at", "seat")),
    lambda event: list(event.objects(room="big").limit(2)),
    lambda event: list(event.objects(room="big").limit(None)),
    lambda event: event.objects(room="big").count(),
    lambda event: len(event.objects(room="big")),
    lambda event: event.objects(room="big")[1],
    lambda event: event.objects(room="big")[0:2],
    lambda event: list(event.objects(uid=UIDS[3])),
    lambda event: sorted(row.title for row in event.all()),
    lambda event: list(event.objects(room="big").values_list("title", "seat")),
    lambda event: list(event.objects(room="big").values_list("title", flat=True)),
    lambda event: [row.title for row in event.objects(room="big").only(["title"])],
    lambda event: [row.price for row in event.objects(room="big").defer(["title"])],
    lambda event: list(event.objects(room="big", price__gt=0).allow_filtering()),
    lambda event: list(event.objects(room="big", tags__contains="1").allow_filtering()),
    lambda event: list(
        event.objects(
            room="big",
            at__gt=functions.MinTimeUUID(datetime.datetime(1582, 10, 15)),
            at__lt=functions.MaxTimeUUID(datetime.datetime(2100, 1, 1)),
        )
    ),
    lambda event: sorted(
        row.seat
        for row in event.objects(pk__token__gte=functions.Token("big")).limit(3)
        if row.room == "big"
    ),
    lambda event: sorted(row.room for row in event.objects.distinct(["room_name"])),
    lambda event: list(event.objects(room="big").fetch_size(1)),
    lambda event: list(event.objects(event.room == "big")),
    lambda event: list(event.filter(event.room == "big", event.at > TIMES[0])),
    lambda event: list(event.objects.consistency(1).filter(room="big")),
    lambda event: list(event.objects.timeout(5).filter(room="big")),
    lambda event: list(event.objects(room="big", at__in=TIMES[:2])),
    lambda event: list(event.objects(room="big").all()),
    lambda event: event.objects(room="big").order_by("-at").limit(1).first(),
    lambda event: list(event.objects(room="big").order_by("-at").order_by()),
    lambda event: sorted(row.seat for row in event.objects(scores__contains=1).allow_filtering()),
    lambda event: [
        (row.title, row.host, row.price)
        for row in event.objects(room="big").only(["title", "host"])
    ],
    lambda event: event.objects(room="small").filter(at=TIMES[3]).count(),
    lambda event: [row.seat for row in event.objects.filter(room="big", uid=UIDS[1])],
    lambda event: with_context(event),
    lambda event: event.objects(room="big").first() == event.objects(room="big")[0],
    lambda event: event.objects(room="big") == event.objects(room="big"),
    lambda event: [key for key in event.objects(room="big").first()],  # noqa: C416
    lambda event: event.objects(room="big").first()["title"],
    lambda event: str(event.objects(room="big").first()).rpartition(".")[2],
]


def with_context(event: Any) -> Any:
    with ContextQuery(event, keyspace=event._get_keyspace()) as there:
        return list(there.objects(room="big"))


@pytest.mark.parametrize("number", range(len(READS)))
def test_a_read_gives_what_cqlengine_gives(pair: Pair, number: int) -> None:
    read = READS[number]
    assert plain(read(pair.kit)) == plain(read(pair.stock))


def at(event: Any, number: int = 1) -> Any:
    return event.objects(room="big", at=TIMES[number], seat=number)


WRITES: list[Callable[[Any], Any]] = [
    lambda event: at(event).update(title="new"),
    lambda event: at(event).update(price=None),
    lambda event: at(event).update(tags__add={"z"}),
    lambda event: at(event).update(tags__remove={"a"}),
    lambda event: at(event).update(notes__append=["z"]),
    lambda event: at(event).update(notes__prepend=["z"]),
    lambda event: at(event).update(scores__update={"stop": 3}),
    lambda event: at(event).ttl(1000).update(title="short-lived"),
    lambda event: at(event).iff(title="title 1").update(title="if"),
    lambda event: at(event).delete(),
    lambda event: event.objects(room="big", at__gte=TIMES[1]).delete(),
    lambda event: at(event).first().delete(),
    lambda event: at(event).first().update(title="new", price=decimal.Decimal("9.5")),
    lambda event: at(event).first().update(title=None),
    lambda event: at(event).first().update(notes=["q"], scores={"go": 1, "a": 1}),
    lambda event: at(event).first().update(pair=(7, "seven")),
    lambda event: event(room="big", at=TIMES[4], seat=9, title="saved").save(),
    lambda event: event.create(room="big", at=TIMES[4], seat=9, title="made", tags={"q"}),
    lambda event: event.ttl(1000).create(room="big", at=TIMES[4], seat=9, title="ttl"),
    lambda event: event.create(room="big", host="static only"),
    lambda event: event.if_not_exists().create(room="big", at=TIMES[4], seat=9),
    lambda event: change_in_place(event),
    lambda event: at(event).update(scores__remove={"go"}),
    lambda event: at(event).update(notes=[], scores={}),
    lambda event: at(event).if_exists().update(title="is there"),
    lambda event: at(event).if_exists().delete(),
    lambda event: at(event).iff(title="title 1", price=decimal.Decimal("0.5")).delete(),
    lambda event: at(event).timestamp(datetime.timedelta(seconds=9)).update(title="later"),
    lambda event: event(room="big", at=TIMES[1], seat=1).update(title="blind", tags={"b"}),
    lambda event: at(event).first().iff(title="title 1").update(title="if"),
    lambda event: at(event).first().ttl(500).update(title="for a while"),
    lambda event: event.objects(room="big").update(host="for the partition"),
    lambda event: event.timestamp(datetime.timedelta(seconds=1)).create(
        room="big", at=TIMES[4], seat=9, title="stamped"
    ),
    lambda event: in_a_batch(event),
    lambda event: in_a_batch(event, batch_type=BatchType.Unlogged),
    lambda event: in_a_batch(event, timestamp=datetime.timedelta(seconds=9)),
]


def in_a_batch(event: Any, **options: Any) -> None:
    with BatchQuery(**options) as batch:
        event.batch(batch).create(room="big", at=TIMES[4], seat=9, title="together", notes=["n"])
        at(event, 0).batch(batch).update(title="changed", tags__add={"t"})
        at(event).batch(batch).delete()
        row = event(room="big", at=TIMES[4], seat=8, scores={"go": 1})
        row.batch(batch).save()


def change_in_place(event: Any) -> None:
    row = at(event).first()
    row.title = "assigned"
    row.tags.add("in place")
    row.notes.append("in place")
    row.scores["in place"] = 1
    row.save()


@pytest.mark.parametrize("number", range(len(WRITES)))
def test_a_write_leaves_what_cqlengine_leaves(pair: Pair, number: int) -> None:
    write = WRITES[number]
    before = plain(list(pair.stock.objects(room="big")))
    write(pair.stock)
    expected = plain(list(pair.stock.objects(room="big")))
    assert expected != before or number in {20}
    pair.stock.objects(room="big").delete()
    for row in before:
        pair.stock.create(**{name: value for name, value in row.items() if value is not None})
    write(pair.kit)
    assert plain(list(pair.stock.objects(room="big"))) == expected


def test_update_replaces_a_map_as_it_does_any_other_column(pair: Pair) -> None:
    """cqlengine adds to it."""
    at(pair.kit).update(scores={"only": 1})
    assert at(pair.kit).get().scores == {"only": 1}
    at(pair.kit).update(scores__update={"too": 2, "only": None})
    assert at(pair.kit).get().scores == {"too": 2}


ERRORS: list[Callable[[Any], Any]] = [
    lambda event: event.objects(nothing=1),
    lambda event: event.objects(room__near="big"),
    lambda event: event.objects(room=None),
    lambda event: list(event.objects(title="x")),
    lambda event: list(event.objects(seat=1)),
    lambda event: event.objects(room="big").order_by("title"),
    lambda event: event.objects(room="big").order_by("room"),
    lambda event: event.objects(room="big").order_by('at" DESC; DROP TABLE event; --'),
    lambda event: event.objects(room="big").limit(-1),
    lambda event: event.objects(room="big").limit("many"),
    lambda event: event.objects(room__in="big"),
    lambda event: event.objects(room="big").update(nothing=1),
    lambda event: event.objects(room="big").update(room="x"),
    lambda event: event.objects(seat=1).delete(),
    lambda event: event.objects(room="big").only(["nothing"]),
    lambda event: event.get(room="nowhere"),
    lambda event: event.get(room="big"),
    lambda event: at(event).iff(title="wrong").update(title="x"),
    lambda event: event.create(nothing=1),
    lambda event: event.create(room="big", at="not a uuid"),
    lambda event: event.create(room="big", at=TIMES[0], seat="three"),
    lambda event: at(event).first().update(nothing=1),
    lambda event: at(event).first().update(price="a lot"),
    lambda event: event.objects(room="big").iff(nothing=1).update(title="x"),
    lambda event: event.objects(room="big").only(["title"]).only(["seat"]),
    lambda event: event.objects(room="big").fetch_size(0),
    lambda event: event.objects(room="big")["title"],
    lambda event: at(event, 4).if_exists().update(title="x"),
    lambda event: event.batch("no batch"),
    lambda event: event.objects(pk__token=5),
]


@pytest.mark.parametrize("number", range(len(ERRORS)))
def test_a_mistake_is_the_kind_of_error_that_cqlengine_raises(pair: Pair, number: int) -> None:
    wrong = ERRORS[number]
    with pytest.raises((CQLEngineException, TypeError, QueryOperatorException)) as theirs:
        wrong(pair.stock)
    with pytest.raises((CQLEngineException, TypeError, QueryOperatorException)) as ours:
        wrong(pair.kit)
    kinds = (QueryException, ValidationError, LWTException, TypeError)
    assert [isinstance(ours.value, kind) for kind in kinds] == [
        isinstance(theirs.value, kind) for kind in kinds
    ]
    assert (type(ours.value).__name__, pair.kit.__name__) == (type(theirs.value).__name__, "Event")


def test_every_statement_is_prepared(pair: Pair, cql: CQLAlchemy) -> None:
    seen: list[object] = []

    def listen(future: ResponseFuture) -> None:
        if future.query is not None:
            seen.append(future.query)

    connection = cql.place().connection
    connection.add_listener(listen)
    try:
        for read in READS:
            read(pair.kit)
        for write in WRITES:
            write(pair.kit)
            pair.kit.create(room="big", at=TIMES[1], seat=1, title="title 1", scores={"go": 1})
    except LWTException:
        pass
    finally:
        connection.remove_listener(listen)
    assert len(seen) > len(READS)
    assert {type(query) for query in seen} == {BoundStatement}


def test_values_do_not_make_new_statements(cql: CQLAlchemy) -> None:
    simple = model(cql, "Simple")
    simple.create(id=0)
    list(simple.objects(id=0).limit(1))
    simple.objects(id=0).ttl(10).update(name="x")
    before = cql.place().connection.statement_metrics.prepared
    for number in range(20):
        simple.create(id=number, name=str(number))
        list(simple.objects(id=number).limit(number + 1))
        simple.objects(id=number).ttl(10 + number).update(name="y")
    assert cql.place().connection.statement_metrics.prepared == before + 0


def test_threads_prepare_a_statement_once(cql: CQLAlchemy) -> None:
    connection = cql.place().connection
    connection.prepare("SELECT key FROM system.local")
    before = connection.statement_metrics.prepared
    barrier = threading.Barrier(8)

    def prepare(_: int) -> object:
        barrier.wait()
        return connection.prepare("SELECT cluster_name, key FROM system.local")

    with ThreadPoolExecutor(8) as pool:
        assert len({id(found) for found in pool.map(prepare, range(8))}) == 1
    assert connection.statement_metrics.prepared == before + 1


def test_the_cache_is_bounded(cql: CQLAlchemy) -> None:
    cache = StatementCache(cql.session, size=2)
    for column in ("key", "cluster_name", "rack"):
        cache.get(f"SELECT {column} FROM system.local")
    assert (cache.metrics.size, cache.metrics.prepared, cache.metrics.evicted) == (2, 3, 1)


def test_a_table_that_was_made_anew_is_prepared_anew(app: Flask, cql: CQLAlchemy) -> None:
    keyspace = cql.place().keyspace
    simple = model(cql, "Simple")
    simple.create(id=1, small=1)
    cql.session.execute(f"DROP TABLE {keyspace}.simple", timeout=60)
    cql.session.execute(
        f"CREATE TABLE {keyspace}.simple "
        "(id int PRIMARY KEY, n text, small bigint, required text, tags set<text>)",
        timeout=60,
    )
    try:
        simple.create(id=1, small=1)
        assert simple.get(id=1).small == 1
    finally:
        cql.session.execute(f"DROP TABLE {keyspace}.simple", timeout=60)
        cql.sync_table(simple)


def test_a_value_that_cannot_be_stored_names_its_column(cql: CQLAlchemy) -> None:
    simple = model(cql, "Simple")
    with pytest.raises(ValidationError) as caught:
        simple.create(id=1, small=1000)
    assert str(caught.value) == (
        "Simple.small takes a whole number from -2^7 to 2^7-1; this one is too large"
    )
    with pytest.raises(ValidationError) as caught:
        simple.create(id=2**40)
    assert str(caught.value) == (
        "Simple.id takes a whole number from -2^31 to 2^31-1; this one is too large"
    )
    with pytest.raises(ValidationError) as caught:
        simple.create(id=1, name="\ud800")
    assert str(caught.value) == ("Simple.n takes text; half of a surrogate pair is at position 0")
    with pytest.raises(ValidationError) as caught:
        simple.create(id=1, nothing=2)
    assert str(caught.value) == (
        "Simple has no column nothing; its columns are id, name, small, required, tags."
    )
    assert simple.objects.count() == 0


def test_none_is_null_and_left_out_is_unset(cql: CQLAlchemy) -> None:
    simple = model(cql, "Simple")
    simple.create(id=1, name="kept", small=1)
    simple.create(id=1, small=None)
    row = simple.get(id=1)
    assert (row.name, row.small) == ("kept", None)


def test_an_untouched_instance_is_never_written(cql: CQLAlchemy) -> None:
    simple = model(cql, "Simple")
    simple.create(id=1, name="x", tags={"a"})
    row = simple.get(id=1)
    assert row.tags == {"a"}
    requests: list[object] = []
    connection = cql.place().connection
    connection.add_listener(requests.append)
    row.save()
    row.update(name="x")
    connection.remove_listener(requests.append)
    assert requests == []


def test_instances_do_not_share_collections(cql: CQLAlchemy) -> None:
    simple = model(cql, "Simple")
    made = simple.create(id=1, tags={"a"})
    made.tags.add("mine")
    assert simple.get(id=1).tags == {"a"}
    assert made.get_changed_columns() == ["tags"]


def test_first_and_get_ask_for_no_more_than_they_need(cql: CQLAlchemy) -> None:
    simple = model(cql, "Simple")
    for number in range(5):
        simple.create(id=number)
    texts: list[str] = []

    def listen(future: ResponseFuture) -> None:
        if isinstance(future.query, BoundStatement):
            texts.append(future.query.prepared_statement.query_string)

    connection = cql.place().connection
    connection.add_listener(listen)
    simple.objects.first()
    simple.objects.exists()
    connection.remove_listener(listen)
    assert [text.rpartition(" ")[0][-5:] for text in texts] == ["LIMIT", "LIMIT"]


def test_one_exists_and_the_404s(cql: CQLAlchemy, app: Flask) -> None:
    simple = model(cql, "Simple")
    simple.create(id=1)
    assert simple.objects(id=1).one().id == 1
    assert simple.objects(id=1).exists()
    assert not simple.objects(id=2).exists()
    assert cql.get_or_404(simple, id=1).id == 1
    with pytest.raises(NotFound):
        cql.get_or_404(simple, id=2)
    with pytest.raises(NotFound):
        simple.objects(id=2).first_or_404()
    with pytest.raises(simple.DoesNotExist):
        simple.objects(id=2).one()


def test_rows_are_dictionaries_by_the_names_in_cql(cql: CQLAlchemy) -> None:
    simple = model(cql, "Simple")
    simple.create(id=1, name="x")
    (row,) = simple.objects(id=1).rows()
    assert row == {"id": 1, "n": "x", "small": None, "required": "yes", "tags": None}


def test_iter_streams_every_row_page_by_page(cql: CQLAlchemy) -> None:
    simple = model(cql, "Simple")
    for number in range(25):
        simple.create(id=number)
    pages: list[object] = []
    connection = cql.place().connection
    connection.add_listener(pages.append)
    stream = simple.objects.iter(fetch_size=10)
    found = {row.id for row in stream}
    connection.remove_listener(pages.append)
    assert found == set(range(25))
    assert {row.id for row in simple.objects.fetch_size(10)} == found


def test_what_cqlengine_gets_wrong_about_removing_is_right(pair: Pair) -> None:
    event = pair.kit
    at(event).update(title=None)
    assert at(event).first().title is None
    at(event).first().update(scores={"other": 2})
    assert at(event).first().scores == {"other": 2}
    row = at(event).first()
    del row.scores["other"]
    row.save()
    assert at(event).first().scores == {}


def test_a_counter_is_only_ever_added_to(cql: CQLAlchemy) -> None:
    visits = model(cql, "Visits")
    visits(page="x").update(count=2)
    visits.objects(page="x").update(count=3)
    assert visits.get(page="x").count == 5


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, through_pickle])
@pytest.mark.parametrize("touched", [False, True], ids=["as read", "changed"])
def test_a_copy_is_an_instance_of_its_own(
    kept: Any, again: Callable[[Any], Any], touched: bool
) -> None:
    kept.create(id=1, name="x", tags={"a"})
    row = kept.get(id=1)
    assert row.tags == {"a"}
    if touched:
        row.name = "y"
    other = again(row)
    assert other == row
    other.tags.add("b")
    assert row.tags == {"a"}
    other.save()
    saved = kept.get(id=1)
    assert (saved.name, saved.tags) == ("y" if touched else "x", {"a", "b"})


def test_a_query_set_may_be_shared_by_threads(cql: CQLAlchemy, app: Flask) -> None:
    simple = model(cql, "Simple")
    for number in range(10):
        simple.create(id=number, name=str(number))
    everything = simple.objects

    def read(number: int) -> bool:
        with app.app_context():
            return all(everything.filter(id=number).get().name == str(number) for _ in range(20))

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(read, range(10)))

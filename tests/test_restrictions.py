"""What a table cannot be asked: one sentence, with the ways out, whoever refuses the query."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from cassandra import InvalidRequest
from cassandra.cqlengine.functions import Token
from cassandra.cqlengine.query import QueryException

from flask_cqlalchemy import CQLAlchemy

from .cql_helpers import model, module_fixtures, sent

UID = uuid.UUID(int=1, version=4)


def define(db: CQLAlchemy) -> CQLAlchemy:
    class Message(db.Model):
        room = db.columns.Text(partition_key=True)
        day = db.columns.Integer(partition_key=True)
        at = db.columns.Integer(primary_key=True)
        seat = db.columns.Integer(primary_key=True, clustering_order="DESC")
        topic = db.columns.Text(static=True)
        author = db.columns.Text(db_field="written_by")
        likes = db.columns.Integer()
        uid = db.columns.UUID(index=True)
        tags = db.columns.Set(db.columns.Text)
        words = db.columns.Set(db.columns.Text, index=True)
        links = db.columns.Map(db.columns.Text, db.columns.Text)

    class Indexed(db.Model):
        """A table with indexes that the model does not make."""

        room = db.columns.Text(partition_key=True)
        day = db.columns.Integer(partition_key=True)
        at = db.columns.Integer(primary_key=True)
        author = db.columns.Text(custom_index=True)
        likes = db.columns.Integer(custom_index=True)

    class Simple(db.Model):
        id = db.columns.Integer(primary_key=True)
        name = db.columns.Text()

    return db


cassandra_config, database, app = module_fixtures(
    define, CASSANDRA_GUARDRAILS="off", SECRET_KEY="of the tests"
)


@pytest.fixture
def message(cql: CQLAlchemy) -> Any:
    found = model(cql, "Message")
    for number in range(3):
        found.create(
            room="big",
            day=1,
            at=number,
            seat=number,
            topic="t",
            author="ann",
            likes=number,
            uid=UID,
            tags={"a"},
            words={"w"},
            links={"k": "v"},
        )
    return found


CAN = (
    "its table is read by the partition key (room, day), then by at, seat, or by the index of uid "
    "or words"
)
TABLE = "call allow_filtering(), which reads every row of the table."
PARTITION = "call allow_filtering(), which reads every row of the partition."

#: Queries that a table refuses: what is asked, and what is said.
REFUSED: dict[str, tuple[Callable[[Any], Any], str]] = {
    "no key": (
        lambda m: m.objects(author="ann"),
        f"Message cannot be asked for author alone: {CAN}. Filter by these, give author an index, "
        f"make a table for this question, or {TABLE}",
    ),
    "no key, two columns": (
        lambda m: m.objects(author="ann", likes=1),
        f"Message cannot be asked for author, likes alone: {CAN}. Filter by these, give one of "
        f"them an index, make a table for this question, or {TABLE}",
    ),
    "a range without a key": (
        lambda m: m.objects(likes__gt=1),
        f"Message cannot be asked for likes alone: {CAN}. Filter by these, give likes an index, "
        f"make a table for this question, or {TABLE}",
    ),
    "a static column": (
        lambda m: m.objects(topic="t"),
        f"Message cannot be asked for topic alone: {CAN}. Filter by these, give topic an index, "
        f"make a table for this question, or {TABLE}",
    ),
    "contains without an index": (
        lambda m: m.objects(tags__contains="a"),
        f"Message cannot be asked for tags alone: {CAN}. Filter by these, give tags an index, "
        f"make a table for this question, or {TABLE}",
    ),
    "a part of the partition key": (
        lambda m: m.objects(room="big"),
        "Message cannot be asked for room without day: a partition is found by its whole key; "
        f"{CAN}. Filter by day too, make a table that has room as its partition key, or {TABLE}",
    ),
    "the other part": (
        lambda m: m.objects(day=1, at=1),
        "Message cannot be asked for day without room: a partition is found by its whole key; "
        f"{CAN}. Filter by room too, make a table that has day as its partition key, or {TABLE}",
    ),
    "a range of the partition key": (
        lambda m: m.objects(room="big", day__gt=1),
        "Message cannot be asked for a range of day: partitions are not in the order of the "
        "partition key (room, day), which takes = or __in. Give these, ask for a range of tokens "
        "(pk__token__gt=Token(...)), make a table that has day as a clustering key, or "
        f"{TABLE}",
    ),
    "a clustering key alone": (
        lambda m: m.objects(at=1),
        "Message cannot be asked for at without room, day: rows are in order inside a partition "
        f"only; {CAN}. Filter by room, day too, give at an index, make a table for this question, "
        f"or {TABLE}",
    ),
    "a clustering key skipped": (
        lambda m: m.objects(room="big", day=1, seat=1),
        "Message cannot be asked for seat without at: the clustering key (at, seat) is filtered "
        "from its beginning. Filter by at too, give seat an index, make a table for this "
        f"question, or {PARTITION}",
    ),
    "a range before an equality": (
        lambda m: m.objects(room="big", day=1, at__gt=1, seat=1),
        "Message cannot be asked for seat beside a range of at: of the clustering key (at, seat), "
        "only the last column with a filter may have a range. Give at= or at__in, give seat an "
        f"index, make a table for this question, or {PARTITION}",
    ),
    "a column inside a partition": (
        lambda m: m.objects(room="big", day=1, author="ann"),
        f"Message cannot be asked for author inside a partition: {CAN}. Filter by these alone, "
        f"give author an index, make a table for this question, or {PARTITION}",
    ),
    "a column beside an index": (
        lambda m: m.objects(uid=UID, author="ann"),
        f"Message cannot be asked for author: {CAN}. Filter by these alone, give author an index, "
        f"make a table for this question, or {TABLE}",
    ),
    "a range of an index": (
        lambda m: m.objects(room="big", day=1, uid__gt=UID),
        "Message cannot be asked for a range of uid: its index finds equal values only. Make a "
        f"table that has uid as a clustering key, or {PARTITION}",
    ),
    "IN of an index": (
        lambda m: m.objects(uid__in=[UID]),
        "Message cannot be asked for uid__in: IN is for the primary key (room, day, at, seat). Ask "
        f"for each value by itself, make a table for this question, or {TABLE}",
    ),
    "IN of a column": (
        lambda m: m.objects(room="big", day=1, author__in=["ann"]),
        "Message cannot be asked for author__in: IN is for the primary key (room, day, at, seat). "
        f"Ask for each value by itself, make a table for this question, or {PARTITION}",
    ),
    "not equal": (
        lambda m: m.objects(room="big", day=1, author__ne="ann").allow_filtering(),
        "Message cannot be asked for author__ne: Cassandra has no condition for what is not "
        "equal. Leave those rows out in Python, or ask for the ranges below and above, if the key "
        "has them.",
    ),
    "like": (
        lambda m: m.objects(room="big", day=1, author__like="a%"),
        "Message cannot be asked for author__like: LIKE needs an index for it (SASI), made in CQL "
        "and declared with custom_index=True.",
    ),
    "contains of a text": (
        lambda m: m.objects(room="big", day=1, author__contains="a").allow_filtering(),
        "Message cannot be asked for author__contains: author is a text, and only sets, lists and "
        "maps contain values.",
    ),
    "equality of a set": (
        lambda m: m.objects(room="big", day=1, tags={"a"}).allow_filtering(),
        "Message cannot be asked for tags as a whole: tags is a set<text>. Ask with "
        "tags__contains for one of its values.",
    ),
    "two conditions on a column": (
        lambda m: m.objects(room="big", day=1, at=1).filter(at=2),
        "Message cannot be asked for at twice: beside = or __in no other condition on at may "
        "stand. Leave one.",
    ),
    "an order without a partition": (
        lambda m: m.objects.order_by("at"),
        "Message cannot be ordered without room, day: rows are in order inside a partition only. "
        "Filter by the whole partition key, or sort the rows in Python.",
    ),
    "an order of a range of tokens": (
        lambda m: m.objects(pk__token__gt=Token("a", 1)).order_by("at"),
        "Message cannot be ordered without room, day: rows are in order inside a partition only. "
        "Filter by the whole partition key, or sort the rows in Python.",
    ),
    "an order of an index": (
        lambda m: m.objects(room="big", day=1, uid=UID).order_by("at"),
        "Message cannot be ordered when it is asked for uid: an index has no order. Sort the rows "
        "in Python, or make a table for this question.",
    ),
    "an order that skips a column": (
        lambda m: m.objects(room="big", day=1).order_by("seat"),
        "Message cannot be ordered by seat ASC: order_by() takes the clustering key (at, seat) "
        "from its beginning, each column as the table has it or each reversed.",
    ),
    "an order half reversed": (
        lambda m: m.objects(room="big", day=1).order_by("at", "seat"),
        "Message cannot be ordered by at ASC, seat ASC: order_by() takes the clustering key (at, "
        "seat) from its beginning, each column as the table has it or each reversed.",
    ),
    "an order by a column": (
        lambda m: m.objects(room="big", day=1).order_by("author"),
        "Message cannot be ordered by author, which does not cluster. order_by() takes the "
        "clustering key (at, seat), as the table has it or reversed; sort the rows in Python, or "
        "make a table that has author as a clustering key.",
    ),
    "an order by the partition key": (
        lambda m: m.objects(room="big", day=1).order_by("-room"),
        "Message cannot be ordered by room, which is of the partition key: partitions are in the "
        "order of their tokens. order_by() takes the clustering key (at, seat), as the table has "
        "it or reversed; sort the rows in Python, or make a table that has room as a clustering "
        "key.",
    ),
    "distinct values of a clustering key": (
        lambda m: m.objects.distinct(["room", "day", "at"]),
        "Message cannot be asked for distinct room, day, at: distinct() takes the whole partition "
        "key (room, day), and static columns.",
    ),
    "distinct values of a part of the key": (
        lambda m: m.objects.distinct("room"),
        "Message cannot be asked for distinct room: distinct() takes the whole partition key "
        "(room, day), and static columns.",
    ),
    "distinct with a clustering filter": (
        lambda m: m.objects(room="big", day=1, at=1).distinct(),
        "Message cannot be asked for distinct rows by at: distinct() goes with filters by the "
        "partition key (room, day).",
    ),
}


@pytest.mark.parametrize(("ask", "said"), REFUSED.values(), ids=REFUSED)
def test_a_query_that_the_table_is_not_made_for_is_answered(
    message: Any, ask: Callable[[Any], Any], said: str
) -> None:
    with pytest.raises(QueryException) as caught:
        list(ask(message))
    assert str(caught.value) == said


#: Ways to read that meet the same refusal.
READS: dict[str, Callable[[Any], Any]] = {
    "list": list,
    "bool": bool,
    "index": lambda query: query[0],
    "first": lambda query: query.first(),
    "get": lambda query: query.get(),
    "exists": lambda query: query.exists(),
    "count": lambda query: query.count(),
    "count with a limit": lambda query: query.limit(2).count(),
    "iter": lambda query: list(query.iter()),
    "rows": lambda query: query.rows(),
    "to_json": lambda query: query.to_json(),
    "paginate": lambda query: query.paginate(),
    "values_list": lambda query: list(query.values_list("author")),
    "get_or_404": lambda query: query.get_or_404(),
    "first_or_404": lambda query: query.first_or_404(),
}


@pytest.mark.parametrize(
    "name", ["no key", "a part of the partition key", "a clustering key skipped"]
)
@pytest.mark.parametrize("read", READS.values(), ids=READS)
def test_every_way_to_read_says_it(message: Any, name: str, read: Callable[[Any], Any]) -> None:
    ask, said = REFUSED[name]
    with pytest.raises(QueryException) as caught:
        read(ask(message))
    assert str(caught.value) == said


def test_what_cassandra_refuses_is_its_own_error_too(message: Any) -> None:
    with pytest.raises(InvalidRequest) as caught:
        list(message.objects(room="big"))
    assert isinstance(caught.value, QueryException)
    assert isinstance(caught.value.__cause__, InvalidRequest)


def test_what_cqlengine_refuses_is_not_sent(message: Any, cql: CQLAlchemy) -> None:
    with sent(cql) as statements, pytest.raises(QueryException):
        list(message.objects(author="ann"))
    assert statements == []


def test_a_table_without_a_clustering_key_has_no_order(cql: CQLAlchemy) -> None:
    simple = model(cql, "Simple")
    with pytest.raises(QueryException) as caught:
        simple.objects(id=1).order_by("name")
    assert str(caught.value) == (
        "Simple cannot be ordered by name, which does not cluster. A partition has one row; sort "
        "the rows in Python, or make a table that has name as a clustering key."
    )


def test_a_refusal_that_is_not_of_the_question_is_cassandras_own(
    message: Any, cql: CQLAlchemy
) -> None:
    cql.session.execute(f"ALTER TABLE {cql.place().keyspace}.message DROP likes", timeout=60)
    try:
        with pytest.raises(InvalidRequest, match="likes") as caught:
            list(message.objects(room="big", day=2).only(["likes"]).fetch_size(77))
        assert not isinstance(caught.value, QueryException)
    finally:
        cql.session.execute(f"ALTER TABLE {cql.place().keyspace}.message ADD likes int", timeout=60)


#: Queries that Cassandra answers, and how many rows they give.
ANSWERED: dict[str, tuple[int, Callable[[Any], Any]]] = {
    "everything": (3, lambda m: m.objects),
    "a partition": (3, lambda m: m.objects(room="big", day=1)),
    "IN of a part of the key": (3, lambda m: m.objects(room__in=["big", "small"], day=1)),
    "IN of the whole key": (3, lambda m: m.objects(room__in=["big"], day__in=[1, 2])),
    "a clustering key": (1, lambda m: m.objects(room="big", day=1, at=1)),
    "a range": (2, lambda m: m.objects(room="big", day=1, at__gt=0)),
    "two bounds": (1, lambda m: m.objects(room="big", day=1, at__gt=0, at__lt=2)),
    "an equality and a range": (1, lambda m: m.objects(room="big", day=1, at=1, seat__gte=1)),
    "IN of a clustering key": (2, lambda m: m.objects(room="big", day=1, at__in=[0, 1])),
    "IN and an equality": (1, lambda m: m.objects(room="big", day=1, at__in=[0, 1], seat=1)),
    "IN and a range": (1, lambda m: m.objects(room="big", day=1, at__in=[0, 1], seat__gt=0)),
    "tokens": (
        3,
        lambda m: m.objects(pk__token__lte=Token("big", 1), pk__token__gte=Token("big", 1)),
    ),
    "an index": (3, lambda m: m.objects(uid=UID)),
    "an index in a partition": (3, lambda m: m.objects(room="big", day=1, uid=UID)),
    "an index and a clustering key": (1, lambda m: m.objects(room="big", day=1, at=1, uid=UID)),
    "an index of a collection": (3, lambda m: m.objects(words__contains="w")),
    "a reversed order": (3, lambda m: m.objects(room="big", day=1).order_by("-at", "seat")),
    "the table's order": (3, lambda m: m.objects(room="big", day=1).order_by("at", "-seat")),
    "a part of the order": (3, lambda m: m.objects(room="big", day=1).order_by("at")),
    "an order of several partitions": (
        3,
        lambda m: m.objects(room__in=["big"], day__in=[1, 2]).order_by("-at"),
    ),
    "distinct keys": (1, lambda m: m.objects.distinct()),
    "distinct static values": (1, lambda m: m.objects.distinct(["room", "day", "topic"])),
    "distinct keys of a partition": (1, lambda m: m.objects(room="big", day=1).distinct()),
    "filtering": (3, lambda m: m.objects(author="ann").allow_filtering()),
    "filtering in a partition": (
        1,
        lambda m: m.objects(room="big", day=1, likes=1).allow_filtering(),
    ),
    "filtering by a part of the key": (3, lambda m: m.objects(room="big").allow_filtering()),
    "filtering by a range of the key": (3, lambda m: m.objects(day__gt=0).allow_filtering()),
    "filtering beside a range": (
        1,
        lambda m: m.objects(room="big", day=1, at__gt=0, seat=1).allow_filtering(),
    ),
    "filtering by a static column": (3, lambda m: m.objects(topic="t").allow_filtering()),
    "filtering by contains": (3, lambda m: m.objects(links__contains="v").allow_filtering()),
    "filtering by IN": (3, lambda m: m.objects(author__in=["ann"]).allow_filtering()),
    "filtering by a key of a map": (
        3,
        lambda m: m.objects(links__contains_key="k").allow_filtering(),
    ),
    "filtering by an index": (3, lambda m: m.objects(uid=UID, author="ann").allow_filtering()),
}


@pytest.mark.parametrize(("rows", "ask"), ANSWERED.values(), ids=ANSWERED)
def test_a_query_that_cassandra_answers_is_answered(
    message: Any, rows: int, ask: Callable[[Any], Any]
) -> None:
    assert len(ask(message)) == ask(message).count() == rows


#: Queries that an index of the kind that Cassandra 5 recommends answers (SAI).
ANSWERED_BY_SAI: dict[str, tuple[int, Callable[[Any], Any]]] = {
    "a range": (2, lambda m: m.objects(likes__gte=1)),
    "a range in a partition": (1, lambda m: m.objects(room="big", day=1, likes__gt=1)),
    "a range and an equality": (2, lambda m: m.objects(likes__gte=1, author="ann")),
}


@pytest.fixture
def indexed(cql: CQLAlchemy) -> Any:
    """Three rows of a table with two SAI indexes."""
    found = model(cql, "Indexed")
    for column in ("author", "likes"):
        cql.session.execute(
            f"CREATE INDEX IF NOT EXISTS ON {cql.place().keyspace}.indexed ({column}) USING 'sai'",
            timeout=60,
        )
    for number in range(3):
        found.create(room="big", day=1, at=number, author="ann", likes=number)
    return found


@pytest.mark.parametrize(("rows", "ask"), ANSWERED_BY_SAI.values(), ids=ANSWERED_BY_SAI)
def test_a_query_that_an_index_made_in_cql_answers_is_answered(
    indexed: Any, rows: int, ask: Callable[[Any], Any]
) -> None:
    assert len(ask(indexed)) == rows

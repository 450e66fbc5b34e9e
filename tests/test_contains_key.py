"""``contains_key``: filters that ask for a key of a map."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from cassandra import util
from cassandra.cqlengine import CQLEngineException, ValidationError
from cassandra.cqlengine.models import Model as StockModel
from cassandra.cqlengine.operators import QueryOperatorException
from cassandra.cqlengine.query import QueryException

from flask_cqlalchemy import CQLAlchemy, columns

from .cql_helpers import model, module_fixtures, sent, text_of

#: A type of keys, a key of it, and one of another type; beside the name of the map's column.
KEYS: dict[str, tuple[Any, Any, Any]] = {
    "by_text": (columns.Text, "k", 5),
    "by_int": (columns.Integer, 7, "k"),
    "by_uuid": (columns.UUID, UUID(int=7), "k"),
    "by_date": (columns.Date, util.Date("2026-11-28"), "k"),
    "by_time": (columns.DateTime, datetime.datetime(2026, 11, 28), "k"),
    "by_decimal": (columns.Decimal, Decimal("1.5"), "k"),
    "by_flag": (columns.Boolean, True, None),
}


def define(db: CQLAlchemy) -> CQLAlchemy:
    class Thing(db.Model):
        shelf = db.columns.Text(primary_key=True)
        id = db.columns.Integer(primary_key=True)
        attrs = db.columns.Map(db.columns.Text, db.columns.Text, db_field="attributes")
        tags = db.columns.Set(db.columns.Text)
        notes = db.columns.List(db.columns.Text)
        title = db.columns.Text()

    class Keyed(db.Model):
        id = db.columns.Integer(primary_key=True)
        for _name, (_type, _, _) in KEYS.items():
            locals()[_name] = db.columns.Map(_type, db.columns.Integer)

    class Found(db.Model):
        id = db.columns.Integer(primary_key=True)
        attrs = db.columns.Map(db.columns.Text, db.columns.Text, custom_index=True)

    return db


cassandra_config, database, app = module_fixtures(
    define, CASSANDRA_GUARDRAILS="off", SECRET_KEY="signs the cursors"
)


@pytest.fixture
def things(cql: CQLAlchemy) -> Any:
    thing = model(cql, "Thing")
    thing.create(shelf="s", id=1, attrs={"colour": "red"})
    thing.create(shelf="s", id=2, attrs={"size": "colour"})
    thing.create(shelf="s", id=3, attrs={"colour": "blue", "size": "xl"})
    return thing


def ids(query: Any) -> list[int]:
    return [each.id for each in query]


def test_rows_are_found_by_a_key_of_a_map(things: Any) -> None:
    query = things.objects(shelf="s").allow_filtering()
    assert ids(query.filter(attrs__contains_key="colour")) == [1, 3]
    assert ids(query.filter(attrs__contains_key="colour", attrs__contains="xl")) == [3]
    assert ids(query.filter(attrs__contains_key="size").filter(attrs__contains_key="colour")) == [3]
    assert ids(query.filter(attrs__contains_key="red")) == []


def test_the_statement_is_made_once_and_the_key_is_bound(cql: CQLAlchemy, things: Any) -> None:
    with sent(cql) as statements:
        for key in ("colour", "size"):
            list(things.objects(shelf="s", attrs__contains_key=key).allow_filtering())
    texts = {text_of(each) for each in statements}
    (text,) = texts
    assert '"attributes" CONTAINS KEY ?' in text
    assert len(statements) == 2


@pytest.mark.parametrize("name", KEYS)
def test_a_key_may_be_of_any_type(cql: CQLAlchemy, name: str) -> None:
    keyed, key = model(cql, "Keyed"), KEYS[name][1]
    keyed.create(id=1, **{name: {key: 1}})
    keyed.create(id=2)
    assert ids(keyed.objects(**{f"{name}__contains_key": key}).allow_filtering()) == [1]


@pytest.mark.parametrize("name", [name for name in KEYS if KEYS[name][2] is not None])
def test_a_key_of_another_type_is_refused_by_name(cql: CQLAlchemy, name: str) -> None:
    with pytest.raises(ValidationError, match=name):
        list(
            model(cql, "Keyed")
            .objects(**{f"{name}__contains_key": KEYS[name][2]})
            .allow_filtering()
        )


@pytest.mark.parametrize(
    ("column", "kind"),
    [("tags", "set<text>"), ("notes", "list<text>"), ("title", "text"), ("id", "int")],
)
def test_a_column_that_is_no_map_has_no_keys(database: CQLAlchemy, column: str, kind: str) -> None:
    with pytest.raises(QueryException) as caught:
        model(database, "Thing").objects(**{f"{column}__contains_key": "x"})
    assert str(caught.value) == (
        f"Thing.{column} is of type {kind}, and contains_key asks for a key of a map. What a list "
        "or a set has is asked with contains."
    )


def test_none_is_refused(database: CQLAlchemy) -> None:
    with pytest.raises(CQLEngineException, match="Thing: attrs__contains_key=None is not a filter"):
        model(database, "Thing").objects(attrs__contains_key=None)


def test_it_works_with_pages_json_and_counts(cql: CQLAlchemy, things: Any) -> None:
    query = things.objects(shelf="s", attrs__contains_key="colour").allow_filtering()
    assert query.count() == 2
    assert [row["id"] for row in query.rows()] == [1, 3]
    assert query.to_json().count(b'"id"') == 2
    page = query.paginate(per_page=1)
    assert ids(page) == [1]
    assert ids(query.paginate(per_page=1, cursor=page.next)) == [3]


def test_a_cursor_is_of_one_key(cql: CQLAlchemy, things: Any) -> None:
    from flask_cqlalchemy import InvalidCursor

    query = things.objects(shelf="s").allow_filtering()
    page = query.filter(attrs__contains_key="colour").paginate(per_page=1)
    with pytest.raises(InvalidCursor):
        query.filter(attrs__contains_key="size").paginate(per_page=1, cursor=page.next)


def test_an_index_on_the_keys_needs_no_filtering(cql: CQLAlchemy) -> None:
    found = model(cql, "Found")
    cql.execute("CREATE INDEX IF NOT EXISTS found_keys ON found (KEYS(attrs))")
    found.create(id=1, attrs={"colour": "red"})
    found.create(id=2, attrs={"size": "xl"})
    assert ids(found.objects(attrs__contains_key="colour")) == [1]


def test_cqlengine_s_own_models_do_not_know_it() -> None:
    class Stock(StockModel):
        id = columns.Integer(primary_key=True)
        attrs = columns.Map(columns.Text, columns.Text)

    with pytest.raises(QueryOperatorException):
        Stock.objects(attrs__contains_key="x")

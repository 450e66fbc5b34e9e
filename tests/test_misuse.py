"""What a program may get wrong, or a visitor try: an error that names its place, or a value."""

from __future__ import annotations

import datetime
import decimal
import math
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from cassandra import InvalidRequest
from cassandra.cqlengine import CQLEngineException, ValidationError
from cassandra.cqlengine.models import ModelDefinitionException
from cassandra.cqlengine.operators import QueryOperatorException
from cassandra.cqlengine.query import QueryException

from flask_cqlalchemy import BulkError, CQLAlchemy, SchemaError

from .cql_helpers import model, module_fixtures, sent
from .every_type import columns_of_every_type


def define(db: CQLAlchemy) -> CQLAlchemy:
    c = db.columns

    class Place(db.UserType):
        street = c.Text()
        number = c.Integer()

    body = {"id": c.Integer(primary_key=True), **columns_of_every_type(Place)}
    type(db.Model)("Every", (db.Model,), body)

    class Visits(db.Model):
        page = c.Text(primary_key=True)
        c_counter = c.Counter()

    class Post(db.Model):
        blog = c.Text(partition_key=True)
        id = c.Integer(primary_key=True)
        title = c.Text()
        tags = c.Set(c.Text)

    return db


cassandra_config, database, app = module_fixtures(define, CASSANDRA_GUARDRAILS="off")


# Values

OBJECT = object()

WRONG: dict[str, list[Any]] = {
    "c_ascii": [5, b"x", "é", ["a"], OBJECT],
    "c_bigint": ["x", 2**63, -(2**63) - 1, math.inf, math.nan, [1], OBJECT],
    "c_blob": ["text", 5, [1], OBJECT],
    "c_date": ["tomorrow", "2020-13-45", [1], OBJECT],
    "c_datetime": ["2020-01-01", 1e30, math.inf, [1], OBJECT],
    "c_decimal": ["x", [1], "", math.inf, math.nan, decimal.Decimal("sNaN"), OBJECT],
    "c_double": ["x", "", [1], 10**400, OBJECT],
    "c_duration": ["1d", 5, datetime.timedelta(1), OBJECT],
    "c_float": ["x", 1e300, -1e39, [1], OBJECT],
    "c_inet": ["300.1.1.1", "localhost", 5, b"x", [1], OBJECT],
    "c_integer": ["x", "", 2**31, -(2**31) - 1, math.inf, math.nan, [1], OBJECT],
    "c_list": [5, ["x"], [None], [2**31], [math.inf], {"a": 1}, OBJECT],
    "c_map": [5, [1], "text", {"a": "x"}, {None: 1}, {5: 1}, {"a": 2**31}, OBJECT],
    "c_set": [5, {5}, {None}, [[1]], {b"x"}, OBJECT],
    "c_smallint": ["x", 2**15, -(2**15) - 1, math.inf, OBJECT],
    "c_text": [5, b"x", ["a"], "\ud800", OBJECT],
    "c_time": ["noon", "25:00:00", 86_400_000_000_000, [1], OBJECT],
    "c_timeuuid": ["x", 5, b"x" * 16, uuid.UUID(int=5, version=4), OBJECT],
    "c_tinyint": ["x", 128, -129, math.nan, OBJECT],
    "c_tuple": [5, ("x", "y"), (1, 2), (2**31, "x"), OBJECT],
    "c_uuid": ["x", 5, b"x" * 16, OBJECT],
    "c_varint": ["x", math.inf, math.nan, [1], OBJECT],
    "c_udt": [5, "text", {"street": 5}, {"streat": "x"}, [1], OBJECT],
}


def label(value: Any) -> str:
    return "object" if value is OBJECT else repr(value)[:30]


def create(cql: CQLAlchemy, name: str, value: Any) -> None:
    model(cql, "Every").create(id=1, **{name: value})


def save(cql: CQLAlchemy, name: str, value: Any) -> None:
    model(cql, "Every")(id=1, **{name: value}).save()


def update(cql: CQLAlchemy, name: str, value: Any) -> None:
    model(cql, "Every").get(id=9).update(**{name: value})


def assign(cql: CQLAlchemy, name: str, value: Any) -> None:
    row = model(cql, "Every").get(id=9)
    setattr(row, name, value)
    row.save()


def update_rows(cql: CQLAlchemy, name: str, value: Any) -> None:
    model(cql, "Every").objects(id=9).update(**{name: value})


def bulk_create(cql: CQLAlchemy, name: str, value: Any) -> None:
    with pytest.raises(BulkError) as caught:
        cql.bulk_create(model(cql, "Every"), [{"id": 1, name: value}])
    raise caught.value.result.failures[0].error


def bulk_update(cql: CQLAlchemy, name: str, value: Any) -> None:
    with pytest.raises(BulkError) as caught:
        cql.bulk_update(model(cql, "Every"), [{"id": 9, name: value}])
    raise caught.value.result.failures[0].error


def in_batch(cql: CQLAlchemy, name: str, value: Any) -> None:
    with cql.batch() as batch:
        model(cql, "Every").batch(batch).create(id=1, **{name: value})


WAYS: list[Callable[[CQLAlchemy, str, Any], None]] = [
    create,
    save,
    update,
    assign,
    update_rows,
    bulk_create,
    bulk_update,
    in_batch,
]


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.__name__)
@pytest.mark.parametrize("name", WRONG)
def test_a_value_that_cannot_be_stored_is_an_error_and_leaves_no_trace(
    cql: CQLAlchemy, way: Callable[[CQLAlchemy, str, Any], None], name: str
) -> None:
    every = model(cql, "Every")
    every.create(id=9)
    for value in WRONG[name]:
        with pytest.raises(Exception) as caught:  # noqa: PT011 - the next test has the kinds
            way(cql, name, value)
        assert "was not raised" not in str(caught.value), label(value)
    (row,) = every.all()
    assert (row.id, getattr(row, name)) == (9, getattr(every(id=9), name))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        pytest.param(
            name,
            value,
            id=f"{name} {label(value)}",
        )
        for name, values in WRONG.items()
        for value in values
    ],
)
def test_a_value_that_cannot_be_stored_is_a_validation_error_that_names_its_column(
    cql: CQLAlchemy, name: str, value: Any
) -> None:
    with pytest.raises(ValidationError, match=name):
        create(cql, name, value)
    with pytest.raises(BulkError, match=name) as caught:
        cql.bulk_create(model(cql, "Every"), [{"id": 1, name: value}])
    assert isinstance(caught.value.result.failures[0].error, ValidationError)


@pytest.mark.parametrize(
    ("name", "value"),
    [("c_map", {"a": None}), ("c_time", -1), ("c_tuple", (1, "x", 3))],
    ids=["None in a map", "a time before midnight", "a tuple that is too long"],
)
@pytest.mark.parametrize("way", [create, save, bulk_create, bulk_update, in_batch])
def test_nothing_else_is_stored_than_was_given(
    cql: CQLAlchemy, way: Callable[[CQLAlchemy, str, Any], None], name: str, value: Any
) -> None:
    every = model(cql, "Every")
    every.create(id=9)
    with pytest.raises((ValidationError, ValueError, TypeError)):
        way(cql, name, value)
    assert [row.id for row in every.all()] == [9]


SCALARS = sorted(set(WRONG) - {"c_list", "c_map", "c_set", "c_tuple", "c_udt", "c_duration"})


@pytest.mark.parametrize("name", SCALARS)
def test_a_filter_by_what_no_row_can_have_finds_nothing(cql: CQLAlchemy, name: str) -> None:
    every = model(cql, "Every")
    every.create(id=9)
    for value in WRONG[name]:
        try:
            found = list(every.objects(**{"id": 9, name: value}).allow_filtering())
        except Exception:
            continue
        assert found == [], label(value)


@pytest.mark.parametrize("value", ["x", 1.5j, [1], OBJECT], ids=label)
def test_a_counter_is_added_to_by_numbers_only(cql: CQLAlchemy, value: Any) -> None:
    visits = model(cql, "Visits")
    acts: list[Callable[[Any], Any]] = [
        lambda kind: kind(page="a").update(c_counter=value),
        lambda kind: kind.objects(page="a").update(c_counter=value),
    ]
    for act in acts:
        with pytest.raises(ValidationError, match="c_counter"):
            act(visits)
    with pytest.raises(BulkError, match="c_counter"):
        cql.bulk_update(visits, [{"page": "a", "c_counter": value}])
    assert list(visits.all()) == []


@pytest.mark.parametrize("value", [2**63, -(2**63) - 1])
def test_a_counter_has_sixty_four_bits(cql: CQLAlchemy, value: int) -> None:
    visits = model(cql, "Visits")
    with pytest.raises(ValidationError, match="c_counter"):
        visits.objects(page="a").update(c_counter=value)
    with pytest.raises(ValidationError, match="c_counter"):
        visits(page="a").update(c_counter=value)


# Columns and keys


@pytest.mark.parametrize(
    ("missing", "given"),
    [
        ("blog", "left out"),
        *(pytest.param(*case) for case in (("blog", "none"), ("id", "left out"), ("id", "none"))),
    ],
)
@pytest.mark.parametrize("way", ["create", "save", "batch"])
def test_a_row_without_its_whole_key_is_not_sent(
    cql: CQLAlchemy, missing: str, given: str, way: str
) -> None:
    post = model(cql, "Post")
    values: dict[str, Any] = {"blog": "b", "id": 1, "title": "x"}
    if given == "none":
        values[missing] = None
    else:
        del values[missing]
    with sent(cql) as statements, pytest.raises(ValidationError, match=missing):  # noqa: PT012
        if way == "create":
            post.create(**values)
        elif way == "save":
            post(**values).save()
        else:
            with cql.batch() as batch:
                post.batch(batch).create(**values)
    assert statements == []


UNKNOWN: dict[str, Callable[[Any], Any]] = {
    "create": lambda post: post.create(blog="b", id=1, nothing=1),
    "instance update": lambda post: post.create(blog="b", id=1).update(nothing=1),
    "query update": lambda post: post.objects(blog="b", id=1).update(nothing=1),
    "filter": lambda post: post.objects(nothing=1),
    "filter operator": lambda post: post.objects(nothing__gt=1),
    "get": lambda post: post.get(nothing=1),
    "order_by": lambda post: post.objects(blog="b").order_by("nothing"),
    "only": lambda post: post.objects.only(["nothing"]),
    "defer": lambda post: post.objects.defer(["nothing"]),
    "values_list": lambda post: list(post.objects.values_list("nothing")),
    "iff": lambda post: post.objects(blog="b", id=1).iff(nothing=1),
    "setitem": lambda post: post.create(blog="b", id=1).__setitem__("nothing", 1),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_unknown_column_is_an_error(cql: CQLAlchemy, name: str) -> None:
    with pytest.raises((CQLEngineException, KeyError, TypeError)):
        UNKNOWN[name](model(cql, "Post"))


# What a visitor may try

EVIL = 'id"; DROP TABLE post; --'
QUOTES = ["'", '"', "x' OR '1'='1", EVIL, "$$", "/*", "--", "%(0)s", "?", ":id", "\\", "\x00"]


@pytest.mark.parametrize("text", QUOTES)
def test_a_text_is_a_text_wherever_it_is_given(cql: CQLAlchemy, text: str) -> None:
    post = model(cql, "Post")
    post.create(blog=text, id=1, title=text, tags={text})
    assert post.objects(blog=text).count() == 1
    assert [row.title for row in post.objects(blog__in=[text, "other"])] == [text]
    found = post.objects(blog=text, tags__contains=text).allow_filtering()
    assert [row.tags for row in found] == [{text}]
    post.objects(blog=text, id=1).update(tags__add={text + "2"}, title=text + "3")
    post.get(blog=text, id=1).update(tags={text})
    post.objects(blog=text, id=1).iff(title=text + "3").update(title=text)
    (row,) = cql.get_many(post, [(text, 1)])
    assert (row.title, row.tags) == (text, {text})
    row.delete()
    assert post.objects(blog=text).count() == 0


NAMES: dict[str, Callable[[Any, str], Any]] = {
    "filter": lambda post, evil: list(post.objects(**{evil: 1})),
    "filter operator": lambda post, evil: list(post.objects(**{f"id__{evil}": 1})),
    "filter with a name": lambda post, evil: list(post.objects(**{f"{evil}__gt": 1})),
    "get": lambda post, evil: post.get(**{evil: 1}),
    "create": lambda post, evil: post.create(blog="b", id=2, **{evil: 1}),
    "update": lambda post, evil: post.objects(blog="b", id=1).update(**{evil: 1}),
    "instance update": lambda post, evil: post.get(blog="b", id=1).update(**{evil: 1}),
    "order_by": lambda post, evil: list(post.objects(blog="b").order_by(evil)),
    "order_by descending": lambda post, evil: list(post.objects(blog="b").order_by(f"-{evil}")),
    "only": lambda post, evil: list(post.objects(blog="b").only([evil])),
    "defer": lambda post, evil: list(post.objects(blog="b").defer([evil])),
    "values_list": lambda post, evil: list(post.objects(blog="b").values_list(evil)),
    "iff": lambda post, evil: post.objects(blog="b", id=1).iff(**{evil: 1}).update(title="x"),
    "limit": lambda post, evil: list(post.objects(blog="b").limit(evil)),
    "ttl": lambda post, evil: post.ttl(evil).create(blog="b", id=2),
    "ttl of rows": lambda post, evil: post.objects(blog="b", id=1).ttl(evil).update(title="x"),
    "timestamp": lambda post, evil: post.timestamp(evil).create(blog="b", id=2),
    "timestamp of rows": lambda post, evil: (
        post.objects(blog="b", id=1).timestamp(evil).update(title="x")
    ),
    "fetch_size": lambda post, evil: list(post.objects(blog="b").fetch_size(evil)),
    "keyspace": lambda post, evil: list(post.objects.using(keyspace=evil)),
}


@pytest.mark.parametrize(
    "evil", [EVIL, "id; DROP TABLE post", "10; DROP TABLE post", 'id" = 1 OR "id', "id' --"]
)
@pytest.mark.parametrize("name", NAMES)
def test_no_name_and_no_option_is_read_as_cql(cql: CQLAlchemy, name: str, evil: str) -> None:
    post = model(cql, "Post")
    post.create(blog="b", id=1, title="kept")
    with pytest.raises(
        (
            CQLEngineException,
            QueryOperatorException,
            InvalidRequest,
            TypeError,
            ValueError,
            AttributeError,
        )
    ):
        NAMES[name](post, evil)
    assert [(row.id, row.title) for row in post.objects(blog="b")] == [(1, "kept")]


@pytest.mark.parametrize("name", ["nothing", 'blog", "blog', 'blog" FROM system.local --'])
def test_distinct_takes_columns_only(cql: CQLAlchemy, name: str) -> None:
    with sent(cql) as statements, pytest.raises(QueryException):
        list(model(cql, "Post").objects.distinct([name]))
    assert statements == []


@pytest.mark.parametrize(
    "evil", ['x"; DROP KEYSPACE y; --', "x; DROP", 'a"b', "", " ", "a.b", "a b", "ä", "x" * 49, 5]
)
def test_a_keyspace_has_a_plain_name(cql: CQLAlchemy, evil: Any) -> None:
    with (
        sent(cql) as statements,
        pytest.raises(ValueError, match="A keyspace's name must be 1 to 48 letters"),
        cql.use_keyspace(evil),
    ):
        pass
    with pytest.raises(ValueError, match="A keyspace's name must be 1 to 48 letters"):
        cql.set_keyspace(evil)
    with pytest.raises(ValueError, match="A keyspace's name must be 1 to 48 letters"):
        cql.create_keyspace_simple(evil, 1)
    assert statements == []


def test_a_factor_of_replication_is_a_number(cql: CQLAlchemy) -> None:
    factor: Any = "1'}; DROP KEYSPACE x; --"
    with pytest.raises((SchemaError, ValueError, TypeError)):
        cql.create_keyspace_simple("test_never_made", factor)


def test_a_models_own_names_are_quoted(cql: CQLAlchemy) -> None:
    db = cql

    class Quoted(db.Model):
        __keyspace__ = 'test_"; DROP'
        id = db.columns.Integer(primary_key=True)

    try:
        assert Quoted.column_family_name() == '"test_""; DROP".quoted'
        with pytest.raises(InvalidRequest):
            list(Quoted.objects)
    finally:
        cql.registry.models.remove(Quoted)


def test_a_column_with_a_quote_in_its_name_is_refused(cql: CQLAlchemy) -> None:
    db = cql
    with pytest.raises(ModelDefinitionException) as caught:

        class Odd(db.Model):
            id = db.columns.Integer(primary_key=True)
            value = db.columns.Text(db_field='a"b')

    assert str(caught.value) == (
        "Odd.value: the name 'a\"b' has a quote, which cqlengine cannot write."
    )

"""What a filter is given: names, operators, values, and keys that no row can have."""

from __future__ import annotations

import datetime
import decimal
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cassandra import InvalidRequest
from cassandra.cqlengine import CQLEngineException, ValidationError
from cassandra.cqlengine.operators import QueryOperatorException
from cassandra.cqlengine.query import QueryException
from cassandra.util import SortedSet
from flask import Flask
from flask.testing import FlaskClient
from werkzeug.exceptions import NotFound

from flask_cqlalchemy import CQLAlchemy

from .cql_helpers import model, module_fixtures, sent

UIDS = [uuid.UUID(int=number, version=4) for number in range(4)]


def define(db: CQLAlchemy) -> CQLAlchemy:
    class Note(db.Model):
        id = db.columns.Integer(primary_key=True)
        at = db.columns.Integer(primary_key=True)
        title = db.columns.Text(db_field="t")
        zip__code = db.columns.Text()
        words = db.columns.Set(db.columns.Text, index=True)
        uids = db.columns.List(db.columns.UUID)
        days = db.columns.Map(db.columns.Text, db.columns.Date)

    class Uids(db.Model):
        id = db.columns.UUID(primary_key=True)

    class Key(db.Model):
        """A partition key of several types."""

        text = db.columns.Text(partition_key=True)
        day = db.columns.Date(partition_key=True)
        small = db.columns.SmallInt(partition_key=True)
        at = db.columns.TimeUUID(primary_key=True)
        number = db.columns.Integer(primary_key=True)
        value = db.columns.Integer()

    return db


cassandra_config, database, app = module_fixtures(
    define, CASSANDRA_GUARDRAILS="off", SECRET_KEY="of the tests"
)


@pytest.fixture
def note(cql: CQLAlchemy) -> Any:
    found = model(cql, "Note")
    for number in range(4):
        found.create(
            id=number,
            at=1,
            title=str(number),
            zip__code="0150",
            words={"w", str(number)},
            uids=[UIDS[number]],
            days={"d": datetime.date(2026, 1, number + 1)},
        )
    return found


# Names

#: What has a name that does not exist, and what is said.
UNKNOWN: dict[str, tuple[Callable[[Any], Any], str]] = {
    "filter": (lambda n: n.objects(titel="x"), "titel (did you mean title?)"),
    "filter with an operator": (
        lambda n: n.objects(titel__gt="x"),
        "titel (did you mean title?)",
    ),
    "filter with underscores": (
        lambda n: n.objects(zip__cod="x"),
        "zip__cod (did you mean zip__code?)",
    ),
    "get": (lambda n: n.get(titel="x"), "titel (did you mean title?)"),
    "only": (lambda n: n.objects.only(["titel"]), "titel (did you mean title?)"),
    "only of one": (lambda n: n.objects.only("titel"), "titel (did you mean title?)"),
    "defer": (lambda n: n.objects.defer(["title", "titel"]), "titel (did you mean title?)"),
    "defer of one": (lambda n: n.objects.defer("titel"), "titel (did you mean title?)"),
    "values_list": (lambda n: n.objects.values_list("titel"), "titel (did you mean title?)"),
    "order_by": (lambda n: n.objects.order_by("aat"), "aat (did you mean at?)"),
    "order_by descending": (lambda n: n.objects.order_by("-aat"), "aat (did you mean at?)"),
    "distinct": (lambda n: n.objects.distinct(["titel"]), "titel (did you mean title?)"),
    "distinct of one": (lambda n: n.objects.distinct("titel"), "titel (did you mean title?)"),
    "no close name": (lambda n: n.objects(nothing=1), "nothing"),
}


@pytest.mark.parametrize(("ask", "said"), UNKNOWN.values(), ids=UNKNOWN)
def test_an_unknown_column_is_an_error_with_the_close_names(
    cql: CQLAlchemy, ask: Callable[[Any], Any], said: str
) -> None:
    with sent(cql) as statements, pytest.raises(QueryException) as caught:
        ask(model(cql, "Note"))
    assert str(caught.value) == (
        f"Note has no column {said}; its columns are id, at, title, zip__code, words, uids, days."
    )
    assert statements == []


@pytest.mark.parametrize(
    "ask",
    [lambda n: n.objects(t="x"), lambda n: n.objects.only("t"), lambda n: n.objects.defer(["t"])],
    ids=["filter", "only", "defer"],
)
def test_a_name_of_cql_is_an_error_with_the_name_of_the_attribute(
    cql: CQLAlchemy, ask: Callable[[Any], Any]
) -> None:
    with pytest.raises(QueryException) as caught:
        ask(model(cql, "Note"))
    assert str(caught.value) == "Note has no column t: this is the name in CQL of title."


def test_an_unknown_operator_is_an_error_with_those_that_there_are(cql: CQLAlchemy) -> None:
    with pytest.raises(QueryOperatorException) as caught:
        model(cql, "Note").objects(title__contain="x")
    assert str(caught.value) == (
        "Note.title has no operator contain (did you mean contains or contains_key?); its "
        "operators are eq, ne, in, gt, gte, lt, lte, contains, like, contains_key."
    )


def test_a_name_with_underscores_is_a_name(note: Any) -> None:
    assert note.objects(zip__code="0150").allow_filtering().count() == 4
    assert note.objects(zip__code__gte="0150").allow_filtering().count() == 4


@pytest.mark.parametrize("key", [1, "x", None, uuid.UUID(int=1), (1, 2), {"id": 1}])
@pytest.mark.parametrize("how", ["get", "filter", "objects", "get_or_404", "model.get"])
def test_a_value_without_a_name_is_an_error_that_names_the_key(
    cql: CQLAlchemy, key: object, how: str
) -> None:
    note = model(cql, "Note")
    ways = {"model.get": note.get, "objects": note.objects}
    with pytest.raises(QueryException, match=r"^Note: a filter has a name: write id=..., at=...;"):
        (ways[how] if how in ways else getattr(note.objects, how))(key)


@pytest.mark.parametrize(
    ("key", "example"), [(1, "id=1"), ("x", "id='x'"), (UIDS[0], "id=..."), ("x" * 99, "id=...")]
)
def test_a_value_without_a_name_is_shown_with_one(
    cql: CQLAlchemy, key: object, example: str
) -> None:
    with pytest.raises(QueryException) as caught:
        model(cql, "Uids").get(key)
    kind = "an int" if isinstance(key, int) else f"a {type(key).__name__}"
    assert str(caught.value) == (
        f"Uids: a filter has a name: write {example}; {kind} alone is not a condition."
    )


def test_a_missing_value_is_not_a_filter(cql: CQLAlchemy) -> None:
    with pytest.raises(CQLEngineException) as caught:
        model(cql, "Note").objects(id=1, title=None)
    assert str(caught.value) == (
        "Note: title=None is not a filter, as CQL has no condition for a value that is missing."
    )


@pytest.mark.parametrize("name", [5, None, ["at"], b"at"])
def test_an_order_is_of_names(cql: CQLAlchemy, name: Any) -> None:
    with pytest.raises(QueryException, match=r"^Note: order_by\(\) takes names of columns"):
        model(cql, "Note").objects(id=1).order_by(name)


@pytest.mark.parametrize("fields", ["title", ["title"], ("title",), {"title": 1}, iter(["title"])])
def test_only_takes_a_name_or_names(note: Any, fields: Any) -> None:
    row = note.objects(id=1).only(fields).first()
    assert (row.title, row.zip__code) == ("1", None)


@pytest.mark.parametrize("fields", ["title", ["title"], ("title",), {"title": 1}, iter(["title"])])
def test_defer_takes_a_name_or_names(note: Any, fields: Any) -> None:
    row = note.objects(id=1).defer(fields).first()
    assert (row.title, row.zip__code) == (None, "0150")


# IN

#: Iterables that have 1 and 2, once or twice.
SEVERAL: dict[str, Callable[[], Any]] = {
    "list": lambda: [1, 2],
    "tuple": lambda: (1, 2),
    "set": lambda: {1, 2},
    "frozenset": lambda: frozenset({1, 2}),
    "sorted set": lambda: SortedSet([1, 2]),
    "dict": lambda: {1: "a", 2: "b"},
    "keys": lambda: {1: "a", 2: "b"}.keys(),
    "values": lambda: {"a": 1, "b": 2}.values(),
    "range": lambda: range(1, 3),
    "generator": lambda: (number for number in (1, 2)),
    "map": lambda: map(int, "12"),
    "iterator": lambda: iter([1, 2]),
    "repeated": lambda: [1, 2, 1, 2],
    "texts": lambda: ["1", "2"],
}


@pytest.mark.parametrize("given", SEVERAL.values(), ids=SEVERAL)
@pytest.mark.parametrize("how", ["argument", "expression"])
def test_in_takes_any_iterable(note: Any, given: Callable[[], Any], how: str) -> None:
    values = given()
    query = note.objects(id__in=values) if how == "argument" else note.objects(note.id.in_(values))
    assert sorted(row.id for row in query) == [1, 2]
    assert sorted(row.id for row in query.filter(at__in=[1])) == [1, 2]
    assert query.count() == 2


def test_in_takes_what_another_query_gives(note: Any) -> None:
    keys = note.objects(id__in=[1, 2]).values_list("id", flat=True)
    assert {row.id for row in note.objects(id__in=keys)} == {1, 2}


def test_in_of_nothing_gives_nothing(note: Any) -> None:
    assert list(note.objects(id__in=[])) == []
    assert list(note.objects(id__in=iter(()))) == []


@pytest.mark.parametrize(("given", "kind"), [("12", "a str"), (b"12", "a bytes"), (5, "an int")])
@pytest.mark.parametrize("how", ["argument", "expression"])
def test_in_refuses_one_value(cql: CQLAlchemy, given: Any, kind: str, how: str) -> None:
    note = model(cql, "Note")
    with pytest.raises(QueryException) as caught:
        note.objects(id__in=given) if how == "argument" else note.objects(note.id.in_(given))
    assert str(caught.value) == (
        f"Note.id__in takes several values, such as a list, not {kind}. For one value use id=."
    )


def test_in_refuses_a_value_that_is_missing(cql: CQLAlchemy) -> None:
    with pytest.raises(CQLEngineException) as caught:
        model(cql, "Note").objects(id__in=[1, None])
    assert str(caught.value) == "Note.id__in has None, which equals no value."


def test_in_names_the_column_of_a_wrong_value(cql: CQLAlchemy) -> None:
    with pytest.raises(ValidationError, match=r"\bid\b"):
        model(cql, "Uids").objects(id__in=[UIDS[0], "nonsense"])


def test_pages_of_a_set_of_values_belong_together_in_every_process(note: Any) -> None:
    words = {f"w{number}" for number in range(20)}
    orders = {
        tuple(note.objects(title__in=set(order)).conditions[0].value)
        for order in (sorted(words), sorted(words, reverse=True), list(words))
    }
    assert orders == {tuple(sorted(words))}


# CONTAINS


@pytest.mark.parametrize(
    ("filters", "ids"),
    [
        ({"words__contains": "2"}, [2]),
        ({"uids__contains": UIDS[1]}, [1]),
        ({"uids__contains": str(UIDS[1])}, [1]),
        ({"days__contains": datetime.date(2026, 1, 4)}, [3]),
        ({"days__contains": "2026-01-04"}, [3]),
    ],
    ids=lambda given: str(given),
)
@pytest.mark.parametrize("how", ["argument", "expression"])
def test_contains_takes_what_a_filter_by_an_element_takes(
    note: Any, filters: dict[str, Any], ids: list[int], how: str
) -> None:
    if how == "argument":
        query = note.objects(**filters)
    else:
        ((argument, value),) = filters.items()
        query = note.objects(getattr(note, argument.partition("__")[0]).contains_(value))
    assert [row.id for row in query.allow_filtering()] == ids


@pytest.mark.parametrize(
    "filters",
    [
        {"words__contains": 5},
        {"words__contains": {"w"}},
        {"uids__contains": "nonsense"},
        {"uids__contains": [UIDS[0]]},
        {"days__contains": "nonsense"},
        {"days__contains": {"d": datetime.date(2026, 1, 1)}},
    ],
    ids=str,
)
def test_contains_names_the_column_of_a_wrong_value(note: Any, filters: dict[str, Any]) -> None:
    name = next(iter(filters)).partition("__")[0]
    with pytest.raises(ValidationError, match=name):
        list(note.objects(**filters).allow_filtering())


# Keys that no row can have

WHOLE: dict[str, Any] = {
    "text": "a",
    "day": datetime.date(2026, 1, 1),
    "small": 1,
    "at": uuid.UUID("00000001-0000-1000-8000-000000000000"),
    "number": 1,
}

#: Columns of a key, and what they cannot be.
IMPOSSIBLE: list[tuple[str, Any]] = [
    ("day", "nonsense"),
    ("day", "2026-02-30"),
    ("day", ""),
    ("small", "nonsense"),
    ("small", 2**15),
    ("small", -(2**70)),
    ("small", "1.5"),
    ("at", "nonsense"),
    ("at", UIDS[0]),
    ("at", str(UIDS[0])),
    ("number", "nonsense"),
    ("number", 2**31),
    ("number", decimal.Decimal("NaN")),
    ("text", "\ud800"),
    ("text", "x" * 70_000),
]

#: Ways to ask for a row or a page that is not there.
WAYS: dict[str, Callable[[Any, dict[str, Any]], Any]] = {
    "db.get_or_404": lambda key, given: key.__mapper__.database.get_or_404(key, **given),
    "get_or_404": lambda key, given: key.objects.get_or_404(**given),
    "get_or_404 of a query": lambda key, given: key.objects(**given).get_or_404(),
    "first_or_404": lambda key, given: key.objects(**given).first_or_404(),
    "paginate": lambda key, given: key.objects(**given).paginate(),
    "db.paginate": lambda key, given: key.__mapper__.database.paginate(key.objects(**given)),
    "a page that filters": lambda key, given: key.objects(**given).allow_filtering().paginate(),
}


@pytest.mark.parametrize(("name", "value"), IMPOSSIBLE, ids=lambda given: repr(given)[:20])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_a_key_that_cannot_be_is_a_404(
    cql: CQLAlchemy, name: str, value: Any, way: Callable[[Any, Any], Any]
) -> None:
    with pytest.raises(NotFound):
        way(model(cql, "Key"), {**WHOLE, name: value})


@pytest.mark.parametrize("way", [WAYS["paginate"], WAYS["db.paginate"]], ids=["query", "db"])
def test_a_page_of_a_partition_that_cannot_be_is_a_404(
    cql: CQLAlchemy, way: Callable[[Any, Any], Any]
) -> None:
    partition = {"text": "a", "small": 1}
    assert list(way(model(cql, "Key"), {**partition, "day": WHOLE["day"]})) == []
    with pytest.raises(NotFound):
        way(model(cql, "Key"), {**partition, "day": "nonsense"})


@pytest.mark.parametrize(("name", "value"), IMPOSSIBLE, ids=lambda given: repr(given)[:20])
def test_a_key_that_cannot_be_is_a_validation_error_for_a_program(
    cql: CQLAlchemy, name: str, value: Any
) -> None:
    with pytest.raises(ValidationError, match=rf"^(Key\.)?{name}"):
        model(cql, "Key").objects(**{**WHOLE, name: value}).first()


def test_a_key_that_cannot_be_stays_what_the_error_was(cql: CQLAlchemy) -> None:
    key = model(cql, "Key")
    with pytest.raises(NotFound) as wrong:
        key.objects(**{**WHOLE, "day": "nonsense"})
    with pytest.raises(NotFound) as far:
        key.objects(**{**WHOLE, "number": 2**31}).first()
    assert isinstance(wrong.value, ValidationError)
    assert isinstance(wrong.value, ValueError)
    assert isinstance(far.value, ValidationError)
    assert isinstance(far.value, InvalidRequest)
    assert {type(wrong.value).__name__, type(far.value).__name__} == {"ImpossibleKey"}


@pytest.mark.parametrize("name", list(WHOLE))
def test_a_key_that_is_missing_is_a_404(cql: CQLAlchemy, name: str) -> None:
    with pytest.raises(NotFound):
        cql.get_or_404(model(cql, "Key"), **{**WHOLE, name: None})


@pytest.mark.parametrize(
    "value", [object(), [1], {"a": 1}, b"x", {1}], ids=lambda value: type(value).__name__
)
def test_a_key_that_only_a_program_can_give_is_an_error(cql: CQLAlchemy, value: Any) -> None:
    with pytest.raises(ValidationError) as caught:
        cql.get_or_404(model(cql, "Key"), **{**WHOLE, "number": value})
    assert not isinstance(caught.value, NotFound)


def test_a_value_of_another_column_is_an_error(cql: CQLAlchemy) -> None:
    with pytest.raises(ValidationError) as caught:
        model(cql, "Key").objects(**WHOLE, value="nonsense")
    assert not isinstance(caught.value, NotFound)


@pytest.fixture
def client(app: Flask, cql: CQLAlchemy) -> Iterator[FlaskClient]:
    key = model(cql, "Key")
    if "page" not in app.view_functions:

        def page(text: str, day: str) -> Any:
            return key.objects(text=text, day=day, small=1).paginate().to_response()

        app.add_url_rule("/<text>/<day>", "page", page)
    with app.test_client() as client:
        yield client


def test_a_url_with_a_nonsense_key_is_not_found(client: FlaskClient) -> None:
    assert client.get("/a/2026-01-01").status_code == 200
    answer = client.get("/a/secret-nonsense")
    assert answer.status_code == 404
    assert "secret" not in answer.text

"""The column table, and the columns that cqlengine lacks."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest
from cassandra.cqlengine import ValidationError
from cassandra.cqlengine import columns as cqlengine_columns
from cassandra.util import Duration

from flask_cqlalchemy import CQLAlchemy, columns
from flask_cqlalchemy.schemas import schema_for

from .cql_helpers import module_fixtures

db = CQLAlchemy()
c = db.columns


class Embedding(db.Model):
    __table_name__ = "column_embedding"
    id = c.Integer(primary_key=True)
    vector = c.Vector(3)
    words = c.Vector(2, c.Text)
    lists = c.Vector(2, c.List(c.Integer))
    many = c.List(c.Vector(2, c.Double))
    pairs = c.Tuple(c.Integer, c.Set(c.Text))


class Interval(db.Model):
    __table_name__ = "column_interval"
    id = c.Integer(primary_key=True)
    every = c.Duration()
    past = c.List(c.Duration)


cassandra_config, database, app = module_fixtures(db)


# The table


def column_classes() -> list[type[Any]]:
    """cqlengine's columns that a table may have."""
    return [
        kind
        for name, kind in inspect.getmembers(cqlengine_columns, inspect.isclass)
        if issubclass(kind, cqlengine_columns.Column)
        and not name.startswith(("_", "Base"))
        and kind is not cqlengine_columns.Column
    ]


def make(kind: type[Any]) -> Any:
    """A column of that type."""
    inner: dict[str, list[Any]] = {
        "Vector": [3],
        "List": [c.Text],
        "Set": [c.Text],
        "Map": [c.Text, c.Text],
        "Tuple": [c.Text],
    }
    if kind is cqlengine_columns.UserDefinedType:
        return kind(type(db.UserType)("Made", (CQLAlchemy().UserType,), {"x": c.Text()}))
    return kind(*inner.get(kind.__name__, []))


@pytest.mark.parametrize("kind", column_classes())
def test_the_table_has_every_column_of_cqlengine(kind: type[Any]) -> None:
    found = columns.find(make(kind), "Model.column")

    assert found.cql in make(kind).db_type or found.cql == "udt"


@pytest.mark.parametrize("kind", column_classes())
def test_db_columns_has_every_column_of_cqlengine(kind: type[Any]) -> None:
    assert issubclass(getattr(db.columns, kind.__name__), kind)


def test_every_entry_names_a_control_of_its_own_kind() -> None:
    known = {
        find.cql: find.widget for find in (columns.find(make(k), "") for k in column_classes())
    }

    assert known["timestamp"] == "datetime"
    assert known["map"] == "map"
    assert known["udt"] == "fieldset"
    assert all(known.values())


def test_the_guide_has_every_type() -> None:
    guide = (Path(__file__).parents[1] / "docs" / "schemas-and-json.md").read_text()
    table = guide.partition("## The types")[2].partition("An absent collection")[0]

    for kind in [*column_classes(), c.Vector]:
        entry = columns.find(make(kind), "Model.column")
        assert entry.cql == "udt" or f"`{entry.cql}`" in table


# Text


def test_a_cell_says_null_and_empty_text_apart() -> None:
    body = {"id": c.Integer(primary_key=True), "name": c.Text()}
    field: Any = schema_for(type(db.Model)("Named", (CQLAlchemy().Model,), body)).fields["name"]

    assert [field.to_cell(value) for value in (None, "", '"x"', "x")] == [
        "",
        '""',
        '"\\"x\\""',
        "x",
    ]
    assert [field.from_cell(cell) for cell in ("", '""', '"\\"x\\""', "x")] == [
        None,
        "",
        '"x"',
        "x",
    ]


# Vectors


def test_a_vector_comes_back_as_it_was_stored(cql: CQLAlchemy) -> None:
    Embedding.create(
        id=1, vector=[0.5, -1, 2.0], words=("a", ""), lists=[[1], []], many=[[0.1, 0.2]]
    )
    found = Embedding.objects.first()

    assert found.vector == [0.5, -1.0, 2.0]
    assert found.words == ["a", ""]
    assert found.lists == [[1], []]
    assert found.many == [[0.1, 0.2]]


def test_a_vector_that_is_absent_is_none(cql: CQLAlchemy) -> None:
    Embedding.create(id=1)

    assert Embedding.objects.first().vector is None


def test_a_vector_changed_in_place_is_written(cql: CQLAlchemy) -> None:
    Embedding.create(id=1, vector=[0, 0, 0])
    found = Embedding.objects.first()
    found.vector[1] = 1.0
    found.save()

    assert Embedding.objects.first().vector == [0.0, 1.0, 0.0]
    Embedding.objects(id=1).update(vector=[1, 2, 3])
    assert Embedding.objects.first().vector == [1.0, 2.0, 3.0]
    Embedding.objects(id=1).update(vector=None)
    assert Embedding.objects.first().vector is None


def test_a_table_with_vectors_and_tuples_is_what_the_model_says(cql: CQLAlchemy) -> None:
    assert cql.sync_table(Embedding) == []


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([1, 2], " takes a list of 3; this one has 2 values"),
        ([1, 2, None], "[2] is None, and a list has no null"),
        (5, " takes a list of 3, not an int"),
        ({1, 2, 3}, " takes a list of 3, not a set"),
        ([1, 2, "x"], "[2] takes a number up to 3.4e38; this text is not one"),
    ],
)
def test_a_value_that_is_no_such_vector(cql: CQLAlchemy, value: Any, problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Embedding.create(id=1, vector=value)

    assert str(caught.value) == f"Embedding.vector{problem}"
    assert Embedding.objects.first() is None


@pytest.mark.parametrize("dimension", [0, -1, 1.5, True, "3", None])
def test_a_dimension_is_a_positive_number(dimension: Any) -> None:
    with pytest.raises(ValueError, match=r"^The dimension of a Vector is a positive number, not "):
        c.Vector(dimension)


def test_a_vector_is_no_element_of_a_set() -> None:
    with pytest.raises(ValidationError, match="unhashable"):
        c.Set(c.Vector(3))


# Durations


@pytest.mark.parametrize(
    "duration",
    [
        Duration(14, 3, 4_000_000_001),
        Duration(-1, -2, -3),
        Duration(0, 0, 0),
        Duration(2**31 - 1, 2**31 - 1, 2**63 - 1),
        Duration(-(2**31), -(2**31), -(2**63)),
    ],
)
def test_a_duration_comes_back_as_it_was_stored(cql: CQLAlchemy, duration: Duration) -> None:
    Interval.create(id=1, every=duration, past=[duration])
    found = Interval.objects.first()

    assert (found.every, found.past) == (duration, [duration])
    found.update(every=Duration(1, 0, 0))
    assert Interval.objects.first().every == Duration(1, 0, 0)


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        (
            Duration(1, -1, 0),
            ": The months, days and nanoseconds of a duration must have the same sign.",
        ),
        (Duration(2**31, 0, 0), ": A duration has at most 2147483647 months."),
        (Duration(0, 2**31, 0), ": A duration has at most 2147483647 days."),
        (Duration(0, 0, 2**63), ": A duration has at most 9223372036854775807 nanoseconds."),
        ("1h", " takes a Duration, not a str"),
    ],
)
def test_a_value_that_is_no_duration(cql: CQLAlchemy, value: Any, problem: str) -> None:
    with pytest.raises(ValidationError) as caught:
        Interval.create(id=1, every=value)

    assert str(caught.value) == f"Interval.every{problem}"
    assert Interval.objects.first() is None


def test_a_duration_is_no_element_of_a_set() -> None:
    with pytest.raises(ValidationError, match="unhashable"):
        c.Set(c.Duration)

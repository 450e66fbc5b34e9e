"""``jsonify`` writes a model's columns in their order, as ``to_json`` and ``to_response`` do."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from flask import Flask, jsonify

from flask_cqlalchemy import CassandraJSONProvider, CQLAlchemy

from .cql_helpers import application, model, module_fixtures, user_type


def define(db: CQLAlchemy) -> CQLAlchemy:
    class Address(db.UserType):
        zip_code = db.columns.Integer()
        street = db.columns.Text()
        attrs = db.columns.Map(db.columns.Text, db.columns.Text)

    class Person(db.Model):
        zone = db.columns.Text(primary_key=True)
        id = db.columns.Integer(primary_key=True)
        name = db.columns.Text(db_field="called")
        home = db.columns.UserDefinedType(Address)
        homes = db.columns.List(db.columns.UserDefinedType(Address))
        by_name = db.columns.Map(db.columns.Text, db.columns.UserDefinedType(Address))
        age = db.columns.Integer()

    return db


cassandra_config, database, _app = module_fixtures(define, SECRET_KEY="signs the cursors")


@pytest.fixture(scope="module", params=["flask's", "orjson's"])
def app(
    request: pytest.FixtureRequest, database: CQLAlchemy, cassandra_config: dict[str, Any]
) -> Iterator[Flask]:
    with application(database, cassandra_config) as app:
        if request.param == "orjson's":
            app.json = CassandraJSONProvider(app)
            from flask_cqlalchemy.json import install

            install(app)
        yield app


@pytest.fixture
def people(cql: CQLAlchemy) -> Any:
    """Two rows, with an object in each place where one can be."""
    person, address = model(cql, "Person"), user_type(cql, "Address")
    home = address(zip_code=1, street="Main Street", attrs={"z": "1", "a": "2"})
    for number in range(2):
        person.create(
            zone="z", id=number, name="Ann", home=home, homes=[home], by_name={"x": home}, age=1
        )
    return person


def keys_of(text: str | bytes) -> Any:
    """The keys of each object of a JSON text, in the order in which they are written."""
    return json.loads(text, object_pairs_hook=lambda pairs: [list(pair) for pair in pairs])


#: What a view may write, and what it has written: with the shorter way to the same items.
WAYS: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "an instance": (
        lambda p: p.get(zone="z", id=0),
        lambda p: keys_of(p.objects(zone="z", id=0).to_json())[0],
    ),
    "a query set": (
        lambda p: p.objects(zone="z"),
        lambda p: keys_of(p.objects(zone="z").to_json()),
    ),
    "a list of instances": (
        lambda p: list(p.objects(zone="z")),
        lambda p: keys_of(p.objects(zone="z").to_json()),
    ),
    "a user type": (
        lambda p: p.get(zone="z", id=0).home,
        lambda p: dict(keys_of(p.objects(zone="z", id=0).to_json())[0])["home"],
    ),
    "a page": (
        lambda p: p.objects(zone="z").paginate(per_page=1),
        lambda p: keys_of(p.objects(zone="z").paginate(per_page=1).to_json()),
    ),
}


@pytest.mark.parametrize("name", WAYS)
@pytest.mark.parametrize("debug", [False, True])
def test_jsonify_has_the_order_of_to_json(app: Flask, people: Any, name: str, debug: bool) -> None:
    made, expected = WAYS[name]
    app.debug = debug
    with app.test_request_context():
        written = keys_of(jsonify(made(people)).data)
        wanted = expected(people)
    app.debug = False
    if name == "a page":
        # Each cursor is sealed anew.
        written, wanted = (
            [pair for pair in each if pair[0] != "next"] for each in (written, wanted)
        )
    assert written == wanted


def test_the_order_is_the_columns(app: Flask, people: Any) -> None:
    with app.test_request_context():
        written = keys_of(jsonify(people.get(zone="z", id=0)).data)
    assert [key for key, _ in written] == list(people.__mapper__.attributes)
    assert [key for key, _ in dict(written)["home"]] == ["zip_code", "street", "attrs"]


def test_what_is_the_program_s_is_sorted_as_before_around_a_model(app: Flask, people: Any) -> None:
    with app.test_request_context():
        text = jsonify({"z": 1, "a": {"y": people.get(zone="z", id=0), "b": {"d": 1, "c": 2}}}).data
    (_, inner), last = keys_of(text)
    assert last == ["z", 1]
    assert [key for key, _ in inner] == ["b", "y"]
    assert dict(inner)["b"] == [["c", 2], ["d", 1]]
    assert [key for key, _ in dict(inner)["y"]] == list(people.__mapper__.attributes)


def test_dumps_and_a_provider_that_does_not_sort_have_the_order_too(
    app: Flask, people: Any
) -> None:
    instance, provider = people.get(zone="z", id=0), app.json
    with app.app_context():
        texts = [provider.dumps(instance), provider.dumps(instance, indent=1)]
        provider.sort_keys = False  # type: ignore[attr-defined]
        texts.append(provider.dumps(instance))
        provider.sort_keys = True  # type: ignore[attr-defined]
    assert {tuple(key for key, _ in keys_of(text)) for text in texts} == {
        tuple(people.__mapper__.attributes)
    }


def test_what_orjson_refuses_beside_a_model_does_not_change_its_order(
    app: Flask, people: Any
) -> None:
    with app.app_context():
        text = app.json.dumps([2**64, people.get(zone="z", id=0)])
    assert [key for key, _ in keys_of(text)[1]] == list(people.__mapper__.attributes)


@pytest.mark.parametrize("debug", [False, True])
def test_an_answer_in_debug_mode_is_indented_all_over(app: Flask, people: Any, debug: bool) -> None:
    app.debug = debug
    with app.test_request_context():
        text = jsonify(person=people.get(zone="z", id=0)).data.decode()
    app.debug = False
    assert ('\n    "zone": "z",\n' in text) is debug

"""JSON of models, query sets and pages: three ways, one output."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID

import orjson
import pytest
from cassandra.util import Date, Duration, Time
from flask import Flask, jsonify
from marshmallow import fields, post_dump

from flask_cqlalchemy import CQLAlchemy, EncodingError
from flask_cqlalchemy.json import CassandraJSONProvider
from flask_cqlalchemy.schemas import schema_for

from .cql_helpers import application, sent

db = CQLAlchemy()
c = db.columns


class Crew(db.UserType):
    captain = c.Text()
    size = c.Integer(db_field="n")
    ranks = c.Set(c.Text)


class Ship(db.Model):
    __table_name__ = "json_ship"
    fleet = c.Text(primary_key=True)
    number = c.Integer(primary_key=True)
    name_ = c.Text(db_field="name")
    uid = c.UUID()
    price = c.Decimal()
    built = c.DateTime()
    launched = c.Date()
    bell = c.Time()
    voyage = c.Duration()
    draught = c.Double()
    flag = c.Blob()
    ports = c.Set(c.Text)
    decks = c.List(c.Integer)
    cargo = c.Map(c.Integer, c.Decimal)
    crew = c.UserDefinedType(Crew)
    crews = c.Map(c.Text, c.List(c.UserDefinedType(Crew)))


class Tide(db.Model):
    __table_name__ = "json_tide"
    port = c.Text(primary_key=True)
    at = c.DateTime(primary_key=True)
    level = c.Double()


class Twin(db.Model):
    """Has the attributes of a tide, and another name for one of them."""

    __table_name__ = "json_twin"
    port = c.Text(primary_key=True)
    at = c.DateTime(primary_key=True)
    level = c.Double(db_field="height")


class Buoy(db.Model):
    __table_name__ = "json_buoy"
    id = c.Integer(primary_key=True)
    kind = c.Text(discriminator_column=True)


class Lighted(Buoy):
    __discriminator_value__ = "lighted"
    colour = c.Text()


class Guarded(db.Model):
    __table_name__ = "json_guarded"
    __schema_fields__ = {"secret": {"load_only": True}}  # noqa: RUF012 - as a user would
    id = c.Integer(primary_key=True)
    secret = c.Text()


class Broken(db.Model):
    __table_name__ = "json_broken"
    id = c.Integer(primary_key=True)
    at = c.Time()
    times = c.List(c.Time)
    price = c.Decimal()


@pytest.fixture(scope="module")
def app(cassandra_config: dict[str, Any]) -> Iterator[Flask]:
    with application(db, {**cassandra_config, "SECRET_KEY": "seals cursors"}) as app:
        app.add_url_rule("/in/list", "in list", lambda: list(Ship.objects))
        app.add_url_rule("/in/dict", "in dict", lambda: {"ship": Ship.objects.first()})
        app.add_url_rule(
            "/ships",
            "ships",
            lambda: Ship.objects(fleet="survey").paginate(per_page=1).to_response(),
        )
        yield app


def launch(number: int = 1, **values: Any) -> Any:
    """A ship with a value of each kind."""
    known = {
        "name_": "Beagle",
        "uid": UUID(int=number),
        "price": Decimal("7803.00"),
        "built": datetime(1820, 5, 11, 12, 30, 1, 500_000),
        "launched": Date("1820-05-11"),
        "bell": Time("08:30:00.5"),
        "voyage": Duration(57, 1, 2_000_000_000),
        "draught": 3.8,
        "flag": b"\x00\xff",
        "ports": {"Plymouth", "Bahia"},
        "decks": [3, 2, 1],
        "cargo": {2: Decimal("1.5")},
        "crew": Crew(captain="FitzRoy", size=74, ranks={"mate", "bosun"}),
        "crews": {"1826": [Crew(captain="Stokes")]},
    }
    return Ship.create(fleet="survey", number=number, **{**known, **values})


BEAGLE = {
    "fleet": "survey",
    "number": 1,
    "name": "Beagle",
    "uid": "00000000-0000-0000-0000-000000000001",
    "price": "7803.00",
    "built": "1820-05-11T12:30:01.500Z",
    "launched": "1820-05-11",
    "bell": "08:30:00.500000000",
    "voyage": "P57M1DT2S",
    "draught": 3.8,
    "flag": "AP8=",
    "ports": ["Bahia", "Plymouth"],
    "decks": [3, 2, 1],
    "cargo": {"2": "1.5"},
    "crew": {"captain": "FitzRoy", "n": 74, "ranks": ["bosun", "mate"]},
    "crews": {"1826": [{"captain": "Stokes", "n": None, "ranks": []}]},
}

#: The same of a ship of which nothing is known.
EMPTY: dict[str, Any] = {
    **dict.fromkeys(BEAGLE),
    "fleet": "survey",
    "number": 2,
    "ports": [],
    "decks": [],
    "cargo": {},
    "crews": {},
}


# From rows


def test_rows_are_written_as_the_schema_dumps_instances(cql: CQLAlchemy) -> None:
    launch()
    Ship.create(fleet="survey", number=2)
    written = Ship.objects(fleet="survey").to_json()

    assert orjson.loads(written) == [BEAGLE, EMPTY]
    assert written == orjson.dumps(schema_for(Ship).dump(Ship.objects(fleet="survey"), many=True))


def test_no_instances_are_made_of_rows(cql: CQLAlchemy, monkeypatch: pytest.MonkeyPatch) -> None:
    launch()

    def refuse(*_: Any) -> Any:
        raise AssertionError("an instance was made")

    monkeypatch.setattr("flask_cqlalchemy.query.base.make_instances", refuse)

    assert orjson.loads(Ship.objects.to_json()) == [BEAGLE]


def test_no_rows_are_an_empty_list(cql: CQLAlchemy) -> None:
    assert Ship.objects.to_json() == b"[]"


def test_only_the_columns_that_were_asked_for_are_written(cql: CQLAlchemy) -> None:
    launch()

    assert Ship.objects.only(["name_", "decks"]).to_json() == b'[{"name":"Beagle","decks":[3,2,1]}]'
    deferred = orjson.loads(Ship.objects.defer(["crews", "crew", "cargo"]).to_json()[1:-1])
    assert deferred.keys() == BEAGLE.keys() - {"crews", "crew", "cargo"}


def test_values_lists_are_written_as_lists(cql: CQLAlchemy) -> None:
    launch()

    assert Ship.objects.values_list("name_", "built").to_json() == (
        b'[["Beagle","1820-05-11T12:30:01.500Z"]]'
    )
    assert Ship.objects.values_list("price", flat=True).to_json() == b'["7803.00"]'


def test_a_query_set_that_was_read_is_not_read_again(cql: CQLAlchemy) -> None:
    launch()
    ships = Ship.objects(fleet="survey")
    assert len(ships) == 1

    with sent(cql) as statements:
        assert orjson.loads(ships.to_json()) == [BEAGLE]
    assert statements == []


def test_a_schema_says_what_is_written_of_rows(cql: CQLAlchemy) -> None:
    class ShipSchema(db.AutoSchema):
        class Meta:
            model = Ship
            fields = ("number", "name_")

        number = db.auto_field(data_key="No", as_string=True)

    launch()

    assert Ship.objects.to_json(ShipSchema()) == b'[{"No":"1","name":"Beagle"}]'
    assert db.to_json(Ship.objects, ShipSchema(exclude=("name_",))) == b'[{"No":"1"}]'


def test_a_schema_that_computes_something_is_asked_for_each_instance(cql: CQLAlchemy) -> None:
    class ShipSchema(db.AutoSchema):
        class Meta:
            model = Ship
            fields = ("number", "title")

        title = fields.Function(lambda ship: f"HMS {ship.name_}")

        @post_dump
        def mark(self, data: dict[str, Any], **_context: Any) -> dict[str, Any]:
            return {**data, "marked": True}

    launch()

    assert orjson.loads(Ship.objects.to_json(ShipSchema())) == [
        {"number": 1, "title": "HMS Beagle", "marked": True}
    ]


def test_what_a_model_hides_is_not_in_any_json(cql: CQLAlchemy, app: Flask) -> None:
    Guarded.create(id=1, secret="s3cret")
    with app.test_request_context("/"):
        page = Guarded.objects.paginate()
        written = [
            Guarded.objects.to_json(),
            page.to_json(),
            orjson.dumps(jsonify(Guarded.objects.first()).json),
            orjson.dumps(jsonify(page).json),
            orjson.dumps(jsonify(Guarded.objects.all()).json),
        ]

    assert all(b"s3cret" not in each for each in written)
    assert written[0] == b'[{"id":1}]'


def test_rows_of_several_models_have_their_own_columns(cql: CQLAlchemy) -> None:
    Lighted.create(id=1, colour="red")

    assert Buoy.objects.to_json() == b'[{"id":1,"kind":"lighted","colour":"red"}]'


def test_a_timestamp_that_the_query_gave_is_written_as_it_is_stored(
    cql: CQLAlchemy, app: Flask
) -> None:
    at = datetime(2026, 1, 1, 14, 0, 0, 250_999, tzinfo=timezone(timedelta(hours=2)))
    Tide.create(port="Bahia", at=at, level=1.5)
    tides = Tide.objects(port="Bahia", at=at).only(["level"])
    expected = [{"port": "Bahia", "at": "2026-01-01T12:00:00.250Z", "level": 1.5}]

    assert orjson.loads(tides.to_json()) == expected
    assert schema_for(Tide).dump(tides, many=True) == expected
    assert tides.first().at == datetime(2026, 1, 1, 12, 0, 0, 250_000)


def test_rows_may_be_written_by_the_schema_of_another_model(cql: CQLAlchemy) -> None:
    class Other(db.AutoSchema):
        class Meta:
            model = Twin

    Tide.create(port="Bahia", at=datetime(2026, 1, 1), level=1.5)

    assert orjson.loads(Tide.objects.to_json(Other())) == Other().dump(Tide.objects, many=True)
    assert Other().dump(Tide.objects.first())["height"] == 1.5


def test_a_field_that_encodes_otherwise_is_asked(cql: CQLAlchemy) -> None:
    class Joined(type(schema_for(Tide).fields["port"])):
        def encoded(self, value: Any) -> Any:
            return f"port of {value}"

    class TideSchema(db.AutoSchema):
        class Meta:
            model = Tide
            fields = ("port",)

    schema = TideSchema()
    schema.fields["port"].__class__ = Joined
    Tide.create(port="Bahia", at=datetime(2026, 1, 1))

    assert Tide.objects.to_json(schema) == b'[{"port":"port of Bahia"}]'


def test_values_are_written_by_their_columns(cql: CQLAlchemy) -> None:
    launch()

    with pytest.raises(TypeError, match=r"^values_list\(\) and a schema both say what is written"):
        Ship.objects.values_list("name_").to_json(schema_for(Ship))
    Guarded.create(id=1, secret="s")
    assert Guarded.objects.values_list("secret", flat=True).to_json() == b'["s"]'


def test_a_timestamp_that_no_datetime_holds_is_written_among_others(cql: CQLAlchemy) -> None:
    launch()
    launch(2)
    db.execute(
        "UPDATE json_ship SET built = ? WHERE fleet = 'survey' AND number = 2", [10**15]
    ).one()

    built = [ship["built"] for ship in orjson.loads(Ship.objects.to_json())]
    assert built == ["1820-05-11T12:30:01.500Z", "+33658-09-27T01:46:40.000Z"]


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("at", "blob_as_time(0xffffffffffffffff)"),
        ("times", "[blob_as_time(0xffffffffffffffff)]"),
        ("price", "blob_as_decimal(0x00000002)"),
    ],
)
def test_bytes_that_make_no_value_name_the_column(
    cql: CQLAlchemy, app: Flask, column: str, value: str
) -> None:
    Broken.create(id=2, price=Decimal(1))
    cql.execute(f"INSERT INTO json_broken (id, {column}) VALUES (1, {value})").one()
    message = rf"^Broken\.{column}: undecodable \w+ of \d bytes: "

    with pytest.raises(EncodingError, match=message):
        Broken.objects.to_json()
    with app.test_request_context("/"):
        page = Broken.objects.paginate()
        with pytest.raises(EncodingError, match=message):
            page.to_json()
        with pytest.raises(EncodingError, match=r"undecodable"):
            jsonify(Broken.objects(id=1).first())


def test_a_schema_without_a_model_is_no_schema_of_rows(cql: CQLAlchemy) -> None:
    with pytest.raises(TypeError, match=r"is not an instance of a db\.Schema with a model"):
        Ship.objects.to_json(db.Schema())
    with pytest.raises(TypeError, match=r"is not an instance of a db\.Schema with a model"):
        Ship.objects.to_json(db.AutoSchema)  # type: ignore[arg-type]  # pyright: ignore


# Pages


def test_a_page_is_written_with_its_neighbours(cql: CQLAlchemy, app: Flask) -> None:
    launch()
    launch(2)
    with app.test_request_context("/?per_page=1"):
        page = Ship.objects(fleet="survey").paginate()
        written = orjson.loads(page.to_json())

    assert written == {
        "items": [BEAGLE],
        "next": page.next,
        "previous": None,
        "has_next": True,
        "has_previous": False,
        "per_page": 1,
    }


def test_a_page_is_the_same_in_json_before_and_after_its_items(cql: CQLAlchemy, app: Flask) -> None:
    launch()
    with app.test_request_context("/"):
        page = Ship.objects(fleet="survey").paginate()
        before = page.to_json()
        again = page.to_json()
        names = [ship.name_ for ship in page]
        after = page.to_json()

        assert names == ["Beagle"]
        assert before == again == after
        assert jsonify(page).json == orjson.loads(before)


def test_a_page_s_response_has_links(cql: CQLAlchemy, app: Flask) -> None:
    for number in (1, 2):
        launch(number)

    first: Any = app.test_client().get("/ships")
    assert first.content_type == "application/json"
    assert first.json["items"] == [BEAGLE]
    link = first.headers["Link"]
    assert link.endswith('; rel="next"')
    second: Any = app.test_client().get(link[1 : link.index(">")])
    assert [ship["number"] for ship in second.json["items"]] == [2]


def test_a_page_by_a_schema_of_its_own(cql: CQLAlchemy, app: Flask) -> None:
    launch()
    some = schema_for(Ship).__class__(only=("number",))
    with app.test_request_context("/"):
        page = Ship.objects(fleet="survey").paginate()

        assert orjson.loads(page.to_json(some))["items"] == [{"number": 1}]
        assert page.to_response(some).json["items"] == [{"number": 1}]


def test_a_page_of_values(cql: CQLAlchemy, app: Flask) -> None:
    launch()
    with app.test_request_context("/"):
        page = Ship.objects(fleet="survey").values_list("name_", "price").paginate()

        assert orjson.loads(page.to_json())["items"] == [["Beagle", "7803.00"]]
        assert page.items == (["Beagle", Decimal("7803.00")],)


# In the application's provider


def test_jsonify_takes_models_wherever_they_are(cql: CQLAlchemy, app: Flask) -> None:
    ship = launch()
    with app.test_request_context("/"):
        assert jsonify(ship).json == BEAGLE
        assert jsonify({"ship": ship, "crew": ship.crew}).json == {
            "ship": BEAGLE,
            "crew": BEAGLE["crew"],
        }
        assert jsonify([ship, Ship.objects.first()]).json == [BEAGLE, BEAGLE]
        assert jsonify(ships=Ship.objects.all()).json == {"ships": [BEAGLE]}
        assert jsonify(Ship.objects.values_list("name_", flat=True)).json == ["Beagle"]


def test_a_view_returns_models_in_a_dictionary_or_a_list(cql: CQLAlchemy, app: Flask) -> None:
    launch()
    assert app.test_client().get("/in/list").json == [BEAGLE]
    assert app.test_client().get("/in/dict").json == {"ship": BEAGLE}


def test_the_driver_s_rows_serialise(cql: CQLAlchemy, app: Flask) -> None:
    launch()
    (row,) = Ship.objects.only(
        ["uid", "launched", "bell", "voyage", "flag", "ports", "cargo", "crew", "price"]
    ).rows()

    assert json.loads(app.json.dumps(row)) == {name: BEAGLE[name] for name in row}


def test_cassandra_s_types_serialise_alike_by_the_provider_on_orjson(cql: CQLAlchemy) -> None:
    ship = launch()
    fast = Flask(__name__)
    fast.json = CassandraJSONProvider(fast)

    assert json.loads(fast.json.dumps(ship)) == BEAGLE
    assert json.loads(fast.json.dumps({1: ship})) == {"1": BEAGLE}
    (row,) = Ship.objects.only(["uid", "launched", "ports", "cargo"]).rows()
    assert json.loads(fast.json.dumps(row)) == {name: BEAGLE[name] for name in row}


def test_a_clone_for_another_keyspace_has_the_same_schema(cql: CQLAlchemy) -> None:
    launch()
    clone = Ship.objects.using(keyspace=cql.place("default").keyspace).model

    assert schema_for(clone) is schema_for(Ship)
    assert orjson.loads(clone.objects.to_json()) == [BEAGLE]


def test_what_cannot_be_written_names_the_column(cql: CQLAlchemy, app: Flask) -> None:
    ship = launch()
    ship.draught = "deep"

    with pytest.raises(EncodingError, match=r"^Ship\.draught: a str cannot be written as JSON"):
        app.json.dumps(ship)


def test_a_page_survives_pickling_and_copying(cql: CQLAlchemy, app: Flask) -> None:
    launch()
    with app.test_request_context("/"):
        page = Ship.objects(fleet="survey").paginate()
        copied = copy.deepcopy(page)
        pickled = pickle.loads(pickle.dumps(page))

        assert [ship.name_ for ship in copied] == [ship.name_ for ship in pickled] == ["Beagle"]
        assert orjson.loads(pickled.to_json())["items"] == [BEAGLE]

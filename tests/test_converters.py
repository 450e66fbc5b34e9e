"""The converters for URLs that ``init_app`` gives an application."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import Any

import pytest
from cassandra import util
from flask import Flask, url_for
from werkzeug.routing import BaseConverter

from flask_cqlalchemy import CQLAlchemy, columns
from flask_cqlalchemy.converters import CONVERTERS
from flask_cqlalchemy.protocol import OutOfRangeTimestamp

NAMES = [converter.type.name for converter in CONVERTERS]
V1, V4 = uuid.UUID("6ba7b810-9dad-11d1-80b4-00c04fd430c8"), uuid.UUID(int=0x4000 << 64)


def make_app(*, init: bool = True) -> Flask:
    """An application with a view for each converter, which tells its value."""
    app = Flask(__name__)
    app.config.from_mapping(CASSANDRA_HOSTS="127.0.0.1", CASSANDRA_KEYSPACE="x")
    if init:
        CQLAlchemy().init_app(app)
        for name in NAMES:
            app.add_url_rule(f"/{name}/<{name}:value>", name, repr)
            app.view_functions[name] = lambda value: f"{type(value).__name__} {value}"
    return app


@pytest.fixture(scope="module")
def app() -> Flask:
    return make_app()


FOUND = [
    ("date", "2026-11-28", "date 2026-11-28"),
    ("date", "0001-01-01", "date 0001-01-01"),
    ("timestamp", "2026-11-28T08:30:00.250Z", "datetime 2026-11-28 08:30:00.250000"),
    ("timestamp", "2026-11-28T08:30:00Z", "datetime 2026-11-28 08:30:00"),
    ("timestamp", "2026-11-28T08:30:00+02:00", "datetime 2026-11-28 06:30:00"),
    ("time", "08:30:00.000000001", "Time 08:30:00.000000001"),
    ("time", "08:30:00", "Time 08:30:00.000000000"),
    ("timeuuid", str(V1), f"UUID {V1}"),
    ("decimal", "-12.50", "Decimal -12.50"),
    ("decimal", "7", "Decimal 7"),
    ("inet", "127.0.0.1", "str 127.0.0.1"),
    ("inet", "2001:DB8:0::1", "str 2001:db8::1"),
]


@pytest.mark.parametrize(("name", "text", "value"), FOUND)
def test_a_text_of_the_type_is_a_value(app: Flask, name: str, text: str, value: str) -> None:
    assert app.test_client().get(f"/{name}/{text}").text == value


NOT_FOUND = [
    *[(name, "nonsense") for name in NAMES],
    ("date", "2026-02-30"),
    ("date", "28.11.2026"),
    ("date", "+12026-01-01"),
    ("date", "0000-01-01"),
    ("date", "2026-11-28T00:00:00Z"),
    ("timestamp", "2026-11-28"),
    ("timestamp", "2026-11-28T08:30:00"),
    ("timestamp", "+12026-11-28T08:30:00Z"),
    ("time", "25:00:00"),
    ("timeuuid", str(V4)),
    ("timeuuid", "0"),
    ("decimal", "NaN"),
    ("decimal", "1,5"),
    ("inet", "127.0.0.256"),
    ("inet", "fe80::1%25eth0"),
]


@pytest.mark.parametrize(("name", "text"), NOT_FOUND)
def test_any_other_text_is_not_found(app: Flask, name: str, text: str) -> None:
    assert app.test_client().get(f"/{name}/{text}").status_code == 404


MADE: list[tuple[str, Any, str]] = [
    ("date", datetime.date(2026, 11, 28), "2026-11-28"),
    ("date", util.Date("2026-11-28"), "2026-11-28"),
    ("date", "2026-11-28", "2026-11-28"),
    ("timestamp", datetime.datetime(2026, 11, 28, 8, 30), "2026-11-28T08:30:00.000Z"),
    (
        "timestamp",
        datetime.datetime(
            2026, 11, 28, 8, 30, tzinfo=datetime.timezone(datetime.timedelta(hours=2))
        ),
        "2026-11-28T06:30:00.000Z",
    ),
    ("timestamp", "2026-11-28T10:30:00+02:00", "2026-11-28T08:30:00.000Z"),
    ("time", util.Time("08:30:00"), "08:30:00.000000000"),
    ("time", "08:30:00.5", "08:30:00.500000000"),
    ("timeuuid", V1, str(V1)),
    ("timeuuid", str(V1).upper(), str(V1)),
    ("decimal", Decimal("-12.50"), "-12.50"),
    ("decimal", 7, "7"),
    ("decimal", "1e3", "1E+3"),
    ("inet", "2001:DB8:0::1", "2001:db8::1"),
]


@pytest.mark.parametrize(("name", "value", "text"), MADE)
def test_url_for_writes_a_value_so_that_its_view_finds_it(
    app: Flask, name: str, value: Any, text: str
) -> None:
    with app.test_request_context():
        url = url_for(name, value=value)
    assert url == f"/{name}/{text}"
    assert app.test_client().get(url).status_code == 200


REFUSED: list[tuple[str, Any, str]] = [
    (
        "date",
        datetime.datetime(2026, 11, 28),
        "<date:...> in a URL takes a date or Date, or a text such as 2030-12-31; not "
        "datetime.datetime(2026, 11, 28, 0, 0)",
    ),
    ("date", util.Date(2932897), "<date:...> in a URL takes a date or Date"),
    ("date", 5, "<date:...> in a URL takes a date or Date"),
    ("date", "tomorrow", "not 'tomorrow'"),
    ("timestamp", datetime.date(2026, 11, 28), "<timestamp:...> in a URL takes a datetime"),
    ("timestamp", OutOfRangeTimestamp(2**60), "<timestamp:...> in a URL takes a datetime"),
    ("time", datetime.time(8, 30), "<time:...> in a URL takes a Time"),
    ("timeuuid", V4, "<timeuuid:...> in a URL takes a UUID"),
    ("decimal", 1.5, "<decimal:...> in a URL takes a Decimal or int"),
    ("decimal", Decimal("NaN"), "<decimal:...> in a URL takes a Decimal or int"),
    ("inet", "localhost", "<inet:...> in a URL takes a str"),
]


@pytest.mark.parametrize(("name", "value", "message"), REFUSED)
def test_url_for_refuses_what_its_view_would_not_find(
    app: Flask, name: str, value: Any, message: str
) -> None:
    with app.test_request_context(), pytest.raises(ValueError, match=r"in a URL takes") as caught:
        url_for(name, value=value)
    assert message in str(caught.value)


class Own(BaseConverter):
    """A converter of the program's."""


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_program_s_own_converter_stays(name: str, when: str) -> None:
    app = make_app(init=False)
    if when == "before":
        app.url_map.converters[name] = Own
    CQLAlchemy().init_app(app)
    if when == "after":
        app.url_map.converters[name] = Own
    assert app.url_map.converters[name] is Own


def test_flask_s_own_converters_stay_and_other_applications_get_none() -> None:
    before, app = make_app(init=False), make_app()
    assert not set(NAMES) & before.url_map.converters.keys()
    for name, converter in before.url_map.converters.items():
        assert app.url_map.converters[name] is converter


#: A column of each type that a converter is for, and a value.
KEYS: dict[str, tuple[Any, Any]] = {
    "date": (columns.Date, util.Date("2026-11-28")),
    "timestamp": (columns.DateTime, datetime.datetime(2026, 11, 28, 8, 30, 0, 250000)),
    "time": (columns.Time, util.Time("08:30:00.000000001")),
    "timeuuid": (columns.TimeUUID, V1),
    "decimal": (columns.Decimal, Decimal("-12.50")),
    "inet": (columns.Inet, "2001:db8::1"),
}


@pytest.mark.parametrize("name", KEYS)
def test_what_a_view_gets_is_the_key_of_the_row_that_was_linked(
    cassandra_config: dict[str, Any], name: str
) -> None:
    column, value = KEYS[name]
    db = CQLAlchemy()

    class Keyed(db.Model):
        __table_name__ = f"keyed_by_{name}"
        key = column(primary_key=True)

    app = Flask(__name__)
    app.config.from_mapping(cassandra_config, TESTING=True)
    db.init_app(app)

    @app.get(f"/<{name}:key>")
    def show(key: Any) -> str:
        found = db.get_or_404(Keyed, key=key)
        return "same" if found.key == value else repr(found)

    with app.test_request_context():
        db.sync_table(Keyed)
        url = url_for("show", key=Keyed.create(key=value).key)
    try:
        assert app.test_client().get(url).text == "same"
    finally:
        with app.app_context():
            db.close()

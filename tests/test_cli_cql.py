"""``flask cql``, as a person types it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from click.testing import Result
from flask import Flask

from flask_cqlalchemy import CQLAlchemy

from .cql_helpers import model


@pytest.fixture
def database() -> CQLAlchemy:
    """Two models, one of them with a user type."""
    db = CQLAlchemy()

    class Place(db.UserType):
        name = db.columns.Text()

    class Trip(db.Model):
        id = db.columns.Integer(primary_key=True)
        place = db.columns.UserDefinedType(Place)

    class Guest(db.Model):
        id = db.columns.Integer(primary_key=True)

    return db


def run(app: Flask, *arguments: str, answer: str | None = None) -> Result:
    return app.test_cli_runner().invoke(args=["cql", *arguments], input=answer)


@pytest.fixture
def synced(app: Flask, database: CQLAlchemy) -> str:
    """The keyspace, with the tables in it."""
    with app.app_context():
        database.drop_all() if database.place().keyspace in _keyspaces(database) else None
        database.sync_db()
        return database.place().keyspace


def _keyspaces(db: CQLAlchemy) -> set[str]:
    return set(db.session.cluster.metadata.keyspaces)


def test_status_shows_nodes_and_keyspace(app: Flask, synced: str) -> None:
    result = run(app, "status")
    assert result.exit_code == 0
    lines = result.output.splitlines()
    assert lines[0] == "bind      default"
    assert lines[2].startswith(f"keyspace  {synced} (")
    assert lines[3] == "schema    agreed"
    assert lines[4].split() == ["node", "data", "centre", "version", "state"]
    assert lines[5].split()[0] == f"127.0.0.1:{app.config['CASSANDRA_PORT']}"
    assert lines[5].split()[-1] == "up"


def test_status_speaks_json(app: Flask, synced: str) -> None:
    found = json.loads(run(app, "status", "--json").output)
    assert [cluster["keyspace"] for cluster in found] == [synced]
    assert [host["state"] for host in found[0]["hosts"]] == ["up"]


def test_status_without_cassandra_is_an_error_message(app: Flask, unused_port: int) -> None:
    other = Flask(__name__)
    other.config.from_mapping(
        CASSANDRA_HOSTS="127.0.0.1", CASSANDRA_PORT=unused_port, CASSANDRA_KEYSPACE="x"
    )
    CQLAlchemy().init_app(other)
    result = run(other, "status")
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: 127.0.0.1 port {unused_port}: cannot connect")


def test_models_says_which_tables_are_missing(
    app: Flask, database: CQLAlchemy, synced: str
) -> None:
    with app.app_context():
        database.session.execute(f"DROP TABLE {synced}.guest", timeout=60)
    found = {entry["model"]: entry for entry in json.loads(run(app, "models", "--json").output)}
    assert found["Trip"] == {
        "model": "Trip",
        "bind": "default",
        "keyspace": synced,
        "table": "trip",
        "columns": 2,
        "exists": True,
    }
    assert found["Guest"]["exists"] is False
    text = run(app, "models").output.splitlines()
    assert text[0].split() == ["model", "bind", "table", "columns", "table", "exists"]
    assert text[2].split() == ["Guest", "default", f"{synced}.guest", "1", "no:", *_SYNC]


_SYNC = ["flask", "cql", "sync"]


def test_models_of_an_application_without_any_asks_about_imports(
    cassandra_config: dict[str, Any],
) -> None:
    app = Flask(__name__)
    app.config.from_mapping(cassandra_config)
    CQLAlchemy().init_app(app)
    assert run(app, "models").output == (
        "The application has no models. Are the modules that define them imported?\n"
    )


def test_sync_says_what_it_did(app: Flask, database: CQLAlchemy, synced: str) -> None:
    with app.app_context():
        database.drop_all()
    result = run(app, "sync")
    assert result.output.splitlines() == [
        f"Created the type {synced}.place.",
        f"Created the table {synced}.trip.",
        f"Created the table {synced}.guest.",
    ]
    assert run(app, "sync").output == "Everything is there already.\n"


def test_truncate_asks_first(app: Flask, database: CQLAlchemy, synced: str) -> None:
    with app.app_context():
        model(database, "Guest").create(id=1)
        refused = run(app, "truncate", "Guest", answer="n\n")
        assert refused.exit_code == 1
        assert f"Remove every row of {synced}.guest? [y/N]" in refused.output
        assert model(database, "Guest").objects.count() == 1
        done = run(app, "truncate", "Guest", "--yes")
        assert done.output == f"Emptied the table {synced}.guest.\n"
        assert model(database, "Guest").objects.count() == 0


def test_truncate_of_a_missing_table_says_so(app: Flask, database: CQLAlchemy, synced: str) -> None:
    with app.app_context():
        database.drop_all()
    result = run(app, "truncate", "--yes")
    assert sorted(result.output.splitlines()) == [
        f"The table {synced}.guest does not exist.",
        f"The table {synced}.trip does not exist.",
    ]


def test_drop_asks_first_and_drops_types_too(app: Flask, synced: str) -> None:
    refused = run(app, "drop", answer="n\n")
    assert refused.exit_code == 1
    assert f"Drop {synced}.guest, {synced}.trip? [y/N]" in refused.output
    assert run(app, "drop", "Guest", "--yes").output == f"Dropped the table {synced}.guest.\n"
    assert run(app, "drop", "--yes").output.splitlines() == [
        f"Dropped the table {synced}.trip.",
        f"Dropped the type {synced}.place.",
    ]
    assert run(app, "drop", "--yes").output == "There was nothing to drop.\n"


@pytest.mark.parametrize("command", ["drop", "truncate"])
def test_an_unknown_model_is_named(app: Flask, command: str) -> None:
    result = run(app, command, "Gust", "--yes")
    assert result.exit_code == 1
    assert result.output == "Error: There is no model Gust; the models are Guest, Trip.\n"


def test_each_command_has_help(app: Flask) -> None:
    assert "status" in run(app, "--help").output
    for command in ("status", "models", "sync", "drop", "truncate"):
        result = run(app, command, "--help")
        assert result.exit_code == 0
        assert result.output.startswith("Usage: ")


def test_each_application_has_a_group_of_its_own(
    app: Flask, cassandra_config: dict[str, Any]
) -> None:
    other = Flask(__name__)
    other.config.from_mapping(cassandra_config)
    CQLAlchemy().init_app(other)
    assert other.cli.commands["cql"] is not app.cli.commands["cql"]

"""An application with views for each contender, one reads a row, the other many: for gunicorn."""

from __future__ import annotations

from typing import Any

from flask import Flask, Response

from .contenders import Contender, Coodie, CQLEngine, Driver, Kit, Place

#: How many rows a view answers as JSON.
ROWS_OF_A_VIEW = 100


def create_app() -> Flask:
    """Return the application; the environment says where the node is."""
    app = Flask(__name__)
    app.config.from_prefixed_env()
    hosts = app.config["CASSANDRA_HOSTS"].split(",")
    place = Place(hosts, app.config["CASSANDRA_PORT"])
    for contender in (Driver(place), Kit(place, app), CQLEngine(place), Coodie(place)):
        _add_view(app, contender)
    return app


def _add_view(app: Flask, contender: Contender) -> None:
    def show() -> dict[str, Any]:
        return contender.describe(contender.read())

    def show_rows() -> Response:
        return Response(contender.write_json(ROWS_OF_A_VIEW), mimetype="application/json")

    app.add_url_rule(f"/{contender.name}", contender.name, show)
    app.add_url_rule(f"/rows/{contender.name}", f"rows {contender.name}", show_rows)

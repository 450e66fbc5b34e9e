"""An application with one view for each contender, which reads a row: served by gunicorn."""

from __future__ import annotations

from typing import Any

from flask import Flask

from .contenders import Contender, Coodie, CQLEngine, Driver, Kit, Place


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

    app.add_url_rule(f"/{contender.name}", contender.name, show)

"""The tutorial's tumblelog, for version 3: posts, comments, and their count.

``flask --app examples.tumblelog run`` starts a local Cassandra node of its own, creates the tables
and serves. ``FLASK_CASSANDRA_HOSTS`` points it at a cluster instead, whose tables
``flask --app examples.tumblelog cql sync`` creates.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flask import Flask

from . import errors
from .api import api
from .models import db
from .settings import configure, needs_local_node
from .views import blog


def create_app(
    config: Mapping[str, Any] | None = None, *, instance_path: str | None = None
) -> Flask:
    """Make the application.

    :param config: settings on top of the defaults and the environment.
    :param instance_path: where the secret key and a local node's data are kept; ``instance`` beside
        the folder ``examples`` if not given.
    """
    app = Flask(__name__, instance_path=instance_path)
    configure(app, config)
    db.init_app(app)
    app.register_blueprint(blog)
    app.register_blueprint(api)
    errors.init_app(app)
    if needs_local_node(app):
        with app.app_context():
            db.sync_db()
    return app

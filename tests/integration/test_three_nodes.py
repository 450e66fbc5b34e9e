"""Both examples on three nodes with replication factor 3, one of which is killed in the middle."""

from __future__ import annotations

import re
import runpy
import time
from html import unescape
from pathlib import Path
from typing import Any

import pytest
from flask.testing import FlaskClient

from examples.tumblelog import create_app
from flask_cqlalchemy import CQLAlchemy, LocalCluster, SchemaError

from .processes import ROOT

pytestmark = [pytest.mark.cluster, pytest.mark.slow]


def config_of(cluster: LocalCluster, keyspace: str) -> dict[str, Any]:
    return {
        "CASSANDRA_HOSTS": cluster.contact_points,
        "CASSANDRA_PORT": cluster.port,
        "CASSANDRA_KEYSPACE": keyspace,
        "CASSANDRA_REPLICATION": 3,
        "CASSANDRA_CONSISTENCY": "QUORUM",
        "SECRET_KEY": "a key of the tests",
    }


def send(client: FlaskClient, path: str, **fields: str) -> int:
    """Fill in the form at ``path``, send it, and return the status after the redirect."""
    page = client.get(path).text
    token = re.search(r'name="csrf_token"[^>]*value="([^"]+)"', page)
    assert token, page
    data = {**fields, "csrf_token": unescape(token[1])}
    return client.post(path, data=data, follow_redirects=True).status_code


def until_there(client: FlaskClient, text: str, page: str, path: str, **fields: str) -> None:
    """Send the form until ``text`` is on ``page``.

    Until the survivors know that the node is dead, a write may end in a 503 whose outcome is
    unknown: Cassandra may still carry it out, so what counts is what the page shows.
    """
    deadline = time.monotonic() + 40
    while True:
        status = send(client, path, **fields)
        if text in client.get(page).text:
            return
        assert status == 503
        assert time.monotonic() < deadline


def test_a_missing_replication_is_named(three_nodes: LocalCluster) -> None:
    config = config_of(three_nodes, "test_unreplicated") | {"CASSANDRA_REPLICATION": None}
    app = create_app(config)
    db: CQLAlchemy = app.extensions["cqlalchemy"]
    with app.app_context():
        with pytest.raises(SchemaError) as caught:
            db.sync_db()
        db.close()
    assert str(caught.value) == (
        "The keyspace test_unreplicated does not exist and the cluster has 3 nodes: set "
        "CASSANDRA_REPLICATION, for example to 3 or {'dc1': 3}, to have it created."
    )


def test_the_tumblelog_outlives_a_node(three_nodes: LocalCluster) -> None:
    app = create_app(config_of(three_nodes, "test_tumblelog"))
    db: CQLAlchemy = app.extensions["cqlalchemy"]
    client = app.test_client()
    try:
        with app.app_context():
            db.sync_db()
            live = db.session.cluster.metadata.keyspaces["test_tumblelog"]
            assert "'dc1': '3'" in live.replication_strategy.export_for_schema()
        assert send(client, "/posts/new", slug="first", title="First", body="Before.") == 200
        assert send(client, "/first", author="John Doe", body="A comment.") == 200
        three_nodes.kill(2)
        until_there(
            client, "After.", "/second", "/posts/new", slug="second", title="Second", body="After."
        )
        until_there(
            client, "Another one.", "/first", "/first", author="Jane Doe", body="Another one."
        )
        assert "A comment." in client.get("/first").text
        assert "Second" in client.get("/").text
    finally:
        with app.app_context():
            db.close()


def test_the_quickstart_outlives_a_node(three_nodes: LocalCluster, tmp_path: Path) -> None:
    source = (ROOT / "examples" / "quickstart.py").read_text()
    init = "db = CQLAlchemy(app)\n"
    config = config_of(three_nodes, "test_quickstart")
    lines = "".join(f"app.config[{key!r}] = {value!r}\n" for key, value in config.items())
    program = tmp_path / "quickstart.py"
    program.write_text(source.replace(init, lines + init))
    example = runpy.run_path(str(program))
    db, user = example["db"], example["User"]
    try:
        db.sync_db()
        first = user.create(username="John Doe")
        three_nodes.kill(3)
        second = user.create(username="Jane Doe")
        assert user.get(uid=first.uid).username == "John Doe"
        assert user.get(uid=second.uid).username == "Jane Doe"
    finally:
        db.close()

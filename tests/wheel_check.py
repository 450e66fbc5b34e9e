"""Run by .ci/run in an empty environment that has the wheel alone, without extras."""

from __future__ import annotations

from importlib.metadata import files

from flask import Flask

from flask_cqlalchemy import CQLAlchemy, LocalCluster, LocalClusterError
from flask_cqlalchemy.errors import ConfigError

installed = {str(path) for path in files("Flask-CQLAlchemy") or []}
for expected in (
    "flask_cqlalchemy/py.typed",
    "flask_cqlalchemy/_cqlengine.pyi",
    "flask_cqlalchemy/columns/typed.pyi",
    "flask_cqlalchemy/blueprints/__init__.py",
    "flask_cqlalchemy/factory/__init__.py",
    "flask_cqlalchemy/cli/cassandra.py",
    "flask_cqlalchemy/local/supervisor.py",
):
    assert expected in installed, expected
assert not any(path.startswith(("blueprints/", "factory/", "tests/")) for path in installed)

app = Flask("empty", root_path=".")
app.config.update(CASSANDRA_HOSTS="127.0.0.1", CASSANDRA_KEYSPACE="blog")
CQLAlchemy(app)
assert "cql" in app.cli.commands

try:
    CQLAlchemy(Flask("unconfigured", root_path="."))
except ConfigError:
    pass
else:
    raise AssertionError("an application without configuration was accepted")

try:
    LocalCluster().start()
except LocalClusterError as error:
    if 'pip install "Flask-CQLAlchemy[local]"' not in str(error):
        raise
else:
    raise AssertionError("a local node was started without the extra")

print("the wheel works")

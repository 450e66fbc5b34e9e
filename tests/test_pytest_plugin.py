"""The plugin, in pytest runs of its own beside pytest-flask."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[1]

APPLICATION = """
import uuid
from flask import Flask, jsonify
from flask_cqlalchemy import CQLAlchemy

db = CQLAlchemy()

class Post(db.Model):
    blog = db.columns.Text(primary_key=True)
    id = db.columns.Integer(primary_key=True)
    title = db.columns.Text()

class Tag(db.Model):
    name = db.columns.Text(primary_key=True)
    title = db.columns.Text()

class Visits(db.Model):
    page = db.columns.Text(primary_key=True)
    count = db.columns.Counter()

class Likes(db.Model):
    page = db.columns.Text(primary_key=True)
    count = db.columns.Counter()

def create_app(config):
    app = Flask(__name__)
    app.config.from_mapping(config)
    db.init_app(app)

    @app.post("/posts/<int:id>")
    def add(id):
        Post.create(blog="b", id=id, title="t")
        return "added"

    @app.get("/posts")
    def count():
        return str(Post.objects.count())

    return app
"""

CONFTEST = """
import pytest
from application import create_app

@pytest.fixture(autouse=True)
def _push_request_context():
    pass

@pytest.fixture
def app(cassandra_config):
    app = create_app({**cassandra_config, "TESTING": True})
    yield app
    with app.app_context():
        app.extensions["cqlalchemy"].close()
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A user's project with an application and the conftest of the documentation."""
    (tmp_path / "application.py").write_text(APPLICATION)
    (tmp_path / "conftest.py").write_text(CONFTEST)
    (tmp_path / "pytest.ini").write_text("[pytest]\nfilterwarnings = error\npythonpath = .\n")
    return tmp_path


def run(
    project: Path,
    config: dict[str, Any] | None,
    tests: str,
    *options: str,
    environment: dict[str, str] | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run ``tests`` in the project, against the cluster of ``config`` or a local one of its own."""
    (project / "test_it.py").write_text(
        "import pytest\nfrom application import Likes, Post, Tag, Visits, db\n" + tests
    )
    hosts = []
    if config is not None:
        address = f"{config['CASSANDRA_HOSTS'][0]}:{config['CASSANDRA_PORT']}"
        hosts = ["--cassandra-hosts", address]
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", *hosts, *options],
        cwd=project,
        env=os.environ | (environment or {}),
        capture_output=True,
        text=True,
        timeout=180,
        check=False,
    )


def test_a_test_finds_its_tables_empty(project: Path, cassandra_config: dict[str, Any]) -> None:
    result = run(
        project,
        cassandra_config,
        """
@pytest.mark.parametrize("turn", range(3))
def test_writes(client, cql, turn):
    assert Post.objects.count() == 0
    assert client.get("/posts").text == "0"
    for id in range(5):
        assert client.post(f"/posts/{id}").text == "added"
    Tag.create(name="a", title="b")
    Visits(page="index").update(count=1)
    assert Post.objects.count() == 5
    assert Visits.get(page="index").count == 1

def test_reads(cql):
    assert (Post.objects.count(), Tag.objects.count(), Visits.objects.count()) == (0, 0, 0)
""",
    )
    assert "4 passed" in result.stdout, result.stdout + result.stderr


def test_writes_of_every_kind_are_cleaned(project: Path, cassandra_config: dict[str, Any]) -> None:
    result = run(
        project,
        cassandra_config,
        """
from cassandra.cqlengine.query import BatchQuery
from cassandra.query import BatchStatement

def simple(cql):
    keyspace = cql.place().keyspace
    cql.session.execute(f"INSERT INTO {keyspace}.tag (name) VALUES ('a')")

def prepared(cql):
    insert = cql.session.prepare(f"INSERT INTO {cql.place().keyspace}.tag (name) VALUES (?)")
    cql.session.execute(insert, ["a"])

def driver_batch(cql):
    insert = cql.session.prepare(f"INSERT INTO {cql.place().keyspace}.tag (name) VALUES (?)")
    batch = BatchStatement()
    batch.add(insert, ["a"])
    cql.session.execute(batch)

def cqlengine_batch(cql):
    with BatchQuery() as batch:
        Tag.batch(batch).create(name="a")

def conditional(cql):
    Tag.if_not_exists().create(name="a")

def in_the_future(cql):
    keyspace = cql.place().keyspace
    cql.session.execute(
        f"INSERT INTO {keyspace}.tag (name) VALUES ('a') USING TIMESTAMP 4000000000000000")

def many(cql):
    for number in range(150):
        Tag.create(name=str(number))

KINDS = [simple, prepared, driver_batch, cqlengine_batch, conditional, in_the_future, many]

@pytest.mark.parametrize("write", KINDS)
def test_kind(cql, write):
    assert Tag.objects.count() == 0
    write(cql)
    assert Tag.objects.count() >= 1

def test_last(cql):
    assert Tag.objects.count() == 0
""",
    )
    assert "8 passed" in result.stdout, result.stdout + result.stderr


def test_live_server_and_its_writes_work(project: Path, cassandra_config: dict[str, Any]) -> None:
    result = run(
        project,
        cassandra_config,
        """
from urllib.request import Request, urlopen

def test_one(live_server, cql):
    urlopen(Request(live_server.url("/posts/1"), method="POST")).close()
    assert Post.objects.count() == 1

def test_two(cql):
    assert Post.objects.count() == 0

@pytest.mark.cassandra_writes_elsewhere
def test_three(cql):
    import multiprocessing
    from conftest import create_app
    cql.close()
    config = dict(cql._app.config)
    def work():
        app = create_app({key: config[key] for key in config if key.startswith("CASSANDRA_")})
        with app.app_context():
            Tag.create(name="elsewhere")
    child = multiprocessing.get_context("fork").Process(target=work)
    child.start()
    child.join()
    assert Tag.objects.count() == 1

def test_four(cql):
    assert Tag.objects.count() == 0
""",
        # The application is a fixture of each test, so its server must be one, too.
        "-o",
        "live_server_scope=function",
    )
    assert "4 passed" in result.stdout, result.stdout + result.stderr


#: An application that several tests share, which syncs its own tables.
SHARED = """
import pytest
from application import Post, Tag, create_app, db

@pytest.fixture(autouse=True)
def _push_request_context():
    pass

@pytest.fixture(scope="SCOPE")
def app(cassandra_config):
    app = create_app({**cassandra_config, "TESTING": True})
    with app.app_context():
        db.sync_db()
        # As the program itself may: it is there for all tests.
        Tag.create(name="seed")
    yield app
    with app.app_context():
        db.close()
"""


@pytest.mark.parametrize("scope", ["function", "session"])
def test_a_test_without_cql_leaves_no_rows_to_the_next_one(
    project: Path, cassandra_config: dict[str, Any], scope: str
) -> None:
    (project / "conftest.py").write_text(SHARED.replace("SCOPE", scope))
    result = run(
        project,
        cassandra_config,
        """
@pytest.fixture
def visited(app):
    with app.app_context():
        Visits(page="index").update(count=1)

class TestIt:
    @pytest.mark.parametrize("turn", range(3))
    def test_without_cql(self, client, visited, turn):
        assert client.get("/posts").text == "0"
        client.post("/posts/1")
        assert client.get("/posts").text == "1"

    def test_with_cql(self, visited, cql):
        assert Post.objects.count() == 0
        assert [visit.count for visit in Visits.objects] == [1]
        assert [tag.name for tag in Tag.objects] == ["seed"]

    def test_that_does_nothing(self, client):
        assert client.get("/posts").text == "0"

    def test_after(self, app):
        with app.app_context():
            assert list(Visits.objects) == []
""",
    )
    assert "6 passed" in result.stdout, result.stdout + result.stderr


def test_rows_of_a_fixture_for_several_tests_stay_for_them(
    project: Path, cassandra_config: dict[str, Any]
) -> None:
    (project / "conftest.py").write_text(SHARED.replace("SCOPE", "session"))
    result = run(
        project,
        cassandra_config,
        """
@pytest.fixture(scope="module")
def tags(app):
    with app.app_context():
        for name in "abc":
            Tag.create(name=name)

def test_nothing(client):
    client.post("/posts/1")

@pytest.mark.parametrize("turn", range(2))
def test_with_cql(tags, cql, client, turn):
    assert Tag.objects.count() == 4
    client.post("/posts/1")

@pytest.mark.parametrize("turn", range(2))
def test_without_cql(tags, app, client, turn):
    assert client.get("/posts").text == "0"
    with app.app_context():
        assert Tag.objects.count() == 4
""",
    )
    assert "5 passed" in result.stdout, result.stdout + result.stderr


def test_a_server_s_writes_without_cql_are_cleaned(
    project: Path, cassandra_config: dict[str, Any]
) -> None:
    (project / "conftest.py").write_text(SHARED.replace("SCOPE", "session"))
    result = run(
        project,
        cassandra_config,
        """
from urllib.request import Request, urlopen

def test_one(live_server):
    urlopen(Request(live_server.url("/posts/1"), method="POST")).close()

def test_two(client):
    assert client.get("/posts").text == "0"
""",
    )
    assert "2 passed" in result.stdout, result.stdout + result.stderr


def test_an_application_on_a_keyspace_that_is_no_tests_is_not_touched(
    project: Path, cassandra_config: dict[str, Any], app: Any, database: Any
) -> None:
    keyspace = f"own_{cassandra_config['CASSANDRA_KEYSPACE']}"
    (project / "conftest.py").write_text(
        SHARED.replace("SCOPE", "session").replace(
            '"TESTING": True', f'"TESTING": True, "CASSANDRA_KEYSPACE": "{keyspace}"'
        )
    )
    result = run(
        project,
        cassandra_config,
        """
@pytest.mark.parametrize("turn", range(2))
def test_it(client, turn):
    assert client.get("/posts").text == str(turn)
    client.post(f"/posts/{turn}")
""",
    )
    assert "2 passed" in result.stdout, result.stdout + result.stderr
    with app.app_context():
        rows = database.session.execute(f"SELECT id FROM {keyspace}.post")
        assert sorted(row["id"] for row in rows) == [0, 1]
        database.session.execute(f"DROP KEYSPACE {keyspace}", timeout=60)


@pytest.mark.parametrize("value", ["None", "Thing()", "Flask(__name__)"])
def test_another_app_than_one_of_this_package_s_is_left_alone(
    project: Path, cassandra_config: dict[str, Any], value: str
) -> None:
    (project / "conftest.py").write_text(
        "import pytest\nfrom flask import Flask\n\nclass Thing:\n    extensions = ()\n\n"
        "@pytest.fixture(autouse=True)\ndef _push_request_context():\n    pass\n\n"
        f"@pytest.fixture\ndef app():\n    return {value}\n"
    )
    # pytest-flask takes nothing but a Flask application.
    options = () if value.startswith("Flask") else ("-p", "no:flask")
    tests = "def test_it(app, cassandra_config):\n    pass\n"
    result = run(project, cassandra_config, tests, *options)
    assert "1 passed" in result.stdout, result.stdout + result.stderr


def test_two_clients_of_a_test_share_nothing(
    project: Path, cassandra_config: dict[str, Any]
) -> None:
    result = run(
        project,
        cassandra_config,
        """
from flask import g

def test_g(app, cql):
    @app.get("/g")
    def read():
        seen = getattr(g, "seen", "nothing")
        g.seen = "something"
        return seen
    assert app.test_client().get("/g").text == "nothing"
    assert app.test_client().get("/g").text == "nothing"
""",
    )
    assert "1 passed" in result.stdout, result.stdout + result.stderr


def test_a_keyspace_that_is_no_tests_is_refused(
    project: Path, cassandra_config: dict[str, Any]
) -> None:
    result = run(
        project,
        cassandra_config,
        """
from application import create_app

@pytest.fixture
def app(cassandra_config):
    return create_app({**cassandra_config, "CASSANDRA_KEYSPACE": "production"})

def test_nothing(cql):
    pass
""",
    )
    assert "1 error" in result.stdout
    assert (
        "The keyspace production is not a test's: its name does not begin with 'test_', so nothing "
        "in it is touched. Give create_app() the settings of the cassandra_config fixture."
    ) in result.stdout


def test_the_keyspace_of_a_foreign_cluster_is_dropped(
    project: Path, cassandra_config: dict[str, Any], app: Any, database: Any
) -> None:
    result = run(
        project,
        cassandra_config,
        """
def test_it(cql):
    print("keyspace:", cql.place().keyspace)
""",
        "-s",
    )
    name = result.stdout.partition("keyspace: ")[2].split()[0]
    with app.app_context():
        rows = database.session.execute("SELECT keyspace_name FROM system_schema.keyspaces")
        assert name not in {row["keyspace_name"] for row in rows}


@pytest.mark.slow
def test_one_node_serves_the_workers_of_a_run(project: Path) -> None:
    result = run(
        project,
        None,
        """
import json, os

@pytest.mark.parametrize("turn", range(8))
def test_it(cql, cassandra_cluster, turn):
    assert Post.objects.count() == 0
    Post.create(blog="b", id=turn)
    with open("seen", "a") as seen:
        seen.write(json.dumps([os.environ["PYTEST_XDIST_WORKER"], cql.place().keyspace,
                               cassandra_cluster.pids[0]]) + "\\n")
""",
        "-n",
        "2",
    )
    assert "8 passed" in result.stdout, result.stdout + result.stderr
    seen = [json.loads(line) for line in (project / "seen").read_text().splitlines()]
    workers, keyspaces, pids = (set(column) for column in zip(*seen, strict=True))
    assert (len(workers), len(keyspaces), len(pids)) == (2, 2, 1)
    _assert_gone(pids.pop())


NODES = """
def test_it(cassandra_cluster, cassandra_config, cql):
    with open("seen", "a") as seen:
        seen.write(json.dumps([cassandra_cluster.pids, str(cassandra_cluster.directory)]) + "\\n")
    assert cassandra_config["CASSANDRA_REPLICATION"] == len(cassandra_cluster.pids)
    Post.create(blog="b", id=1)
"""


@pytest.mark.slow
def test_a_kept_node_serves_the_next_run(project: Path, tmp_path: Path) -> None:
    caches = {"XDG_CACHE_HOME": str(tmp_path / "caches")}
    tests = "import json\n" + NODES
    results = [run(project, None, tests, "--keep-cassandra", environment=caches) for _ in range(2)]
    assert ["1 passed" in result.stdout for result in results] == [True, True], results
    first, second = map(json.loads, (project / "seen").read_text().splitlines())
    assert first == second
    (pid,), directory = first
    assert (
        "Cassandra stays up for the next run. To end it: flask cassandra stop --directory "
        f"{directory}\n"
    ) in results[1].stdout
    stop = "from flask_cqlalchemy.cli.cassandra import cassandra; cassandra()"
    subprocess.run(
        [sys.executable, "-c", stop, "stop", "--directory", directory], check=True, timeout=60
    )
    _assert_gone(pid)


@pytest.mark.cluster
@pytest.mark.slow
def test_a_run_may_have_several_nodes(project: Path) -> None:
    result = run(project, None, "import json\n" + NODES, "--cassandra-nodes", "2")
    assert "1 passed" in result.stdout, result.stdout + result.stderr
    pids, _ = json.loads((project / "seen").read_text())
    assert len(set(pids)) == 2
    for pid in pids:
        _assert_gone(pid)


def _assert_gone(pid: int) -> None:
    import psutil

    psutil.wait_procs([psutil.Process(pid)] if psutil.pid_exists(pid) else [], timeout=10)
    assert not psutil.pid_exists(pid)


def test_the_plugin_is_light() -> None:
    """Every pytest run imports it, also those that have nothing to do with Cassandra."""
    code = (
        "import sys; import flask_cqlalchemy.pytest_plugin;"
        "print([name for name in ('cassandra', 'flask', 'psutil', 'jgo') if name in sys.modules])"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT
    )
    assert result.stdout == "[]\n"


def test_the_options_have_help() -> None:
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "--help"], capture_output=True, text=True, check=True
    )
    for option in ("--cassandra-hosts", "--cassandra-nodes", "--keep-cassandra"):
        assert option in result.stdout

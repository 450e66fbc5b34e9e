"""The tumblelog under the servers that people run: each worker has its own connection."""

from __future__ import annotations

import shutil
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest

from examples.tumblelog import create_app

from .processes import ROOT, Program, module_running

TUMBLELOG = "examples.tumblelog:create_app()"


@pytest.fixture(scope="module")
def config(cassandra_config: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """Settings of a cluster on which the tumblelog's tables are."""
    app = create_app({**cassandra_config, "SECRET_KEY": "a key of the tests"})
    db = app.extensions["cqlalchemy"]
    with app.app_context():
        db.sync_db()
        yield {**cassandra_config, "SECRET_KEY": "a key of the tests"}
        db.drop_all()
        db.close()


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        found: int = probe.getsockname()[1]
        return found


def check_pages(server: Program, slug: str) -> None:
    """Write a post and read it many times at once."""
    server.wait(lambda: server.client().get("/")[0] == 200)
    status, page = server.client().post(
        "/posts/new", slug=slug, title=f"About {slug}", body="Some text."
    )
    assert status == 200, page
    assert f"About {slug}" in page

    def read(_: int) -> int:
        return server.client().get(f"/{slug}")[0]

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(read, range(40))) == [200] * 40


def local_ports(process: psutil.Process, port: int) -> set[int]:
    """The local ports of a process's connections to ``port``."""
    return {
        each.laddr.port
        for each in process.net_connections(kind="tcp")
        if each.raddr and each.raddr.port == port
    }


def check_connections(server: Program, config: dict[str, Any]) -> None:
    """No two workers share a connection, and each comes to have one."""

    def all_connected() -> bool:
        server.client().get("/")
        return all(local_ports(worker, config["CASSANDRA_PORT"]) for worker in server.children())

    server.wait(all_connected)
    found = [local_ports(worker, config["CASSANDRA_PORT"]) for worker in server.children()]
    assert len(found) == 2
    assert all(found)
    assert not found[0] & found[1]


@pytest.mark.parametrize("options", [[], ["--preload"]], ids=["plain", "preload"])
def test_gunicorn_with_two_workers_and_threads(
    config: dict[str, Any], tmp_path: Path, port: int, options: list[str]
) -> None:
    arguments = ["gunicorn", "--workers", "2", "--threads", "4", "--bind", f"127.0.0.1:{port}"]
    with module_running(
        [*arguments, *options, TUMBLELOG], config, tmp_path / "log", port=port
    ) as server:
        check_pages(server, f"gunicorn-{len(options)}")

        check_connections(server, config)


QUERY_FIRST = """
from examples.tumblelog import create_app
from examples.tumblelog.models import read_timeline

app = create_app()
with app.app_context():
    read_timeline()
"""


def test_a_query_in_the_parent_before_the_fork(
    config: dict[str, Any], tmp_path: Path, port: int
) -> None:
    """uWSGI's way: the application is made, and has connected, before the workers are forked."""
    (tmp_path / "connected.py").write_text(QUERY_FIRST)
    arguments = ["gunicorn", "--preload", "--workers", "2", "--bind", f"127.0.0.1:{port}"]
    path = ["--pythonpath", f"{tmp_path},{ROOT}"]
    with module_running(
        [*arguments, *path, "connected:app"], config, tmp_path / "log", port=port
    ) as server:
        check_pages(server, "forked")

        check_connections(server, config)
        parents = local_ports(psutil.Process(server.process.pid), config["CASSANDRA_PORT"])
        assert parents
        for worker in server.children():
            assert not parents & local_ports(worker, config["CASSANDRA_PORT"])


def test_gunicorn_with_gevent(config: dict[str, Any], tmp_path: Path, port: int) -> None:
    arguments = ["gunicorn", "-k", "gevent", "--workers", "2", "--bind", f"127.0.0.1:{port}"]
    with module_running([*arguments, TUMBLELOG], config, tmp_path / "log", port=port) as server:
        check_pages(server, "gevent")


def test_gunicorn_with_gevent_and_preload_stops_with_the_reason(
    config: dict[str, Any], tmp_path: Path, port: int
) -> None:
    arguments = ["gunicorn", "--preload", "-k", "gevent", "--bind", f"127.0.0.1:{port}"]
    with module_running([*arguments, TUMBLELOG], config, tmp_path / "log", port=port) as server:
        assert server.process.wait(30) != 0
        assert (
            "ConfigError: The Cassandra driver was imported before gevent replaced the sockets, "
            "and would wait for ever. Start gunicorn's gevent workers without --preload, or use "
            "`-k gthread`, which works with it."
        ) in server.output


@pytest.mark.slow
def test_the_reloader_keeps_the_node(tmp_path: Path, port: int) -> None:
    """``flask run --debug`` without hosts: an edit reloads the program, and not the node."""
    from flask_cqlalchemy import LocalCluster

    shutil.copytree(
        ROOT / "examples", tmp_path / "examples", ignore=shutil.ignore_patterns("__pycache__")
    )
    directory = tmp_path / "cassandra"
    config = {
        "CASSANDRA_LOCAL_DIRECTORY": directory,
        "SECRET_KEY": "a key of the tests",
        "PYTHONPATH": str(ROOT),
    }
    arguments = ["flask", "--app", "examples.tumblelog", "run", "--debug", "--port", str(port)]
    with module_running(arguments, config, tmp_path / "log", port=port, cwd=tmp_path) as server:
        check_pages(server, "before-the-edit")
        node = LocalCluster(directory=directory).pids
        (serving,) = server.children()
        views = tmp_path / "examples" / "tumblelog" / "views.py"
        views.write_text(views.read_text() + "\n# an edit\n")
        server.wait(lambda: not serving.is_running())
        server.wait(lambda: server.client().get("/before-the-edit")[0] == 200)
        assert server.children() != [serving]
        assert LocalCluster(directory=directory).pids == node
        assert "Restarting with" in server.output
    gone = [psutil.Process(pid) for pid in node if pid and psutil.pid_exists(pid)]
    assert psutil.wait_procs(gone, timeout=15)[1] == []


@pytest.mark.skipif(sys.platform != "linux", reason="counts on /proc")
def test_a_worker_leaves_no_socket_of_its_parent_open(
    config: dict[str, Any], tmp_path: Path, port: int
) -> None:
    (tmp_path / "connected.py").write_text(QUERY_FIRST)
    arguments = ["gunicorn", "--preload", "--workers", "1", "--bind", f"127.0.0.1:{port}"]
    path = ["--pythonpath", f"{tmp_path},{ROOT}"]
    with module_running(
        [*arguments, *path, "connected:app"], config, tmp_path / "log", port=port
    ) as server:
        server.wait(lambda: server.client().get("/")[0] == 200)
        (worker,) = server.children()
        parents = local_ports(psutil.Process(server.process.pid), config["CASSANDRA_PORT"])
        assert not parents & local_ports(worker, config["CASSANDRA_PORT"])

"""``flask cassandra``: what the commands print, and their exit codes."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from flask_cqlalchemy.cli.cassandra import as_option, cassandra
from flask_cqlalchemy.local import LocalCluster

from .local_helpers import ROOT, is_served, session_of, wait_until


def run(*arguments: object) -> Result:
    """Run a command."""
    return CliRunner().invoke(cassandra, list(map(str, arguments)))


@pytest.fixture(scope="module")
def directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A directory whose node is up, and stays so."""
    directory = tmp_path_factory.mktemp("cli") / "cassandra"
    result = run("start", "--directory", directory)
    assert result.exit_code == 0, result.output
    yield directory
    assert run("stop", "--directory", directory).exit_code == 0
    wait_until(lambda: not is_served(directory), "the supervisor to end")


@pytest.mark.slow
def test_start_says_how_to_use_and_stop_what_runs(directory: Path) -> None:
    result = run("start", "--directory", directory)
    port = LocalCluster(directory=directory).status().port
    assert result.stdout == (
        f"Cassandra 5.0.9 is up, with its data in {directory}\n"
        "Use it with:\n"
        f"  export FLASK_CASSANDRA_HOSTS=127.0.0.1 FLASK_CASSANDRA_PORT={port}\n"
        "Stop it with:\n"
        f"  flask cassandra stop --directory {directory}\n"
    )


@pytest.mark.slow
def test_the_lines_that_start_prints_can_be_pasted(directory: Path) -> None:
    """An application reads the cluster from the environment of a shell in which they were."""
    export = run("start", "--directory", directory).stdout.splitlines()[2].strip()
    show = (
        "from flask import Flask; app = Flask('x'); app.config.from_prefixed_env(); "
        "print(app.config['CASSANDRA_HOSTS'], app.config['CASSANDRA_PORT'])"
    )
    result = subprocess.run(
        ["sh", "-c", f'{export}\nexec "$0" -c "$1"', sys.executable, show],
        capture_output=True,
        text=True,
        check=True,
    )
    port = LocalCluster(directory=directory).status().port
    assert result.stdout == f"127.0.0.1 {port}\n"


def test_a_directory_with_a_blank_can_be_pasted(tmp_path: Path) -> None:
    assert as_option(tmp_path / "my data") == f" --directory '{tmp_path}/my data'"
    assert as_option(None) == ""


@pytest.mark.slow
def test_what_was_started_stays_up_without_a_lease_and_programs_can_lease_it(
    directory: Path,
) -> None:
    with LocalCluster(directory=directory) as cluster, session_of(cluster) as session:
        assert session.execute("SELECT key FROM system.local").one()
        assert (cluster.status().leases, cluster.status().pinned) == (1, True)
    status = cluster.status()
    assert (status.leases, status.pinned, status.nodes[0].state) == (0, True, "up")


@pytest.mark.slow
def test_status_shows_the_nodes(directory: Path) -> None:
    result = run("status", "--directory", directory)
    found = LocalCluster(directory=directory).status()
    summary, headings, node = result.stdout.splitlines()
    assert summary == (f"Cassandra 5.0.9 in {directory}, port {found.port}, up until it is stopped")
    assert headings.split("  ")[0] == "Node"
    assert node.split()[:5] == ["1", "127.0.0.1", "dc1", "up", str(found.nodes[0].pid)]
    assert result.exit_code == 0


@pytest.mark.slow
def test_status_as_json(directory: Path) -> None:
    found = LocalCluster(directory=directory).status()
    document = json.loads(run("status", "--json", "--directory", directory).stdout)
    assert document["port"] == found.port
    assert document["pinned"] is True
    assert document["nodes"][0]["pid"] == found.nodes[0].pid


@pytest.mark.slow
def test_a_killed_node_is_shown_as_down_and_started_again(directory: Path) -> None:
    result = run("kill", "--node", 1, "--directory", directory)
    assert result.stdout == (
        f"Killed node 1. Bring it back with: flask cassandra start --directory {directory}\n"
    )
    result = run("status", "--directory", directory)
    assert result.stdout.splitlines()[-1].split() == ["1", "127.0.0.1", "dc1", "down", "-", "-"]
    assert result.exit_code == 1
    result = run("start", "--directory", directory)
    assert result.exit_code == 0
    assert result.stderr == "Starting node 1 of 1\nWaiting until the cluster is ready\n"
    assert run("status", "--directory", directory).exit_code == 0


@pytest.mark.slow
def test_killing_a_node_that_does_not_exist(directory: Path) -> None:
    result = run("kill", "--node", 7, "--directory", directory)
    assert result.stderr == f"Error: Node 7 does not exist: the nodes of {directory} are 1 to 1.\n"
    assert result.exit_code == 1


@pytest.mark.slow
def test_starting_with_other_options_than_what_runs(directory: Path) -> None:
    result = run("start", "--nodes", 2, "--directory", directory)
    assert result.stderr == (
        f"Error: The Cassandra in {directory} runs with nodes=1, not nodes=2. Start it with the "
        "same options, stop it first (flask cassandra stop), or use another directory.\n"
    )
    assert result.exit_code == 1


@pytest.mark.slow
def test_logs_prints_the_end_of_the_log(directory: Path) -> None:
    result = run("logs", "--lines", 3, "--directory", directory)
    assert len(result.stdout.splitlines()) == 3


@pytest.mark.slow
def test_logs_of_a_node_that_has_none(directory: Path) -> None:
    result = run("logs", "--node", 2, "--directory", directory)
    assert result.stderr == f"Error: There is no log of node 2 in {directory}\n"
    assert result.exit_code == 1


def test_logs_follows_until_it_is_interrupted(tmp_path: Path) -> None:
    log = tmp_path / "node1" / "system.log"
    log.parent.mkdir()
    log.write_text("before\n")
    with subprocess.Popen(
        [
            *(sys.executable, "-c"),
            # A shell's background job, which a CI run may be, ignores SIGINT unless told otherwise.
            "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
            "from flask_cqlalchemy.cli.cassandra import cassandra; cassandra()",
            *("logs", "--follow", "--directory", str(tmp_path)),
        ],
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "before\n"
        with log.open("a") as file:
            file.write("after\n")
        assert process.stdout.readline() == "after\n"
        log.write_text("anew\n")
        assert process.stdout.readline() == "anew\n"
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate()
    assert errors.strip() == "Aborted!"
    assert process.returncode == 1


def test_the_status_of_a_directory_where_nothing_was_started(tmp_path: Path) -> None:
    result = run("status", "--directory", tmp_path)
    assert result.stdout == f"No Cassandra was ever started in {tmp_path}\n"
    assert result.exit_code == 1


def test_stopping_where_nothing_runs(tmp_path: Path) -> None:
    result = run("stop", "--directory", tmp_path)
    assert result.stdout == f"No Cassandra runs in {tmp_path}\n"
    assert result.exit_code == 0


@pytest.mark.slow
def test_the_whole_round_with_a_port_and_a_program_that_uses_it(
    tmp_path: Path, unused_port: int
) -> None:
    result = run("start", "--port", unused_port, "--directory", tmp_path)
    assert f" FLASK_CASSANDRA_PORT={unused_port}\n" in result.stdout
    user = LocalCluster(directory=tmp_path).start()
    result = run("stop", "--directory", tmp_path)
    assert result.stdout == f"Stopped the Cassandra in {tmp_path}, which 1 program was using\n"
    assert run("status", "--directory", tmp_path).stdout.splitlines()[0] == (
        f"Cassandra 5.0.9 in {tmp_path} does not run"
    )
    user.stop()


def test_a_port_that_is_taken(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = run("start", "--port", port, "--directory", tmp_path)
    assert result.stderr.startswith(f"Error: Port {port} of 127.0.0.1 is taken by ")
    assert result.exit_code == 1


def test_the_commands_need_no_application(tmp_path: Path) -> None:
    result = subprocess.run(
        [
            *(sys.executable, "-c"),
            # As the installed entry point does it.
            "from flask.cli import cli; from flask_cqlalchemy.cli.cassandra import cassandra; "
            "cli.add_command(cassandra); cli()",
            *("cassandra", "status", "--directory", str(tmp_path)),
        ],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert result.stdout == f"No Cassandra was ever started in {tmp_path}\n"
    assert result.stderr == ""


@pytest.mark.parametrize("command", ["start", "stop", "status", "kill", "logs"])
def test_each_command_explains_itself(command: str) -> None:
    result = run(command, "--help")
    assert result.exit_code == 0
    assert "--directory" in result.stdout

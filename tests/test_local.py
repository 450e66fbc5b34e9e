"""A local cluster of one node, as a program sees it."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from flask_cqlalchemy.errors import LocalClusterError
from flask_cqlalchemy.local import LocalCluster
from flask_cqlalchemy.local.ports import NATIVE_PORT

from .local_helpers import is_gone, keep, kept, session_of, stub


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalCluster]:
    """A node that the module's tests share; each leaves it up."""
    with LocalCluster(directory=tmp_path_factory.mktemp("shared") / "cassandra") as cluster:
        yield cluster


@pytest.mark.slow
def test_a_started_node_serves_statements(cluster: LocalCluster) -> None:
    with session_of(cluster) as session:
        row = session.execute("SELECT release_version, data_center FROM system.local").one()
    assert (row.release_version, row.data_center) == ("5.0.9", "dc1")


@pytest.mark.slow
def test_a_node_takes_at_most_600_megabytes(cluster: LocalCluster) -> None:
    (node,) = cluster.status().nodes
    assert node.memory is not None
    assert node.memory < 600_000_000


@pytest.mark.slow
def test_materialized_views_functions_and_storage_attached_indexes_are_on(
    cluster: LocalCluster,
) -> None:
    keep(cluster, 1)
    with session_of(cluster) as session:
        session.execute("CREATE TABLE kept.word (id int PRIMARY KEY, word text)")
        session.execute("CREATE INDEX ON kept.word (word) USING 'sai'")
        session.execute(
            "CREATE MATERIALIZED VIEW kept.by_word AS SELECT * FROM kept.word "
            "WHERE word IS NOT NULL AND id IS NOT NULL PRIMARY KEY (word, id)"
        )
        session.execute(
            "CREATE FUNCTION kept.one() RETURNS NULL ON NULL INPUT RETURNS int "
            "LANGUAGE java AS 'return 1;'"
        )
        session.execute("INSERT INTO kept.word (id, word) VALUES (1, 'a')")
        found = session.execute("SELECT kept.one() AS one FROM kept.word WHERE word = 'a'").one()
    assert found.one == 1


@pytest.mark.slow
def test_a_second_client_shares_the_node(cluster: LocalCluster) -> None:
    second = LocalCluster(directory=cluster.directory)
    with second:
        assert (second.pids, second.port) == (cluster.pids, cluster.port)
        assert second.status().leases == 2
    assert cluster.status().leases == 1
    assert cluster.status().nodes[0].state == "up"


@pytest.mark.slow
def test_starting_twice_is_one_lease(cluster: LocalCluster) -> None:
    pids = cluster.pids
    assert cluster.start().pids == pids
    assert cluster.status().leases == 1


@pytest.mark.slow
def test_a_client_with_other_options_is_refused(cluster: LocalCluster) -> None:
    with pytest.raises(LocalClusterError) as raised:
        LocalCluster(directory=cluster.directory, auth=True).start()
    assert str(raised.value) == (
        f"The Cassandra in {cluster.directory} runs with auth=False, not auth=True. Start it with "
        "the same options, stop it first (flask cassandra stop), or use another directory."
    )
    assert cluster.status().leases == 1


@pytest.fixture
def stub_cluster(tmp_path: Path) -> Iterator[LocalCluster]:
    """A cluster whose node only listens, for what is the same with any program."""
    with stub(tmp_path) as cluster:
        yield cluster


def test_a_killed_node_is_down_until_the_next_start(stub_cluster: LocalCluster) -> None:
    (pid,) = stub_cluster.pids
    stub_cluster.kill(1)
    assert pid is not None
    assert is_gone(pid)
    (node,) = stub_cluster.status().nodes
    assert (node.state, node.pid, node.memory) == ("down", None, None)
    stub_cluster.start()
    assert stub_cluster.status().nodes[0].state == "up"


def test_a_crashed_node_is_started_again_for_another_client(stub_cluster: LocalCluster) -> None:
    stub_cluster.kill(1)
    with stub(stub_cluster.directory) as other:
        assert other.pids == stub_cluster.pids != [None]


def test_killing_a_node_that_is_down_is_an_error(stub_cluster: LocalCluster) -> None:
    stub_cluster.kill(1)
    with pytest.raises(LocalClusterError, match=rf"^Node 1 of {stub_cluster.directory} is down\.$"):
        stub_cluster.kill(1)
    stub_cluster.restart(1)


@pytest.mark.slow
def test_a_paused_node_is_frozen_until_it_is_resumed(cluster: LocalCluster) -> None:
    cluster.pause(1)
    assert cluster.status().nodes[0].state == "paused"
    cluster.resume(1)
    assert cluster.status().nodes[0].state == "up"
    assert kept_answers(cluster)


def kept_answers(cluster: LocalCluster) -> bool:
    """Whether a statement is answered."""
    with session_of(cluster) as session:
        return session.execute("SELECT key FROM system.local").one() is not None


@pytest.mark.slow
def test_a_restarted_node_is_another_process_with_the_same_data(cluster: LocalCluster) -> None:
    keep(cluster, 2)
    before = cluster.pids
    cluster.restart(1)
    assert cluster.pids != before
    assert 2 in kept(cluster)


@pytest.mark.slow
def test_a_node_that_does_not_exist_is_an_error(cluster: LocalCluster) -> None:
    with pytest.raises(LocalClusterError) as raised:
        cluster.pause(2)
    assert str(raised.value) == (
        f"Node 2 does not exist: the nodes of {cluster.directory} are 1 to 1."
    )


@pytest.mark.slow
def test_logs_are_the_last_lines_of_the_nodes_log(cluster: LocalCluster) -> None:
    everything = cluster.logs(1, lines=1_000_000)
    assert "Startup complete" in everything
    assert cluster.logs(lines=2) == "".join(everything.splitlines(keepends=True)[-2:])


@pytest.mark.slow
def test_two_clusters_run_side_by_side(cluster: LocalCluster) -> None:
    with LocalCluster() as other:
        assert other.port != cluster.port
        assert kept_answers(other)
        assert kept_answers(cluster)


@pytest.fixture
def own_port() -> Iterator[None]:
    """Takes the port that every cluster tries first, so that a cluster gets one of its own.

    Else another that starts meanwhile, of another worker or of another run, takes it in between.
    """
    with contextlib.ExitStack() as stack:
        with contextlib.suppress(OSError):
            stack.enter_context(socket.create_server(("127.0.0.1", NATIVE_PORT)))
        yield


@pytest.mark.slow
@pytest.mark.usefixtures("own_port")
def test_data_and_contact_point_stay_from_run_to_run(tmp_path: Path) -> None:
    with LocalCluster(directory=tmp_path) as first:
        port = first.port
        keep(first, 3)
    with LocalCluster(directory=tmp_path) as second:
        assert second.port == port
        assert kept(second) == {3}


@pytest.mark.usefixtures("own_port")
def test_another_port_is_chosen_when_the_last_one_has_been_taken(tmp_path: Path) -> None:
    with stub(tmp_path) as first:
        port = first.port
    with socket.create_server(("127.0.0.1", port)), stub(tmp_path) as second:
        assert second.port != port


@pytest.mark.slow
def test_the_last_to_stop_waits_until_the_node_has_gone(tmp_path: Path) -> None:
    cluster = LocalCluster(directory=tmp_path).start()
    (pid,) = cluster.pids
    cluster.stop()
    assert pid is not None
    assert is_gone(pid)
    assert not cluster.status().running
    assert (tmp_path / "node1" / "data").is_dir()


@pytest.mark.slow
def test_a_temporary_directory_is_removed_once_the_node_has_gone() -> None:
    cluster = LocalCluster().start()
    (pid,) = cluster.pids
    assert pid is not None
    assert cluster.directory.is_dir()
    cluster.stop()
    assert is_gone(pid)
    assert not cluster.directory.exists()


def test_stopping_what_was_not_started_does_nothing(tmp_path: Path) -> None:
    LocalCluster(directory=tmp_path / "new").stop()
    assert not (tmp_path / "new").exists()


def test_the_status_of_a_directory_that_was_never_started(tmp_path: Path) -> None:
    status = LocalCluster(directory=tmp_path).status()
    assert asdict(status) == {
        "directory": tmp_path,
        "running": False,
        "cassandra": "5.0.9",
        "port": None,
        "leases": 0,
        "pinned": False,
        "nodes": (),
    }


def test_a_change_of_nodes_that_do_not_run_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(LocalClusterError) as raised:
        LocalCluster(directory=tmp_path).kill(1)
    assert str(raised.value) == (
        f"No Cassandra runs in {tmp_path}. Start it first: flask cassandra start"
    )


def test_a_port_that_is_taken_is_an_error_naming_the_program(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(LocalClusterError) as raised:
            LocalCluster(directory=tmp_path, port=port).start()
    message = str(raised.value)
    assert message.startswith(f"Port {port} of 127.0.0.1 is taken by ")
    assert message.endswith(
        f" (pid {os.getpid()}). Stop it, choose another port, or none to have a free one chosen."
    )


def test_a_directory_of_another_release_is_refused(tmp_path: Path) -> None:
    made = {"nodes": 1, "data_centers": 1, "tokens": 1, "port": 9042, "storage_port": 7000}
    (tmp_path / "cluster.json").write_text(json.dumps(made | {"cassandra": "4.1.0"}))
    with pytest.raises(LocalClusterError) as raised:
        LocalCluster(directory=tmp_path).start()
    assert str(raised.value) == (
        f"{tmp_path} was made by Cassandra 4.1.0, and this is 5.0.9. Use another directory, or "
        "remove this one to begin again."
    )


def test_a_directory_with_another_number_of_nodes_is_refused(tmp_path: Path) -> None:
    made = {"nodes": 3, "data_centers": 1, "tokens": 1, "port": 9042, "storage_port": 7000}
    (tmp_path / "cluster.json").write_text(json.dumps(made | {"cassandra": "5.0.9"}))
    with pytest.raises(LocalClusterError) as raised:
        LocalCluster(directory=tmp_path).start()
    assert str(raised.value) == (
        f"{tmp_path} was made with nodes=3, and nodes=1 was asked for. Use nodes=3, another "
        "directory, or remove this one to begin again."
    )


def test_a_directory_whose_description_is_damaged_is_refused(tmp_path: Path) -> None:
    (tmp_path / "cluster.json").write_text("{")
    with pytest.raises(LocalClusterError) as raised:
        LocalCluster(directory=tmp_path).start()
    assert str(raised.value).startswith(f"{tmp_path / 'cluster.json'} cannot be read (")
    assert str(raised.value).endswith("). Remove the directory to begin again, or use another one.")


def test_a_directory_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    directory = tmp_path / "file" / "cassandra"
    with pytest.raises(LocalClusterError) as raised:
        LocalCluster(directory=directory).start()
    assert str(raised.value) == (
        f"{directory} cannot be written: Not a directory. Use a directory that you can write to."
    )


@pytest.mark.slow
def test_a_node_that_dies_while_starting_is_an_error_with_its_log(tmp_path: Path) -> None:
    cluster = LocalCluster(directory=tmp_path, yaml={"no_such_key": 1})
    with pytest.raises(LocalClusterError) as raised:
        cluster.start()
    message = str(raised.value)
    assert message.startswith("Node 1 ended with exit code ")
    assert (
        "Invalid yaml. Please remove properties [no_such_key] from your cassandra.yaml" in message
    )
    assert message.endswith(f"The whole log is {tmp_path / 'node1' / 'system.log'}")
    assert not cluster.status().running


@pytest.mark.slow
def test_a_failed_start_can_be_repeated(tmp_path: Path) -> None:
    with pytest.raises(LocalClusterError):
        LocalCluster(directory=tmp_path, yaml={"no_such_key": 1}).start()
    with LocalCluster(directory=tmp_path) as cluster:
        assert kept_answers(cluster)


def test_the_port_of_a_cluster_that_was_not_started_is_an_error() -> None:
    with pytest.raises(LocalClusterError, match=r"^The port is chosen by start\(\)\.$"):
        _ = LocalCluster().port


def test_the_temporary_directory_of_a_cluster_that_was_not_started_is_an_error() -> None:
    with pytest.raises(
        LocalClusterError, match=r"^The temporary directory is made by start\(\)\.$"
    ):
        _ = LocalCluster().directory

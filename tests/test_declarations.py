"""What type checkers are told of cqlengine's classes is true: the names, and what they take.

That the types are as a program expects them, ``tests/typing`` tests.
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from typing import Any

import pytest
from cassandra.cqlengine import columns as cqlengine_columns

import flask_cqlalchemy
from flask_cqlalchemy import _cqlengine, columns
from flask_cqlalchemy.columns import extra, typed
from tests.typing import declare

PACKAGE = Path(flask_cqlalchemy.__file__).parent

#: Declared so that one class of types can be said for several, or a module be an attribute.
FOR_CHECKERS_ALONE = {"ColumnOf", "Columns", "Options"}


def classes_of(stub: Path) -> dict[str, ast.ClassDef]:
    """Return the public classes that a stub declares."""
    tree = ast.parse(stub.read_text())
    return {
        node.name: node
        for node in tree.body
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_")
    }


COLUMNS = classes_of(PACKAGE / "columns" / "typed.pyi")
OTHERS = classes_of(PACKAGE / "_cqlengine.pyi")


def members_of(declared: ast.ClassDef) -> set[str]:
    """Return the names that a class declares."""
    names = set()
    for node in declared.body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            names.add(node.target.id)
    return names


def constructors_of(declared: ast.ClassDef) -> list[ast.FunctionDef]:
    return [
        node
        for node in declared.body
        if isinstance(node, ast.FunctionDef) and node.name == "__init__"
    ]


def arguments_taken_by(kind: type[Any]) -> set[str]:
    """Return the arguments of a constructor and, as far as it hands others on, of its bases."""
    taken: set[str] = set()
    for base in kind.__mro__:
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        taken |= {parameter.name for parameter in parameters}
        if not any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
            break
    return taken


def test_the_declarations_are_those_that_are_written() -> None:
    """After a change of ``tests/typing/declare.py``: ``python -m tests.typing.declare``."""
    assert declare.TARGET.read_text() == declare.declarations()


def test_every_column_is_declared() -> None:
    assert {*COLUMNS, "Bytes"} - FOR_CHECKERS_ALONE == set(typed.__all__) == set(declare.NAMES)
    assert set(typed.__all__) <= set(columns.__all__)


@pytest.mark.parametrize("name", typed.__all__)
def test_a_declared_column_is_the_one_of_the_driver(name: str) -> None:
    kit = {"Duration": extra.Duration, "Vector": extra.Vector}
    expected = kit.get(name) or getattr(cqlengine_columns, name)
    assert getattr(typed, name) is getattr(columns, name) is expected


@pytest.mark.parametrize("name", sorted(COLUMNS.keys() - FOR_CHECKERS_ALONE))
def test_a_column_takes_the_arguments_that_are_declared(name: str) -> None:
    taken = arguments_taken_by(getattr(typed, name))
    for constructor in constructors_of(COLUMNS[name]):
        declared = {argument.arg for argument in constructor.args.kwonlyargs}
        # Those before a slash have no name to be called by.
        declared |= {argument.arg for argument in constructor.args.args}
        if constructor.args.kwarg is not None and name != "Column":
            declared |= set(declare.OPTIONS)
        assert declared <= taken


def test_a_column_takes_no_other_arguments() -> None:
    assert arguments_taken_by(cqlengine_columns.Column) == {
        *{"self", "default"},
        *declare.NEVER_NULL,
        *declare.OPTIONS,
    }


@pytest.mark.parametrize("name", sorted(COLUMNS.keys() - FOR_CHECKERS_ALONE))
def test_a_column_has_the_base_that_is_declared(name: str) -> None:
    bases = [ast.unparse(base).partition("[")[0] for base in COLUMNS[name].bases]
    for base in bases:
        if base not in ("Generic", "ColumnOf"):
            assert issubclass(getattr(typed, name), getattr(typed, base))


@pytest.mark.parametrize("name", _cqlengine.__all__)
def test_a_class_of_cqlengine_is_declared(name: str) -> None:
    assert name in OTHERS


#: What an instance gets in ``__init__``, or a model from its metaclass.
SET_LATER = {
    "BatchQuery": {"queries", "batch_type", "timestamp", "_timeout", "_executed", "contents"},
    "DMLQuery": {
        *{"model", "instance", "column_family_name"},
        *{name for name in members_of(OTHERS["DMLQuery"]) if name.startswith("_")},
    },
    "Model": {
        "__bind_key__",
        "__view__",
        "__mapper__",
        "_values",
        "_is_persisted",
        "_batch",
        "_ttl",
        "_timeout",
        "_conditional",
    },
    "UserType": {"_values"},
    "WhereClause": {"field", "operator", "value", "query_value"},
}


@pytest.mark.parametrize("name", _cqlengine.__all__)
def test_what_is_declared_of_a_class_is_there(name: str) -> None:
    kind = getattr(_cqlengine, name)
    declared = members_of(OTHERS[name]) - SET_LATER.get(name, set())
    # Statically: an abstract model has no query set to give.
    there = {each for base in kind.__mro__ for each in vars(base)}
    assert declared - there == set()


def parameters_of(function: ast.FunctionDef) -> list[str]:
    taken = function.args
    return [
        argument.arg
        for argument in (*taken.args[1:], taken.vararg, *taken.kwonlyargs)
        if argument is not None
    ]


@pytest.mark.parametrize("name", _cqlengine.__all__)
def test_methods_have_the_parameters_that_are_declared(name: str) -> None:
    """Where cqlengine hands on ``*args`` and ``**kwargs``, any."""
    kind = getattr(_cqlengine, name)
    for function in OTHERS[name].body:
        if not isinstance(function, ast.FunctionDef) or function.decorator_list:
            continue
        signature = inspect.signature(getattr(kind, function.name))
        kinds = {parameter.kind for parameter in signature.parameters.values()}
        if inspect.Parameter.VAR_KEYWORD not in kinds:
            assert parameters_of(function) == [*signature.parameters][1:], function.name

"""Writes ``flask_cqlalchemy/columns/typed.pyi``: what a type checker sees of the columns.

At run time the columns are cqlengine's classes, which say nothing of types. Whether a column may be
null is said by its arguments, so each class has one overload for each of them. Nobody should have
to keep a hundred overloads alike by hand; a test compares the file with what this module makes.

    python -m tests.typing.declare
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import flask_cqlalchemy

TARGET = Path(flask_cqlalchemy.__file__).parent / "columns" / "typed.pyi"

#: Arguments that, if true, say that there is no null.
NEVER_NULL = ("primary_key", "partition_key", "required")

#: The other arguments that every column takes, with their types, but for ``default``.
OPTIONS = {
    "index": "bool",
    "db_field": "str | None",
    "clustering_order": "str | None",
    "discriminator_column": "bool",
    "static": "bool",
    "custom_index": "bool",
}


@dataclass(frozen=True)
class Scalar:
    """A type of column whose values do not change in place.

    :ivar value: the Python type of its values.
    :ivar takes: what a default may be beside ``value``.
    :ivar base: the class that it inherits from.
    :ivar arguments: those of its own, before the others.
    """

    name: str
    value: str
    takes: str = ""
    base: str = ""
    arguments: tuple[str, ...] = ()


_LENGTHS = ("min_length: int | None = ...", "max_length: int | None = ...")

SCALARS = (
    Scalar("Text", "str", arguments=_LENGTHS),
    Scalar("Ascii", "str", base="Text", arguments=_LENGTHS),
    Scalar("Inet", "str"),
    Scalar("Integer", "int"),
    Scalar("TinyInt", "int", base="Integer"),
    Scalar("SmallInt", "int", base="Integer"),
    Scalar("BigInt", "int", base="Integer"),
    Scalar("VarInt", "int"),
    Scalar("Float", "float"),
    Scalar("Double", "float"),
    Scalar("Decimal", "decimal.Decimal", "float | str"),
    Scalar("Boolean", "bool"),
    Scalar("Blob", "bytes", "bytearray"),
    Scalar("UUID", "uuid.UUID", "str"),
    Scalar("TimeUUID", "uuid.UUID", "str", base="UUID"),
    Scalar("DateTime", "datetime.datetime", "datetime.date"),
    Scalar("Date", "util.Date", "datetime.date"),
    Scalar("Time", "util.Time", "datetime.time"),
    Scalar("Duration", "util.Duration"),
)

#: The longest tuple whose elements have types.
LONGEST_TUPLE = 5

HEADER = '''\
"""What a type checker sees of the columns; ``python -m tests.typing.declare`` writes this file.

At run time the names of ``flask_cqlalchemy.columns`` are cqlengine's classes. ``Column[V, T]`` is a
column whose values are of ``V``, and whose attribute of an instance is of ``T``: of ``V``, or of
``V | None`` where the column may be null.
"""

import datetime
import decimal
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, ClassVar, Generic, Literal, TypeAlias, TypedDict, overload

from cassandra import util
from typing_extensions import TypeVar, Unpack

from .._cqlengine import ColumnExpression, HasColumns
from . import table, typed

{names}

_V = TypeVar("_V", default=Any)
_T = TypeVar("_T", default=Any)
_K = TypeVar("_K", default=Any)
_V_co = TypeVar("_V_co", default=Any, covariant=True)
{variables}

_Default: TypeAlias = _V | Callable[[], _V]

class ColumnOf(Generic[_V_co]):
    """A column whose values are of a type, whether it may be null or not."""

_Type: TypeAlias = ColumnOf[_V] | type[ColumnOf[_V]]

class Options(TypedDict, total=False):
    {options}

class Column(ColumnOf[_V], Generic[_V, _T]):
    db_type: str
    column_name: str
    default: Any
    discriminator_column: bool
    clustering_order: str | None
    partition_key: bool
    primary_key: bool
    required: bool
    static: bool
    index: bool
    custom_index: bool
    value_manager: ClassVar[type[Any]]
    def __init__(self, *args: Any, **options: Any) -> None: ...
    @overload
    def __get__(self, instance: None, owner: type[object]) -> ColumnExpression: ...
    # A third overload, and pyright would not narrow the type of what is assigned.
    @overload
    def __get__(self, instance: HasColumns, owner: type[object] | None = None) -> _T: ...
    def __set__(self, instance: HasColumns, value: _T) -> None: ...
    def __delete__(self, instance: HasColumns) -> None: ...
    @property
    def db_field_name(self) -> str: ...
    @property
    def has_default(self) -> bool: ...
    @property
    def can_delete(self) -> bool: ...
    @property
    def is_primary_key(self) -> bool: ...
    @property
    def has_index(self) -> bool: ...
    @property
    def sub_types(self) -> Sequence[Column]: ...
    @property
    def cql_type(self) -> Any: ...
    def get_column_def(self) -> str: ...
    def get_default(self) -> Any: ...
    def validate(self, value: Any) -> Any: ...
    def to_python(self, value: Any) -> Any: ...
    def to_database(self, value: Any) -> Any: ...
    def _val_is_null(self, val: Any) -> bool: ...

class BaseCollectionColumn(Column[_V, _T]):
    types: list[Column]

class BaseContainerColumn(BaseCollectionColumn[_V, _T]): ...
'''


def overloads(
    self_type: str, value: str, arguments: tuple[str, ...] = (), default: str = ""
) -> Iterator[str]:
    """Yield a constructor's overloads: those of a column without null, and that of another.

    :param self_type: the class, with ``{}`` where the type of the attribute stands.
    :param default: what a default may be.
    """
    never, maybe = self_type.format(value), self_type.format(f"{value} | None")
    default = f"_Default[{default or value}]"
    for each in NEVER_NULL:
        yield "    @overload"
        yield constructor(never, arguments, f"{default} | None = ...", true=each)
    yield "    @overload"
    yield constructor(never, arguments, default)
    yield "    @overload"
    yield constructor(maybe, arguments, "Callable[[], None] | None = ...")


def constructor(self_type: str, arguments: tuple[str, ...], default: str, *, true: str = "") -> str:
    """Return a constructor.

    :param default: the type of ``default``.
    :param true: which argument has to be true.
    """
    flags = [f"{each}: {'Literal[True]' if each == true else 'bool = ...'}" for each in NEVER_NULL]
    this = f"self: {self_type}" if self_type else "self"
    given = (*arguments, *([] if arguments and arguments[-1].startswith("*") else ["*"]))
    taken = ", ".join((this, *given, *flags, f"default: {default}", "**options: Unpack[Options]"))
    return f"    def __init__({taken}) -> None: ..."


def variable_of(value: str) -> str:
    return "_" + value.rpartition(".")[2].capitalize()


def scalar(kind: Scalar) -> Iterator[str]:
    variable = variable_of(kind.value)
    base = f"{kind.base}[{variable}]" if kind.base else f"Column[{kind.value}, {variable}]"
    default = f"{kind.value} | {kind.takes}" if kind.takes else kind.value
    yield f"class {kind.name}({base}):"
    yield from overloads(f"{kind.name}[{{}}]", kind.value, kind.arguments, default)
    yield ""


def counter() -> Iterator[str]:
    yield "class Counter(Integer[int]):"
    keywords = "index: bool = ..., db_field: str | None = ..., required: bool = ..."
    yield f"    def __init__(self, {keywords}) -> None: ..."
    yield ""


def containers() -> Iterator[str]:
    one, two = ("value_type: _Type[_V]",), ("key_type: _Type[_K]", "value_type: _Type[_V]")
    strict = (*one, "strict: bool = ...")
    for name, variables, value, arguments, default in (
        ("List", "_V", "list[_V]", one, "Iterable[_V]"),
        ("Set", "_V", "set[_V]", strict, "Iterable[_V]"),
        ("Map", "_K, _V", "dict[_K, _V]", two, "Mapping[_K, _V]"),
    ):
        yield f"class {name}(BaseContainerColumn[{value}, {value}], Generic[{variables}]):"
        if name == "Map":
            yield from ("    @property", "    def key_col(self) -> Column: ...")
        yield from ("    @property", "    def value_col(self) -> Column: ...")
        yield constructor("", arguments, f"_Default[{default}] | None = ...")
        yield ""


def tuples() -> Iterator[str]:
    yield "class Tuple(BaseCollectionColumn[_V, _T]):"
    for length in range(1, LONGEST_TUPLE + 1):
        names = [f"_T{number}" for number in range(1, length + 1)]
        value = f"tuple[{', '.join(names)}]"
        arguments = (*(f"type{name[2:]}: _Type[{name}]" for name in names), "/")
        yield from overloads(f"Tuple[{value}, {{}}]", value, arguments)
    value = "tuple[Any, ...]"
    yield from overloads(f"Tuple[{value}, {{}}]", value, ("*types: _Type[Any]",))
    yield ""


def vectors() -> Iterator[str]:
    yield "class Vector(BaseCollectionColumn[_V, _T]):"
    yield "    dimension: int"
    yield from ("    @property", "    def value_col(self) -> Column: ...")
    for value, arguments in (
        ("list[float]", ("dimension: int",)),
        ("list[_K]", ("dimension: int", "element: _Type[_K]")),
    ):
        yield from overloads(f"Vector[{value}, {{}}]", value, arguments)
    yield ""


def user_types() -> Iterator[str]:
    yield "class UserDefinedType(Column[_V, _T]):"
    yield "    user_type: type[_V]"
    yield from overloads("UserDefinedType[_K, {}]", "_K", ("user_type: type[_K]",))
    yield ""


NAMES = (
    *(kind.name for kind in SCALARS),
    *("Bytes", "Counter", "List", "Map", "Set", "Tuple", "UserDefinedType", "Vector"),
    *("Column", "BaseCollectionColumn", "BaseContainerColumn"),
)


def namespace() -> Iterator[str]:
    yield "class Columns:"
    yield '    """``db.columns``. mypy knows nothing of a module that is an attribute."""'
    yield ""
    for name in NAMES:
        yield f"    {name} = typed.{name}"
    yield "    ColumnType = table.ColumnType"
    for name in ("find", "find_encode", "register"):
        yield f"    {name} = staticmethod(table.{name})"
    yield ""


def declarations() -> str:
    """Return the text of the file."""
    optional = {variable_of(kind.value): f"{kind.value} | None" for kind in SCALARS}
    variables = [f'{name} = TypeVar("{name}", default={value})' for name, value in optional.items()]
    variables += [f'_T{each} = TypeVar("_T{each}")' for each in range(1, LONGEST_TUPLE + 1)]
    common = "\n    ".join(f"{name}: {type_}" for name, type_ in OPTIONS.items())
    in_order = sorted(NAMES, key=lambda name: (not name.isupper(), name))
    names = "\n".join(("__all__ = [", *(f'    "{name}",' for name in in_order), "]"))
    lines = [HEADER.format(names=names, variables="\n".join(variables), options=common)]
    for kind in SCALARS:
        lines += scalar(kind)
    lines += ["Bytes = Blob", ""]
    for make in (counter, containers, tuples, vectors, user_types):
        lines += make()
    lines += namespace()
    return "\n".join(lines)


if __name__ == "__main__":
    TARGET.write_text(declarations())

"""The column table: one entry for each type of column.

Whatever must know a column's type asks here. ``find`` gives the entry of a column, ``register``
adds one. The forms of values in JSON are in ``formats``, the fields of marshmallow in ``fields``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any, Protocol
from uuid import UUID

from cassandra.cqlengine import columns
from cassandra.util import Date, Duration, Time
from marshmallow import Schema, ValidationError, fields, validate

from ..errors import UnknownColumnType
from . import extra
from . import formats as f
from .fields import (
    ColumnField,
    Decode,
    Encode,
    Leaf,
    ListField,
    MapField,
    MostProperties,
    NestedField,
    Options,
    Order,
    Parse,
    SetField,
    TupleField,
    VectorField,
    leaf_class,
    parse_json,
)
from .rules import Rule, merge


class FieldMaker(Protocol):
    """From whom an entry gets the fields of the types inside it."""

    def field_of(self, column: columns.Column, *, allow_none: bool) -> ColumnField:
        """Return the field of a column inside another."""
        ...

    def schema_of(self, user_type: type) -> type[Schema]:
        """Return the schema of a user type."""
        ...


def _no_options(_column: columns.Column) -> Options:
    return {}


@dataclass(frozen=True)
class ColumnType:
    """What the kit knows of one type of column.

    :ivar cql: the type's name in CQL.
    :ivar python: the type of its values in Python.
    :ivar widget: the name of the form control that edits a value.
    :ivar field: marshmallow's field for the same kind of JSON.
    :ivar encode: from a value to what JSON has; None if JSON has it as it is.
    :ivar decode: from what JSON has to a value; raises ``ValueError`` with a text for whoever sent
        it. The text should not quote the value.
    :ivar parse: from a text, in a CSV cell or as an object's key, to what JSON has.
    :ivar order: the key by which encoded values sort; None if they compare with each other.
    :ivar options: returns the options that a column gives its field, such as ``validate``.
    """

    cql: str
    python: type
    widget: str
    field: type[fields.Field[Any]] = fields.String
    encode: Encode | None = None
    decode: Decode = f.decode_text
    parse: Parse = str
    order: Order | None = None
    options: Callable[[columns.Column], Options] = _no_options

    def make_field(
        self, column: columns.Column, maker: FieldMaker, options: Options
    ) -> ColumnField:
        """Return the field of a column.

        :param options: marshmallow's. ``validate`` is added to the type's rules, ``metadata`` wins
            over the type's.
        """
        del maker
        base: Any = self.field
        return leaf_class(base)(
            encode=self.encode,
            decode=self.decode,
            parse=self.parse,
            order=self.order,
            **merge(self.options(column), options),
        )


def own_rules(column: columns.Column, told: Iterable[Rule] = ()) -> list[Rule]:
    """Return a validator that asks a program's own column class.

    What that class says of a value stays the error's cause, for the log: it may quote the value.

    :param told: the rules of the column's type. What breaks one of them is not told again.
    """
    if type(column).validate.__module__ in KNOWN_MODULES:
        return []

    def validate_column(value: object) -> None:
        try:
            column.validate(value)
        except Exception as problem:
            if not any(_breaks(value, rule) for rule in told):
                raise ValidationError("Not a valid value.") from problem

    return [validate_column]


def _breaks(value: object, rule: Rule) -> bool:
    try:
        rule(value)
    except ValidationError:
        return True
    return False


#: Modules of the columns whose rules the table knows, and whose values are the driver's.
KNOWN_MODULES = frozenset({columns.__name__, extra.__name__})


def _length_of(column: columns.Text) -> Options:
    if column.min_length is None and column.max_length is None:
        return {}
    return {"validate": [validate.Length(min=column.min_length, max=column.max_length)]}


def _format(name: str) -> Callable[[columns.Column], Options]:
    return lambda _column: {"metadata": {"format": name}}


def _pattern(pattern: str) -> Callable[[columns.Column], Options]:
    return lambda _column: {"metadata": {"pattern": pattern}}


def _float_order(encoded: Any) -> tuple[bool, Any]:
    return isinstance(encoded, str), encoded


def _integer(cql: str, bits: int) -> ColumnType:
    """A signed whole number of so many bits (CQL, Data types)."""
    limits = validate.Range(min=-(2 ** (bits - 1)), max=2 ** (bits - 1) - 1)
    return ColumnType(
        cql=cql,
        python=int,
        widget="integer",
        field=fields.Integer,
        decode=f.decode_integer,
        options=lambda _column: {"validate": [limits]},
    )


def _number(cql: str, decode: Decode) -> ColumnType:
    return ColumnType(
        cql=cql,
        python=float,
        widget="number",
        field=fields.Float,
        encode=f.encode_float,
        decode=decode,
        parse=f.parse_number,
        order=_float_order,
        options=_format(cql),
    )


_COUNTER = ColumnType(
    cql="counter",
    python=int,
    widget="counter",
    field=fields.Integer,
    decode=f.refuse("A counter is changed by increments."),
    options=lambda _column: {"dump_only": True, "metadata": {"format": "int64"}},
)


@dataclass(frozen=True)
class _Collection(ColumnType):
    """A type made of others.

    :ivar build: makes its field from its elements' fields.
    :ivar has_nulls: whether an element may be null.
    """

    parse: Parse = parse_json
    build: Callable[..., ColumnField] = ListField
    has_nulls: bool = False

    def make_field(
        self, column: columns.Column, maker: FieldMaker, options: Options
    ) -> ColumnField:
        elements = [maker.field_of(element, allow_none=self.has_nulls) for element in column.types]
        made = self.build(*elements, **merge(self.options(column), options))
        made.parse = self.parse
        return made


@dataclass(frozen=True)
class _UserType(ColumnType):
    """A type that a program has defined, with a schema of its own."""

    parse: Parse = parse_json

    def make_field(
        self, column: columns.Column, maker: FieldMaker, options: Options
    ) -> ColumnField:
        return NestedField(maker.schema_of(column.user_type), **options)


def _most_elements(_column: columns.Column) -> Options:
    return {"validate": [validate.Length(max=f.MOST_ELEMENTS)]}


def _most_properties(_column: columns.Column) -> dict[str, Any]:
    return {"validate": [MostProperties()], "metadata": {"maxProperties": f.MOST_ELEMENTS}}


def _dimension(column: columns.Column) -> Options:
    return {"validate": [validate.Length(equal=column.dimension)]}


def _make_tuple(*elements: ColumnField, **options: Any) -> ColumnField:
    return TupleField(list(elements), **options)


def _make_vector(element: ColumnField, **options: Any) -> ColumnField:
    if isinstance(element, Leaf) and isinstance(element, fields.Float):
        element.decode = f.decode_finite(element.decode)
    return VectorField(element, **options)


_TABLE: dict[type[columns.Column], ColumnType] = {
    columns.Ascii: ColumnType(
        cql="ascii", python=str, widget="text", decode=f.decode_ascii, options=_length_of
    ),
    columns.Text: ColumnType(cql="text", python=str, widget="text", options=_length_of),
    columns.Inet: ColumnType(
        cql="inet",
        python=str,
        widget="text",
        field=fields.IP,
        encode=f.encode_inet,
        decode=f.decode_inet,
    ),
    columns.Blob: ColumnType(
        cql="blob",
        python=bytes,
        widget="file",
        encode=f.encode_blob,
        decode=f.decode_blob,
        options=_format("byte"),
    ),
    columns.Boolean: ColumnType(
        cql="boolean",
        python=bool,
        widget="checkbox",
        field=fields.Boolean,
        decode=f.decode_boolean,
        parse=f.parse_boolean,
    ),
    columns.TinyInt: _integer("tinyint", 8),
    columns.SmallInt: _integer("smallint", 16),
    columns.Integer: _integer("int", 32),
    columns.BigInt: _integer("bigint", 64),
    columns.Counter: _COUNTER,
    columns.VarInt: ColumnType(
        cql="varint",
        python=int,
        widget="integer",
        encode=f.encode_varint,
        decode=f.decode_varint,
        options=_pattern("^-?[0-9]+$"),
    ),
    columns.Decimal: ColumnType(
        cql="decimal",
        python=Decimal,
        widget="decimal",
        encode=f.encode_decimal,
        decode=f.decode_decimal,
        options=_format("decimal"),
    ),
    columns.Float: _number("float", f.decode_float),
    columns.Double: _number("double", f.decode_double),
    columns.UUID: ColumnType(
        cql="uuid",
        python=UUID,
        widget="uuid",
        field=fields.UUID,
        encode=f.encode_uuid,
        decode=f.decode_uuid,
    ),
    columns.TimeUUID: ColumnType(
        cql="timeuuid",
        python=UUID,
        widget="uuid",
        field=fields.UUID,
        encode=f.encode_uuid,
        decode=f.decode_time_uuid,
    ),
    columns.DateTime: ColumnType(
        cql="timestamp",
        python=datetime,
        widget="datetime",
        field=fields.DateTime,
        encode=f.encode_timestamp,
        decode=f.decode_timestamp,
    ),
    columns.Date: ColumnType(
        cql="date",
        python=Date,
        widget="date",
        field=fields.Date,
        encode=f.encode_date,
        decode=f.decode_date,
    ),
    columns.Time: ColumnType(
        cql="time",
        python=Time,
        widget="time",
        field=fields.Time,
        encode=f.encode_time,
        decode=f.decode_time,
        options=_format("time"),
    ),
    columns.Duration: ColumnType(
        cql="duration",
        python=Duration,
        widget="duration",
        encode=f.encode_duration,
        decode=f.decode_duration,
        options=_format("duration"),
    ),
    columns.List: _Collection(
        cql="list", python=list, widget="list", field=fields.List, options=_most_elements
    ),
    columns.Set: _Collection(
        cql="set",
        python=set,
        widget="set",
        field=fields.List,
        options=_most_elements,
        build=SetField,
    ),
    columns.Map: _Collection(
        cql="map",
        python=dict,
        widget="map",
        field=fields.Dict,
        options=_most_properties,
        build=MapField,
    ),
    columns.Tuple: _Collection(
        cql="tuple",
        python=tuple,
        widget="tuple",
        field=fields.Tuple,
        build=_make_tuple,
        has_nulls=True,
    ),
    columns.UserDefinedType: _UserType(
        cql="udt", python=object, widget="fieldset", field=fields.Nested
    ),
    extra.Vector: _Collection(
        cql="vector",
        python=list,
        widget="vector",
        field=fields.List,
        options=_dimension,
        build=_make_vector,
    ),
}


def register(column_class: type[columns.Column], column_type: ColumnType) -> None:
    """Add a type of column, or replace what is known of one. Do it before models are used.

    Subclasses of ``column_class`` that only validate have the same entry.

    :raises TypeError: if ``column_class`` is not a column class.
    """
    if not (isinstance(column_class, type) and issubclass(column_class, columns.Column)):
        raise TypeError(f"register() takes a column class, not {column_class!r}.")
    _TABLE[column_class] = column_type


#: Types that JSON libraries know themselves.
_KNOWN_TO_JSON = (str, int, float, list, tuple, dict)

#: The kit's own encoders, by Python type. An entry that a program registers is about its columns,
#: not about the JSON of every application in the process.
_ENCODES = {
    entry.python: entry.encode
    for entry in _TABLE.values()
    if entry.encode is not None and not issubclass(entry.python, _KNOWN_TO_JSON)
}


def find_encode(python: type) -> Encode | None:
    """Return what encodes the values of a Python type; None if no column has such values, or if
    JSON has them itself.
    """
    return _ENCODES.get(python)


def find(column: columns.Column, label: str) -> ColumnType:
    """Return what is known of a column's type.

    :param label: what an error names: ``Model.column``.
    :raises UnknownColumnType: if the table has neither the column's class nor a base of it from
        which it differs in validation alone.
    """
    for column_class in type(column).__mro__:
        entry = _TABLE.get(column_class)
        if entry is not None:
            return entry
        if not _CONVERTING.isdisjoint(vars(column_class)):
            break
    name = type(column).__name__
    raise UnknownColumnType(
        f"{label}: the column table has no entry for {name}. Add one with "
        f"flask_cqlalchemy.columns.register({name}, ColumnType(...))."
    )


#: A subclass that defines one of these has other values than its base, and needs its own entry.
_CONVERTING = frozenset({"db_type", "to_python", "to_database"})

"""Every type of column: cqlengine's, those that it lacks, and the table of what is known of each.

One entry of the table (``ColumnType``) says a type's name in CQL, its Python type, its form in JSON
both ways, its marshmallow field, its form control and its text in a CSV cell. Schemas, JSON, forms,
import and export are made from it. This package knows nothing of Flask. Stages: ``formats`` turns
single values into JSON and back, ``fields`` makes marshmallow fields of them, ``table`` has the
entries. ``extra`` adds columns to cqlengine's, ``corrections`` corrects those that it has, and
``typed`` has them all, with what a type checker knows of them.
"""

from __future__ import annotations

from .fields import ColumnField
from .table import ColumnType, find, find_encode, register
from .typed import (
    UUID,
    Ascii,
    BaseCollectionColumn,
    BaseContainerColumn,
    BigInt,
    Blob,
    Boolean,
    Bytes,
    Column,
    Counter,
    Date,
    DateTime,
    Decimal,
    Double,
    Duration,
    Float,
    Inet,
    Integer,
    List,
    Map,
    Set,
    SmallInt,
    Text,
    Time,
    TimeUUID,
    TinyInt,
    Tuple,
    UserDefinedType,
    VarInt,
    Vector,
)

__all__ = [
    "UUID",
    "Ascii",
    "BaseCollectionColumn",
    "BaseContainerColumn",
    "BigInt",
    "Blob",
    "Boolean",
    "Bytes",
    "Column",
    "ColumnField",
    "ColumnType",
    "Counter",
    "Date",
    "DateTime",
    "Decimal",
    "Double",
    "Duration",
    "Float",
    "Inet",
    "Integer",
    "List",
    "Map",
    "Set",
    "SmallInt",
    "Text",
    "Time",
    "TimeUUID",
    "TinyInt",
    "Tuple",
    "UserDefinedType",
    "VarInt",
    "Vector",
    "find",
    "find_encode",
    "register",
]

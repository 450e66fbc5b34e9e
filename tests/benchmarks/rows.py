"""The row that every contender reads and writes: ten columns of the types that tables have."""

from __future__ import annotations

import datetime
import decimal
import uuid
from types import ModuleType
from typing import Annotated, Any

import marshmallow
from coodie.fields import ClusteringKey, Double, PrimaryKey
from coodie.sync import Document
from marshmallow import fields
from pydantic import Field

#: The keyspace of all benchmarks but that of the models' growth.
KEYSPACE = "benchmark"

TABLE = "row"
NAMES = ("part", "id", "name", "uid", "price", "at", "tags", "attrs", "score", "ok")

#: The partition that is read, and how many rows it has.
PART = 1
ROWS = 1000

#: The partition into which rows are written, apart from those that are read.
WRITTEN_PART = 2

_AT = datetime.datetime(2020, 1, 1)


def values(part: int, number: int) -> tuple[Any, ...]:
    """Return the values of a row in the order of ``NAMES``, built anew."""
    return (
        *(part, number, f"name {number}", uuid.UUID(int=number), decimal.Decimal("1.5"), _AT),
        *({"a", "b"}, {"k": "v"}, 1.5, True),
    )


def keywords(part: int, number: int) -> dict[str, Any]:
    """Return the same by name, as models take them."""
    return dict(zip(NAMES, values(part, number), strict=True))


def cqlengine_columns(kinds: ModuleType) -> dict[str, Any]:
    """Return the body of a cqlengine model, with the column types of ``kinds``."""
    return {
        "__table_name__": TABLE,
        "part": kinds.Integer(primary_key=True),
        "id": kinds.Integer(primary_key=True),
        "name": kinds.Text(),
        "uid": kinds.UUID(),
        "price": kinds.Decimal(),
        "at": kinds.DateTime(),
        "tags": kinds.Set(kinds.Text),
        "attrs": kinds.Map(kinds.Text, kinds.Text),
        "score": kinds.Double(),
        "ok": kinds.Boolean(),
    }


class CoodieRow(Document):
    """The same row for coodie."""

    part: Annotated[int, PrimaryKey()]
    id: Annotated[int, ClusteringKey()]
    name: str | None = None
    uid: uuid.UUID | None = None
    price: decimal.Decimal | None = None
    at: datetime.datetime | None = None
    tags: set[str] = Field(default_factory=set)
    attrs: dict[str, str] = Field(default_factory=dict)
    score: Annotated[float | None, Double()] = None
    ok: bool | None = None

    class Settings(Document.Settings):
        name = TABLE
        keyspace = KEYSPACE


class HandWrittenSchema(marshmallow.Schema):
    """The same row for marshmallow."""

    part = fields.Integer()
    id = fields.Integer()
    name = fields.String()
    uid = fields.UUID()
    price = fields.Decimal(as_string=True)
    at = fields.DateTime()
    tags = fields.List(fields.String())
    attrs = fields.Dict(keys=fields.String(), values=fields.String())
    score = fields.Float()
    ok = fields.Boolean()


def plain(value: Any) -> Any:
    """Return what orjson can write of a value of this row that it does not know."""
    if isinstance(value, decimal.Decimal):
        return str(value)
    return dict(value.items()) if hasattr(value, "items") else list(value)

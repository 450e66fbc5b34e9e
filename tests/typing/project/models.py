"""A program's models, as the README spells them: a column of every type."""

import datetime
import decimal
import uuid
from typing import TYPE_CHECKING

from flask_cqlalchemy import CQLAlchemy
from flask_cqlalchemy.columns import Column

db = CQLAlchemy()


class Address(db.UserType):
    street = db.columns.Text(required=True)
    number = db.columns.Integer()


class Slug(db.columns.Text):
    """A column type of the program's own."""


class Post(db.Model):
    __table_name__ = "posts"
    __options__ = {"gc_grace_seconds": 3600}

    id = db.columns.UUID(primary_key=True, default=uuid.uuid4)
    at = db.columns.DateTime(primary_key=True, clustering_order="DESC")
    title = db.columns.Text()
    body = db.columns.Text(required=True, max_length=1000)
    kind = db.columns.Ascii(default="note")
    slug = Slug(db_field="s")


class Every(db.Model):
    part = db.columns.Text(partition_key=True)
    row = db.columns.TimeUUID(primary_key=True)
    ascii = db.columns.Ascii()
    big = db.columns.BigInt()
    blob = db.columns.Blob()
    bytes = db.columns.Bytes(required=True)
    boolean = db.columns.Boolean()
    date = db.columns.Date()
    moment = db.columns.DateTime()
    now = db.columns.DateTime(default=lambda: datetime.datetime.now(datetime.timezone.utc))
    decimal = db.columns.Decimal()
    price = db.columns.Decimal(default=0)
    double = db.columns.Double()
    duration = db.columns.Duration()
    float = db.columns.Float(default=1.5)
    inet = db.columns.Inet()
    integer = db.columns.Integer(index=True)
    small = db.columns.SmallInt()
    text = db.columns.Text(static=True)
    time = db.columns.Time()
    tiny = db.columns.TinyInt()
    uuid = db.columns.UUID()
    varint = db.columns.VarInt()
    words = db.columns.List(db.columns.Text)
    tags = db.columns.Set(db.columns.Text(required=True), default=set)
    scores = db.columns.Map(db.columns.Text, db.columns.Integer())
    nested = db.columns.Map(db.columns.Text, db.columns.List(db.columns.Double))
    pair = db.columns.Tuple(db.columns.Text, db.columns.Integer)
    place = db.columns.Tuple(db.columns.Double, db.columns.Double, required=True)
    vector = db.columns.Vector(3)
    whole = db.columns.Vector(3, db.columns.Integer, required=True)
    home = db.columns.UserDefinedType(Address)
    office = db.columns.UserDefinedType(Address, required=True)
    homes = db.columns.List(db.columns.UserDefinedType(Address))


class Visits(db.Model):
    page = db.columns.Text(primary_key=True)
    count = db.columns.Counter()


def columns(every: Every) -> None:
    """Columns read on an instance."""
    reveal_type(every.part)  # str
    reveal_type(every.row)  # UUID
    reveal_type(every.ascii)  # str | None
    reveal_type(every.big)  # int | None
    reveal_type(every.blob)  # bytes | None
    reveal_type(every.bytes)  # bytes
    reveal_type(every.boolean)  # bool | None
    reveal_type(every.date)  # Date | None; to mypy: Any | None
    reveal_type(every.moment)  # datetime | None
    reveal_type(every.now)  # datetime
    reveal_type(every.decimal)  # Decimal | None
    reveal_type(every.price)  # Decimal
    reveal_type(every.double)  # float | None
    reveal_type(every.duration)  # Duration | None; to mypy: Any | None
    reveal_type(every.float)  # float
    reveal_type(every.inet)  # str | None
    reveal_type(every.integer)  # int | None
    reveal_type(every.small)  # int | None
    reveal_type(every.text)  # str | None
    reveal_type(every.time)  # Time | None; to mypy: Any | None
    reveal_type(every.tiny)  # int | None
    reveal_type(every.uuid)  # UUID | None
    reveal_type(every.varint)  # int | None
    reveal_type(every.words)  # list[str]
    reveal_type(every.tags)  # set[str]
    reveal_type(every.scores)  # dict[str, int]
    reveal_type(every.nested)  # dict[str, list[float]]
    reveal_type(every.pair)  # tuple[str, int] | None
    reveal_type(every.place)  # tuple[float, float]
    reveal_type(every.vector)  # list[float] | None
    reveal_type(every.whole)  # list[int]
    reveal_type(every.home)  # Address | None
    reveal_type(every.office)  # Address
    reveal_type(every.office.street)  # str
    reveal_type(every.office.number)  # int | None
    reveal_type(every.homes)  # list[Address]
    reveal_type(Visits().count)  # int
    reveal_type(Post().slug)  # str | None
    reveal_type(Post().id)  # UUID
    reveal_type(Post().at)  # datetime
    reveal_type(Post().kind)  # str


def assign(every: Every) -> None:
    """Columns assigned to."""
    every.text = "x"
    every.text.upper()
    every.text = None
    every.double = 1
    every.price = decimal.Decimal("1.5")
    every.words = ["a"]
    every.words.append("b")
    every.home = Address(street="s", number=1)
    every.home.number = None
    every.text = 3  # error
    every.bytes = None  # error
    every.words.append(1)  # error
    every.words = [1]  # error
    every.home = Post()  # error
    every.home.street = None  # error
    every.txt = "x"  # error
    every.text.upper()  # error
    every.inet.upper()  # error
    every.office.number + 1  # error
    every.nothing  # error
    del every.text


def declare() -> None:
    """Columns declared wrongly."""
    db.columns.Text(requird=True)  # error
    db.columns.Text(default=3)  # error
    db.columns.List()  # error
    db.columns.List(str)  # error
    db.columns.Txt()  # error
    db.columns.Vector("3")  # error


if TYPE_CHECKING:
    Base = Column[tuple[int, ...], tuple[int, ...] | None]
else:
    Base = db.columns.Text


class Colour(Base):
    """A column type of the program's own, of another Python type."""


class Paint(db.Model):
    name = db.columns.Text(primary_key=True)
    colour = Colour()
    colours = db.columns.List(Colour)


def paint(paint: Paint) -> None:
    reveal_type(paint.colour)  # tuple[int, ...] | None
    reveal_type(paint.colours)  # list[tuple[int, ...]]
    paint.colour = "red"  # error

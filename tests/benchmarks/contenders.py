"""Those who are compared: each does the same work in the way that its own documentation shows.

A contender has a driver session of its own on the same node. ``opened`` gives all four; what they
do is measured elsewhere.
"""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any, ClassVar

import orjson
from cassandra.cluster import EXEC_PROFILE_DEFAULT, Cluster, ExecutionProfile, Session
from cassandra.concurrent import execute_concurrent_with_args
from cassandra.cqlengine import columns as cqlengine_columns_module
from cassandra.cqlengine import connection as cqlengine_connection
from cassandra.cqlengine.models import Model as CQLEngineModel
from cassandra.cqlengine.query import BatchQuery
from cassandra.cqlengine.query import BatchType as CQLEngineBatchType
from cassandra.query import BatchStatement, BatchType, PreparedStatement, dict_factory
from coodie.sync import BatchQuery as CoodieBatch
from coodie.sync import init_coodie
from flask import Flask

from flask_cqlalchemy import CQLAlchemy
from flask_cqlalchemy import columns as kit_columns

from .rows import (
    KEYSPACE,
    NAMES,
    PART,
    ROWS,
    TABLE,
    CoodieRow,
    HandWrittenSchema,
    cqlengine_columns,
    keywords,
    plain,
    values,
)

DRIVER = "driver"
KIT = "Flask-CQLAlchemy"
CQLENGINE = "cqlengine"
COODIE = "coodie"

#: Requests of a bulk insert that are under way at once.
CONCURRENCY = 100

#: Protocol v5: named, or the driver first tries those of another product.
_PROTOCOL = 5

#: How orjson writes the driver's timestamps, which are naive and in UTC.
_TIMES = orjson.OPT_NAIVE_UTC | orjson.OPT_UTC_Z

_SCHEMA = HandWrittenSchema()

#: The row of a point read and of an update.
_ID = 5


@dataclass(frozen=True)
class Place:
    """Where the node is."""

    hosts: Sequence[str]
    port: int

    @property
    def config(self) -> dict[str, Any]:
        """The settings of an application that uses it."""
        return {
            "CASSANDRA_HOSTS": list(self.hosts),
            "CASSANDRA_PORT": self.port,
            "CASSANDRA_KEYSPACE": KEYSPACE,
            "SECRET_KEY": "seals the cursors of the benchmark",
        }


class Contender(ABC):
    """One way to read and write rows.

    :cvar name: the head of its column in the report.
    :ivar session: the driver session in which all its work ends.
    """

    name: ClassVar[str]
    session: Session

    @abstractmethod
    def read(self) -> Any:
        """Return one row by its key."""

    @abstractmethod
    def create(self, part: int, number: int) -> None:
        """Build the values of a row and insert it."""

    @abstractmethod
    def update(self, row: Any, name: str) -> None:
        """Write one column of a row that was read."""

    @abstractmethod
    def read_rows(self, most: int | None = None) -> list[Any]:
        """Return the rows of a partition, or the first ``most`` of them."""

    @abstractmethod
    def insert_batch(self, part: int, numbers: Iterable[int]) -> None:
        """Insert rows of one partition in one unlogged batch."""

    def insert_many(self, keys: Iterable[tuple[int, int]]) -> None:
        """Insert the rows of these keys: one by one, where there is nothing for it."""
        for part, number in keys:
            self.create(part, number)

    def filter_four_times(self) -> None:
        """Make a query of four filters and a limit, and do not execute it."""
        raise NotImplementedError

    @abstractmethod
    def write_json(self, most: int | None = None) -> bytes:
        """Return the JSON of the rows of a partition, or of the first ``most`` of them."""

    def describe(self, row: Any) -> dict[str, Any]:
        """Return what a view answers of a row."""
        return {"id": row.id, "name": row.name}

    def read_attributes(self) -> None:
        """Read all attributes of the rows of a partition."""
        for row in self.read_rows():
            for name in NAMES:
                getattr(row, name)

    def ready(self) -> AbstractContextManager[object]:
        """Return the context in which a thread may use it."""
        return nullcontext()

    @abstractmethod
    def close(self) -> None:
        """Close the session."""


class Driver(Contender):
    """What a careful programmer writes by hand: prepared statements, dictionaries as rows."""

    name = DRIVER

    def __init__(self, place: Place) -> None:
        profile = ExecutionProfile(row_factory=dict_factory)
        cluster = Cluster(
            place.hosts,
            port=place.port,
            protocol_version=_PROTOCOL,
            execution_profiles={EXEC_PROFILE_DEFAULT: profile},
        )
        self.session = session = cluster.connect(KEYSPACE)
        names, markers = ", ".join(NAMES), ", ".join("?" * len(NAMES))
        select = f"SELECT {names} FROM {TABLE} WHERE part = ?"
        self.insert: PreparedStatement = session.prepare(
            f"INSERT INTO {TABLE} ({names}) VALUES ({markers})"
        )
        self._one = session.prepare(f"{select} AND id = ?")
        self._many = session.prepare(select)
        self._some = session.prepare(f"{select} LIMIT ?")
        self._change = session.prepare(f"UPDATE {TABLE} SET name = ? WHERE part = ? AND id = ?")

    def read(self) -> Any:
        return self.session.execute(self._one, (PART, _ID)).one()

    def create(self, part: int, number: int) -> None:
        self.session.execute(self.insert, values(part, number))

    def update(self, row: Any, name: str) -> None:
        self.session.execute(self._change, (name, row["part"], row["id"]))

    def read_rows(self, most: int | None = None) -> list[Any]:
        if most is None:
            return list(self.session.execute(self._many, (PART,)))
        return list(self.session.execute(self._some, (PART, most)))

    def write_json(self, most: int | None = None) -> bytes:
        return orjson.dumps(self.read_rows(most), default=plain, option=_TIMES)

    def describe(self, row: Any) -> dict[str, Any]:
        return {"id": row["id"], "name": row["name"]}

    def read_attributes(self) -> None:
        for row in self.read_rows():
            for name in NAMES:
                row[name]

    def insert_batch(self, part: int, numbers: Iterable[int]) -> None:
        batch = BatchStatement(BatchType.UNLOGGED)
        for number in numbers:
            batch.add(self.insert, values(part, number))
        self.session.execute(batch)

    def insert_many(self, keys: Iterable[tuple[int, int]]) -> None:
        results = execute_concurrent_with_args(
            self.session,
            self.insert,
            (values(part, number) for part, number in keys),
            concurrency=CONCURRENCY,
            results_generator=True,
        )
        for _ in results:
            pass

    def close(self) -> None:
        self.session.cluster.shutdown()


class Modelled(Contender):
    """What the two kinds of cqlengine models have in common.

    :ivar model: the model of a row.
    """

    model: Any

    def read(self) -> Any:
        return self.model.get(part=PART, id=_ID)

    def create(self, part: int, number: int) -> None:
        self.model.create(**keywords(part, number))

    def update(self, row: Any, name: str) -> None:
        row.update(name=name)

    def read_rows(self, most: int | None = None) -> list[Any]:
        return list(self.model.objects(part=PART).limit(most))

    def filter_four_times(self) -> None:
        self.model.objects.filter(part=1).filter(id=5).filter(name="x").filter(score=1.0).limit(5)


class Kit(Modelled):
    """``db.Model`` in the context of an application.

    :ivar db: the ``CQLAlchemy`` object of its application, ``app``.
    """

    name = KIT

    def __init__(self, place: Place, app: Flask | None = None) -> None:
        self.db = db = CQLAlchemy()
        self.model = type(db.Model)("Row", (db.Model,), cqlengine_columns(kit_columns))
        self.app = app or Flask(__name__)
        self.app.config.from_mapping(place.config)
        db.init_app(self.app)

    @property
    def session(self) -> Session:
        return self.db.session

    def insert_batch(self, part: int, numbers: Iterable[int]) -> None:
        with self.db.batch("unlogged") as batch:
            for number in numbers:
                self.model.batch(batch).create(**keywords(part, number))

    def write_json(self, most: int | None = None) -> bytes:
        found: bytes = self.model.objects(part=PART).limit(most).to_json()
        return found

    def insert_many(self, keys: Iterable[tuple[int, int]]) -> None:
        rows = (keywords(part, number) for part, number in keys)
        self.db.bulk_create(self.model, rows, concurrency=CONCURRENCY)

    def ready(self) -> AbstractContextManager[object]:
        return self.app.app_context()

    def close(self) -> None:
        with self.app.app_context():
            self.db.close()


class CQLEngine(Modelled):
    """Plain cqlengine, on a connection of its own."""

    name = CQLENGINE

    def __init__(self, place: Place) -> None:
        # cqlengine warns without it.
        os.environ["CQLENG_ALLOW_SCHEMA_MANAGEMENT"] = "1"
        options = {"port": place.port, "protocol_version": _PROTOCOL}
        connection = cqlengine_connection.register_connection(
            CQLENGINE, hosts=place.hosts, cluster_options=options
        )
        self.session = connection.session
        body = {"__keyspace__": KEYSPACE, "__connection__": CQLENGINE}
        self.model = type(CQLEngineModel)(
            "Row", (CQLEngineModel,), {**cqlengine_columns(cqlengine_columns_module), **body}
        )

    def write_json(self, most: int | None = None) -> bytes:
        return orjson.dumps(_SCHEMA.dump(self.read_rows(most), many=True))

    def insert_batch(self, part: int, numbers: Iterable[int]) -> None:
        with BatchQuery(batch_type=CQLEngineBatchType.Unlogged, connection=CQLENGINE) as batch:
            for number in numbers:
                self.model.batch(batch).create(**keywords(part, number))

    def close(self) -> None:
        cqlengine_connection.unregister_connection(CQLENGINE)


class Coodie(Contender):
    """coodie's synchronous documents, on cassandra-driver."""

    name = COODIE

    def __init__(self, place: Place) -> None:
        driver: Any = init_coodie(
            list(place.hosts),
            keyspace=KEYSPACE,
            driver_type="cassandra",
            port=place.port,
            protocol_version=_PROTOCOL,
        )
        self.session = driver._session

    def read(self) -> Any:
        return CoodieRow.get(part=PART, id=_ID)

    def create(self, part: int, number: int) -> None:
        CoodieRow.create(**keywords(part, number))

    def update(self, row: Any, name: str) -> None:
        row.update(name=name)

    def read_rows(self, most: int | None = None) -> list[Any]:
        query = CoodieRow.find(part=PART)
        return query.all() if most is None else query.limit(most).all()

    def write_json(self, most: int | None = None) -> bytes:
        # Not mode="json", which knows no SortedSet; pydantic would warn of it, too.
        rows = [row.model_dump(warnings=False) for row in self.read_rows(most)]
        return orjson.dumps(rows, default=plain, option=_TIMES)

    def insert_batch(self, part: int, numbers: Iterable[int]) -> None:
        with CoodieBatch(logged=False) as batch:
            for number in numbers:
                CoodieRow(**keywords(part, number)).save(batch=batch)

    def filter_four_times(self) -> None:
        CoodieRow.find().filter(part=1).filter(id=5).filter(name="x").filter(score=1.0).limit(5)

    def close(self) -> None:
        self.session.cluster.shutdown()


@dataclass(frozen=True)
class Contenders:
    """All four, open."""

    driver: Driver
    kit: Kit
    cqlengine: CQLEngine
    coodie: Coodie

    @property
    def all(self) -> Mapping[str, Contender]:
        """All four by name, in the report's order."""
        four: tuple[Contender, ...] = (self.driver, self.kit, self.cqlengine, self.coodie)
        return {contender.name: contender for contender in four}


@contextmanager
def opened(place: Place) -> Iterator[Contenders]:
    """Create the table, fill the partition that is read, and give the contenders.

    The block has the application context of the kit's.
    """
    with ExitStack() as stack:
        kit = Kit(place)
        stack.callback(kit.close)
        stack.enter_context(kit.app.app_context())
        kit.db.sync_db()
        driver = Driver(place)
        stack.callback(driver.close)
        driver.insert_many((PART, number) for number in range(ROWS))
        cqlengine = CQLEngine(place)
        stack.callback(cqlengine.close)
        coodie = Coodie(place)
        stack.callback(coodie.close)
        yield Contenders(driver, kit, cqlengine, coodie)

"""How costs grow: with the rows of a page, the columns of a table, threads, and models.

What a unit costs at each size: where it stays the same or falls, the whole grows linearly or
slower.
"""

from __future__ import annotations

import gc
import time
import tracemalloc
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any

from cassandra.cqlengine import columns
from cassandra.cqlengine.models import Model as CQLEngineModel

from .contenders import CQLENGINE, DRIVER, KIT, Contender, Contenders
from .results import Benchmark, Setting, Step, progress
from .rounds import Work, interleave, typical
from .rows import KEYSPACE, NAMES, TABLE

#: The partition of the pages.
_PART = 3

#: What of each is to be compared.
_PAGES = (1, 10, 100, 1000, 5000)
_COLUMNS = (5, 20, 100)
_THREADS = (1, 4, 16)
_MODELS = (10, 100)

#: Rows that are read of the tables of many columns.
_WIDE_ROWS = 1000


def _costs(works: Mapping[str, Work], rounds: int) -> dict[str, float]:
    """Return the median CPU of a unit, by contender."""
    return {name: typical(found).cpu for name, found in interleave(works, rounds).items()}


# Rows of a page


def _pages(setting: Setting) -> list[Step]:
    contenders = setting.contenders
    contenders.driver.insert_many((_PART, number) for number in range(max(_PAGES)))
    return [_page(setting, contenders, size) for size in _PAGES]


def _page(setting: Setting, contenders: Contenders, size: int) -> Step:
    session, model = contenders.driver.session, contenders.kit.model
    select = session.prepare(f"SELECT {', '.join(NAMES)} FROM {TABLE} WHERE part = ? LIMIT ?")
    select.fetch_size = size
    query = model.objects(part=_PART).limit(size).fetch_size(size)
    times = setting.choose(max(2, 100 // size), 1)
    works = {
        DRIVER: Work(lambda: list(session.execute(select, (_PART, size))), times, size),
        # A query set keeps its rows; a new one is made of it.
        KIT: Work(lambda: list(query.all()), times, size),
    }
    costs = _costs(works, setting.choose_rounds(15))
    return Step("rows of a page", "us a row", f"{size:,}", costs)


# Columns of a table


def _columns(setting: Setting) -> list[Step]:
    wide = {count: _Wide(setting, count) for count in _COLUMNS}
    setting.settle()
    rounds = setting.choose_rounds(15)
    reads = [
        Step("columns, 1,000 rows read", "us a value", str(count), _costs(each.reads(), rounds))
        for count, each in wide.items()
    ]
    creates = [
        Step("columns, a create", "us a value", str(count), _costs(each.creates(), rounds))
        for count, each in wide.items()
    ]
    return reads + creates


class _Wide:
    """A table of so many columns, read and written by hand and by a model."""

    def __init__(self, setting: Setting, count: int) -> None:
        self._count = count
        self._setting = setting
        self._rows = setting.choose(_WIDE_ROWS, 100)
        kit, self._session = setting.contenders.kit, setting.contenders.driver.session
        kinds = kit.db.columns
        keys = {name: kinds.Integer(primary_key=True) for name in ("part", "id")}
        texts = {f"text_{number}": kinds.Text() for number in range(count - len(keys))}
        table = f"wide_{count}"
        body = {"__table_name__": table, **keys, **texts}
        self._model = type(kit.db.Model)(f"Wide{count}", (kit.db.Model,), body)
        kit.db.sync_table(self._model)
        self._names = [*keys, *texts]
        names, markers = ", ".join(self._names), ", ".join("?" * count)
        self._insert = self._session.prepare(f"INSERT INTO {table} ({names}) VALUES ({markers})")
        self._select = self._session.prepare(f"SELECT {names} FROM {table} WHERE part = ?")
        for number in range(self._rows):
            self._session.execute(self._insert, self._values(1, number))

    def _values(self, part: int, number: int) -> tuple[Any, ...]:
        return (part, number, *("some text" for _ in range(self._count - 2)))

    def reads(self) -> dict[str, Work]:
        units = self._rows * self._count
        return {
            DRIVER: Work(lambda: list(self._session.execute(self._select, (1,))), 2, units),
            KIT: Work(lambda: list(self._model.objects(part=1)), 2, units),
        }

    def creates(self) -> dict[str, Work]:
        times = self._setting.choose(100, 10)

        def by_hand() -> None:
            self._session.execute(self._insert, self._values(2, 1))

        def by_model() -> None:
            self._model.create(**dict(zip(self._names, self._values(2, 1), strict=True)))

        return {
            DRIVER: Work(by_hand, times, self._count),
            KIT: Work(by_model, times, self._count),
        }


# Threads


def _threads(setting: Setting) -> list[Step]:
    names = (DRIVER, KIT)
    times = setting.choose(400, 40)
    found: list[Step] = []
    rates: list[Step] = []
    for count in _THREADS:
        works = {
            name: Work(_in_threads(setting.contenders.all[name], count, times), 1, count * times)
            for name in names
        }
        samples = interleave(works, setting.choose_rounds(9))
        middle = {name: typical(each) for name, each in samples.items()}
        costs = {name: each.cpu for name, each in middle.items()}
        found.append(Step("threads, point reads", "us of CPU a read", str(count), costs))
        speeds = {name: 1e6 / each.wall for name, each in middle.items()}
        rates.append(Step("threads, point reads", "reads a second in all", str(count), speeds))
    return found + rates


def _in_threads(contender: Contender, count: int, times: int) -> Callable[[], None]:
    """Return what reads a row so often in so many threads at once."""
    barrier = Barrier(count)

    def read() -> None:
        with contender.ready():
            barrier.wait()
            for _ in range(times):
                contender.read()

    def run() -> None:
        with ThreadPoolExecutor(count) as pool:
            for done in [pool.submit(read) for _ in range(count)]:
                done.result()

    return run


# Models

#: Makes a model of a name and a body.
_Definition = Callable[[str, dict[str, Any]], Any]


def _models(setting: Setting) -> list[Step]:
    sizes = [setting.choose(size, size // 5) for size in _MODELS]
    for size in sizes:
        _create_tables(setting, size)
    setting.settle()
    found = [_measure_models(setting, size) for size in sizes]
    return [step for steps in zip(*found, strict=True) for step in steps]


def _table(size: int, number: int) -> str:
    return f"model_{size}_{number}"


def _create_tables(setting: Setting, size: int) -> None:
    progress(f"{size} tables")
    for number in range(size):
        setting.contenders.driver.session.execute(
            f"CREATE TABLE {_table(size, number)} (id int PRIMARY KEY, name text, score double, "
            "tags set<text>, at timestamp)",
            timeout=60,
        )


def _body(size: int, number: int) -> dict[str, Any]:
    return {
        "__table_name__": _table(size, number),
        "id": columns.Integer(primary_key=True),
        "name": columns.Text(),
        "score": columns.Double(),
        "tags": columns.Set(columns.Text),
        "at": columns.DateTime(),
    }


def _definitions(contenders: Contenders) -> dict[str, _Definition]:
    base = contenders.kit.db.Model
    place = {"__keyspace__": KEYSPACE, "__connection__": CQLENGINE}
    return {
        KIT: lambda name, body: type(base)(name, (base,), body),
        CQLENGINE: lambda name, body: type(CQLEngineModel)(
            name, (CQLEngineModel,), {**body, **place}
        ),
    }


def _measure_models(setting: Setting, size: int) -> list[Step]:
    defined: dict[str, float] = {}
    queried: dict[str, float] = {}
    memory: dict[str, float] = {}
    for name, define in _definitions(setting.contenders).items():
        models: list[Any] = []
        start = time.process_time()
        models.extend(_define_all(define, size))
        defined[name] = (time.process_time() - start) / size * 1e6
        start = time.process_time()
        for model in models:
            model.objects(id=1).first()
        queried[name] = (time.process_time() - start) / size * 1e6
        memory[name] = _memory(lambda define=define: list(_define_all(define, size))) / size / 1e3
    steps = (
        ("us a model, to define", defined),
        ("us a model, first query", queried),
        ("kB a model", memory),
    )
    return [Step("models of five columns", unit, str(size), costs) for unit, costs in steps]


def _define_all(define: _Definition, size: int) -> Iterator[Any]:
    for number in range(size):
        yield define(f"Model{size}x{number}", _body(size, number))


def _memory(make: Callable[[], Sequence[Any]]) -> float:
    """Return the bytes that what is made keeps."""
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        kept = make()
        gc.collect()
        after, _ = tracemalloc.get_traced_memory()
        del kept
        return float(after - before)
    finally:
        tracemalloc.stop()


BENCHMARKS = (
    Benchmark("growth of pages", _pages),
    Benchmark("growth of columns", _columns),
    Benchmark("growth of threads", _threads),
    Benchmark("growth of models", _models),
)

"""A bulk insert of 100,000 rows: its time, and the memory that it takes.

Memory is that of a process of its own for each contender, ``python -m tests.benchmarks.bulk``,
since a process seldom gives memory back.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence

import psutil

from .children import run_module
from .contenders import CONCURRENCY, COODIE, CQLENGINE, DRIVER, KIT, Contender, Driver, Kit, Place
from .results import Aim, Benchmark, Row, Setting, make_row, progress
from .rounds import Work, interleave

#: The first partition, and how many rows each gets.
_FIRST_PART = 1000
_ROWS_OF_A_PART = 100

#: Those without a bulk insert create this fraction of the rows one by one.
_FRACTION = 50

#: Rows before the memory is first measured: connections and code are there then.
_WARM_UP = 1000


def keys(count: int) -> Iterator[tuple[int, int]]:
    """Yield the keys of rows in many partitions."""
    for number in range(count):
        yield _FIRST_PART + number // _ROWS_OF_A_PART, number


def _insert(contender: Contender, rows: int, times: int = 1) -> Work:
    return Work(lambda: contender.insert_many(keys(rows)), times, rows)


def _run(setting: Setting) -> Row:
    rows = setting.choose(100_000, 3_000)
    alone = rows // _FRACTION
    contenders = setting.contenders.all
    works = {
        name: _insert(contenders[name], alone if name in (CQLENGINE, COODIE) else rows)
        for name in contenders
    }
    for contender in contenders.values():
        contender.insert_many(keys(alone))
    samples = interleave(works, setting.choose_rounds(5), warm_up=False)
    memory = {name: _memory(setting, name, rows) for name in (DRIVER, KIT)}
    tenth = f"{rows // 10:,}"
    growth = "; ".join(
        f"{name} {found[0]:+.1f} and {found[1]:+.1f}" for name, found in memory.items()
    )
    return make_row(
        f"bulk insert of {rows:,}",
        samples,
        aim=Aim(1.1),
        note=(
            f"of one row; {CONCURRENCY} requests at once; cqlengine and coodie, which have no bulk "
            f"insert, create {alone:,} one by one. MB of memory that {tenth} and {rows:,} rows "
            f"add: {growth}"
        ),
    )


def _memory(setting: Setting, name: str, rows: int) -> Sequence[float]:
    """Return the megabytes that a process has grown by, after a tenth of the rows and after all."""
    progress(f"memory of a bulk insert: {name}")
    place = setting.place
    found: list[float] = run_module("bulk", name, rows, place.port, *place.hosts)
    return found


def _watched(rows: int, marks: Sequence[int], found: list[float]) -> Iterator[tuple[int, int]]:
    """Yield the keys of rows, and note the process's memory at the marks."""
    process = psutil.Process()
    for number, key in enumerate(keys(rows), 1):
        yield key
        if number in marks:
            found.append(process.memory_info().rss / 1e6)


def main(name: str, rows: str, port: str, *hosts: str) -> None:
    """Insert rows and print by how many megabytes this process grew: a JSON list."""
    place, count = Place(hosts, int(port)), int(rows)
    contender: Contender = Kit(place) if name == KIT else Driver(place)
    found: list[float] = []
    marks = (min(_WARM_UP, count // 20), count // 10, count)
    with contender.ready():
        contender.insert_many(_watched(count, marks, found))
    contender.close()
    print(json.dumps([each - found[0] for each in found[1:]]))


BENCHMARKS = (Benchmark("bulk insert", _run),)

if __name__ == "__main__":
    main(*sys.argv[1:])

"""The operations of one row, of a thousand, and of a query that is not executed."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

from .contenders import CQLENGINE, DRIVER, KIT, Contender
from .layers import measure_layers
from .results import Aim, Benchmark, Row, Setting, make_row
from .rounds import Work, interleave
from .rows import ROWS, WRITTEN_PART

#: Inserts in a batch.
BATCH = 100

#: Microseconds that four filters and a limit may cost where cqlengine takes 260.
_FILTERS_AIM = 8 / 260

_new_names = map(str, itertools.count())

#: Gives what a contender does, after what need not be measured.
Preparation = Callable[[Contender], Callable[[], object]]


@dataclass(frozen=True)
class Operation:
    """Something that every contender does.

    :ivar times: how often, for one sample.
    :ivar units: see ``Work``.
    """

    name: str
    prepare: Preparation
    times: int
    aim: Aim
    rounds: int = 25
    units: int = 1

    def run(self, setting: Setting) -> Row:
        """Measure it with and without I/O."""
        contenders = setting.contenders.all
        times = setting.choose(self.times, max(1, self.times // 10))
        works = {
            name: Work(self.prepare(contender), times, self.units)
            for name, contender in contenders.items()
        }
        rounds = setting.choose_rounds(self.rounds)
        samples = interleave(works, rounds)
        layers = measure_layers(works, contenders, rounds)
        return make_row(self.name, samples, aim=self.aim, layers=layers)


def _update(contender: Contender) -> Callable[[], object]:
    row = contender.read()
    return lambda: contender.update(row, next(_new_names))


def _create(contender: Contender) -> Callable[[], object]:
    return lambda: contender.create(WRITTEN_PART, 1)


def _insert_batch(contender: Contender) -> Callable[[], object]:
    return lambda: contender.insert_batch(WRITTEN_PART, range(BATCH))


OPERATIONS = (
    Operation("point read", lambda each: each.read, 200, Aim(1.0)),
    Operation("create", _create, 200, Aim(1.1)),
    Operation("update one column", _update, 200, Aim(1.1)),
    Operation(f"{ROWS:,} rows, untouched", lambda each: each.read_rows, 5, Aim(1.0)),
    Operation(f"{ROWS:,} rows, all attributes", lambda each: each.read_attributes, 5, Aim(1.1)),
    Operation(f"batch of {BATCH} inserts", _insert_batch, 10, Aim(1.25)),
)


def _filters(setting: Setting) -> Row:
    works = {
        name: Work(contender.filter_four_times, setting.choose(500, 50))
        for name, contender in setting.contenders.all.items()
        if name != DRIVER
    }
    samples = interleave(works, setting.choose_rounds(25))
    return make_row(
        "4 filters and a limit",
        samples,
        baseline=CQLENGINE,
        aim=Aim(_FILTERS_AIM),
        note=f"not executed; {KIT} in relation to cqlengine",
    )


BENCHMARKS = (
    *(Benchmark(operation.name, operation.run) for operation in OPERATIONS),
    Benchmark("4 filters and a limit", _filters),
)

"""What the benchmarks find, on the way to the report."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from .contenders import DRIVER, Contenders, Place
from .rounds import Ratio, Sample, Samples, Spread, ratio, typical

#: Seconds of CPU in a second that an idle process takes at most: heartbeats.
_IDLE = 0.01

#: Seconds. The driver waits 2 s after a change of the schema before it reads it.
_WATCHED = 3

_STARTED = time.monotonic()


def progress(text: str) -> None:
    """Say on stderr how far it is."""
    print(f"[{time.monotonic() - _STARTED:5.0f} s] {text}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Setting:
    """What a benchmark works with.

    :ivar quick: do little of everything, for a trial.
    :ivar rounds: asked for; None leaves it to each benchmark.
    """

    place: Place
    contenders: Contenders
    quick: bool
    rounds: int | None

    def choose(self, full: int, quick: int) -> int:
        """Return a size for this run."""
        return quick if self.quick else full

    def settle(self) -> None:
        """Wait until this process is idle: the driver reads changes of the schema seconds later."""
        busy = not self.quick
        while busy:
            start = time.process_time()
            time.sleep(_WATCHED)
            busy = time.process_time() - start > _IDLE * _WATCHED

    def choose_rounds(self, full: int) -> int:
        """Return the number of rounds, given how many a thorough run has."""
        return self.rounds or self.choose(full, 3)


@dataclass(frozen=True)
class Aim:
    """The most that the kit may cost in relation to the row's baseline.

    :ivar measure: of the client's CPU or of the wall.
    """

    most: float
    measure: Literal["cpu", "wall"] = "cpu"

    def spread_of(self, found: Ratio) -> Spread:
        """Return the part of a ratio that the aim is about."""
        return found.cpu if self.measure == "cpu" else found.wall


@dataclass(frozen=True)
class Equal:
    """The aim of costing the same: the median is within the quartiles of the same measured twice.

    :ivar noise: what that gave.
    """

    noise: Ratio


@dataclass(frozen=True)
class Row:
    """A line of the first table.

    :ivar baseline: whose cost is 1; its cell has microseconds.
    :ivar cost: the baseline's.
    :ivar ratios: what the others cost in relation to it.
    :ivar layers: microseconds without I/O, by contender.
    :ivar note: what a reader has to know beside.
    """

    operation: str
    baseline: str
    cost: Sample
    ratios: Mapping[str, Ratio]
    aim: Aim | Equal | None = None
    layers: Mapping[str, float] = field(default_factory=dict)
    note: str = ""


def make_row(
    operation: str,
    samples: Samples,
    *,
    baseline: str = DRIVER,
    aim: Aim | Equal | None = None,
    layers: Mapping[str, float] | None = None,
    note: str = "",
) -> Row:
    """Return the line of an operation, from the samples of all rounds."""
    return Row(
        operation,
        baseline,
        typical(samples[baseline]),
        {name: ratio(samples, name, baseline) for name in samples if name != baseline},
        aim,
        layers or {},
        note,
    )


@dataclass(frozen=True)
class Step:
    """A line of the second table: what a unit costs at one size.

    :ivar subject: what grows, and the unit of the cost, such as ``rows of a page: us a row``.
    :ivar size: how far it has grown.
    :ivar costs: by contender.
    """

    subject: str
    unit: str
    size: str
    costs: Mapping[str, float]


@dataclass(frozen=True)
class Benchmark:
    """One thing to measure: gives a line of the first table, or lines of the second one."""

    name: str
    run: Callable[[Setting], Row | list[Step]]

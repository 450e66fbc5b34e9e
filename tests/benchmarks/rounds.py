"""Measuring: every contender in every round, and the median over the rounds of the rounds' ratios.

A machine is faster in one minute than in the next by a quarter; contenders that take turns within
a round meet the same machine.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass


@dataclass(frozen=True)
class Work:
    """Something to measure.

    :ivar run: does it once.
    :ivar times: how often it is run for one sample.
    :ivar units: how many things a run does, such as the rows that it inserts.
    """

    run: Callable[[], object]
    times: int = 1
    units: int = 1


@dataclass(frozen=True)
class Sample:
    """Microseconds for one unit of work: the CPU of this process, all threads, and the wall's."""

    cpu: float
    wall: float


@dataclass(frozen=True)
class Spread:
    """A median with the quartiles about it."""

    low: float
    median: float
    high: float


@dataclass(frozen=True)
class Ratio:
    """What one contender costs in relation to another."""

    cpu: Spread
    wall: Spread


#: Samples of each contender, one for each round.
Samples = Mapping[str, Sequence[Sample]]


def sample(work: Work) -> Sample:
    """Measure once. The garbage of whoever came before is collected first."""
    gc.collect()
    run = work.run
    wall, cpu = time.perf_counter(), time.process_time()
    for _ in range(work.times):
        run()
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    scale = 1e6 / (work.times * work.units)
    return Sample(cpu * scale, wall * scale)


def interleave(works: Mapping[str, Work], rounds: int, *, warm_up: bool = True) -> Samples:
    """Measure all works in each round; another one comes first in each.

    :param warm_up: run each of them once before.
    """
    found: dict[str, list[Sample]] = {name: [] for name in works}
    for work in works.values() if warm_up else ():
        work.run()
    with frozen():
        for number in range(rounds):
            for name in turn(list(works), number):
                found[name].append(sample(works[name]))
    return found


@contextmanager
def frozen() -> Iterator[None]:
    """Keep the garbage collector from looking at what lives already."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def turn(names: Sequence[str], number: int) -> Sequence[str]:
    """Return the order of the contenders in round ``number``: another one comes first in each."""
    first = number % len(names)
    return [*names[first:], *names[:first]]


def spread(numbers: Sequence[float]) -> Spread:
    """Return the median and the quartiles; of one number, that number."""
    if len(numbers) == 1:
        return Spread(numbers[0], numbers[0], numbers[0])
    low, median, high = statistics.quantiles(numbers, n=4, method="inclusive")
    return Spread(low, median, high)


def ratio(samples: Samples, name: str, baseline: str) -> Ratio:
    """Return what ``name`` costs in relation to ``baseline``, by the ratio within each round."""
    pairs = list(zip(samples[name], samples[baseline], strict=True))
    return Ratio(
        spread([ours.cpu / theirs.cpu for ours, theirs in pairs]),
        spread([ours.wall / theirs.wall for ours, theirs in pairs]),
    )


def typical(samples: Sequence[Sample]) -> Sample:
    """Return the median of the CPU and that of the wall."""
    return Sample(
        statistics.median(each.cpu for each in samples),
        statistics.median(each.wall for each in samples),
    )

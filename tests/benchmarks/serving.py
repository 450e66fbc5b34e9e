"""Views under gunicorn with one worker: ``gunicorn_app`` asked by ``load``.

The node, the worker and the load share the machine's cores. So beside the requests per second
there is the CPU of the worker for each request, which is steadier.
"""

from __future__ import annotations

import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil

from tests.integration.processes import Program, module_running

from .children import run_module
from .gunicorn_app import ROWS_OF_A_VIEW
from .results import Aim, Benchmark, Row, Setting, make_row
from .rounds import Sample, Samples, turn

#: Requests that wait at once; more than the worker's threads, so that it is never idle.
_CLIENTS = 4

_KINDS = {
    "sync": ["--worker-class", "sync"],
    "gthread": ["--worker-class", "gthread", "--threads", "4"],
}


@dataclass(frozen=True)
class View:
    """What is asked for.

    :ivar folder: before the contender's name in the path.
    :ivar aim: about the time between two answers.
    """

    name: str
    folder: str
    aim: Aim


_ONE_ROW = View("a view", "/", Aim(1.05, "wall"))

#: 0.95 of the requests per second.
_JSON = View(f"{ROWS_OF_A_VIEW} rows as JSON", "/rows/", Aim(1 / 0.95, "wall"))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _load(port: int, path: str, seconds: float) -> tuple[int, float]:
    count, elapsed = run_module("load", port, path, seconds, _CLIENTS)
    return count, elapsed


def _sample(worker: psutil.Process, port: int, path: str, seconds: float) -> Sample:
    """Return the worker's CPU and the wall for one request."""
    before = worker.cpu_times()
    count, elapsed = _load(port, path, seconds)
    after = worker.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    return Sample(cpu / count * 1e6, elapsed / count * 1e6)


def _measure(setting: Setting, server: Program, port: int, folder: str) -> Samples:
    names = list(setting.contenders.all)
    paths = {name: f"{folder}{name}" for name in names}
    server.wait(lambda: all(server.client().get(path)[0] == 200 for path in paths.values()))
    (worker,) = server.children()
    seconds = setting.choose(20, 5) / 10
    found: dict[str, list[Sample]] = {name: [] for name in names}
    for name in names:
        _load(port, paths[name], seconds)
    for number in range(setting.choose_rounds(11)):
        for name in turn(names, number):
            found[name].append(_sample(worker, port, paths[name], seconds))
    return found


def _run(setting: Setting, kind: str, view: View = _ONE_ROW) -> Row:
    port = _free_port()
    arguments = ["gunicorn", "--workers", "1", *_KINDS[kind], "--bind", f"127.0.0.1:{port}"]
    application = f"{__package__}.gunicorn_app:create_app()"
    with tempfile.TemporaryDirectory() as directory:
        log = Path(directory) / "log"
        with module_running(
            [*arguments, application], setting.place.config, log, port=port
        ) as server:
            samples = _measure(setting, server, port, view.folder)
    return make_row(
        f"{view.name} under gunicorn, {kind}",
        samples,
        aim=view.aim,
        note=f"the worker's CPU for a request (the time between two answers to {_CLIENTS} clients)",
    )


BENCHMARKS = (
    Benchmark("gunicorn sync", lambda setting: _run(setting, "sync")),
    Benchmark("gunicorn gthread", lambda setting: _run(setting, "gthread")),
    Benchmark("gunicorn JSON", lambda setting: _run(setting, "sync", _JSON)),
)

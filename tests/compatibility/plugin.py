"""Inside the run of a suite: a pytest plugin that puts the kit in cqlengine's place, or does not.

``runs`` loads it as ``compatibility.plugin`` in a process of its own, where ``tests`` is the suite.
"""

from __future__ import annotations

import json
import os
import sys
from functools import wraps
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from cassandra.cluster import Cluster

#: What this run is on, where the node is, and where the outcomes go.
VARIABLES = ("COMPATIBILITY_ON", "COMPATIBILITY_PORT", "COMPATIBILITY_OUTCOMES")

#: The worse of two outcomes of one test comes first.
_WORST = ("error", "failed", "skipped", "passed")

_outcomes: dict[str, tuple[str, str]] = {}


@pytest.hookimpl(tryfirst=True)
def pytest_load_initial_conftests() -> None:
    """Prepare before anything of the suite is imported."""
    on, port, _ = (os.environ[name] for name in VARIABLES)
    _reach(int(port))
    _stand_in_for_ccm()
    if on == "ours":
        from . import mapping

        mapping.install(os.environ["CLUSTER_IP"], int(port))


def _reach(port: int) -> None:
    """Have every cluster of the driver's use this port: the suites know no other than 9042."""
    init = Cluster.__init__

    @wraps(init)
    def init_at_port(self: Any, *args: Any, **kwargs: Any) -> None:
        init(self, *args, **{**kwargs, "port": port})

    Cluster.__init__ = init_at_port


def _stand_in_for_ccm() -> None:
    """Let the driver's suite import ccm, which starts nodes and is not needed where one runs."""
    names = {
        "dse_cluster": "DseCluster",
        "hcd_cluster": "HcdCluster",
        "cluster": "Cluster",
        "cluster_factory": "ClusterFactory",
        "common": "",
    }
    package: Any = ModuleType("ccmlib")
    sys.modules["ccmlib"] = package
    for name, inner in names.items():
        module = ModuleType(f"ccmlib.{name}")
        if inner:
            setattr(module, inner, type(inner, (), {}))
        setattr(package, name, module)
        sys.modules[module.__name__] = module


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    outcome, error = report.outcome, ""
    if outcome == "failed":
        crash = getattr(report.longrepr, "reprcrash", None)
        error = crash.message if crash is not None else report.longreprtext[-300:]
        if report.when != "call":
            outcome = "error"  # type: ignore[assignment]
    known = _outcomes.get(report.nodeid)
    if known is None or _WORST.index(outcome) < _WORST.index(known[0]):
        _outcomes[report.nodeid] = (outcome, error)


def pytest_collectreport(report: pytest.CollectReport) -> None:
    if report.failed:
        _outcomes[report.nodeid] = ("error", str(report.longrepr)[-1000:])


def pytest_sessionfinish() -> None:
    Path(os.environ[VARIABLES[2]]).write_text(json.dumps(_outcomes))

"""Modules of this package that run as processes of their own and print what they found as JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from tests.integration.processes import ROOT


def run_module(name: str, *arguments: object) -> Any:
    """Run ``python -m tests.benchmarks.<name>`` and return what it printed.

    :raises CalledProcessError: if it fails.
    """
    child = subprocess.run(
        [sys.executable, "-m", f"{__package__}.{name}", *map(str, arguments)],
        check=True,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    return json.loads(child.stdout)

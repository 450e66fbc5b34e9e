"""Every Python block of README.md and docs/*.md runs, in order, on the test cluster."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from flask import Flask

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

_BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://|#)([^)#]+)")


def blocks(page: Path) -> str:
    """Return the page's Python blocks as one program, each line where it stands on the page."""
    text = page.read_text()
    lines = [""] * text.count("\n")
    for match in _BLOCK.finditer(text):
        first = text.count("\n", 0, match.start(1))
        for number, line in enumerate(match.group(1).splitlines()):
            lines[first + number] = line
    return "\n".join(lines)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_code_on_a_page_runs(
    page: Path,
    cassandra_config: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """The pages take the cluster from the environment, as a reader's application does."""
    keyspace = f"{cassandra_config['CASSANDRA_KEYSPACE']}_{page.stem.lower().replace('-', '_')}"
    for name, value in {**cassandra_config, "CASSANDRA_KEYSPACE": keyspace}.items():
        text = ",".join(value) if isinstance(value, list) else str(value)
        monkeypatch.setenv(f"FLASK_{name}", text)
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": f"docs_{page.stem}"}
    try:
        exec(compile(blocks(page), str(page), "exec"), namespace)
    finally:
        for value in list(namespace.values()):
            if isinstance(value, Flask) and "cqlalchemy" in value.extensions:
                with value.app_context():
                    value.extensions["cqlalchemy"].close()


def test_the_testing_guide_is_a_project(cassandra_config: dict[str, Any], tmp_path: Path) -> None:
    """Its first block is a conftest.py, its second one a test."""
    conftest, test = _BLOCK.findall((ROOT / "docs" / "testing.md").read_text())
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_it.py").write_text(f"from conftest import Post\n\n{test}")
    hosts = f"{cassandra_config['CASSANDRA_HOSTS'][0]}:{cassandra_config['CASSANDRA_PORT']}"
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--cassandra-hosts", hosts],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "1 passed" in result.stdout, result.stdout + result.stderr


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_links_on_a_page_lead_somewhere(page: Path) -> None:
    targets = [page.parent / link for link in _LINK.findall(page.read_text())]
    assert [target for target in targets if not target.exists()] == []

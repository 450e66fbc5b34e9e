"""The configuration: defaults, then the environment, then what ``create_app`` is given."""

from __future__ import annotations

import os
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask import Flask

#: Bytes of a request. A text of 1 MB may be 3 MB as a form sends it, and still reaches the form,
#: which says that it is too long; what is larger still ends in a 413.
MAX_REQUEST = 4 * 1024 * 1024

#: In the instance folder; kept so that sessions outlive a restart.
KEY_FILE = "secret-key"


def configure(app: Flask, config: Mapping[str, Any] | None) -> None:
    """Fill ``app.config``. Every key can be set as ``FLASK_<key>`` in the environment."""
    app.config.from_mapping(
        CASSANDRA_KEYSPACE="tumblelog",
        MAX_CONTENT_LENGTH=MAX_REQUEST,
        MAX_FORM_MEMORY_SIZE=MAX_REQUEST,
        SESSION_COOKIE_SAMESITE="Lax",
    )
    app.config.from_prefixed_env()
    app.config.from_mapping(config)
    if needs_local_node(app):
        app.config.setdefault("CASSANDRA_LOCAL_NODES", 1)
        app.config.setdefault("CASSANDRA_ALLOW_LOCAL", True)
    if not app.config["SECRET_KEY"]:
        app.config["SECRET_KEY"] = keep_secret_key(Path(app.instance_path) / KEY_FILE)


def needs_local_node(app: Flask) -> bool:
    """Return whether nothing names a cluster, so that the tumblelog runs a node of its own."""
    return app.config.get("CASSANDRA_HOSTS") is None and app.config.get("CASSANDRA_CLOUD") is None


def keep_secret_key(path: Path) -> str:
    """Return the key in the file, made on the first call: the same one to every process.

    The link fails if the file is there already, so of several workers that start at once one wins,
    and nobody reads half a key.
    """
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
        draft.touch(mode=0o600, exist_ok=False)
        try:
            draft.write_text(secrets.token_hex(32))
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text()

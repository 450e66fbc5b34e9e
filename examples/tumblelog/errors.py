"""Error pages in the look of the others. None of them needs the database."""

from __future__ import annotations

import logging

from cassandra import InvalidRequest
from flask import Flask, render_template
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response

log = logging.getLogger(__name__)

#: What a page says above the error's own description, by status.
HEADINGS = {
    400: "This address cannot be right",
    404: "There is nothing here",
    413: "That is too much at once",
    503: "The database does not answer",
}

#: What it says in place of Werkzeug's description.
TEXTS = {
    404: "No page has this address. Perhaps the link lost a letter on its way.",
    413: "What you sent is larger than this site accepts. Nothing of it was stored.",
}


def init_app(app: Flask) -> None:
    """Show errors as pages."""
    app.register_error_handler(HTTPException, show_error)
    app.register_error_handler(InvalidRequest, show_missing_tables)


def show_error(error: HTTPException) -> Response:
    """Put a page into the error's own response, which has its headers, such as Retry-After."""
    response = error.get_response()
    status = response.status_code
    heading = HEADINGS.get(status, error.name)
    text = TEXTS.get(status, error.description)
    response.set_data(render_template("error.html", status=status, heading=heading, text=text))
    return response


def show_missing_tables(error: InvalidRequest) -> tuple[str, int]:
    """Say what to do about a cluster that nobody has synced. Any other refusal is a bug: a 500."""
    if "unconfigured table" not in str(error) and "does not exist" not in str(error):
        raise error
    log.error("the tables are missing: %s", error)
    page = render_template(
        "error.html",
        status=503,
        heading="This blog is not set up yet",
        text="Its tables do not exist. Whoever runs it creates them with this command:",
        command="flask --app examples.tumblelog cql sync",
    )
    return page, 503

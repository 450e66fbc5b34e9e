"""Errors as problem documents (RFC 9457), for programs that speak JSON.

``init_app`` registers Flask's error handlers: one for what a schema refuses, one for HTTP errors,
those of ``errors`` among them. Nothing is registered unless a program asks for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from flask import Blueprint, Response, current_app, request
from marshmallow import ValidationError
from werkzeug.exceptions import HTTPException
from werkzeug.wrappers import Response as BaseResponse

from .pointers import find_problems

if TYPE_CHECKING:
    from flask.sansio.scaffold import Scaffold
    from flask.typing import ResponseReturnValue

#: The media type of a problem document (RFC 9457, 3).
PROBLEM = "application/problem+json"

#: Problems that one document lists; a body of many megabytes may have as many.
MOST_PROBLEMS = 100


def init_app(app: Scaffold) -> None:
    """Answer errors with problem documents (RFC 9457).

    The errors of schemas are answered with 422, and say where each problem is; HTTP errors, those
    of ``errors`` among them, with their own status.

    :param app: a blueprint, for its own views; or an application, where a client that asks for HTML
        rather than JSON gets Flask's pages, and where handlers for one status come first.
    """
    app.register_error_handler(ValidationError, _answer_invalid)
    app.register_error_handler(
        HTTPException, _answer_error if isinstance(app, Blueprint) else _answer_error_by_accept
    )


def _answer_invalid(error: ValidationError) -> Response:
    problems = [
        {"pointer": pointer, "detail": detail} for pointer, detail in find_problems(error.messages)
    ]
    detail = "The data are not valid."
    if len(problems) > MOST_PROBLEMS:
        detail += f" These are the first {MOST_PROBLEMS} of {len(problems)} problems."
    # RFC 9110 has renamed it since Python's names were chosen.
    more = {"errors": problems[:MOST_PROBLEMS]}
    return _make_problem(HTTPStatus.UNPROCESSABLE_ENTITY, "Unprocessable Content", detail, more)


def _answer_error_by_accept(error: HTTPException) -> ResponseReturnValue:
    accepted = request.accept_mimetypes.best_match([PROBLEM, "application/json", "text/html"])
    answer = error.get_response() if accepted == "text/html" else _answer_error(error)
    if isinstance(answer, BaseResponse):
        answer.vary.add("Accept")
    return answer


def _answer_error(error: HTTPException) -> ResponseReturnValue:
    if error.response is not None or error.code is None or error.code < HTTPStatus.BAD_REQUEST:
        # A redirect, or an answer that the program has made.
        return error
    response = _make_problem(error.code, error.name, str(error.description or error.name), {})
    for name, value in error.get_headers():
        if name not in ("Content-Type", "Content-Length"):
            response.headers.add(name, value)
    return response


def _make_problem(status: int, title: str, detail: str, more: Mapping[str, Any]) -> Response:
    document = {
        "type": "about:blank",
        "title": title,
        "status": int(status),
        "detail": detail,
        **more,
    }
    return current_app.response_class(
        current_app.json.dumps(document), status=int(status), mimetype=PROBLEM
    )

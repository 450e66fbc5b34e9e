# mypy: disable-error-code="name-defined,misc"
"""The blog as JSON, for programs: the list of posts, and a post with its comments.

Errors are problem documents (RFC 9457) here, and pages everywhere else.
"""

from __future__ import annotations

from flask import Blueprint, Response, abort, jsonify

from flask_cqlalchemy import problems
from flask_cqlalchemy.pagination import Page

from .models import BLOG, Comment, Timeline, db, find_post
from .text import is_slug


class EntrySchema(db.AutoSchema):
    """What the list says of a post: all but the partition, which is the same for all."""

    class Meta:
        model = Timeline
        exclude = ("blog",)


api = Blueprint("api", __name__, url_prefix="/api")
problems.init_app(api)


@api.get("/posts")
def list_posts() -> Response:
    """The newest posts; a Link header, and ``next``, lead to those before them."""
    page: Page[Timeline] = Timeline.objects(blog=BLOG).paginate()
    return page.to_response(EntrySchema())


@api.get("/posts/<slug>")
def show_post(slug: str) -> Response:
    """A post and its oldest comments; a Link header, and ``next``, lead to those after them."""
    post = find_post(slug) if is_slug(slug) else None
    if post is None:
        abort(404)
    comments = Comment.objects(slug=slug).paginate()
    response = jsonify(post=post, comments=comments.items, next=comments.next)
    links = comments.links()
    if links:
        response.headers["Link"] = links
    return response

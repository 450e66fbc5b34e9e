"""The pages: the list of posts, a post with its comments, and the form for a new post.

A form that is sent ends in a redirect, so that loading the page again sends nothing twice; one that
cannot be accepted is shown again with what was typed, the reasons, and the status 400.
"""

from __future__ import annotations

import re
from datetime import datetime

from flask import Blueprint, Response, abort, flash, redirect, render_template, request, url_for
from flask_wtf import FlaskForm
from werkzeug.wrappers import Response as BaseResponse

from .forms import CommentForm, PostForm
from .models import (
    COMMENTS_SHOWN,
    MILLISECOND,
    Post,
    add_comment,
    find_post,
    publish,
    read_comments,
    read_timeline,
)
from .text import is_slug, split_paragraphs

blog = Blueprint("blog", __name__)
blog.add_app_template_filter(split_paragraphs)

#: cqlengine gives times in UTC without a time zone.
EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001

#: Milliseconds since 1970 of the year 10000, which Python's datetime cannot hold.
YEAR_10000 = 253_402_300_800_000


@blog.get("/")
def index() -> str:
    """The newest posts, or with ``?before=`` those from before that millisecond."""
    before = _read_before(request.args.get("before"))
    page = read_timeline(before)
    older = (page.before - EPOCH) // MILLISECOND if page.before else None
    return render_template("index.html", posts=page.posts, before=before, older=older)


@blog.route("/posts/new", methods=["GET", "POST"])
def new_post() -> BaseResponse | tuple[str, int]:
    """The form for a new post. Its path has a slash, so no slug can be the same."""
    form = PostForm()
    if form.validate_on_submit():
        slug = form.slug.data or ""
        if find_post(slug) is None:
            post = publish(slug, form.title.data or "", form.body.data or "")
            flash("Your post is published.")
            return redirect(post.get_absolute_url(), 303)
        form.slug.errors = [f"This slug is taken: there is a post at /{slug}. Choose another."]
    return render_template("new_post.html", form=form), _status(form)


@blog.route("/<slug>", methods=["GET", "POST"])
def show_post(slug: str) -> BaseResponse | tuple[str, int]:
    """A post, its comments, and the form for another comment."""
    post = _get_post(slug)
    form = CommentForm()
    if form.validate_on_submit():
        comment = add_comment(slug, form.author.data or "", form.body.data or "")
        flash("Thank you, your comment is published.", "comment")
        anchor = name_comment(comment.created_at)
        return redirect(url_for(".show_post", slug=slug, _anchor=anchor), 303)
    comments = read_comments(slug)
    return (
        render_template(
            "post.html",
            post=post,
            comments=comments[:COMMENTS_SHOWN],
            has_more=len(comments) > COMMENTS_SHOWN,
            form=form,
        ),
        _status(form),
    )


@blog.after_app_request
def add_security_headers(response: Response) -> Response:
    """Let pages load and send nothing beyond this site."""
    response.headers["Content-Security-Policy"] = (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    response.headers["X-Content-Type-Options"] = "nosniff"
    return response


@blog.app_template_filter()
def iso_time(moment: datetime) -> str:
    """Write a time as ``<time datetime>`` has it."""
    return f"{moment:%Y-%m-%dT%H:%M:%S}Z"


@blog.app_template_filter()
def human_time(moment: datetime) -> str:
    """Write a time for a reader."""
    return f"{moment.day} {moment:%B %Y, %H:%M} UTC"


@blog.app_template_filter()
def name_comment(created_at: datetime) -> str:
    """Return the name of a comment's place in the page."""
    return f"comment-{(created_at.replace(tzinfo=None) - EPOCH) // MILLISECOND}"


def _get_post(slug: str) -> Post:
    """Return a post, or end in a 404: without a query if the slug cannot be one."""
    post = find_post(slug) if is_slug(slug) else None
    if post is None:
        abort(404)
    return post


def _read_before(text: str | None) -> datetime | None:
    """Return the time that ``?before=`` gives in milliseconds since 1970."""
    if text is None:
        return None
    if not re.fullmatch("[0-9]{1,15}", text) or int(text) >= YEAR_10000:
        abort(400, "The address has a 'before' that is not a time in milliseconds since 1970.")
    return EPOCH + int(text) * MILLISECOND


def _status(form: FlaskForm) -> int:
    return 400 if any(field.errors for field in form) else 200

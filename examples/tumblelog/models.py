# mypy: disable-error-code="name-defined,misc"
"""The tables of the tumblelog, and the few statements that read and write them.

``Post``, ``Comment`` and ``CommentCount`` are those of the tutorial; ``Timeline`` is the table that
it talks about and leaves out. mypy cannot look into ``db.Model``, a base class made at run time:
hence the line at the top.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone

from cassandra.cqlengine.query import BatchQuery, LWTException
from flask import url_for

from flask_cqlalchemy import CassandraUnavailable, CQLAlchemy, OutcomeUnknown

from .text import SLUG_LENGTH, summarise

log = logging.getLogger(__name__)

db = CQLAlchemy()

#: Characters of a title or of the name of a comment's author.
NAME_LENGTH = 255

#: The one blog there is: the partition key of ``Timeline``.
BLOG = "tumblelog"

#: Posts on one page of the list. Their counts are read with one ``IN``, so it stays below about 50.
POSTS_SHOWN = 20

#: Comments shown with a post.
COMMENTS_SHOWN = 500

#: What Cassandra's ``timestamp`` can tell apart.
MILLISECOND = timedelta(milliseconds=1)


def now() -> datetime:
    """Return the time in UTC, in the whole milliseconds that Cassandra stores."""
    moment = datetime.now(timezone.utc)
    return moment.replace(microsecond=moment.microsecond // 1000 * 1000)


class Post(db.Model):
    """Answers "what is the post with this slug?".

    The slug alone is the partition key, so Cassandra spreads the posts over the cluster by its
    hash, and knows from the slug which node to ask. The price: the posts as a whole have no order.
    ``created_at`` sorts the rows *inside* a partition, and here each partition has one row.
    """

    slug = db.columns.Text(primary_key=True, max_length=SLUG_LENGTH, required=True)
    created_at = db.columns.DateTime(primary_key=True, default=now)
    title = db.columns.Text(max_length=NAME_LENGTH, required=True)
    body = db.columns.Text(required=True)

    def get_absolute_url(self) -> str:
        return url_for("blog.show_post", slug=self.slug)


class Timeline(db.Model):
    """Answers "which posts are the newest?", which ``Post`` cannot.

    There are no joins, and a question that a table's key does not answer would have to read every
    node. So the answer gets a table of its own, and the columns that the list shows are written
    twice: reads are dear, writes are cheap. All rows share one partition, where they lie on disk in
    the order in which the list wants them; the newest twenty are one short read.

    A partition should stay below about 100 MB and 100,000 rows; a row here has some hundred bytes,
    so a blog never gets there. A busier site divides the partition by time: it adds
    ``month = Text(partition_key=True)``, such as ``2026-11``, reads this month's rows, then those
    of the month before, until the page is full.
    """

    blog = db.columns.Text(primary_key=True)
    created_at = db.columns.DateTime(primary_key=True, clustering_order="DESC")
    slug = db.columns.Text(primary_key=True, max_length=SLUG_LENGTH)
    title = db.columns.Text(max_length=NAME_LENGTH, required=True)
    summary = db.columns.Text()

    def get_absolute_url(self) -> str:
        return url_for("blog.show_post", slug=self.slug)


class Comment(db.Model):
    """Answers "what was said about this post?": one partition a post, the oldest comment first."""

    slug = db.columns.Text(primary_key=True, required=True)
    created_at = db.columns.DateTime(primary_key=True, default=now)
    body = db.columns.Text(required=True)
    author = db.columns.Text(max_length=NAME_LENGTH, required=True)


class CommentCount(db.Model):
    """Answers "how many comments has this post?" for the list, without reading the comments.

    A counter's table may hold nothing but its key and counters. A counter is only ever added to:
    ``update(comments=1)`` on an object that was not read adds one, whatever the number is now.
    """

    slug = db.columns.Text(primary_key=True, required=True)
    comments = db.columns.Counter()


def find_post(slug: str) -> Post | None:
    """Return the post with this slug: the oldest, should there be two."""
    post: Post | None = Post.objects(slug=slug).first()
    return post


def publish(slug: str, title: str, body: str) -> Post:
    """Write a post and its row of the timeline.

    In a logged batch, so that there is never one without the other: once Cassandra has accepted the
    batch it carries out all of it, even if a node fails in between.

    The caller has looked whether the slug is free. Two authors who take the same slug in the same
    instant both find it free, and since ``created_at`` belongs to the key both posts are stored:
    the list has both, and both links lead to the older one. Nothing is overwritten. Where that
    matters, a table with the slug as its whole key and ``if_not_exists()`` decides who was first.
    """
    post = Post(slug=slug, title=title, body=body)
    with BatchQuery() as batch:
        post.batch(batch).save()
        Timeline.batch(batch).create(
            blog=BLOG,
            created_at=post.created_at,
            slug=slug,
            title=title,
            summary=summarise(body),
        )
    return post


def add_comment(slug: str, author: str, body: str) -> Comment:
    """Write a comment, then count it.

    Under the tutorial's key two comments of the same millisecond would be one row, and the second
    would silently replace the first. So a comment that finds its place taken moves on by one.
    """
    created_at = now()
    while (comment := insert_comment(slug, created_at, author, body)) is None:
        created_at += MILLISECOND
    _count_comment(slug)
    return comment


def insert_comment(slug: str, created_at: datetime, author: str, body: str) -> Comment | None:
    """Return the comment written, or None if there is one of this time already."""
    comment = Comment(slug=slug, created_at=created_at, author=author, body=body)
    try:
        comment.if_not_exists().save()
    except LWTException:
        return None
    return comment


def _count_comment(slug: str) -> None:
    """Add one to the count of a post's comments, if the database can be reached.

    Otherwise the comment stays, and the count may be one short: to report a failure would have the
    reader send the same comment again. A counter cannot share a batch with other tables, and adding
    again when the outcome is unknown might count twice.
    """
    try:
        CommentCount(slug=slug).update(comments=1)
    except (CassandraUnavailable, OutcomeUnknown) as error:
        log.warning("the comment on %s is stored, but perhaps not counted: %s", slug, error)


def read_comments(slug: str) -> list[Comment]:
    """Return the comments on a post, oldest first: one more than ``COMMENTS_SHOWN`` at most."""
    return list(Comment.objects(slug=slug).limit(COMMENTS_SHOWN + 1))


@dataclass(frozen=True)
class PostList:
    """One page of the list of posts, newest first.

    :ivar posts: each with the number of its comments.
    :ivar before: the next page has the posts before this time; None on the last page.
    """

    posts: list[tuple[Timeline, int]]
    before: datetime | None


def read_timeline(before: datetime | None = None) -> PostList:
    """Return the newest posts, or the newest of those published before ``before``."""
    rows = Timeline.objects(blog=BLOG)
    if before is not None:
        rows = rows.filter(created_at__lt=before)
    found = list(rows.limit(POSTS_SHOWN + 1))
    shown, rest = found[:POSTS_SHOWN], found[POSTS_SHOWN:]
    counts = _read_counts([row.slug for row in shown])
    # A millisecond later than the first post left out, so that it begins the next page even if it
    # shares its millisecond with the last post of this one.
    return PostList(
        [(row, counts.get(row.slug, 0)) for row in shown],
        rest[0].created_at + MILLISECOND if rest else None,
    )


def _read_counts(slugs: list[str]) -> dict[str, int]:
    """Return the number of comments by slug; a post without comments has no row.

    One ``IN`` instead of a query for each post: twenty keys are few enough for one coordinator to
    gather, and twenty round trips one after another would take longer.
    """
    if not slugs:
        return {}
    return {row.slug: row.comments or 0 for row in CommentCount.objects(slug__in=slugs)}

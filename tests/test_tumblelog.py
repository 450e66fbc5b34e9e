"""The tutorial's application, asked over HTTP, with every row in a real Cassandra."""

from __future__ import annotations

import html
import logging
import re
import stat
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from cassandra import ConsistencyLevel, OperationTimedOut, Unavailable

from examples.tumblelog import create_app
from examples.tumblelog.models import (
    BLOG,
    COMMENTS_SHOWN,
    MILLISECOND,
    POSTS_SHOWN,
    Comment,
    CommentCount,
    Post,
    Timeline,
    db,
    insert_comment,
    now,
    read_comments,
)
from examples.tumblelog.settings import MAX_REQUEST, keep_secret_key
from examples.tumblelog.text import (
    find_control_character,
    is_slug,
    is_visible,
    make_slug,
    split_paragraphs,
    summarise,
)

if TYPE_CHECKING:
    from cassandra.cluster import ResponseFuture
    from flask import Flask
    from flask.testing import FlaskClient
    from werkzeug.test import TestResponse

    from flask_cqlalchemy import CQLAlchemy

TESTING = {"TESTING": True, "SECRET_KEY": "of the tests"}

CONTROL_MESSAGE = "This contains the control character {}, which cannot be shown. Please remove it."
SLUG_MESSAGE = (
    "Use lower-case letters (a to z), digits, and single hyphens between them, such as "
    "my-first-post."
)


@pytest.fixture(scope="module")
def app(cassandra_config: dict[str, Any]) -> Iterator[Flask]:
    keyspace = cassandra_config["CASSANDRA_KEYSPACE"] + "_tumblelog"
    app = create_app({**cassandra_config, **TESTING, "CASSANDRA_KEYSPACE": keyspace})
    yield app
    with app.app_context():
        db.close()


@pytest.fixture
def app_without_database(cassandra_config: dict[str, Any], unused_port: int) -> Flask:
    nowhere = {"CASSANDRA_HOSTS": ["127.0.0.1"], "CASSANDRA_PORT": unused_port}
    return create_app({**cassandra_config, **TESTING, **nowhere})


@pytest.fixture
def app_without_tables(cassandra_config: dict[str, Any]) -> Iterator[Flask]:
    """An application whose keyspace nobody has created yet."""
    keyspace = cassandra_config["CASSANDRA_KEYSPACE"] + "_bare"
    app = create_app({**cassandra_config, **TESTING, "CASSANDRA_KEYSPACE": keyspace})
    yield app
    with app.app_context():
        db.session.execute(f"DROP KEYSPACE IF EXISTS {keyspace}", timeout=60)
        db.close()


def read_token(page: TestResponse) -> str:
    found = re.search(r'name="csrf_token" type="hidden" value="([^"]+)"', page.text)
    assert found, page.text
    return found[1]


def send(client: FlaskClient, path: str, fields: dict[str, str]) -> TestResponse:
    """Open the form at ``path``, fill it in and send it."""
    token = read_token(client.get(path))
    return client.post(path, data={"csrf_token": token, **fields})


def write_post(client: FlaskClient, **fields: str) -> TestResponse:
    return send(client, "/posts/new", {"title": "Hello", "body": "First words.", **fields})


def write_comment(client: FlaskClient, slug: str, **fields: str) -> TestResponse:
    return send(client, f"/{slug}", {"author": "Ada", "body": "Well said.", **fields})


def error_at(page: TestResponse, field: str) -> str | None:
    """Return the message at a field that the field itself refers to."""
    found = re.search(rf'<p class="error" id="{field}-error">(.*?)</p>', page.text)
    if not found:
        return None
    assert re.search(rf'aria-describedby="[^"]*\b{field}-error"[^>]* id="{field}"', page.text)
    return html.unescape(found[1])


def errors_in(page: TestResponse) -> list[str]:
    return [html.unescape(text) for text in re.findall(r'<p class="error"[^>]*>(.*?)<', page.text)]


def value_of(page: TestResponse, field: str) -> str:
    """Return what an input or a text area holds."""
    found = re.search(rf'<input[^>]* id="{field}"[^>]* value="([^"]*)"', page.text) or re.search(
        rf'<textarea[^>]* id="{field}"[^>]*>\r\n(.*?)</textarea>', page.text, re.DOTALL
    )
    assert found, page.text
    return html.unescape(found[1])


def titles_in(page: TestResponse) -> list[str]:
    return [html.unescape(title) for title in re.findall(r"<h2[^>]*><a [^>]*>(.*?)</a>", page.text)]


def store_post(slug: str, created_at: datetime) -> None:
    Post.create(slug=slug, created_at=created_at, title=slug, body="Some words.")
    Timeline.create(blog=BLOG, created_at=created_at, slug=slug, title=slug, summary="Some words.")


def assert_nothing_is_written() -> None:
    assert list(Post.objects.all()) == []
    assert list(Timeline.objects.all()) == []


@contextmanager
def failing(cql: CQLAlchemy, table: str, error: Exception) -> Iterator[None]:
    """Have the driver fail every write to ``table`` with ``error``."""

    def listen(future: ResponseFuture) -> None:
        statement = getattr(future.query, "prepared_statement", future.query)
        if re.match(rf'UPDATE \S*\b"?{table}\b', statement.query_string):
            raise error

    cql.session.add_request_init_listener(listen)
    try:
        yield
    finally:
        cql.session.remove_request_init_listener(listen)


# The list


def test_an_empty_blog_offers_to_write_the_first_post(client: FlaskClient, cql: CQLAlchemy) -> None:
    page = client.get("/")
    assert page.status_code == 200
    assert "<h1>No posts yet</h1>" in page.text
    assert '<a class="button" href="/posts/new">Write the first post</a>' in page.text


def test_posts_are_listed_newest_first(client: FlaskClient, cql: CQLAlchemy) -> None:
    for title in ("One", "Two", "Three"):
        write_post(client, title=title)
    assert titles_in(client.get("/")) == ["Three", "Two", "One"]


def test_the_list_shows_address_time_and_beginning_of_a_post(
    client: FlaskClient, cql: CQLAlchemy
) -> None:
    moment = datetime(2026, 3, 7, 9, 5, 1, tzinfo=timezone.utc)
    store_post("hello", moment)
    page = client.get("/").text
    assert '<a href="/hello">hello</a>' in page
    assert '<time datetime="2026-03-07T09:05:01Z">7 March 2026, 09:05 UTC</time>' in page
    assert '<p class="summary" dir="auto">Some words.</p>' in page


@pytest.mark.parametrize(
    ("number", "text"), [(0, "No comments"), (1, "1 comment"), (2, "2 comments")]
)
def test_the_list_counts_comments(
    client: FlaskClient, cql: CQLAlchemy, number: int, text: str
) -> None:
    write_post(client, slug="hello")
    for _ in range(number):
        write_comment(client, "hello")
    assert f'<span class="count">{text}</span>' in client.get("/").text


def test_counts_belong_to_their_posts(client: FlaskClient, cql: CQLAlchemy) -> None:
    for slug, number in (("one", 1), ("two", 2)):
        write_post(client, slug=slug)
        for _ in range(number):
            write_comment(client, slug)
    counts = re.findall(r'<span class="count">(.*?)</span>', client.get("/").text)
    assert counts == ["2 comments", "1 comment"]


def test_older_posts_follow_by_a_link(client: FlaskClient, cql: CQLAlchemy) -> None:
    first = datetime(2026, 1, 1, tzinfo=timezone.utc)
    for number in range(POSTS_SHOWN + 5):
        store_post(f"post-{number}", first + timedelta(minutes=number))
    newest = client.get("/")
    link = re.search(r'<a rel="next" href="([^"]+)">Older posts</a>', newest.text)
    assert link
    older = client.get(link[1])
    assert titles_in(newest) + titles_in(older) == [f"post-{n}" for n in range(24, -1, -1)]
    assert '<a rel="prev" href="/">Newest posts</a>' in older.text
    assert "Older posts" not in older.text


def test_no_post_is_lost_between_pages_when_two_share_a_millisecond(
    client: FlaskClient, cql: CQLAlchemy
) -> None:
    first = datetime(2026, 1, 1, tzinfo=timezone.utc)
    for number in range(POSTS_SHOWN - 1):
        store_post(f"post-{number}", first + timedelta(minutes=number))
    twins = first - timedelta(minutes=1)
    store_post("twin-one", twins)
    store_post("twin-two", twins)
    newest = client.get("/")
    link = re.search(r'rel="next" href="([^"]+)"', newest.text)
    assert link
    shown = {*titles_in(newest), *titles_in(client.get(link[1]))}
    assert {"twin-one", "twin-two"} <= shown


def test_a_page_before_the_first_post_says_that_there_is_nothing(
    client: FlaskClient, cql: CQLAlchemy
) -> None:
    write_post(client)
    page = client.get("/?before=1")
    assert page.status_code == 200
    assert "<p>There are none.</p>" in page.text


@pytest.mark.parametrize(
    "before", ["", "x", "-1", "1.5", "1e3", "٣", "253402300800000", "9" * 16, "\0", "1;DROP"]
)
def test_a_before_that_is_no_time_is_a_bad_request(
    client: FlaskClient, cql: CQLAlchemy, before: str
) -> None:
    page = client.get("/", query_string={"before": before})
    assert page.status_code == 400
    assert (
        "The address has a &#39;before&#39; that is not a time in milliseconds since 1970."
        in page.text
    )


# Writing a post


def test_a_post_is_published_and_shown(client: FlaskClient, cql: CQLAlchemy) -> None:
    answer = write_post(client, title="Hello World!", slug="hello-world", body="One.\n\nTwo.")
    assert (answer.status_code, answer.location) == (303, "/hello-world")
    page = client.get("/hello-world").text
    assert '<p class="flash" role="status">Your post is published.</p>' in page
    assert '<h1 dir="auto">Hello World!</h1>' in page
    assert '<p dir="auto">One.</p>\n<p dir="auto">Two.</p>' in page
    assert "Your post is published." not in client.get("/hello-world").text


def test_an_empty_slug_is_made_from_the_title(client: FlaskClient, cql: CQLAlchemy) -> None:
    assert write_post(client, title="Été à l'Île — 2026!").location == "/ete-a-lile-2026"


def test_a_title_without_latin_letters_asks_for_a_slug(
    client: FlaskClient, cql: CQLAlchemy
) -> None:
    page = write_post(client, title="日本語")
    assert error_at(page, "slug") == (
        "This title has no Latin letters or digits to make a slug of. Please write one here."
    )
    assert value_of(page, "title") == "日本語"


def test_a_slug_that_is_taken_is_refused(client: FlaskClient, cql: CQLAlchemy) -> None:
    write_post(client, title="First", slug="hello")
    page = write_post(client, title="Second", slug="hello", body="Other words.")
    assert page.status_code == 400
    assert errors_in(page) == ["This slug is taken: there is a post at /hello. Choose another."]
    assert error_at(page, "slug") == errors_in(page)[0]
    assert value_of(page, "body") == "Other words."
    assert [post.title for post in Post.objects(slug="hello")] == ["First"]
    assert titles_in(client.get("/")) == ["First"]


def test_a_slug_made_from_the_title_that_is_taken_can_be_edited(
    client: FlaskClient, cql: CQLAlchemy
) -> None:
    write_post(client, title="Hello")
    page = write_post(client, title="Hello")
    assert error_at(page, "slug") == (
        "This slug is taken: there is a post at /hello. Choose another."
    )
    assert value_of(page, "slug") == "hello"


def test_text_is_escaped(client: FlaskClient, cql: CQLAlchemy) -> None:
    script = "<script>alert('x')</script> & \"quotes\""
    write_post(client, title=script, slug="hello", body=script)
    write_comment(client, "hello", author=script, body=script)
    for path in ("/", "/hello"):
        page = client.get(path).text
        assert "<script" not in page
        assert "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt; &amp; &#34;quotes&#34;" in page


def test_emoji_and_other_scripts_are_kept(client: FlaskClient, cql: CQLAlchemy) -> None:
    write_post(client, title="🌿 Привет", slug="hello", body="שלום 🎈")
    post = Post.objects(slug="hello").first()
    assert (post.title, post.body) == ("🌿 Привет", "שלום 🎈")


def test_line_ends_of_a_form_become_newlines(client: FlaskClient, cql: CQLAlchemy) -> None:
    write_post(client, slug="hello", body="\r\nOne\r\nstill one\r\n\r\nTwo\tand\r\n")
    assert Post.objects(slug="hello").first().body == "One\nstill one\n\nTwo\tand"


def test_a_slug_of_255_characters_is_fine(client: FlaskClient, cql: CQLAlchemy) -> None:
    slug = "a" * 255
    write_post(client, slug=slug)
    assert client.get(f"/{slug}").status_code == 200


@pytest.mark.parametrize(
    ("slug", "message"),
    [
        ("a" * 300, "At most 255 characters, please; this has 300."),
        ("a/b", SLUG_MESSAGE),
        ("it's", SLUG_MESSAGE),
        ('say "hi"', SLUG_MESSAGE),
        ("🌿", SLUG_MESSAGE),
        ("nu\0ll", SLUG_MESSAGE),
        ("Hello", SLUG_MESSAGE),
        ("two--hyphens", SLUG_MESSAGE),
        ("-first", SLUG_MESSAGE),
        ("last-", SLUG_MESSAGE),
        ("٣", SLUG_MESSAGE),
        ("..", SLUG_MESSAGE),
        ("'; DROP TABLE post; --", SLUG_MESSAGE),
    ],
)
def test_a_bad_slug_is_refused_at_its_field(
    client: FlaskClient, cql: CQLAlchemy, slug: str, message: str
) -> None:
    page = write_post(client, title="Kept", slug=slug, body="Kept too.")
    assert page.status_code == 400
    assert errors_in(page) == [message]
    assert error_at(page, "slug") == message
    assert value_of(page, "title") == "Kept"
    assert value_of(page, "body") == "Kept too."
    assert_nothing_is_written()


@pytest.mark.parametrize(
    ("title", "message"),
    [
        ("", "A post needs a title."),
        (" \t\r\n ", "A post needs a title."),
        ("\N{ZERO WIDTH SPACE}\N{NO-BREAK SPACE}", "A post needs a title."),
        ("x" * 256, "At most 255 characters, please; this has 256."),
        ("nu\0ll", CONTROL_MESSAGE.format("U+0000")),
        ("be\x07ll", CONTROL_MESSAGE.format("U+0007")),
        ("next\x85line", CONTROL_MESSAGE.format("U+0085")),
    ],
)
def test_a_bad_title_is_refused_at_its_field(
    client: FlaskClient, cql: CQLAlchemy, title: str, message: str
) -> None:
    page = write_post(client, title=title, slug="hello", body="Kept.")
    assert page.status_code == 400
    assert errors_in(page) == [message]
    assert error_at(page, "title") == message
    assert value_of(page, "slug") == "hello"
    assert value_of(page, "body") == "Kept."
    assert_nothing_is_written()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("", "A post needs some text."),
        ("\n \n", "A post needs some text."),
        ("x" * 100_001, "At most 100,000 characters, please; this has 100,001."),
        ("x" * 1_000_000, "At most 100,000 characters, please; this has 1,000,000."),
        ("ä" * 500_000, "At most 100,000 characters, please; this has 500,000."),
        ("esc\x1bape", CONTROL_MESSAGE.format("U+001B")),
    ],
)
def test_a_bad_text_is_refused_at_its_field(
    client: FlaskClient, cql: CQLAlchemy, body: str, message: str
) -> None:
    page = write_post(client, slug="hello", body=body)
    assert page.status_code == 400
    assert errors_in(page) == [message]
    assert error_at(page, "body") == message
    assert value_of(page, "body") == body.strip()
    assert_nothing_is_written()


def test_every_field_in_error_says_so_at_once(client: FlaskClient, cql: CQLAlchemy) -> None:
    page = write_post(client, title="", slug="Not a slug", body="")
    assert errors_in(page) == ["A post needs a title.", SLUG_MESSAGE, "A post needs some text."]
    assert (
        '<p class="alert" role="alert">The post is not published yet: see below.</p>' in page.text
    )
    assert "<title>Error: New post · Tumblelog</title>" in page.text


def test_a_request_above_the_limit_gets_a_page(client: FlaskClient, cql: CQLAlchemy) -> None:
    page = write_post(client, body="x" * (MAX_REQUEST + 1))
    assert page.status_code == 413
    assert "<h1>That is too much at once</h1>" in page.text
    assert "What you sent is larger than this site accepts. Nothing of it was stored." in page.text
    assert_nothing_is_written()


@pytest.mark.parametrize(
    "content_type", ["application/x-www-form-urlencoded", "multipart/form-data"]
)
@pytest.mark.parametrize("data", [b"title=%ED%A0%80", b"\xff\xfe\x00", b"title"])
def test_a_form_that_no_browser_sends_is_refused(
    client: FlaskClient, cql: CQLAlchemy, content_type: str, data: bytes
) -> None:
    assert client.post("/posts/new", data=data, content_type=content_type).status_code == 400
    assert_nothing_is_written()


# CSRF


def test_a_form_without_a_token_is_shown_again_and_stores_nothing(
    client: FlaskClient, cql: CQLAlchemy
) -> None:
    page = client.post("/posts/new", data={"title": "Kept", "slug": "hello", "body": "Kept too."})
    assert page.status_code == 400
    assert "This form was open for too long, or was not sent from this site." in page.text
    assert errors_in(page) == []
    assert value_of(page, "title") == "Kept"
    assert value_of(page, "body") == "Kept too."
    assert_nothing_is_written()


def test_a_form_with_the_token_of_another_session_stores_nothing(
    app: Flask, client: FlaskClient, cql: CQLAlchemy
) -> None:
    token = read_token(app.test_client().get("/posts/new"))
    client.get("/posts/new")
    page = client.post("/posts/new", data={"csrf_token": token, "title": "x", "body": "x"})
    assert page.status_code == 400
    assert_nothing_is_written()


def test_a_form_that_was_refused_for_its_token_can_be_sent_again(
    client: FlaskClient, cql: CQLAlchemy
) -> None:
    fields = {"title": "Hello", "body": "Words."}
    refused = client.post("/posts/new", data=fields)
    answer = client.post("/posts/new", data={**fields, "csrf_token": read_token(refused)})
    assert answer.location == "/hello"


def test_a_comment_without_a_token_stores_nothing(client: FlaskClient, cql: CQLAlchemy) -> None:
    write_post(client, slug="hello")
    page = client.post("/hello", data={"author": "Ada", "body": "Kept."})
    assert page.status_code == 400
    assert value_of(page, "body") == "Kept."
    assert read_comments("hello") == []


# Comments


def test_comments_are_shown_oldest_first(client: FlaskClient, cql: CQLAlchemy) -> None:
    write_post(client, slug="hello")
    for body in ("One.", "Two.", "Three."):
        write_comment(client, "hello", body=body)
    page = client.get("/hello").text
    assert '<h2 id="comments">3 comments</h2>' in page
    assert re.findall(r'<p dir="auto">(\w+\.)</p>', page) == ["One.", "Two.", "Three."]


def test_a_comment_leads_to_its_place_in_the_page(client: FlaskClient, cql: CQLAlchemy) -> None:
    write_post(client, slug="hello")
    answer = write_comment(client, "hello")
    path, _, anchor = answer.location.partition("#")
    page = client.get(path).text
    assert (answer.status_code, path) == (303, "/hello")
    assert f'<li id="{anchor}">' in page
    assert "Thank you, your comment is published." in page


@pytest.mark.parametrize(
    ("field", "text", "message"),
    [
        ("author", "", "Please give a name."),
        ("author", "x" * 256, "At most 255 characters, please; this has 256."),
        ("author", "nu\0ll", CONTROL_MESSAGE.format("U+0000")),
        ("body", " ", "Please write a comment."),
        ("body", "x" * 10_001, "At most 10,000 characters, please; this has 10,001."),
        ("body", "de\x7fl", CONTROL_MESSAGE.format("U+007F")),
    ],
)
def test_a_bad_comment_is_refused_at_its_field(
    client: FlaskClient, cql: CQLAlchemy, field: str, text: str, message: str
) -> None:
    write_post(client, slug="hello")
    page = write_comment(client, "hello", **{"author": "Ada", "body": "Kept.", field: text})
    assert page.status_code == 400
    assert errors_in(page) == [message]
    assert error_at(page, field) == message
    other = {"author": "body", "body": "author"}[field]
    assert value_of(page, other) == {"author": "Ada", "body": "Kept."}[other]
    assert read_comments("hello") == []


def test_a_comment_on_a_post_that_does_not_exist_is_not_stored(
    client: FlaskClient, cql: CQLAlchemy
) -> None:
    token = read_token(client.get("/posts/new"))
    fields = {"csrf_token": token, "author": "Ada", "body": "Words."}
    assert client.post("/nothing", data=fields).status_code == 404
    assert read_comments("nothing") == []
    assert CommentCount.objects(slug="nothing").first() is None


def test_a_comment_never_replaces_one_of_the_same_millisecond(cql: CQLAlchemy) -> None:
    moment = now()
    assert insert_comment("hello", moment, "Ada", "First.") is not None
    assert insert_comment("hello", moment, "Grace", "Second.") is None
    assert [comment.body for comment in read_comments("hello")] == ["First."]


def test_comments_of_many_at_once_are_all_stored_and_counted(
    app: Flask, client: FlaskClient, cql: CQLAlchemy
) -> None:
    write_post(client, slug="hello")

    def comment(reader: int) -> None:
        own = app.test_client()
        for number in range(5):
            write_comment(own, "hello", body=f"{reader}-{number}")

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(comment, range(8)))
    assert {row.body for row in read_comments("hello")} == {
        f"{reader}-{number}" for reader in range(8) for number in range(5)
    }
    assert '<span class="count">40 comments</span>' in client.get("/").text


@pytest.mark.parametrize(
    "error",
    [
        OperationTimedOut(),
        Unavailable(
            "none", consistency=ConsistencyLevel.QUORUM, required_replicas=2, alive_replicas=1
        ),
    ],
    ids=["outcome unknown", "not applied"],
)
def test_a_comment_stays_when_its_count_fails(
    client: FlaskClient, cql: CQLAlchemy, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    write_post(client, slug="hello")
    with failing(cql, "comment_count", error):
        answer = write_comment(client, "hello", body="Well said.")
    assert answer.status_code == 303
    assert [comment.body for comment in read_comments("hello")] == ["Well said."]
    assert "Thank you, your comment is published." in client.get("/hello").text
    assert '<span class="count">No comments</span>' in client.get("/").text
    logged = [record for record in caplog.records if record.name == "examples.tumblelog.models"]
    assert [record.levelno for record in logged] == [logging.WARNING]
    assert (
        logged[0]
        .getMessage()
        .startswith("the comment on hello is stored, but perhaps not counted: ")
    )


def test_a_post_shows_its_first_comments_and_says_so(client: FlaskClient, cql: CQLAlchemy) -> None:
    write_post(client, slug="hello")
    first = datetime(2026, 1, 1, tzinfo=timezone.utc)
    cql.bulk_create(
        Comment,
        (
            {
                "slug": "hello",
                "created_at": first + number * MILLISECOND,
                "author": "Ada",
                "body": f"No. {number}",
            }
            for number in range(COMMENTS_SHOWN + 1)
        ),
    )
    page = client.get("/hello").text
    assert f'<h2 id="comments">The first {COMMENTS_SHOWN} comments</h2>' in page
    assert f"No. {COMMENTS_SHOWN - 1}<" in page
    assert f"No. {COMMENTS_SHOWN}<" not in page


# Error pages


@pytest.mark.parametrize(
    "path",
    ["/a%00b", "/" + "a" * 300, "/it's", "/%22", "/%F0%9F%8C%BF", "/a%2Fb", "/A", "/..", "/%FF"],
)
def test_an_address_that_cannot_be_a_slug_is_a_404_without_a_query(
    app_without_database: Flask, path: str
) -> None:
    page = app_without_database.test_client().get(path)
    assert page.status_code == 404
    assert "<h1>There is nothing here</h1>" in page.text


def test_a_slug_that_nobody_took_is_a_404(client: FlaskClient, cql: CQLAlchemy) -> None:
    page = client.get("/nothing-here")
    assert page.status_code == 404
    assert "No page has this address. Perhaps the link lost a letter on its way." in page.text


@pytest.mark.parametrize("path", ["/", "/hello"])
def test_an_outage_is_a_page_that_says_when_to_come_back(
    app_without_database: Flask, path: str
) -> None:
    page = app_without_database.test_client().get(path)
    assert page.status_code == 503
    assert page.headers["Retry-After"] == "2"
    assert page.content_type == "text/html; charset=utf-8"
    assert "<h1>The database does not answer</h1>" in page.text
    assert "The database cannot be reached at the moment. Please try again shortly." in page.text
    assert "127.0.0.1" not in page.text


def test_an_outage_while_publishing_tells_the_author_that_the_text_is_not_lost(
    app_without_database: Flask,
) -> None:
    page = write_post(app_without_database.test_client())
    assert page.status_code == 503
    assert "Your browser still has what you typed: go back one page to send it again." in page.text


def test_the_form_for_a_post_needs_no_database(app_without_database: Flask) -> None:
    assert app_without_database.test_client().get("/posts/new").status_code == 200


def test_a_cluster_without_the_keyspace_names_the_command(app_without_tables: Flask) -> None:
    page = app_without_tables.test_client().get("/")
    assert page.status_code == 503
    assert "<h1>This blog is not set up yet</h1>" in page.text
    assert "<code>flask --app examples.tumblelog cql sync</code>" in page.text


def test_without_the_timeline_no_half_of_a_post_is_written(app_without_tables: Flask) -> None:
    with app_without_tables.app_context():
        db.sync_db()
        db.session.execute(f"DROP TABLE {Timeline.column_family_name()}", timeout=60)
    page = write_post(app_without_tables.test_client(), slug="hello")
    assert page.status_code == 503
    assert "<code>flask --app examples.tumblelog cql sync</code>" in page.text
    with app_without_tables.app_context():
        assert list(Post.objects.all()) == []


def test_other_errors_have_the_same_look(client: FlaskClient, cql: CQLAlchemy) -> None:
    page = client.delete("/posts/new")
    assert page.status_code == 405
    assert "<h1>Method Not Allowed</h1>" in page.text
    assert set(page.headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS", "POST"}


@pytest.mark.parametrize("path", ["/", "/posts/new", "/nothing-here"])
def test_pages_load_nothing_from_elsewhere(client: FlaskClient, cql: CQLAlchemy, path: str) -> None:
    page = client.get(path)
    assert page.headers["Content-Security-Policy"] == (
        "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert "<script" not in page.text
    assert " style=" not in page.text


# JSON


def test_the_list_in_json_says_of_a_post_what_the_page_does(
    client: FlaskClient, cql: CQLAlchemy
) -> None:
    store_post("one", datetime(2026, 11, 22, 8, 30, 0, 250_000))

    answer = client.get("/api/posts")
    assert answer.content_type == "application/json"
    assert answer.json == {
        "items": [
            {
                "created_at": "2026-11-22T08:30:00.250Z",
                "slug": "one",
                "title": "one",
                "summary": "Some words.",
            }
        ],
        "next": None,
        "previous": None,
        "has_next": False,
        "has_previous": False,
        "per_page": 20,
    }


def test_links_lead_through_the_list_in_json(client: FlaskClient, cql: CQLAlchemy) -> None:
    for day in range(1, 6):
        store_post(f"day-{day}", datetime(2026, 11, day))
    found: list[str] = []
    url = "/api/posts?per_page=2"
    while url:
        answer: Any = client.get(url)
        found += [post["slug"] for post in answer.json["items"]]
        following = re.search(r'<([^>]+)>; rel="next"', answer.headers.get("Link", ""))
        url = following[1] if following else ""

    assert found == ["day-5", "day-4", "day-3", "day-2", "day-1"]


def test_a_post_in_json_has_its_comments(client: FlaskClient, cql: CQLAlchemy) -> None:
    write_post(client, title="Hello", body="First words.")
    for body in ("One.", "Two.", "Three."):
        write_comment(client, "hello", body=body)

    answer: Any = client.get("/api/posts/hello?per_page=2")
    assert answer.json.keys() == {"post", "comments", "next"}
    assert answer.json["post"].keys() == {"slug", "created_at", "title", "body"}
    assert answer.json["post"]["body"] == "First words."
    assert [comment["body"] for comment in answer.json["comments"]] == ["One.", "Two."]
    following: Any = client.get(f"/api/posts/hello?per_page=2&cursor={answer.json['next']}")
    assert [comment["body"] for comment in following.json["comments"]] == ["Three."]
    assert following.json["next"] is None
    assert 'rel="prev"' in following.headers["Link"]


def test_errors_in_json_are_problem_documents(client: FlaskClient, cql: CQLAlchemy) -> None:
    missing = client.get("/api/posts/nowhere", headers={"Accept": "text/html"})
    assert (missing.status_code, missing.content_type) == (404, "application/problem+json")
    assert missing.json is not None
    assert missing.json["title"] == "Not Found"
    altered = client.get("/api/posts?cursor=x")
    assert (altered.status_code, altered.content_type) == (400, "application/problem+json")
    too_many = client.get("/api/posts?per_page=101")
    assert too_many.json == {
        "type": "about:blank",
        "title": "Bad Request",
        "status": 400,
        "detail": "per_page must be a whole number from 1 to 100.",
    }


def test_a_database_that_does_not_answer_is_a_problem_document_in_json(
    app_without_database: Flask,
) -> None:
    answer = app_without_database.test_client().get("/api/posts")

    assert (answer.status_code, answer.content_type) == (503, "application/problem+json")
    assert answer.headers["Retry-After"] == "2"
    assert answer.json is not None
    assert answer.json["detail"] == (
        "The database cannot be reached at the moment. Please try again shortly."
    )


# Configuration


def test_a_configured_cluster_is_used_as_it_is(cassandra_config: dict[str, Any]) -> None:
    app = create_app({**cassandra_config, **TESTING})
    assert "CASSANDRA_LOCAL_NODES" not in app.config


def test_the_environment_points_to_a_cluster(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_CASSANDRA_HOSTS", "one.example.com,two.example.com")
    monkeypatch.setenv("FLASK_SECRET_KEY", "of the environment")
    app = create_app()
    assert app.config["CASSANDRA_HOSTS"] == "one.example.com,two.example.com"
    assert app.config["CASSANDRA_KEYSPACE"] == "tumblelog"
    assert app.secret_key == "of the environment"
    assert "CASSANDRA_LOCAL_NODES" not in app.config


def test_the_argument_wins_over_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FLASK_CASSANDRA_KEYSPACE", "from_environment")
    app = create_app({**TESTING, "CASSANDRA_HOSTS": "a", "CASSANDRA_KEYSPACE": "from_argument"})
    assert app.config["CASSANDRA_KEYSPACE"] == "from_argument"


def test_a_secret_key_is_made_once_and_kept_from_others(tmp_path: Path) -> None:
    config = {"CASSANDRA_HOSTS": "node.example.com"}
    first = create_app(config, instance_path=str(tmp_path / "instance"))
    second = create_app(config, instance_path=str(tmp_path / "instance"))
    assert first.secret_key == second.secret_key
    assert isinstance(first.secret_key, str)
    assert re.fullmatch("[0-9a-f]{64}", first.secret_key)
    files = list((tmp_path / "instance").iterdir())
    assert [file.name for file in files] == ["secret-key"]
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600


def test_workers_that_start_at_once_share_a_secret_key(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(keep_secret_key, [tmp_path / "secret-key"] * 32))
    assert len(keys) == 1
    assert [file.name for file in tmp_path.iterdir()] == ["secret-key"]


def test_a_configured_secret_key_writes_no_file(tmp_path: Path) -> None:
    create_app({**TESTING, "CASSANDRA_HOSTS": "a"}, instance_path=str(tmp_path))
    assert list(tmp_path.iterdir()) == []


# Text


@pytest.mark.parametrize("slug", ["a", "0", "hello-world", "a" * 255])
def test_slugs(slug: str) -> None:
    assert is_slug(slug)


@pytest.mark.parametrize("text", ["", "-", "a--b", "a\n", "ä", "a b", "A", "a" * 256, "\ud800"])
def test_what_is_no_slug(text: str) -> None:
    assert not is_slug(text)


@pytest.mark.parametrize(
    ("title", "slug"),
    [
        ("Hello World!", "hello-world"),
        ("  It's 5 o'clock  ", "its-5-oclock"),
        ("Straße & Café", "strae-cafe"),
        ("日本語", ""),
        ("a " * 300, "a-" * 127 + "a"),
    ],
)
def test_the_slug_of_a_title(title: str, slug: str) -> None:
    assert make_slug(title) == slug
    assert slug == "" or is_slug(slug)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("plain\n\ttext ä 🌿 \N{ZERO WIDTH JOINER}", None),
        ("\0", "U+0000"),
        ("a\x0bb", "U+000B"),
        ("a\x1fb", "U+001F"),
        ("a\x9fb", "U+009F"),
        ("a\ud800b", "U+D800"),
        ("a\udfffb", "U+DFFF"),
    ],
)
def test_characters_that_cannot_be_stored(text: str, found: str | None) -> None:
    assert find_control_character(text) == found


@pytest.mark.parametrize(
    ("text", "visible"), [("a", True), ("🌿", True), ("", False), (" \n\u200b\u00a0", False)]
)
def test_text_that_shows(text: str, visible: bool) -> None:
    assert is_visible(text) is visible


def test_a_short_text_is_its_own_summary() -> None:
    assert summarise("One\n\n two.") == "One two."


def test_a_summary_ends_between_words() -> None:
    assert summarise("word " * 100) == "word " * 54 + "word…"


def test_a_summary_of_one_long_word_is_cut() -> None:
    assert summarise("x" * 500) == "x" * 279 + "…"


def test_paragraphs_are_parted_by_empty_lines() -> None:
    assert split_paragraphs("One\nstill one\n \t\n\n\nTwo\n") == ["One\nstill one", "Two"]

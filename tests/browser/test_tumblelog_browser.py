"""The tumblelog in a real browser, served by a real process."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from playwright.sync_api import expect

from examples.tumblelog import create_app
from examples.tumblelog.models import db
from flask_cqlalchemy import LocalCluster

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from flask import Flask
    from playwright.sync_api import Browser, Locator, Page

    from tests.browser.conftest import Serve, Server, WaitFor

pytestmark = [pytest.mark.browser, pytest.mark.cassandra_writes_elsewhere]

APP = "examples.tumblelog"

#: Seconds for local nodes to stop: the supervisor waits a few before it stops them.
NODE_STOP_TIMEOUT = 60

#: Returns the text, colour and ground of every piece of text whose contrast (WCAG 2.2, 1.4.3) is
#: below 4.5:1.
LOW_CONTRASTS = """() => {
  const parse = (colour) => colour.match(/[\\d.]+/g).map(Number)
  const luminance = (colour) => {
    const [r, g, b] = parse(colour).map((part) => part / 255)
      .map((part) => part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b
  }
  const ground = (element) => {
    const colour = getComputedStyle(element).backgroundColor
    return parse(colour)[3] === 0 ? ground(element.parentElement) : colour
  }
  const found = []
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT)
  while (walker.nextNode()) {
    if (!walker.currentNode.data.trim()) continue
    const element = walker.currentNode.parentElement
    const colour = getComputedStyle(element).color
    const [low, high] = [luminance(colour), luminance(ground(element))].sort((a, b) => a - b)
    if ((high + 0.05) / (low + 0.05) < 4.5)
      found.push([walker.currentNode.data, colour, ground(element)])
  }
  return found
}"""


@pytest.fixture(scope="module")
def environment(cassandra_config: dict[str, Any]) -> dict[str, str]:
    """What points the tumblelog at the test's cluster."""
    return {
        "FLASK_SECRET_KEY": "of the tests",
        "FLASK_CASSANDRA_HOSTS": ",".join(cassandra_config["CASSANDRA_HOSTS"]),
        "FLASK_CASSANDRA_PORT": str(cassandra_config["CASSANDRA_PORT"]),
        "FLASK_CASSANDRA_KEYSPACE": cassandra_config["CASSANDRA_KEYSPACE"] + "_browser",
    }


@pytest.fixture(scope="module")
def app(environment: Mapping[str, str], cassandra_config: dict[str, Any]) -> Iterator[Flask]:
    """The same application in the process of the tests, for the ``cql`` fixture."""
    keyspace = environment["FLASK_CASSANDRA_KEYSPACE"]
    app = create_app({**cassandra_config, "CASSANDRA_KEYSPACE": keyspace, "SECRET_KEY": "tests"})
    yield app
    with app.app_context():
        db.close()


@pytest.fixture(scope="module")
def server(serve: Serve, environment: Mapping[str, str]) -> Iterator[Server]:
    """The tumblelog on the test's cluster."""
    with serve(APP, environment) as server:
        yield server


@pytest.fixture
def node_directory(tmp_path: Path, wait_for: WaitFor) -> Iterator[Path]:
    """Where a tumblelog without a cluster keeps its node, which is gone when the test ends."""
    directory = tmp_path / "cassandra"
    yield directory
    wait_for(lambda: not running_nodes(directory), "the node still runs", NODE_STOP_TIMEOUT)


def running_nodes(directory: Path) -> list[int]:
    """Return the process ids of the nodes of a directory."""
    return [pid for pid in LocalCluster(directory=directory).pids if pid is not None]


def field(page: Page, label: str) -> Locator:
    """Return an input or text area by its label."""
    return page.get_by_role("textbox", name=label, exact=True)


def publish(page: Page, url: str, title: str, body: str = "Some words.") -> None:
    page.goto(f"{url}/posts/new")
    field(page, "Title").fill(title)
    field(page, "Text").fill(body)
    page.get_by_role("button", name="Publish the post").click()
    expect(page.get_by_role("heading", level=1)).to_have_text(title)


def comment(page: Page, author: str, body: str) -> None:
    field(page, "Your name").fill(author)
    field(page, "Comment").fill(body)
    page.get_by_role("button", name="Publish the comment").click()
    expect(page.get_by_text(body, exact=True)).to_be_visible()


def fill_the_blog(page: Page, url: str) -> None:
    """Publish a post with two comments, starting from an empty list."""
    page.goto(url)
    expect(page.get_by_role("heading", level=1)).to_have_text("No posts yet")
    page.get_by_role("link", name="Write the first post").click()
    field(page, "Title").fill("Hello World!")
    field(page, "Text").fill("This is my first post using Flask and Flask-CQLAlchemy")
    page.get_by_role("button", name="Publish the post").click()
    expect(page.get_by_role("status")).to_have_text("Your post is published.")
    comment(page, "John Doe", "This is my first comment.")
    comment(page, "Jane Doe", "And this is mine.")


def expect_the_blog(page: Page, url: str) -> None:
    """Look for what ``fill_the_blog`` wrote."""
    page.goto(url)
    article = page.get_by_role("article")
    expect(article).to_have_count(1)
    expect(article).to_contain_text("2 comments")
    article.get_by_role("link", name="Hello World!").click()
    expect(page).to_have_url(f"{url}/hello-world")
    expect(page.get_by_text("This is my first post using Flask")).to_be_visible()
    expect(page.get_by_role("heading", level=2).first).to_have_text("2 comments")
    comments = page.get_by_role("listitem")
    expect(comments).to_have_count(2)
    expect(comments.nth(0)).to_contain_text("John Doe")
    expect(comments.nth(0)).to_contain_text("This is my first comment.")
    expect(comments.nth(1)).to_contain_text("Jane Doe")
    expect(comments.nth(1)).to_contain_text("And this is mine.")


@pytest.mark.usefixtures("cql")
def test_a_post_and_its_comments_outlive_the_server(
    page: Page, serve: Serve, environment: Mapping[str, str]
) -> None:
    with serve(APP, environment) as server:
        fill_the_blog(page, server.url)
        expect_the_blog(page, server.url)
    with serve(APP, environment) as server:
        expect_the_blog(page, server.url)


@pytest.mark.slow
def test_a_post_and_its_comments_outlive_the_server_and_its_own_node(
    page: Page, serve: Serve, node_directory: Path, wait_for: WaitFor
) -> None:
    environment = {
        "FLASK_SECRET_KEY": "of the tests",
        "FLASK_CASSANDRA_LOCAL_DIRECTORY": str(node_directory),
    }
    with serve(APP, environment) as server:
        fill_the_blog(page, server.url)
        expect_the_blog(page, server.url)
        first = running_nodes(node_directory)
    wait_for(lambda: not running_nodes(node_directory), "the node still runs", NODE_STOP_TIMEOUT)
    with serve(APP, environment) as server:
        expect_the_blog(page, server.url)
        second = running_nodes(node_directory)
    assert (len(first), len(second)) == (1, 1)
    assert first != second


@pytest.mark.usefixtures("cql")
def test_loading_a_page_again_sends_nothing_twice(page: Page, server: Server) -> None:
    publish(page, server.url, "Once")
    page.reload()
    comment(page, "Ada", "Only once.")
    page.reload()
    expect(page.get_by_text("Only once.")).to_have_count(1)
    page.goto(server.url)
    expect(page.get_by_role("article")).to_have_count(1)
    expect(page.get_by_role("article")).to_contain_text("1 comment")


@pytest.mark.usefixtures("cql")
def test_everything_works_without_javascript(browser: Browser, server: Server) -> None:
    with browser.new_context(java_script_enabled=False) as context:
        page = context.new_page()
        fill_the_blog(page, server.url)
        expect_the_blog(page, server.url)


@pytest.mark.usefixtures("cql")
def test_a_refused_form_describes_each_field_and_keeps_the_text(page: Page, server: Server) -> None:
    page.goto(f"{server.url}/posts/new")
    field(page, "Slug").fill("Not a slug")
    field(page, "Text").fill("Kept,\n\nin two paragraphs.")
    page.get_by_role("button", name="Publish the post").click()
    expect(page.get_by_role("alert")).to_have_text("The post is not published yet: see below.")
    title, slug = field(page, "Title"), field(page, "Slug")
    expect(title).to_have_attribute("aria-invalid", "true")
    expect(title).to_have_accessible_description("A post needs a title.")
    expect(slug).to_have_value("Not a slug")
    expect(slug).to_have_accessible_description(
        "The post's address: lower-case letters, digits and hyphens. Left empty, it is made from "
        "the title. Use lower-case letters (a to z), digits, and single hyphens between them, such "
        "as my-first-post."
    )
    expect(field(page, "Text")).to_have_value("Kept,\n\nin two paragraphs.")


@pytest.mark.usefixtures("cql")
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_no_page_scrolls_sideways(page: Page, server: Server, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 800})
    publish(page, server.url, "W" * 255, "x" * 2000)
    comment(page, "y" * 255, "z" * 2000)
    for path in ("/", "/" + "w" * 255, "/posts/new", "/nothing-here"):
        page.goto(server.url + path)
        overflow = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert overflow <= 0, f"{path} is {overflow} px too wide"


def low_contrasts(page: Page) -> Any:
    """The texts that stand out too little, with their colours."""
    # A page's text is there before its colours.
    page.wait_for_load_state("load")
    return page.evaluate(LOW_CONTRASTS)


@pytest.mark.usefixtures("cql")
@pytest.mark.parametrize("colours", ["light", "dark"])
def test_text_has_enough_contrast(page: Page, server: Server, colours: Any) -> None:
    page.emulate_media(color_scheme=colours)
    publish(page, server.url, "Hello")
    assert low_contrasts(page) == []
    comment(page, "Ada", "Well said.")
    page.get_by_role("button", name="Publish the comment").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert low_contrasts(page) == []
    for path in ("/", "/nothing-here"):
        page.goto(server.url + path)
        assert low_contrasts(page) == []


@pytest.mark.usefixtures("cql")
def test_the_keyboard_reaches_everything_and_shows_where_it_is(page: Page, server: Server) -> None:
    page.goto(server.url)
    reached = []
    for _ in range(4):
        page.keyboard.press("Tab")
        focused = page.locator(":focus")
        expect(focused).to_have_css("outline-style", "solid")
        expect(focused).to_have_css("outline-width", "2px")
        reached.append(focused.inner_text())
    assert reached == [
        "Skip to the content",
        "Tumblelog",
        "Write a post",
        "Write the first post",
    ]


@pytest.mark.usefixtures("cql")
def test_a_new_comment_and_the_thanks_are_in_sight(page: Page, server: Server) -> None:
    publish(page, server.url, "A long post", "A paragraph.\n\n" * 100)
    comment(page, "Ada", "At the very end.")
    expect(page.get_by_text("At the very end.")).to_be_in_viewport()
    expect(page.get_by_role("status")).to_have_text("Thank you, your comment is published.")
    expect(page.get_by_role("status")).to_be_in_viewport()

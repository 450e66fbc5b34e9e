"""A program's views: what queries give."""

import datetime
import uuid

from flask import Flask, abort

from flask_cqlalchemy import BulkResult, Model, Page, QuerySet
from models import Every, Post, db


def newest(posts: QuerySet[Post]) -> Post | None:
    """Annotations of a program's own."""
    return posts.order_by("-at").first()


def headlines(page: Page[Post]) -> list[str]:
    return [post.title or post.body for post in page.items]


def delete_first(rows: QuerySet[Model]) -> None:
    """Whatever the model."""
    row = rows.first()
    if row is not None:
        row.delete()


def create_app() -> Flask:
    app = Flask(__name__)
    db.init_app(app)

    @app.get("/<uuid:post_id>")
    def show(post_id: uuid.UUID) -> dict[str, str]:
        post = Post.objects(id=post_id).first() or abort(404)
        return {"body": post.body, "title": post.title or "untitled"}

    return app


def reading(key: uuid.UUID) -> None:
    reveal_type(Post.objects)  # QuerySet[Post]
    reveal_type(Post.objects(id=key))  # QuerySet[Post]
    reveal_type(Post.objects.filter(Post.id == key))  # QuerySet[Post]
    reveal_type(Post.objects.filter(Post.kind.in_(["a"]), title__in=["a", "b"]))  # QuerySet[Post]
    reveal_type(Post.objects.all().limit(3).order_by("-at"))  # QuerySet[Post]
    reveal_type(Post.objects.only(["title"]).defer(["body"]))  # QuerySet[Post]
    reveal_type(Post.objects.allow_filtering().fetch_size(10).distinct())  # QuerySet[Post]
    reveal_type(Post.objects.consistency(1).timeout(3.5).using(connection="x"))  # QuerySet[Post]
    reveal_type(Post.filter(id=key))  # QuerySet[Post]
    reveal_type(Post.all())  # QuerySet[Post]
    reveal_type(Post.objects.first())  # Post | None
    reveal_type(Post.objects.get(id=key))  # Post
    reveal_type(Post.get(id=key))  # Post
    reveal_type(Post.objects.one())  # Post
    reveal_type(Post.objects.get_or_404(id=key))  # Post
    reveal_type(Post.objects.first_or_404())  # Post
    reveal_type(db.get_or_404(Post, id=key))  # Post
    reveal_type(Post.objects[0])  # Post
    reveal_type(Post.objects[:3])  # list[Post]
    reveal_type(list(Post.objects))  # list[Post]
    reveal_type([post.body for post in Post.objects.iter(fetch_size=10)])  # list[str]
    reveal_type(len(Post.objects))  # int
    reveal_type(Post.objects.count())  # int
    reveal_type(Post.objects.exists())  # bool
    reveal_type(Post.objects.rows())  # list[dict[str, Any]]
    reveal_type(Post.objects.to_json())  # bytes
    reveal_type(Post.objects.values_list("title"))  # QuerySet[list[Any]]
    reveal_type(Post.objects.values_list("title").first())  # list[Any] | None
    reveal_type(Post.objects.values_list("title", flat=True))  # QuerySet[Any]
    reveal_type(db.get_many(Post, [key]))  # list[Post | None]
    reveal_type(Post.objects.in_bulk([key]))  # dict[Any, Post]
    reveal_type(Post.objects.get(id=key).refresh())  # Post
    reveal_type({post: post.title for post in Post.objects})  # dict[Post, str | None]
    reveal_type(Post.body)  # ColumnExpression
    reveal_type(Post.body > "x")  # WhereClause
    reveal_type(Post.objects(id=key).first_or_404().title)  # str | None
    try:
        Post.get(id=key)
    except (Post.DoesNotExist, Post.MultipleObjectsReturned) as error:
        reveal_type(error)  # DoesNotExist | MultipleObjectsReturned


def pages() -> None:
    reveal_type(Post.objects.paginate(per_page=3))  # Page[Post]
    page = db.paginate(Post.objects, per_page=3, user="me")
    reveal_type(page)  # Page[Post]
    reveal_type(page.items)  # tuple[Post, ...]
    reveal_type([post.id for post in page])  # list[UUID]
    reveal_type(page.next)  # str | None
    headlines(page)


def writing(post: Post, now: datetime.datetime) -> None:
    reveal_type(Post.create(at=now, body="b"))  # Post
    reveal_type(Post.objects.create(at=now, body="b"))  # Post
    reveal_type(Post(body="b").save())  # Post
    reveal_type(post.update(body="c"))  # Post
    reveal_type(post.ttl(60).timestamp(now).save())  # Post
    reveal_type(post.if_exists().consistency(1).timeout(2).update())  # Post
    reveal_type(post.iff(body="b").using(connection="x"))  # Post
    reveal_type(Post.ttl(60))  # QuerySet[Post]
    reveal_type(Post.if_not_exists().create(body="b"))  # Post
    reveal_type(Post.get_or_create(id=post.id, body="b"))  # tuple[Post, bool]
    reveal_type(Post.ttl(60).get_or_create({"body": "b"}, id=post.id))  # tuple[Post, bool]
    reveal_type(Post.update_or_create(id=post.id, defaults={}))  # tuple[Post, bool]
    reveal_type(Post.objects.update_or_create(id=post.id))  # tuple[Post, bool]
    reveal_type(Post.using(keyspace="other").iff(body="b"))  # QuerySet[Post]
    reveal_type(Post.timestamp(datetime.timedelta(seconds=1)))  # QuerySet[Post]
    reveal_type(Post.objects(id=post.id).update(body="c"))  # None
    with db.batch("unlogged") as batch:
        reveal_type(Post.batch(batch))  # QuerySet[Post]
        reveal_type(post.batch(batch))  # Post
        batch.add_callback(print, "done")
    result = db.bulk_create(Post, [{"body": "b"}, Post(body="c")], concurrency=10)
    reveal_type(result)  # BulkResult
    taken: BulkResult = db.bulk_update(Post, [{"id": post.id, "body": "d"}])
    db.bulk_delete(Post, [post, (post.id, post.at)])
    print(taken.written, post["title"], post.keys())
    reveal_type(db.models)  # tuple[type[BoundModel], ...]
    reveal_type(db.sync_db())  # list[Change]
    delete_first(Post.objects)


def mistakes(post: Post, every: Every) -> None:
    Post.objects.first().title  # error
    Post.objects.frist()  # error
    Post.objects.filter("title")  # error
    Post.objects.limit("3")  # error
    Post.objects["0"]  # error
    Post.objects.paginate(per_pages=3)  # error
    Post.tilte  # error
    Post.objects.get().titel  # error
    post.save().boddy  # error
    newest(Every.objects)  # error
    headlines(db.paginate(Every.objects))  # error
    db.get_many("Post", [1])  # error
    db.get_many(Post, 1)  # error
    db.get_many(Post, [1])[0].body  # error
    db.get_or_404(post)  # error
    Post.objects.in_bulk(1)  # error
    Post.get_or_create(3)  # error
    Post.objects.values_list("title").get_or_create()  # error
    db.bulk_create(Post, {"body": "b"})  # error
    db.paginate(Post)  # error
    db.paginat(Post.objects)  # error
    post.ttl("60")  # error
    Post("body")  # error
    [post.body.upper() + post.title for post in Post.objects]  # error

"""A program's schemas."""

from collections.abc import Mapping

from models import Post, db


class PostSchema(db.AutoSchema):
    class Meta:
        model = Post
        load_instance = True

    body = db.auto_field()


class Head(db.Schema):
    class Meta:
        model = Post

    title = db.auto_field("title", required=True)


def load(data: Mapping[str, object], post: Post) -> None:
    reveal_type(PostSchema().load(data))  # Any
    reveal_type(PostSchema().load(data, instance=post))  # Post
    reveal_type(PostSchema().loads(b"{}", instance=post))  # Post
    reveal_type(Post.objects.to_json(PostSchema()))  # bytes
    reveal_type(Head(only=["title"]).dump(post))  # Any
    PostSchema().load(data, many=True, instance=post)  # error
    PostSchema().loads(3)  # error
    Post.objects.to_json(PostSchema)  # error

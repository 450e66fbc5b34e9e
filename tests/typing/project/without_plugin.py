"""The same without mypy's plugin."""

from typing import TYPE_CHECKING

from flask_cqlalchemy import CQLAlchemy

db = CQLAlchemy()

if TYPE_CHECKING:
    from flask_cqlalchemy import AutoSchema, Model, UserType
else:
    AutoSchema, Model, UserType = db.AutoSchema, db.Model, db.UserType


class Address(UserType):
    street = db.columns.Text()


class Post(Model):
    id = db.columns.Integer(primary_key=True)
    title = db.columns.Text()
    home = db.columns.UserDefinedType(Address)


class PostSchema(AutoSchema):
    class Meta:
        model = Post


def use(post: Post) -> None:
    reveal_type(Post.objects)  # QuerySet[Post]
    reveal_type(post.title)  # str | None
    reveal_type(post.home)  # Address | None
    reveal_type(post.save())  # Post
    reveal_type(db.paginate(Post.objects).items)  # tuple[Post, ...]
    reveal_type(PostSchema().load({}, instance=post))  # Post
    post.title = 3  # error
    post.titel = "x"  # error
    post.title.upper()  # error

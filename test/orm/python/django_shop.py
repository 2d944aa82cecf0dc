import os

import django
from django.conf import settings

settings.configure(
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.postgresql",
            "NAME": os.environ["PGDATABASE"],
            "HOST": os.environ["PGHOST"],
            "PORT": os.environ["PGPORT"],
            "USER": os.environ["PGUSER"],
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.AutoField",
)
django.setup()

from django.core.paginator import Paginator  # noqa: E402
from django.db import connection, models  # noqa: E402

from settings import BULK, DEEP_PAGES, KEYSET_PAGES, LIST, PAGE, SAVES, reviews, tagged  # noqa: E402


class Author(models.Model):
    name = models.TextField(unique=True)
    country = models.TextField()

    class Meta:
        app_label = "shop"
        db_table = "author"


class Book(models.Model):
    author = models.ForeignKey(Author, models.CASCADE)
    title = models.TextField()
    year = models.IntegerField()

    class Meta:
        app_label = "shop"
        db_table = "book"


class Review(models.Model):
    book = models.ForeignKey(Book, models.CASCADE)
    rating = models.IntegerField()
    note = models.TextField()

    class Meta:
        app_label = "shop"
        db_table = "review"


class Document(models.Model):
    title = models.TextField()
    body = models.TextField()
    properties = models.JSONField()

    class Meta:
        app_label = "shop"
        db_table = "document"


def open_shop(scenario):
    def tag(execute, sql, params, many, context):
        return execute(tagged(sql, scenario), params, many, context)

    # what SQLCommenter's middleware does for each request
    connection.execute_wrappers.append(tag)


def close_shop():
    connection.close()


def lazy():
    for author in Author.objects.order_by("id")[:LIST]:
        list(author.book_set.all())


def upward():
    for book in Book.objects.order_by("id")[:LIST]:
        str(book.author.name)


def eager():
    for author in Author.objects.order_by("id").prefetch_related("book_set")[:LIST]:
        list(author.book_set.all())
    for book in Book.objects.order_by("id").select_related("author")[:LIST]:
        str(book.author.name)


def pages():
    paginator = Paginator(Book.objects.order_by("id"), PAGE)
    for number in DEEP_PAGES:
        list(paginator.page(number))


def wide():
    list(Document.objects.all())


def lean():
    list(Document.objects.only("id", "title"))
    after = 0
    for _ in range(KEYSET_PAGES):
        books = list(Book.objects.filter(id__gt=after).order_by("id")[:PAGE])
        after = books[-1].id


def saves():
    for columns in reviews(SAVES):
        Review(**columns).save()


def updates():
    for book in Book.objects.order_by("id")[:LIST]:
        book.year += 1
        book.save()


def bulk():
    Review.objects.bulk_create(Review(**columns) for columns in reviews(BULK))
    books = list(Book.objects.order_by("id")[:LIST])
    for book in books:
        book.year += 1
    Book.objects.bulk_update(books, ["year"])

from sqlalchemy import Column, ForeignKey, Integer, Text, create_engine, event, func, select
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import Session, declarative_base, joinedload, load_only, relationship, selectinload

from settings import BULK, DEEP_PAGES, KEYSET_PAGES, LIST, PAGE, SAVES, reviews, tagged

Base = declarative_base()
# libpq takes the rest from the environment
engine = create_engine("postgresql+psycopg2://", future=True)


class Author(Base):
    __tablename__ = "author"
    id = Column(Integer, primary_key=True)
    name = Column(Text, nullable=False)
    country = Column(Text, nullable=False)
    books = relationship("Book", back_populates="author")


class Book(Base):
    __tablename__ = "book"
    id = Column(Integer, primary_key=True)
    author_id = Column(ForeignKey("author.id"), nullable=False)
    title = Column(Text, nullable=False)
    year = Column(Integer, nullable=False)
    author = relationship("Author", back_populates="books")


class Review(Base):
    __tablename__ = "review"
    id = Column(Integer, primary_key=True)
    book_id = Column(ForeignKey("book.id"), nullable=False)
    rating = Column(Integer, nullable=False)
    note = Column(Text, nullable=False)


class Document(Base):
    __tablename__ = "document"
    id = Column(Integer, primary_key=True)
    title = Column(Text, nullable=False)
    body = Column(Text, nullable=False)
    properties = Column(JSONB, nullable=False)


def open_shop(scenario):
    @event.listens_for(engine, "before_cursor_execute", retval=True)
    def tag(connection, cursor, statement, parameters, context, executemany):
        return tagged(statement, scenario), parameters


def close_shop():
    engine.dispose()


def first(model, *options):
    return select(model).order_by(model.id).limit(LIST).options(*options)


def lazy():
    with Session(engine) as session:
        for author in session.scalars(first(Author)).all():
            list(author.books)


def upward():
    with Session(engine) as session:
        for book in session.scalars(first(Book)).all():
            str(book.author.name)


def eager():
    with Session(engine) as session:
        for author in session.scalars(first(Author, selectinload(Author.books))).all():
            list(author.books)
    with Session(engine) as session:
        for book in session.scalars(first(Book, joinedload(Book.author))).all():
            str(book.author.name)


def pages():
    with Session(engine) as session:
        for number in DEEP_PAGES:
            session.scalar(select(func.count()).select_from(Book))
            page = select(Book).order_by(Book.id).limit(PAGE).offset((number - 1) * PAGE)
            session.scalars(page).all()


def wide():
    with Session(engine) as session:
        session.scalars(select(Document)).all()


def lean():
    with Session(engine) as session:
        session.scalars(select(Document).options(load_only(Document.title))).all()
        after = 0
        for _ in range(KEYSET_PAGES):
            page = select(Book).where(Book.id > after).order_by(Book.id).limit(PAGE)
            after = session.scalars(page).all()[-1].id


def saves():
    """A commit for each."""
    with Session(engine) as session:
        for columns in reviews(SAVES):
            session.add(Review(**columns))
            session.commit()


def updates():
    """In one transaction, flushed one by one."""
    with Session(engine) as session:
        for book in session.scalars(first(Book)).all():
            book.year += 1
            session.flush()
        session.commit()


def bulk():
    with Session(engine) as session:
        session.add_all(Review(**columns) for columns in reviews(BULK))
        session.commit()

"""fetch_batch, insert_batch and page, as a program calls them that has the
driver alone, which is named as the argument. Prints what node/batch.js does."""
import importlib
import json
import os
import sys

driver = importlib.import_module(sys.argv[1])
connection = driver.connect(dbname=os.environ["PGDATABASE"])
connection.autocommit = True
cursor = connection.cursor()


def query(text, values):
    cursor.execute(text, values)
    return cursor.fetchall()


books = query("SELECT title FROM hone.fetch_batch(NULL::book, 'id', %s)", ([7, 3, None, 7, -1],))
print(", ".join(title or "none" for (title,) in books))
authors = query("SELECT id FROM hone.fetch_batch(NULL::author, 'name', %s)", (["author 2", "nobody", "author 1"],))
print(", ".join(str(key or "none") for (key,) in authors))

rows = [{"name": "author 1", "country": "x"}, {"name": "O'Hara", "country": "y"}, {"name": 'é"\\', "country": "z"}]
stored = query(
    "SELECT n, inserted, key->>'name' FROM hone.insert_batch('author', %s::jsonb, on_conflict => %s,"
    " conflict_columns => %s::name[], returned => '{name}')",
    (json.dumps(rows), "nothing", ["name"]),
)
print(", ".join(f"{n} {name if inserted else 'there'}" for n, inserted, name in stored))
stored = query(
    "SELECT n, inserted, key->>'country' FROM hone.insert_batch('author', jsonb_build_object('name', %s::text[], 'country', %s::text[]),"
    " on_conflict => 'update', conflict_columns => '{name}', returned => '{country}')",
    (["O'Hara", "it's \"new\""], ["v", "w"]),
)
print(", ".join(f"{n} {'new' if inserted else 'changed'} {country}" for n, inserted, country in stored))

PAGE = (
    "SELECT rows, next, has_next FROM hone.page('SELECT id, title FROM book WHERE year = $1', 'title DESC',"
    " %s, 15, params => %s::jsonb)"
)
titles = []
after = None
more = True
while more:
    [(found, after, more)] = query(PAGE, (after, json.dumps([1950])))
    titles += [book["title"] for book in found]
print(len(titles), len(set(titles)), titles[0], titles[-1])
connection.close()

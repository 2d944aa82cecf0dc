"""python3 calm.py SCENARIO: repeats statements, and is no N+1 loop."""
import sys
import time

import psycopg2
from psycopg2.extras import execute_values

TENANTS = 12
TENANT_SECONDS = 0.15
IMPORTED = 30


def tenants(connection):
    """A job that goes slowly from tenant to tenant."""
    connection.autocommit = True
    cursor = connection.cursor()
    for _ in range(2):
        cursor.execute("SELECT id FROM author ORDER BY id LIMIT %s", (TENANTS,))
        for (tenant,) in cursor.fetchall():
            time.sleep(TENANT_SECONDS)
            cursor.execute("SELECT count(*) FROM book WHERE author_id = %s", (tenant,))


def import_names(cursor, prefix):
    """What validates that a name is not taken does for each new row."""
    cursor.execute("SELECT title FROM book ORDER BY id LIMIT %s", (IMPORTED,))
    for (title,) in cursor.fetchall():
        name = f"{prefix} {title}"
        cursor.execute("SELECT 1 AS one FROM author WHERE name = %s LIMIT 1", (name,))
        if cursor.fetchone() is None:
            cursor.execute("INSERT INTO author (name, country) VALUES (%s, 'imported')", (name,))


def validation(connection):
    connection.autocommit = True
    import_names(connection.cursor(), "one")


def validation_in_transaction(connection):
    with connection, connection.cursor() as cursor:
        import_names(cursor, "two")


def load(connection):
    """Statements of many rows."""
    with connection, connection.cursor() as cursor:
        cursor.execute("SELECT id FROM author ORDER BY id")
        authors = [author for (author,) in cursor.fetchall()]
        for number in range(20):
            rows = [(author, f"loaded {number}", 2000 + number) for author in authors]
            execute_values(cursor, "INSERT INTO book (author_id, title, year) VALUES %s", rows, page_size=100)


def main(scenario):
    connection = psycopg2.connect("")
    globals()[scenario](connection)
    connection.close()


if __name__ == "__main__":
    main(sys.argv[1])

"""Lists authors and fetches the books of each, in one transaction."""
import psycopg2

from settings import LIST, tagged


def main():
    connection = psycopg2.connect("")
    with connection, connection.cursor() as cursor:
        cursor.execute(tagged("SELECT id, name FROM author ORDER BY id LIMIT %s", "loop"), (LIST,))
        for author_id, _ in cursor.fetchall():
            cursor.execute(tagged("SELECT id, title FROM book WHERE author_id = %s", "loop"), (author_id,))
            cursor.fetchall()
    connection.close()


if __name__ == "__main__":
    main()

"""What the programs have in common: how much they read and write, and the
tags of their statements."""
from urllib.parse import quote

LIST = 40  # authors or books of a list
PAGE = 20  # books of a page
DEEP_PAGES = (200, 210, 220)  # numbers from 1
KEYSET_PAGES = 40  # from the first on
SAVES = 40
BULK = 100


def reviews(count):
    """Columns of reviews that are not saved yet."""
    return [{"book_id": i + 1, "rating": i % 6, "note": f"note {i}"} for i in range(count)]


def tagged(statement, scenario):
    """With SQLCommenter's tags at its end."""
    tags = {"action": scenario, "controller": "shop"}
    listed = ",".join(f"{key}='{quote(value)}'" for key, value in tags.items())
    return f"{statement} /*{listed}*/"

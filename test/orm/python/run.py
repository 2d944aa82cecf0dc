"""python3 run.py ORM SCENARIO: does what ORM_shop.py has under this name
ORM_ROUNDS times, with the pauses of a client that comes again."""
import importlib
import os
import sys
import time

PAUSE_SECONDS = 0.2


def main(orm, scenario):
    shop = importlib.import_module(orm + "_shop")
    shop.open_shop(scenario)
    for _ in range(int(os.environ.get("ORM_ROUNDS", "3"))):
        getattr(shop, scenario)()
        time.sleep(PAUSE_SECONDS)
    shop.close_shop()


if __name__ == "__main__":
    main(*sys.argv[1:])
